"""What tests share: real processes, a client that counts what was accepted, awaited conditions."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import itertools
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from proton import Link
from proton.reactor import LinkOption

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, Place, Places, receiver_from
from barker.amqp.message import decode_bark, decode_map, encode_bark
from barker.amqp.outbound import Accepted, Outbound, Outcome, Rejected
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id, now
from barker.amqp.watch import Watcher
from barker.core.access import OPERATOR, PROOF, Credentials, pages_key, proof
from barker.core.barks import Bark, Follow
from barker.core.routing import Route
from barker.store.key import made_key, read_key
from barker.store.social import FILE_NAME, Users
from barker.suite.ports import free_offset
from tests.certified import credentials as certified

ROOT = Path(__file__).resolve().parent.parent


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The condition's first true value; a failure that says what did not happen, after `seconds`.

    Machines have other things to do: who asks for less has a reason.
    """
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited > seconds:
            pytest.fail(f"not within {seconds:g} s: {what}")
        # Between two looks at a condition that cannot be waited for in another way; ever rarer, as a look may
        # cost as much as what is waited for.
        time.sleep(min(0.01 + waited / 50, 0.05))


PORTS = range(7_000, 10_000)
"""Below those of suites that a launcher starts (`free_offset`), and those that the system gives to outgoing
connections: such a one could hold the port of who is yet to start, or is down. Chromium opens all of them."""

BLOCK = 250
"""So many of them each process of tests has for itself."""


def _own_ports() -> tuple[range, Any]:
    """Ports that no other process of tests has, whoever runs it; as long as the file with it is open."""
    folder = Path(tempfile.gettempdir()) / "barker-test-ports"
    folder.mkdir(mode=0o777, exist_ok=True)
    blocks = [PORTS[start : start + BLOCK] for start in range(0, len(PORTS), BLOCK)]
    for block in random.sample(blocks, len(blocks)):
        with contextlib.suppress(OSError):  # Another's, or another user's.
            file = (folder / str(block[0])).open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                raise
            return block, file
    return random.choice(blocks), None


OWN_PORTS, _LOCK = _own_ports()
if _LOCK is not None:
    atexit.register(_LOCK.close)

TURN = itertools.count()


LINKS = 400
"""So many timelines a client reads over one connection: there may be 500 links."""

KEYS: dict[str, Path] = {}
"""By the place of a directory that a test has started: the file with the suite's key."""

CERTIFICATES: dict[str, Path] = {}
"""Likewise, for those that speak TLS: the folder with its certificates."""


TLS = Path(os.environ["BARKER_TLS"]) if "BARKER_TLS" in os.environ else None
"""The certificates that every suite has that is not given its own; None: it speaks no TLS."""


def shown_key(key: Path) -> str:
    """What a page of the suite with that key shows at the gateway."""
    return pages_key(read_key(key))


def credentials_at(place: str) -> Credentials | None:
    """What an operator of the suite has whose directory is there; None for a suite that no test has begun."""
    if folder := CERTIFICATES.get(place, TLS):
        return certified(folder, OPERATOR)
    return Credentials(OPERATOR, read_key(KEYS[place])) if place in KEYS else None


class Proof(LinkOption):
    """What makes a link of who has no SCRAM an operator's."""

    def __init__(self, key: Path, address: str) -> None:
        self._properties = {PROOF: proof(read_key(key), address)}

    def apply(self, link: Link) -> None:
        link.properties = self._properties


def free_port() -> int:
    """A port that nobody listens at now, and which nobody else was given lately."""
    while True:
        port = OWN_PORTS[next(TURN) % len(OWN_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def node() -> str:
    """Node, from the machine or from the wheel that `make setup` brings."""
    found = shutil.which("node") or shutil.which("node", path=os.path.dirname(sys.executable))
    assert found, "there is no node: 'make setup' brings one"
    return found


class Process:
    """One program of Barker, with its standard error in a file."""

    def __init__(self, log: Path, command: list[str], port: int | None = None) -> None:
        self.port, self.command, self.log_file = port, command, log
        self.popen: subprocess.Popen[str] = self._start()

    def _start(self) -> subprocess.Popen[str]:
        with self.log_file.open("a") as log:
            return subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.popen.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.popen.wait(10)

    @property
    def key(self) -> Path:
        """The file with the suite's key that it was started with."""
        return Path(self.command[self.command.index("--key") + 1])

    def restart(self) -> None:
        """Started again, as it was; killed first if it still runs."""
        if self.popen.poll() is None:
            self.kill()
        self.popen = self._start()

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)


class Suite:
    """Programs that belong together: one directory, or several, and one data folder."""

    def __init__(self, folder: Path, tls: Path | None = None, directories: int = 1) -> None:
        """With certificates in the folder `tls`, it speaks TLS."""
        tls = tls or TLS
        self.folder, self.data = folder, folder / "data"
        self.processes: list[Process] = []
        self.key, self.tls = folder / "key", tls
        made_key(self.key)
        self._ports = [free_port() for _ in range(directories)]
        self.directories = [self.start("directory", port=port) for port in self._ports]
        self.directory = self.directories[0]
        KEYS[self.place] = self.key
        if tls is not None:
            CERTIFICATES[self.place] = tls

    @property
    def place(self) -> str:
        """Where its directories are."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def places(self) -> list[str]:
        """The options by which a program belongs to the suite, or a command speaks to it."""
        return ["--directory", self.place, *self.secrets]

    @property
    def secrets(self) -> list[str]:
        """The options by which the suite knows a program, and the program the suite."""
        tls = ["--tls", str(self.tls)] if self.tls is not None else []
        return ["--key", str(self.key), *tls]

    def start(
        self,
        program: str,
        *arguments: str,
        listens: bool = True,
        data: bool = True,
        port: int | None = None,
    ) -> Process:
        """Start `barker.PROGRAM`, with the suite's `data` or not, at a `port` or any; ready or not."""
        port = port or (free_port() if listens else None)
        command = [sys.executable, "-m", f"barker.{program}", *arguments, "--log-level", "info"]
        if port is not None:
            command += ["--port", str(port)]
        if program == "directory" and len(self._ports) == 1:
            command += self.secrets
        else:
            command += self.places
        if data and program in ("manifold", "bizlogic", "autobark"):
            command += ["--data", str(self.data)]
        process = Process(self.folder / f"{program}-{len(self.processes)}.log", command, port)
        self.processes.append(process)
        return process

    def users(self, follows: list[tuple[str, str]]) -> Users:
        """The users' file, with these (follower, followee) pairs."""
        users = Users(self.data / FILE_NAME, create=True)
        users.add((), follows)
        return users

    def inbox(self, *arguments: str) -> Process:
        """An inbox whose history holds all that a test barks: on a busy machine a reader may be away."""
        return self.start("manifold", "inbox", "--history", "2000", *arguments)

    def outbox(self, *arguments: str) -> Process:
        return self.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark", *arguments)

    def bizlogic(self) -> Process:
        return self.start("bizlogic")

    def state(self, process: Process) -> dict[str, Any]:
        """What a service says of itself, over AMQP at its own port."""

        def ask() -> dict[str, Any] | None:
            states: list[dict[str, Any]] = []
            reactor = Reactor("test-state", credentials=credentials_at(self.place))

            class Reader(PeerHandler[Receiver]):
                def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
                    states.append(decode_map(data)[1])
                    reactor.stop()

            network = Network(reactor, Place("127.0.0.1", process.port or 0))
            receiver_from(network, f"agents/127.0.0.1-{process.port}", Reader())
            reactor.after(5, reactor.stop)
            reactor.run()
            return states[0] if states else None

        state: dict[str, Any] = wait_for(ask, f"port {process.port} tells its state")
        return state

    def wait_for_state(self, process: Process, seconds: float = 60.0, **wanted: Any) -> dict[str, Any]:
        """Wait until a service says so of itself; a callable is asked about the value."""

        def reached() -> dict[str, Any] | None:
            state = self.state(process)
            met = all(
                want(state.get(key)) if callable(want) else state.get(key) == want
                for key, want in wanted.items()
            )
            return state if met else None

        state: dict[str, Any] = wait_for(reached, f"{wanted} at port {process.port}", seconds)
        return state

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()


class Client:
    """An author and reader in a thread of its own: knows what was accepted, and what stood on timelines."""

    def __init__(
        self,
        place: str,
        stranger: bool = False,
        credentials: Credentials | None = None,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """It is an operator of the suite whose directory is at `place`, unless it is a `stranger`, or has its
        own `credentials`. `begin` is called in its thread, first of all."""
        self.accepted: dict[Any, Any] = {}
        self.rejected: dict[Any, Condition | None] = {}
        self.timelines: dict[str, list[Bark]] = defaultdict(list)
        self.arrived: dict[str, float] = {}
        self.found: set[str] = set()
        self.reactor = Reactor(
            f"test-{os.getpid()}-{id(self)}",
            credentials=None if stranger else credentials or credentials_at(place),
        )
        self._places = Places.parse(place)
        self.network = Network(self.reactor, *self._places)
        self._outbounds: dict[str, Outbound] = {}

        def run() -> None:
            begin()
            self.reactor.run()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def send(self, work: Bark | Follow, address: str = "outbox") -> None:
        self.reactor.call_from_thread(lambda: self._bring(address, encode_bark(work), work.id, work))

    def bark(self, user: str, text: str) -> Bark:
        bark = Bark(new_id(), user, text, now())
        self.send(bark)
        return bark

    def read(self, user: str) -> None:
        """Read a timeline from now on; returns when the inbox has it."""
        self.read_all([user])

    def read_all(self, users: list[str]) -> None:
        """Read these timelines from now on; returns when the inbox has them all."""

        def attach() -> None:
            network = self.network
            for number, user in enumerate(users, 1):
                receiver_from(network, f"inbox/{user}", _Timeline(self, user), window=2_000)
                if number % LINKS == 0:
                    network = Network(self.reactor, *self._places)

        self.reactor.call_from_thread(attach)
        wait_for(lambda: self.found.issuperset(users), f"{len(users)} timelines are found")

    @property
    def read_count(self) -> int:
        """How many barks have come, on all timelines together."""
        return sum(map(len, self.timelines.copy().values()))

    def texts(self, user: str) -> list[str]:
        return [bark.text for bark in self.timelines[user]]

    def send_raw(self, address: str, data: bytes) -> None:
        """Send bytes as they are, as one message; its outcome is looked up by them."""
        self.reactor.call_from_thread(lambda: self._bring(address, data, data, data))

    def receive_raw(self, address: str) -> list[bytes]:
        """The messages that come from an address, as bytes, in a list that grows."""
        messages: list[bytes] = []

        class Raw(PeerHandler[Receiver]):
            def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
                messages.append(data)
                delivery.accept()

        self.reactor.call_from_thread(lambda: receiver_from(self.network, address, Raw()))
        return messages

    def close(self) -> None:
        self.reactor.call_from_thread(self.reactor.stop)
        self._thread.join(10)

    def _bring(self, address: str, data: bytes, key: Any, work: Any) -> None:
        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self.accepted[key] = work
            elif isinstance(outcome, Rejected):
                self.rejected[key] = outcome.condition

        if address not in self._outbounds:
            self._outbounds[address] = Outbound(self.network, address, math.inf, math.inf)
        self._outbounds[address].send(data, then)


def known_at(
    place: str, credentials: Credentials | None, begin: Callable[[], None] = lambda: None
) -> set[tuple[str, str, int]]:
    """Address, host and port of all that one directory knows now; nothing, if it does not answer soon.

    `begin` is called in the thread that asks, first of all.
    """
    known: set[tuple[str, str, int]] = set()

    def look() -> None:
        begin()
        reactor = Reactor("test-look", credentials=credentials)

        def on_change(change: str, route: Route | None) -> None:
            known.update(route.place for route in watcher.routes)
            reactor.stop()

        watcher = Watcher(Network(reactor, Place.parse(place)), on_change)
        reactor.after(5, reactor.stop)
        reactor.run()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return known


class _Timeline(PeerHandler[Receiver]):
    def __init__(self, client: Client, user: str) -> None:
        self._client, self._user = client, user
        self._history: set[str] | None = None

    def on_found(self, link: Receiver) -> None:
        # After a loss the history comes again: only what comes twice over one link is a double.
        self._known = {bark.id for bark in self._client.timelines[self._user]}
        self._client.found.add(self._user)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        self._client.found.discard(self._user)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        if bark.id in self._known:
            self._known.discard(bark.id)
        else:
            self._client.timelines[self._user].append(bark)
            self._client.arrived[bark.id] = time.monotonic()
        delivery.accept()


class Launched:
    """A launcher that runs, and what it has printed."""

    def __init__(self, folder: Path, script: str, *arguments: str, offset: int | None = None) -> None:
        """`offset`: that of its ports; None for any that is free."""
        self.offset = free_offset() if offset is None else offset
        self.data = folder / "data"
        self.session, self._log = folder / "session.js", folder / f"launch-{self.offset}.log"
        command = [sys.executable, str(ROOT / script), "--port-offset", str(self.offset)]
        command += ["--data", str(self.data), "--session", str(self.session), *arguments]
        for port in (5672, 5674):  # The directory, and the launcher itself.
            KEYS[f"127.0.0.1:{port + self.offset}"] = self.data / "key"
        with self._log.open("w") as log:
            self.popen = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def directory(self) -> str:
        return f"127.0.0.1:{5672 + self.offset}"

    def wait_until_ready(self) -> None:
        wait_for(lambda: "Ready after" in self.output or self.popen.poll() is not None, "the suite is ready")
        assert self.popen.poll() is None, self.output

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children()

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait(15)
