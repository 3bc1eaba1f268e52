"""The two ends of a hop, as processes of their own: one sends, one receives; neither decodes anything.

There are two kinds: these here use Barker's engine, those of `protons.py` Proton's own Python classes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.message import encode_bark
from barker.amqp.reactor import Reactor
from barker.amqp.system import now
from barker.core.barks import Bark
from benchmarks.stand import HOST, end_with_parent, listens, until

TEXT = "Woof! The vacuum cleaner is mine now."

AHEAD = 4_000
"""So many messages may be between the two ends, so that no queue grows."""

WINDOW = 1_000
"""The receiver's credit."""

LOOK_SECONDS = 0.001
"""How often a sender looks whether the receiver has made room, which nobody else tells it."""

SENT, RECEIVED = range(2)

_spawn = multiprocessing.get_context("spawn")


def message() -> bytes:
    """What is sent: a bark, as it would be."""
    return encode_bark(Bark("b" * 32, "ark3", TEXT, now()))


class _Sends(LinkHandler):
    def __init__(self, reactor: Reactor, counts: Any) -> None:
        self._counts = counts
        self._message = message()
        self._link: Sender | None = None
        reactor.every(LOOK_SECONDS, self._more)

    def on_credit(self, link: Sender) -> None:
        self._link = link
        self._more()

    def _more(self) -> None:
        counts, link = self._counts, self._link
        if link is not None and (room := min(link.credit, AHEAD - (counts[SENT] - counts[RECEIVED]))) > 0:
            for _ in range(room):
                link.send(self._message)
            counts[SENT] += room


class _Receives(LinkHandler):
    def __init__(self, counts: Any) -> None:
        self._counts = counts

    def on_opened(self, link: Receiver) -> None:
        link.window = WINDOW

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self._counts[RECEIVED] += 1


class _Listens(ConnectionHandler):
    def __init__(self, counts: Any) -> None:
        self._counts = counts

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        return _Receives(self._counts)


def send(counts: Any, place: Place, address: str) -> None:
    """A process that sends to an address at a place."""
    reactor = _reactor()
    connection = reactor.connect(place.host, place.port, ConnectionHandler())
    connection.sender(address, _Sends(reactor, counts))
    reactor.run()


def receive(counts: Any, place: Place, address: str) -> None:
    """A process that receives from an address at a place."""
    reactor = _reactor()
    connection = reactor.connect(place.host, place.port, ConnectionHandler())
    connection.receiver(address, _Receives(counts), WINDOW)
    reactor.run()


def listen(counts: Any, port: int) -> None:
    """A process that takes what others send to a port."""
    reactor = _reactor()
    reactor.listen(HOST, port, _Listens(counts))
    reactor.run()


def _reactor() -> Reactor:
    end_with_parent()
    reactor = Reactor(f"end-{os.getpid()}")
    signal.signal(signal.SIGTERM, lambda *_: reactor.call_from_thread(reactor.stop))
    return reactor


class Ends:
    """A receiver and a sender; both end with the context."""

    def __init__(self, kind: Any) -> None:
        """`kind`: the module with the functions `send`, `receive` and `listen` that they run."""
        self._kind = kind
        self.counts = _spawn.RawArray("Q", 2)
        """SENT, RECEIVED."""
        self._processes: dict[str, Any] = {}

    def send(self, place: Place, address: str) -> None:
        """Send to an address at a place."""
        self._start("sender", self._kind.send, place, address)

    def receive(self, place: Place, address: str) -> None:
        """Receive from an address at a place."""
        self._start("receiver", self._kind.receive, place, address)

    def listen(self, port: int) -> None:
        """Take what others send to a port; returns when it is listened at."""
        self._start("receiver", self._kind.listen, port)
        until(lambda: listens(port), lambda: None, "the receiver listens")

    @property
    def received(self) -> int:
        """How many messages have come to the receiver."""
        return int(self.counts[RECEIVED])

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of receiver and sender."""
        return {name: process.pid for name, process in self._processes.items()}

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(10)
            process.kill()

    def _start(self, name: str, target: Any, *arguments: object) -> None:
        process = _spawn.Process(target=target, args=(self.counts, *arguments), name=name, daemon=True)
        process.start()
        self._processes[name] = process
