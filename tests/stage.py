"""A manifold without sockets: peers over in-memory pairs, turns when a test says so, a disk that may fail."""

from __future__ import annotations

import time
from typing import Any

from barker.amqp.link import Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.service import Service, Serving
from tests.amqp.pair import Pair, Recorder

NOBODY = Place("127.0.0.1", 9)


class Clock:
    """Time that passes when a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


def serving(address: str) -> Serving:
    """A place for a service that nobody dials."""
    return Serving(address, "127.0.0.1", 0, (NOBODY,))


class FlakyJournal:
    """A journal before which stands a disk that fails when it is told to."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.error: Exception | None = None
        self.commits = 0

    def commit(self, *arguments: Any, **more: Any) -> Any:
        self.commits += 1
        if self.error is not None:
            raise self.error
        return self._journal.commit(*arguments, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


class Stage:
    """A service, and who is connected to it."""

    def __init__(self, service: Service) -> None:
        self.service, self.clock = service, Clock()
        service.reactor.clock = self.clock
        self.pairs: list[Pair] = []

    def connect(self) -> Pair:
        """One more peer."""
        pair = Pair(server_peer=self.service)  # type: ignore[arg-type]
        self.pairs.append(pair)
        self.turn()
        return pair

    def turn(self, turns: int = 3) -> None:
        """Carry what there is, and let the service end its turn, a few times."""
        for _ in range(turns):
            for pair in self.pairs:
                pair.pump()
            self.service.reactor.end_turn()
        for pair in self.pairs:
            pair.pump()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.turn()
        self.clock.now += seconds
        self.service.reactor.call_due()
        self.turn()

    def sender(self, pair: Pair, address: str) -> tuple[Sender, Recorder]:
        handler = Recorder()
        link = pair.client.sender(address, handler)
        self.turn()
        return link, handler

    def receiver(self, pair: Pair, address: str) -> tuple[Receiver, Recorder]:
        """A consumer that has given no credit yet."""
        handler = Recorder(0)
        link = pair.client.receiver(address, handler, 0)
        self.turn()
        return link, handler

    def close(self) -> None:
        self.service.reactor.close()
        self.service.on_stop()
