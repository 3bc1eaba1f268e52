"""What the benchmarks share: Barker's programs, a reactor in a thread for clients, barks with a number."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, Place, receiver_from
from barker.amqp.message import decode_map, encode_bark
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.reactor import Reactor
from barker.amqp.system import now
from barker.commands.keys import operator_of_new_suite
from barker.core.access import Credentials, pages_key
from barker.core.barks import Bark
from barker.core.errors import BarkerError
from barker.suite.child import Child
from barker.suite.shape import Program

HOST = "127.0.0.1"

STALL_SECONDS = 60.0
"""When nothing has moved for so long, a benchmark gives up."""

LOOK_SECONDS = 0.05
"""How often it is looked how things stand."""


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def end_with_parent() -> None:
    """For a process that a benchmark has started: end it when the benchmark is gone, even when killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def listens(port: int) -> bool:
    """Whether somebody listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


class Service:
    """One program of Barker, which ends when the benchmark does; and what it reports of itself."""

    def __init__(self, stand: Stand, module: str, *arguments: str) -> None:
        self.port = free_port()
        self.place = Place(HOST, self.port)
        self.report: dict[str, Any] = {}
        """Its last report; empty until there is one, and after it has been killed."""
        self.reported = 0.0
        """When that came, on the monotonic clock."""
        command = (f"barker.{module}", *arguments, "--port", str(self.port))
        self._agent = f"agents/{HOST}-{self.port}"
        self._child = Child(Program(module, module, command, self.port, ""))
        self._child.start()
        stand.call(lambda: self._watch(stand.reactor))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def next_report(self) -> dict[str, Any]:
        """Wait for the next report.

        :raises BarkerError: when there is none.
        """
        last = self.reported
        until(lambda: self.reported > last, lambda: self.reported, "a report", 0.005)
        return self.report

    @property
    def memory(self) -> int:
        """Its resident memory now, in bytes; 0 when it does not run."""
        try:
            return int(psutil.Process(self._child.pid).memory_info().rss) if self._child.runs else 0
        except psutil.Error:
            return 0

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._child.signal(number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal, and wait until it has ended."""
        self._child.signal(number)
        self._child.wait(30.0)
        self.report = {}

    def start(self) -> None:
        """Start it again."""
        self._child.start()

    def _watch(self, reactor: Reactor) -> None:
        receiver_from(Network(reactor, self.place), self._agent, _Reports(self))


class _Reports(PeerHandler[Receiver]):
    def __init__(self, service: Service) -> None:
        self._service = service

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self._service.report = decode_map(data)[1]
        self._service.reported = time.monotonic()


class Clients:
    """A reactor in a thread, for the clients that a benchmark plays itself."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.reactor = Reactor(f"benchmark-{os.getpid()}", credentials=credentials)
        self._thread = threading.Thread(target=self.reactor.run, daemon=True)
        self._thread.start()

    def call(self, what: Callable[[], object]) -> None:
        """Have something done in the reactor's thread."""
        self.reactor.call_from_thread(lambda: void(what()))

    def close(self) -> None:
        """End it, and all its connections."""
        self.reactor.call_from_thread(self.reactor.stop)
        self._thread.join(10)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stand(Clients):
    """A directory, an empty folder for data, and a reactor in a thread."""

    def __init__(self, data: Path, tls: bool = False) -> None:
        """With `tls` they speak it with each other, and with the clients."""
        self._secrets = ["--key", str(data / "key")]
        credentials = operator_of_new_suite(data, tls)
        self.page_key = pages_key(credentials.key)
        """What lets a page in at its gateway."""
        if tls:
            self._secrets += ["--tls", str(data / "tls")]
        super().__init__(credentials)
        self.data = data
        self.services: list[Service] = []
        self.directory = self.start("directory")
        self.network = Network(self.reactor, self.directory.place)

    def start(self, module: str, *arguments: str) -> Service:
        """Start one of Barker's programs."""
        arguments += (*self._secrets,)
        if module != "directory":
            arguments += ("--directory", str(self.directory.place))
        if module == "manifold":
            arguments += ("--data", str(self.data))
        self.services.append(Service(self, module, *arguments))
        return self.services[-1]

    def close(self) -> None:
        """End everything."""
        super().close()
        for service in reversed(self.services):
            service.end()


@contextlib.contextmanager
def stand(data: Path | None = None, tls: bool = False) -> Iterator[Stand]:
    """A stand, in `data` or a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="barker-benchmark-", dir=data) as folder:
        made = Stand(Path(folder), tls)
        try:
            yield made
        finally:
            made.close()


def void(_: object) -> None:
    """Nothing."""


def until(
    done: Callable[[], object],
    moved: Callable[[], object],
    what: str,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Wait until `done`; `moved` is something that changes meanwhile.

    :raises BarkerError: when that has not changed for a while; it says `what` did not happen.
    """
    last, since = moved(), time.monotonic()
    while not done():
        time.sleep(look_seconds)
        if (state := moved()) != last:
            last, since = state, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            raise BarkerError(f"nothing has moved for {STALL_SECONDS:g} s, and not yet: {what}")


class Producer:
    """Sends barks whose texts are 0, 1, 2 … to an address, as fast as that takes them, `window` at once."""

    def __init__(self, stand: Stand, address: str, count: int | None = None, window: int = 2_000) -> None:
        """`count`: how many in all; None for no end."""
        self.accepted = 0
        self.stopped = False
        self._numbers = iter(range(count)) if count is not None else itertools.count()
        self._window = window
        stand.call(lambda: self._start(stand.network, address))

    def _start(self, network: Network, address: str) -> None:
        self._outbound = Outbound(network, address)
        for number in itertools.islice(self._numbers, self._window):
            self._send(number)

    def _send(self, number: int) -> None:
        bark = Bark(f"{number:032}", "ark3", str(number), now())
        self._outbound.send(encode_bark(bark), self._on_outcome)

    def _on_outcome(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Accepted):
            sys.exit(f"a bark was rejected: {outcome}")
        self.accepted += 1
        if not self.stopped and (following := next(self._numbers, None)) is not None:
            self._send(following)
