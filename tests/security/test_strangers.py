"""Processes of this machine without the suite's key, over real sockets: what they try, and what they get."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from barker.amqp.agent import register
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, Place, receiver_from, sender_to
from barker.amqp.reactor import Reactor
from barker.core.access import Credentials, service
from barker.core.routing import Route
from barker.store.key import made_key
from tests.harness import ROOT, Client, Launched, Process, Suite, credentials_at, free_port, wait_for

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """All that a bark needs; no test here breaks it."""
    suite = Suite(tmp_path_factory.mktemp("suite"))
    suite.users([("rex", "ann")]).close()
    suite.inbox()
    suite.outbox()
    suite.bizlogic()
    with contextlib.closing(Client(suite.place)) as client:
        bark = client.bark("ann", "before")
        wait_for(lambda: bark.id in client.accepted, "the suite works")
    yield suite
    suite.end()


class Attempts:
    """A process's links, and why they were refused."""

    def __init__(self, suite: Suite, credentials: Credentials | None = None) -> None:
        self.suite, self.refused = suite, {}
        self.refused: dict[str, Condition]
        self.reactor = Reactor("thief", credentials=credentials)
        self.network = Network(self.reactor, Place.parse(suite.place))
        self._thread = threading.Thread(target=self.reactor.run, daemon=True)
        self._thread.start()

    def refusal(self, name: str, attach: Any) -> Condition:
        """Why a link is refused."""
        attempts = self

        class Hears(PeerHandler[Any]):
            def on_refused(self, condition: Condition) -> bool:
                attempts.refused[name] = condition
                return False

        self.reactor.call_from_thread(lambda: attach(Hears()))
        condition: Condition = wait_for(lambda: self.refused.get(name), f"{name} is refused")
        return condition

    def close(self) -> None:
        self.reactor.call_from_thread(self.reactor.stop)
        self._thread.join(10)


@pytest.fixture
def stranger(whole: Suite) -> Iterator[Attempts]:
    with contextlib.closing(Attempts(whole)) as attempts:
        yield attempts


@pytest.mark.parametrize(
    "address", ["launcher", "outbox", "bizlogic", "inbox", "inbox/ark3", "billing", "agents/x"]
)
def test_a_stranger_registers_nothing(stranger: Attempts, address: str) -> None:
    route = Route(address, "127.0.0.1", free_port(), "ordered", 1.0).to_map()
    condition = stranger.refusal(
        address, lambda hears: sender_to(stranger.network, "directory", hears, route)
    )
    assert condition.name == "amqp:unauthorized-access"
    assert f"a stranger may not serve {address}" in condition.description
    assert "--key" in condition.description


def test_a_service_registers_no_other_address(whole: Suite) -> None:
    operator = credentials_at(whole.place)
    assert operator is not None
    with contextlib.closing(Attempts(whole, Credentials(service("orders"), operator.key))) as attempts:
        route = Route("inbox", "127.0.0.1", free_port()).to_map()
        condition = attempts.refusal(
            "inbox", lambda hears: sender_to(attempts.network, "directory", hears, route)
        )
    assert "a service:orders may not serve inbox" in condition.description


@pytest.mark.parametrize("address", ["inbox/rex", "bizlogic", "outbox/dead-letters"])
def test_a_stranger_sends_nothing_to(stranger: Attempts, address: str) -> None:
    condition = stranger.refusal(address, lambda hears: sender_to(stranger.network, address, hears))
    assert condition.name == "amqp:unauthorized-access"
    assert f"a stranger may not send to {address}" in condition.description


def test_a_stranger_reads_no_dead_letters(stranger: Attempts) -> None:
    address = "outbox/dead-letters"
    condition = stranger.refusal(address, lambda hears: receiver_from(stranger.network, address, hears))
    assert "a stranger may not receive from outbox/dead-letters" in condition.description


def test_a_stranger_barks_and_reads_as_any_client_does(whole: Suite) -> None:
    with contextlib.closing(Client(whole.place, stranger=True)) as client:
        client.read("rex")
        bark = client.bark("ann", "from a stranger")
        wait_for(lambda: bark.id in client.accepted, "it is accepted")
        wait_for(lambda: "from a stranger" in client.texts("rex"), "it is on the timeline")


def test_one_who_guesses_a_key_is_turned_away(whole: Suite) -> None:
    wrong = Credentials(service("inbox"), b"0" * 64, "a guess")
    with contextlib.closing(Attempts(whole, wrong)) as attempts:
        route = Route("inbox", "127.0.0.1", free_port())
        attempts.reactor.call_from_thread(lambda: register(attempts.network, route))
        wait_for(lambda: "not-authentic: the key is another" in whole.directory.log, "its log tells")
        assert attempts.refused == {}


def test_a_command_that_has_another_suites_key_goes_as_a_stranger_unless_it_was_told_that_key(
    whole: Suite, tmp_path: Path
) -> None:
    other = tmp_path / "key"
    made_key(other)

    def barker(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "barker", *arguments, "--directory", whole.place]
        environment = {**os.environ, "BARKER_DATA": str(tmp_path)}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=30, check=False
        )

    done = barker("bark", "ann", "whoever I am")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("accepted by the outbox at ")
    done = barker("bark", "ann", "with this key or not at all", "--key", str(other))
    assert done.returncode == 69
    assert f"{whole.place}: the peer does not know the key that was shown ({other})" in done.stderr
    assert "Traceback" not in done.stderr


class Thief(ConnectionHandler):
    """Takes whatever is brought."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def on_attach(self, link: Any) -> LinkHandler:
        thief = self

        class Takes(LinkHandler):
            def on_opened(self, link: Any) -> None:
                if isinstance(link, Receiver):
                    link.window = 100

            def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
                thief.taken.append(data)
                delivery.accept()

        return Takes()


def test_who_sits_at_a_services_port_gets_no_bark(suite: Suite) -> None:
    """As when a bizlogic has died, and another user's process is at its port before the next is found."""
    suite.users([("rex", "ann")]).close()
    outbox = suite.outbox()
    thief, reactor = Thief(), Reactor("thief")
    listener = reactor.listen("127.0.0.1", 0, thief)
    thread = threading.Thread(target=reactor.run, daemon=True)
    thread.start()
    operator = credentials_at(suite.place)
    with contextlib.closing(Client(suite.place)) as client:
        # The directory names the thief, as it named who was there before.
        named = contextlib.closing(Attempts(suite, operator))
        with named as attempts:
            route = Route("bizlogic", "127.0.0.1", listener.port, "ordered")
            attempts.reactor.call_from_thread(lambda: register(attempts.network, route))
            bark = client.bark("ann", "mine")
            wait_for(lambda: bark.id in client.accepted, "the outbox has it")
            wait_for(lambda: "does not know the suite's key" in outbox.log, "the outbox says so")
        suite.inbox()
        suite.bizlogic()
        suite.wait_for_state(outbox, depth=0)
        assert client.rejected == {}
    reactor.call_from_thread(reactor.stop)
    thread.join(10)
    assert thief.taken == []


def test_a_false_directory_sends_nobody_astray(tmp_path: Path) -> None:
    """An outbox that was started with a key does not believe a directory that has another."""
    with contextlib.ExitStack() as ends:
        other = Suite(tmp_path / "other")
        ends.callback(other.end)
        ours = tmp_path / "ours"
        command = [
            sys.executable,
            "-m",
            "barker.manifold",
            "outbox",
            "--push",
            "bizlogic",
            "--data",
            str(ours),
        ]
        command += ["--port", str(free_port()), "--directory", other.place]
        outbox = Process(tmp_path / "outbox.log", command)
        ends.callback(outbox.end)
        wait_for(lambda: str(ours / "key") in outbox.log, "it says whose key it has")
        assert f"{other.place}: the peer does not know the key that was shown" in outbox.log
        assert outbox.popen.poll() is None


# Files


def test_what_a_suite_writes_is_its_users_alone(tmp_path: Path) -> None:
    suite = Launched(tmp_path, "launch.py", "--autobarks", "1", "--users", "3", "--monitoring")
    try:
        suite.wait_until_ready()
        written = [suite.data, *suite.data.rglob("*"), suite.session]
        assert {file.name for file in written} >= {"key", "users.sqlite3", "inbox-1.sqlite3", "session.js"}
        for file in written:
            assert not stat.S_IMODE(file.stat().st_mode) & 0o077, f"{file}: {file.stat().st_mode:o}"
        key = (suite.data / "key").read_text().strip()
        for child in suite.children():
            assert key not in " ".join(child.cmdline())
            assert key not in str(child.environ())
        assert key not in suite.output
    finally:
        suite.end()


def test_a_key_that_others_can_read_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("x" * 64)
    file.chmod(0o644)
    command = [sys.executable, "-m", "barker.directory", "--port", str(free_port()), "--key", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"barker: {file} can be read by others than its owner (mode 644): chmod 600 {file}\n"
    )


def test_bytes_that_are_no_sasl_end_their_connection_only(whole: Suite) -> None:
    for data in (b"AMQP\x03\x01\x00\x00" + b"\xff" * 64, b"AMQP\x03\x00\x00\x00", b"AMQP\x02\x01\x00\x00"):
        with socket.create_connection(("127.0.0.1", whole.directory.port or 0), timeout=10) as raw:
            raw.sendall(data)
            while raw.recv(4096):
                pass
    assert "Traceback" not in whole.directory.log
    whole.state(whole.directory)
