"""The loop: whose turn it is, who is silent, and what a process does that has stood still. Real sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from cproton_ffi import lib

from barker.amqp.connection import Connection
from barker.amqp.handlers import SILENT, Condition, Limits, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.reactor import FIRST_READ_BYTES, TURN_SECONDS, Reactor
from barker.amqp.system import Sockets, System
from tests.amqp.pair import Peer, Recorder
from tests.harness import wait_for


class Clock:
    """The monotonic clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.skew = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skew


class Server:
    """A reactor in a thread, that listens."""

    def __init__(self, answer: Callable[[Any], LinkHandler], limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.reactor = Reactor("server", System(self.clock))
        self.peer = Peer(answer)
        self.port = self.reactor.listen("127.0.0.1", 0, self.peer, limits or Limits()).port
        self._thread = threading.Thread(target=self.reactor.run)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.reactor.call_from_thread(self.reactor.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def do(self, call: Callable[[], Any]) -> Any:
        """Call it in the loop, and wait for what it gives."""
        given: list[Any] = []
        self.reactor.call_from_thread(lambda: given.append(call()))
        wait_for(lambda: given, "the loop has called it")
        return given[0]


class Client:
    """A peer whose every byte is the test's: it says something only while it talks."""

    def __init__(self, server: Server, stranger: bool = False) -> None:
        self.connection = Connection(Peer(lambda link: Recorder()), "client", server=False, hostname="x")
        if stranger:
            lib.pn_data_clear(lib.pn_connection_properties(self.connection._connection))
            lib.pn_transport_set_idle_timeout(self.connection._transport, 0)  # It waits for ever.
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=5)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.connection.lost()

    def talk(self, until: Callable[[], Any], seconds: float = 10.0) -> None:
        """Send and receive until something is so."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "not in time"
            self.write()
            self.socket.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                data = self.socket.recv(65536)
                if not data or not self.connection.receive(data):
                    return
            self.connection.tick(time.monotonic())
        self.write()

    def write(self) -> None:
        while output := self.connection.output():
            self.socket.settimeout(5)
            self.socket.sendall(output)
            self.connection.sent(len(output))

    def talks_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.talk(lambda: time.monotonic() > end, seconds + 5)

    def sender(self) -> Sender:
        link = self.connection.sender("x", Recorder())
        self.talk(lambda: link.credit)
        return link


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor("test")
    yield reactor
    if not reactor._wake_in._closed:  # type: ignore[attr-defined]
        reactor.close()


# Whose turn it is


def test_everybody_gets_a_turn_and_timers_too_while_sockets_are_always_ready(reactor: Reactor) -> None:
    turns: list[str] = []
    pairs = {name: socket.socketpair() for name in "abcd"}
    for name, (inside, outside) in pairs.items():
        outside.send(b"!")  # Never read: it stays ready.

        def take(name: str = name) -> None:
            turns.append(name)
            time.sleep(TURN_SECONDS)  # What its handler takes.

        reactor.watch(inside, take)
    reactor.every(0.001, lambda: turns.append("timer"))
    reactor.after(20 * TURN_SECONDS, reactor.stop)
    reactor.run()
    for pair in pairs.values():
        for end in pair:
            end.close()
    served = [turn for turn in turns if turn != "timer"]
    assert served[:8] == ["a", "b", "c", "d"] * 2
    between = "".join(turn[0] for turn in turns).split("t")
    assert max(map(len, between)) <= 1, "a timer waits for one of them at most"


def test_what_is_no_longer_watched_is_not_called(reactor: Reactor) -> None:
    called: list[str] = []
    (one, to_one), (two, to_two) = socket.socketpair(), socket.socketpair()

    def take(name: str, other: socket.socket) -> None:
        called.append(name)
        reactor.unwatch(other)

    reactor.watch(one, lambda: take("one", two))
    reactor.watch(two, lambda: take("two", one))
    to_one.send(b"!")
    to_two.send(b"!")
    reactor.after(0.05, reactor.stop)
    reactor.run()
    for each in (one, to_one, two, to_two):
        each.close()
    assert len(set(called)) == 1


# Who is silent


class Flood(LinkHandler):
    """Sends as long as there is credit."""

    def on_credit(self, link: Sender) -> None:
        while link.credit:
            link.send(bytes(10_000), settled=True)


def test_a_peer_that_hangs_with_a_full_socket_is_found_as_any_other() -> None:
    with Server(lambda link: Flood()) as server, Client(server) as client:
        receiver = client.connection.receiver("x", Recorder(), 100_000, settled=True)
        client.talk(lambda: receiver.opened)
        assert not server.peer.lost
        started = time.monotonic()
        wait_for(lambda: server.peer.lost, "the peer that hangs is given up", 6)
        assert time.monotonic() - started > 1.0
        assert str(server.peer.lost[0]) == f"{SILENT}: the idle time-out has expired"


def test_strangers_may_be_silent_for_as_long_as_they_are_given() -> None:
    server = Server(lambda link: Recorder(), Limits(idle_seconds=3.5))
    with server, Client(server) as own, Client(server, stranger=True) as stranger:
        own.talk(lambda: own.connection.opened)
        stranger.talk(lambda: stranger.connection.opened)
        started = time.monotonic()
        wait_for(lambda: len(server.peer.lost) == 1, "our own is given up", 6)
        assert time.monotonic() - started < 3.5
        wait_for(lambda: len(server.peer.lost) == 2, "the stranger is given up", 6)
        assert time.monotonic() - started >= 3.3


class Slow(Recorder):
    """Takes its time over a message."""

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        time.sleep(float(data))
        super().on_message(link, delivery, data)


def test_a_long_turn_ends_nobody_whose_heartbeats_wait_to_be_read() -> None:
    slow = Slow()
    limits = Limits(idle_seconds=1.0)
    with Server(lambda link: slow, limits) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server, stranger=True)) for _ in range(5)]
        for client in clients:
            client.talk(lambda client=client: client.connection.opened)
        sender = clients[0].sender()
        sender.send(b"2.5")
        clients[0].write()
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            for client in clients:
                client.talks_for(0.02)
        assert slow.messages == [b"2.5"]
        assert not server.peer.lost


def test_what_came_while_a_process_stood_still_is_not_read_from_who_has_given_it_up() -> None:
    ours, strangers = Recorder(), Recorder()
    handlers = {"client": [ours, strangers]}
    server = Server(lambda link: handlers["client"].pop(0))
    with server, Client(server) as own, Client(server, stranger=True) as stranger:
        links = [own.sender(), stranger.sender()]

        def stand_still() -> None:
            for client, link in zip((own, stranger), links, strict=True):
                link.send(b"woof")
                client.write()
            server.clock.skew += 10

        server.do(stand_still)
        wait_for(lambda: server.peer.lost, "who has given it up is dropped")
        wait_for(lambda: strangers.messages, "others go on")
        assert ours.messages == []
        assert "stood still" in str(server.peer.lost[0])
        assert len(server.peer.lost) == 1


# Threads


def test_reactors_in_two_threads_do_not_mix_up_their_messages() -> None:
    class Echo(Recorder):
        def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
            super().on_message(link, delivery, data)
            delivery.accept()

    takers = [Echo(100), Echo(100)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(lambda link, taker=taker: taker)) for taker in takers]
        clients = [stack.enter_context(Client(server)) for server in servers]
        links = [client.sender() for client in clients]

        def send(number: int) -> None:
            link, client = links[number], clients[number]
            for at in range(2_000):
                client.talk(lambda: link.credit)
                link.send(b"%d" % number * (1 + at % 5_000))
            client.talk(lambda: len(takers[number].messages) == 2_000, 30)

        threads = [threading.Thread(target=send, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for number, taker in enumerate(takers):
        assert taker.messages == [b"%d" % number * (1 + at % 5_000) for at in range(2_000)]


def test_a_connection_that_was_refused_tells_why() -> None:
    lost: list[Condition | None] = []

    class Lone(Peer):
        def on_lost(self, connection: Connection, condition: Condition | None) -> None:
            lost.append(condition)
            reactor.stop()

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reactor = Reactor("test")
        reactor.connect("127.0.0.1", closed.getsockname()[1], Lone(lambda link: Recorder()))
        reactor.after(5, reactor.stop)
        reactor.run()
    assert "ECONNREFUSED" in str(lost[0])


def test_a_dial_for_which_no_descriptor_is_left_fails_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Sockets):
        @staticmethod
        def new(*_: object) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

    peer = Peer(lambda link: Recorder())
    with contextlib.closing(Reactor("test", System(sockets=Full()))) as full:
        full.connect("127.0.0.1", 9, peer)
        full.turn()
    assert [str(condition) for condition in peer.lost] == [
        "barker:unreachable: 127.0.0.1:9: Too many open files"
    ]
    assert "an error of ours" not in caplog.text


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port at which nobody ever answers."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # Of what comes beyond its backlog, the kernel takes no notice.
        for _ in range(3):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.mark.parametrize("before", [[silent], [refusing], [refusing, silent], [silent, refusing]])
def test_a_name_with_several_addresses_is_reached_by_the_one_that_answers(
    before: list[Callable[[], contextlib.AbstractContextManager[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.amqp.reactor.DIAL_SECONDS", 30)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(lambda link: Recorder()))
        ports = [*(stack.enter_context(port()) for port in before), server.port]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
        reactor = Reactor("test")

        class Lone(Peer):
            def on_connected(self, connection: Connection) -> None:
                super().on_connected(connection)
                reactor.stop()

        peer = Lone(lambda link: Recorder())
        reactor.connect("several", 1, peer)
        reactor.after(20, reactor.stop)
        reactor.run()
        assert peer.connected == 1


def test_a_name_all_of_whose_addresses_refuse_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing() as one, refusing() as other:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (one, other)]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
        reactor = Reactor("test")

        class Lone(Peer):
            def on_lost(self, connection: Connection, condition: Condition | None) -> None:
                super().on_lost(connection, condition)
                reactor.stop()

        peer = Lone(lambda link: Recorder())
        reactor.connect("several", 1, peer)
        reactor.after(20, reactor.stop)
        reactor.run()
    assert "several:1: ECONNREFUSED" in str(peer.lost[0])


@pytest.mark.parametrize("how", ["given up", "closed"])
def test_a_dial_that_hangs_leaves_no_descriptor_behind(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr("barker.amqp.reactor.DIAL_SECONDS", 0.2)
    with silent() as port:
        before = psutil.Process().num_fds()
        reactor = Reactor("test")
        open_now = psutil.Process().num_fds()
        peer = Peer(lambda link: Recorder())
        reactor.connect("127.0.0.1", port, peer)
        during: list[int] = []
        reactor.after(0.1, lambda: during.append(psutil.Process().num_fds()))
        reactor.after(0.5 if how == "given up" else 0.15, reactor.stop)
        if how == "given up":
            reactor.after(0.4, lambda: during.append(psutil.Process().num_fds()))
        reactor.run()
        assert during == [open_now + 1, open_now][: len(during)]
        assert psutil.Process().num_fds() == before
        assert len(peer.lost) == 1


# How it ends


def test_what_a_connection_that_breaks_at_the_end_of_a_turn_has_changed_is_for_one_at_once(
    reactor: Reactor,
) -> None:
    """What its links held may be for others, and it is in the hooks that these are given it."""
    peer = Peer(lambda link: Recorder())
    with Server(lambda link: Recorder()) as server:

        def reset() -> None:
            ((far, wire),) = server.reactor._wires.items()
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.reactor._drop(far, None)

        def break_it() -> None:
            if link.live:
                server.do(reset)
                link.send(b"x")

        link = reactor.connect("127.0.0.1", server.port, peer).sender("x", handler := Recorder())
        wait_for(lambda: reactor.turn(wait=False) or link.credit, "it may send")
        assert reactor.patience() != 0, "there is nothing to be done"
        reactor.each_turn(break_it)
        reactor.turn(wait=False)
    assert (len(peer.lost), handler.left_unsettled) == (1, [None])
    assert reactor.patience() == 0


def test_who_ends_takes_what_is_on_its_way_and_resets_nobody() -> None:
    class Last(Recorder):
        """Accepts one message, and ends with what comes behind unread."""

        def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
            delivery.accept()
            server.reactor.stop()

    with Server(lambda link: Last(500)) as server, Client(server) as client:
        heard = Recorder()
        link = client.connection.sender("x", heard)
        client.talk(lambda: link.credit)
        for number in range(40):
            link.send(bytes(60_000), number)
        client.write()
        client.talk(lambda: not client.connection.live)
        assert heard.outcomes[0] == (0, lib.PN_ACCEPTED, None)
        client.socket.settimeout(5)
        assert client.socket.recv(65536) == b"", "it has heard our goodbye, too"


def test_a_new_peer_is_read_a_little_at_a_time_and_more_as_it_proves_cheap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of nonsense each byte may be work: the first that came was read for as long as others gave up."""
    reads: list[int] = []
    monkeypatch.setattr(Connection, "receive", lambda self, data: bool(reads.append(len(data)) or True))
    size = 1_000_000
    with (
        Server(lambda link: Recorder()) as server,
        socket.create_connection(("127.0.0.1", server.port)) as peer,
    ):
        peer.sendall(bytes(size))
        wait_for(lambda: sum(reads) == size, "all is read")
    assert reads[0] <= FIRST_READ_BYTES
    assert max(reads) > 4 * FIRST_READ_BYTES
