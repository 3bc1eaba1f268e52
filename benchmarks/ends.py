"""The two ends of a hop, as processes of their own: one sends, one receives; neither decodes anything."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import Any

from barker.amqp.agent import register
from barker.amqp.engine import ConnectionHandler, Delivery, LinkHandler, Receiver, Sender
from barker.amqp.links import Network, Place
from barker.amqp.message import encode_bark
from barker.amqp.reactor import Reactor
from barker.bark import now
from barker.core.barks import Bark
from barker.core.routes import Route
from benchmarks.stand import HOST, end_with_parent

TEXT = "Woof! The vacuum cleaner is mine now."

AHEAD = 4_000
"""So many messages may be between the two ends, so that no queue grows."""

WINDOW = 1_000
"""The receiver's credit."""

SENT, ACCEPTED, RECEIVED = range(3)

_spawn = multiprocessing.get_context("spawn")


def message() -> bytes:
    """What is sent: a bark, as it would be."""
    return encode_bark(Bark("b" * 32, "ark3", TEXT, now()))


class _Sends(LinkHandler):
    def __init__(self, reactor: Reactor, counts: Any) -> None:
        self._counts = counts
        self._message = message()
        self._link: Sender | None = None
        # Room is made by the other process, which cannot say so.
        reactor.every(0.001, self._more)

    def on_credit(self, link: Sender) -> None:
        self._link = link
        self._more()

    def on_outcome(self, link: Sender, *_: object) -> None:
        self._counts[ACCEPTED] += 1

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


def _send(counts: Any, place: Place, address: str) -> None:
    reactor = _reactor()
    connection = reactor.connect(place.host, place.port, ConnectionHandler())
    connection.sender(address, _Sends(reactor, counts))
    reactor.run()


def _receive(counts: Any, place: Place, address: str) -> None:
    reactor = _reactor()
    connection = reactor.connect(place.host, place.port, ConnectionHandler())
    connection.receiver(address, _Receives(counts), WINDOW)
    reactor.run()


def _listen(counts: Any, port: int, directory: Place | None, address: str) -> None:
    reactor = _reactor()
    reactor.listen(HOST, port, _Listens(counts))
    if directory is not None:
        register(Network(reactor, directory), Route(address, HOST, port, "ordered", time.time()))
    reactor.run()


def _reactor() -> Reactor:
    end_with_parent()
    reactor = Reactor(f"end-{os.getpid()}")
    signal.signal(signal.SIGTERM, lambda *_: reactor.call_from_thread(reactor.stop))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return reactor


class Ends:
    """A receiver and then a sender; both end with the context."""

    def __init__(self) -> None:
        self.counts = _spawn.RawArray("Q", 3)
        """SENT, ACCEPTED, RECEIVED."""
        self._processes: dict[str, Any] = {}

    def send(self, place: Place, address: str) -> None:
        """Send to an address at a place."""
        self.start("sender", _send, place, address)

    def receive(self, place: Place, address: str) -> None:
        """Receive from an address at a place."""
        self.start("receiver", _receive, place, address)

    def listen(self, port: int, directory: Place | None = None, address: str = "") -> None:
        """Take what others send, at a port; and serve an address, if there is a directory to say so."""
        self.start("receiver", _listen, port, directory, address)

    @property
    def received(self) -> int:
        """How many messages have come to the receiver."""
        return int(self.counts[RECEIVED])

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of sender and receiver."""
        return {name: process.pid for name, process in self._processes.items()}

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(10)
            process.kill()

    def start(self, name: str, target: Any, *arguments: object) -> None:
        """Start a process that runs `target` with the counts and `arguments`."""
        process = _spawn.Process(target=target, args=(self.counts, *arguments), name=name, daemon=True)
        process.start()
        self._processes[name] = process
