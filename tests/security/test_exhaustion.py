"""Who may connect, and takes all there is: memory, links, names, lines of the log, files.

Each attack is one that was seen to work, from a socket; beside it stands what it took then. Meanwhile the
service answers others.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import psutil
import pytest

from barker.amqp.agent import register
from barker.amqp.links import Network, Place
from barker.amqp.message import encode_bark, with_delivery_annotations
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id, now
from barker.core.barks import Bark
from barker.core.log_share import LINES
from barker.core.routing import MOST_ROUTES, Route
from barker.store.social import FILE_NAME
from tests.harness import Client, Process, Suite, credentials_at, free_port, wait_for
from tests.security.raw import (
    Attacker,
    Memory,
    attach,
    begin,
    detach,
    flow,
    message,
    transfer,
)

pytestmark = pytest.mark.system

RATE = 50
"""Barks/s of an author at this suite's outbox."""

LIMIT = b"amqp:resource-limit-exceeded"


class Services:
    """What is attacked; each test leaves it as it was."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        suite.users([("rex", "ann")]).close()
        users = "--users-file", str(suite.data / FILE_NAME)
        self.inbox = suite.inbox(*users, "--idle-seconds", "2")
        self.outbox = suite.outbox(*users, "--idle-seconds", "2", "--max-rate", str(RATE))
        self.orders = suite.start("manifold", "orders", "--idle-seconds", "2")
        for process in (self.inbox, self.outbox, self.orders):
            suite.wait_for_state(process)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    suite = Suite(tmp_path_factory.mktemp("suite"))
    yield Services(suite)
    suite.end()


@pytest.fixture
def others(services: Services) -> Iterator[Client]:
    with contextlib.closing(Client(services.suite.place)) as client:
        yield client


def answers_at_once(suite: Suite, process: Process) -> None:
    begun = time.monotonic()
    suite.state(process)
    assert time.monotonic() - begun < 2.0


# Memory


def test_a_reader_of_many_links_that_never_reads(services: Services, others: Client) -> None:
    """It brought an inbox to 4 GB: a gigabyte is sent here, to one connection that gives credit for all."""
    inbox, links, size, count = services.inbox, 400, 50_000, 50
    others.read("rex")
    with Attacker(inbox) as attacker, Memory(inbox) as memory:
        attacker.send(b"".join(attach(n, "inbox/rex", True) + flow(n, 1_000_000) for n in range(links)))
        services.suite.wait_for_state(inbox, readers=lambda readers: readers > links)
        sent = [encode_bark(Bark(new_id(), "ann", f"{n}", now())) for n in range(count)]
        for data in sent:
            others.send_raw("inbox/rex", with_delivery_annotations(data, {"x": "y" * size}))
        wait_for(lambda: len(others.texts("rex")) == count, "another reader has them all")
        # The history of one timeline, what waits for one socket, and what Python takes to do it.
        assert memory.grown < 40


def rejected(numbers: Iterator[int]) -> bytes:
    """Messages that are no barks."""
    return b"".join(transfer(0, next(numbers), message()) for _ in range(500))


def refused(numbers: Iterator[int]) -> bytes:
    """Links to nowhere, that are given up again."""
    links = [next(numbers) % 500 + 1 for _ in range(200)]
    return b"".join(attach(link, "nowhere/" + "x" * 200) + detach(link) for link in links)


@pytest.mark.parametrize("ask", [rejected, refused])
def test_answers_that_are_never_read(services: Services, ask: Callable[[Iterator[int]], bytes]) -> None:
    """Each is a few hundred bytes at the service: 480 MB after 15 s, and no end to it."""
    outbox, numbers = services.outbox, itertools.count()
    with Attacker(outbox) as attacker, Memory(outbox) as memory:
        attacker.send(attach(0, "outbox"))
        asked = 0
        while attacker.send(ask(numbers), 1.0):
            asked += 1
            assert asked < 2_000, "it takes whatever it is asked"
        answers_at_once(services.suite, outbox)
        assert memory.grown < 20
        wait_for(lambda: not attacker.stands, "who takes nothing is taken to be dead", 10)


def test_who_reads_its_answers_may_go_on_asking(services: Services) -> None:
    numbers = itertools.count()
    with Attacker(services.outbox) as attacker:
        attacker.send(attach(0, "outbox"))
        with attacker.reading():
            for _ in range(60):
                assert attacker.send(rejected(numbers))
            wait_for(lambda: attacker.said.count(b"message-id must be") == 30_000, "each has its answer")


def test_unfinished_messages_of_many_connections(services: Services, others: Client) -> None:
    """64 MiB for each connection: some hundred of them took all there was."""
    orders, piece = services.orders, b"z" * 60_000
    with contextlib.ExitStack() as stack, Memory(orders) as memory:
        attackers = [stack.enter_context(Attacker(orders)) for _ in range(8)]
        for attacker in attackers:
            attacker.send(b"".join(attach(link, "orders") for link in range(6)))
            for link in range(6):
                for _ in range(170):
                    attacker.send(transfer(link, link, piece, more=True))
        wait_for(lambda: any(LIMIT in attacker.read(0.05) for attacker in attackers), "some are told so")
        large = message("m" * 1_000_000)
        others.send_raw("orders", large)
        wait_for(lambda: large in others.accepted, "somebody else's is taken")
        # 256 MiB, and what Python's own allocation takes besides, for pieces that grow.
        assert memory.grown < 400


# Links, sessions, names


def test_links_that_are_refused_and_never_detached(services: Services) -> None:
    """55,000 of them took 125 MB, and the service 22 s, in which it did nothing else."""
    outbox = services.outbox
    with Attacker(outbox) as attacker, Memory(outbox) as memory:
        for link in range(0, 60_000, 200):
            if not attacker.send(b"".join(attach(n, "nowhere") for n in range(link, link + 200))):
                break
        # Why, it may not hear: the kernel drops what is on its way to who still sends.
        attacker.ended()
        assert not attacker.stands
        assert memory.grown < 20
        answers_at_once(services.suite, outbox)


def test_links_are_hundreds_of_a_connection_and_the_others_go_on(services: Services) -> None:
    depth = services.suite.state(services.orders)["depth"]
    with Attacker(services.orders) as attacker:
        attacker.send(b"".join(attach(link, f"orders/{link}") for link in range(600)))
        attacker.hear(LIMIT, 100)
        assert attacker.read(0.5).count(LIMIT) == 0, "no more of them are refused"
        assert services.suite.state(services.orders)["queues"] <= 502
        attacker.send(transfer(0, 0, message()))
        services.suite.wait_for_state(services.orders, depth=depth + 1)


def test_sessions(services: Services) -> None:
    with Attacker(services.orders) as attacker:
        attacker.send(b"".join(begin(channel) for channel in range(1, 300)))
        assert b"amqp:" in attacker.ended()
    answers_at_once(services.suite, services.orders)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("orders/" + "x" * 250, b"256 bytes at most; this one has 257"),
        ("orders/" + "ü" * 125, b"256 bytes at most; this one has 257"),
        ("orders/2/3/4/5/6/7/8/9", b"8 levels at most; this has 9"),
    ],
)
def test_addresses(services: Services, address: str, why: bytes) -> None:
    with Attacker(services.orders) as attacker:
        attacker.send(attach(0, address))
        attacker.hear(LIMIT)
        attacker.hear(why)


def test_timelines_are_of_users_that_exist(services: Services) -> None:
    before = services.suite.state(services.inbox)["timelines"]
    with Attacker(services.inbox) as attacker:
        attacker.send(b"".join(attach(n, f"inbox/nobody{n}", True) for n in range(400)))
        attacker.hear(b"amqp:not-found", 400)
        assert services.suite.state(services.inbox)["timelines"] == before


def test_routes_of_a_connection(services: Services) -> None:
    """Who has the key may register, and not without end."""
    place = services.suite.place
    reactor = Reactor("many", credentials=credentials_at(place))
    network = Network(reactor, Place.parse(place))
    thread = threading.Thread(target=reactor.run, daemon=True)
    thread.start()
    routes = [Route(f"billing/{n}", "127.0.0.1", free_port()) for n in range(MOST_ROUTES + 20)]
    known = services.suite.state(services.suite.directory)["routes"]
    reactor.call_from_thread(lambda: [register(network, route) for route in routes])
    try:
        services.suite.wait_for_state(services.suite.directory, routes=known + MOST_ROUTES)
        with contextlib.closing(Client(place)) as client:
            bark = client.bark("rex", "the directory goes on")
            wait_for(lambda: bark.id in client.accepted, "others find their way")
        assert services.suite.state(services.suite.directory)["routes"] == known + MOST_ROUTES
    finally:
        reactor.call_from_thread(reactor.stop)
        thread.join(10)


# Barks


def test_a_bark_that_carries_much_besides(services: Services, others: Client) -> None:
    """16 MiB of annotations went with each, to every reader."""
    bark = encode_bark(Bark(new_id(), "rex", "small", now()))
    with Attacker(services.outbox) as attacker:
        attacker.send(attach(0, "outbox"))
        attacker.send(transfer(0, 0, with_delivery_annotations(bark, {"x": "y" * 8_192})))
        attacker.hear(b"amqp:link:message-size-exceeded")
    fits = with_delivery_annotations(bark, {"x": "y" * 7_000})
    others.send_raw("outbox", fits)
    wait_for(lambda: fits in others.accepted, "one of 8 kB is a bark")


def test_an_author_who_barks_too_often_is_told_and_the_others_go_on(
    services: Services, others: Client
) -> None:
    barks = [others.bark("rex", f"{n}") for n in range(4 * RATE)]
    hers = [others.bark("ann", f"{n}") for n in range(RATE // 2)]
    wait_for(lambda: len(others.accepted) + len(others.rejected) == len(barks) + len(hers), "all are settled")
    assert all(bark.id in others.accepted for bark in hers)
    assert RATE // 2 < len(others.accepted) - len(hers) < 3 * RATE
    conditions = {condition.name for condition in others.rejected.values() if condition}
    assert conditions == {LIMIT.decode()}
    [(_, condition)] = list(others.rejected.items())[:1]
    assert condition is not None
    assert f"rex barks too often: an author may do so {RATE} times a second here" in condition.description
    # It is not for good.
    time.sleep(1.0)  # That is what it was told.
    again = others.bark("rex", "again")
    wait_for(lambda: again.id in others.accepted, "rex may bark again")


# The log, and files


def test_the_log_has_so_many_lines_about_one_peer(services: Services) -> None:
    """A peer that did nothing but send nonsense wrote two megabytes of it each second."""
    process = services.suite.start("manifold", "scribbled", "--accept", "bark")
    services.suite.wait_for_state(process)
    numbers = itertools.count()
    with Attacker(process) as attacker:
        attacker.send(attach(0, "scribbled"))
        with attacker.reading():
            for _ in range(20):
                attacker.send(rejected(numbers))
            wait_for(lambda: attacker.said.count(b"message-id must be") == 10_000, "it has refused them all")
    lines = process.log.splitlines()
    assert LINES <= len(lines) < LINES + 20
    assert sum("rejected a message" in line for line in lines) <= LINES


def test_there_are_never_more_connections_than_files(services: Services) -> None:
    """At its limit of open files a service could neither accept nor dial, nor open its own journal."""
    suite, port = services.suite, free_port()
    command = ["prlimit", "--nofile=160:160", *services.orders.command]
    command[command.index("--port") + 1] = str(port)
    command[command.index("orders")] = "few"
    command[command.index("--idle-seconds") + 1] = "60"
    few = Process(suite.folder / "few.log", command, port)
    suite.processes.append(few)
    suite.wait_for_state(few)
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(few)) for _ in range(80)]
        wait_for(lambda: "is turned away: 60 connections" in few.log, "those above are turned away")
        assert 50 <= sum(attacker.stands for attacker in attackers) <= 60
        assert "cannot take more" not in few.log
    suite.wait_for_state(few, connections=lambda count: count < 10)


def test_a_gateway_has_never_more_connections_than_files(services: Services) -> None:
    suite, port = services.suite, free_port()
    command = ["prlimit", "--nofile=400:400", sys.executable, "-m", "barker.gateway", "--port", str(port)]
    gateway = Process(suite.folder / "few-gateway.log", [*command, *suite.places], port)
    suite.processes.append(gateway)
    wait_for(lambda: "the pages are at" in gateway.log, "it listens")
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        # 43 for pages, and 64 WebSockets that take two each; those above are told so.
        wait_for(lambda: psutil.Process(gateway.pid).num_fds() < 150, "those above have ended")

    def served() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                return bool(page.status == 200)
        except urllib.error.HTTPError:  # It says 503 until it has seen them go.
            return False

    wait_for(served, "there is room again")
    assert "Too many open files" not in gateway.log
