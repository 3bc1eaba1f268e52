"""The directory over links in memory: who registers, who is refused, who is sent where, who is told what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from barker.amqp.agent import _Registration
from barker.amqp.handlers import DEFAULT_LIMITS, Condition, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import decode_map
from barker.core.routing import Route
from barker.directory import Directory
from tests.amqp.pair import Pair, Peer, Recorder

HOST = "127.0.0.1"


class Client(Pair):
    """Somebody's connection to the directory."""

    def __init__(self, directory: Directory, container: str = "somebody") -> None:
        super().__init__(server_peer=Peer(directory.on_attach), container=container)

    def register(self, port: int, address: str = "inbox", **fields: Any) -> tuple[Sender, Recorder]:
        route = {**Route(address, HOST, port, since=1.0).to_map(), **fields}
        handler = Recorder()
        link = self.client.sender("directory", handler, route)
        self.pump()
        return link, handler

    def watch(self, credit: int = 1_000) -> tuple[Receiver, Recorder]:
        link, handler, _, _ = self.receiver("directory", window=credit)
        return link, handler

    def refusal(self, address: str) -> Condition:
        """Why a link to an address ended at once."""
        ended: list[Condition | None] = []

        class Asker(LinkHandler):
            def on_closed(self, link: Sender, condition: Condition | None) -> None:
                ended.append(condition)

        self.client.sender(address, Asker())
        self.pump()
        assert len(ended) == 1
        assert ended[0] is not None
        return ended[0]

    def lose(self) -> None:
        """The connection ends without a word."""
        self.client.lost()
        self.server.lost()


def view(messages: list[bytes]) -> set[tuple[str, int]]:
    """The table that a watcher has made of what it was told; the directory's own route left out."""
    table: set[tuple[str, int]] = set()
    for data in messages:
        change, body = decode_map(data)
        routes = {(route["address"], route["port"]) for route in (body if isinstance(body, list) else [body])}
        if change == "routes":
            table = routes
        elif change == "added":
            table |= routes
        else:
            assert change == "removed"
            assert routes <= table, "nothing goes that was not there"
            table -= routes
    return {(address, port) for address, port in table if not address.startswith("agents/")}


@pytest.fixture
def directory() -> Iterator[Directory]:
    made = new_directory()
    yield made
    end(made)


def new_directory() -> Directory:
    return Directory(HOST, 0, DEFAULT_LIMITS)


def end(directory: Directory) -> None:
    directory.reactor.after(0, directory.reactor.stop)
    directory.reactor.run()


# Registrations


def test_a_registration_lives_as_long_as_its_link(directory: Directory) -> None:
    service, other = Client(directory), Client(directory)
    link, _ = service.register(5820)
    assert other.refusal("inbox/ark3").name == "amqp:link:redirect"
    link.close()
    service.pump()
    assert other.refusal("inbox/ark3").name == "amqp:not-found"
    service.register(5820)
    service.lose()
    assert other.refusal("inbox/ark3").name == "amqp:not-found"


def test_a_redirect_names_host_port_and_address(directory: Directory) -> None:
    Client(directory).register(5820, partition="")
    assert Client(directory).refusal("//any/inbox/ark3").info == {
        "network-host": HOST,
        "port": 5820,
        "address": "inbox/ark3",
    }


def test_a_place_that_is_held_is_refused_and_its_holder_stays_known(directory: Directory) -> None:
    service, another, watcher = Client(directory, "inbox"), Client(directory, "another"), Client(directory)
    _, handler = service.register(5820)
    _, told = watcher.watch()
    for refused in (another, service):
        _, hears = refused.register(5820)
        assert hears.closed == ["amqp:resource-locked"]
    service.pump()
    watcher.pump()
    assert handler.closed == []
    assert view(told.messages) == {("inbox", 5820)}
    assert Client(directory).refusal("inbox").info["port"] == 5820


def test_the_agent_of_the_directory_is_held_by_itself(directory: Directory) -> None:
    _, handler = Client(directory, "stranger").register(directory.port, directory.agent.address)
    assert handler.closed == ["amqp:resource-locked"]


def test_a_service_that_comes_back_before_its_old_link_is_known_dead_has_its_place(
    directory: Directory,
) -> None:
    frozen, restarted, watcher = Client(directory, "inbox"), Client(directory, "inbox"), Client(directory)
    _, old = frozen.register(5820)
    _, told = watcher.watch()
    _, new = restarted.register(5820)
    watcher.pump()
    assert new.closed == []
    assert view(told.messages) == {("inbox", 5820)}
    frozen.pump()
    assert old.closed == ["amqp:resource-locked"], "if it lives after all, it hears of it"
    frozen.lose()
    watcher.pump()
    assert view(told.messages) == {("inbox", 5820)}
    restarted.lose()
    watcher.pump()
    assert view(told.messages) == set()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"port": 0}, "port"),
        ({"host": ""}, "host"),
        ({"address": ""}, "address"),
        ({"policy": 7}, "policy"),
    ],
)
def test_a_wrong_registration_is_refused_in_words(
    directory: Directory, fields: dict[str, Any], named: str
) -> None:
    client = Client(directory)
    conditions: list[Condition | None] = []

    class Hears(LinkHandler):
        def on_closed(self, link: Sender, condition: Condition | None) -> None:
            conditions.append(condition)

    client.client.sender("directory", Hears(), {**Route("inbox", HOST, 1).to_map(), **fields})
    client.pump()
    assert conditions[0] is not None
    assert conditions[0].name == "amqp:invalid-field"
    assert named in conditions[0].description
    assert client.refusal("inbox").name == "amqp:not-found"


def test_who_comes_later_is_not_older_whatever_it_says(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, watcher, now = Client(directory), Client(directory), time.time()
    service.register(5680, "bizlogic", policy="ordered", since=now - 5_000)
    monkeypatch.setattr(directory.reactor, "wall", lambda: now + 3_600)
    Client(directory, "b").register(5681, "bizlogic", policy="ordered", since=1.0)
    assert watcher.refusal("bizlogic").info["port"] == 5680
    service.lose()
    assert watcher.refusal("bizlogic").info["port"] == 5681
    Client(directory).register(5680, "bizlogic", policy="ordered", since=now - 5_000)
    assert watcher.refusal("bizlogic").info["port"] == 5680, "one that comes back is as old as it was"


# Addresses


def test_an_address_that_is_too_long_is_refused_in_words(directory: Directory) -> None:
    client = Client(directory)
    condition = client.refusal("/" * 20_000)
    assert condition.name == "amqp:resource-limit-exceeded"
    assert "256 bytes at most; this one has 20000" in condition.description
    assert client.refusal("x" * 256).name == "amqp:not-found"


# The service's end of a registration


def test_a_refusal_is_told_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    never: list[str] = []
    registration = _Registration(never.append)
    link: Any = None
    registration.on_found(link)
    held, wrong = Condition("amqp:resource-locked", "held"), Condition("amqp:invalid-field", "port")
    for condition in (held, held, wrong, held):
        assert registration.on_refused(condition), "it is tried again"
    registration.on_found(link)
    registration.on_found(link)
    assert registration.on_refused(held)
    told = [record.levelname for record in caplog.records]
    assert told == ["ERROR", "ERROR", "ERROR", "WARNING", "ERROR"]
    assert never == []
    assert not registration.on_refused(Condition("barker:other-data", "theirs are elsewhere"))
    assert never == ["theirs are elsewhere"]


# All of it, in any order


PLACES = st.tuples(st.sampled_from(["inbox", "inbox/eu", "outbox"]), st.integers(1, 2))


class DirectoryMachine(RuleBasedStateMachine):
    """The model: who holds which place over which link, and how much credit each watcher gave."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = new_directory()
        self.clients: list[tuple[str, Client]] = []
        self.links: list[tuple[tuple[str, int], Sender]] = []
        self.holders: dict[tuple[str, int], tuple[str, Client, Sender]] = {}
        self.watchers: list[tuple[Client, Receiver, Recorder]] = []

    def teardown(self) -> None:
        for _, client in self.clients:
            client.lose()
        end(self.directory)

    def pump(self) -> None:
        for _ in range(2):  # What one says, the directory tells others.
            for _, client in self.clients:
                client.pump()

    @rule(container=st.sampled_from(["", "one", "two"]))
    def connect(self, container: str) -> None:
        client = Client(self.directory, container)
        client.pump()
        self.clients.append((container, client))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), place=PLACES)
    def register(self, data: st.DataObject, place: tuple[str, int]) -> None:
        container, client = data.draw(st.sampled_from(self.clients))
        before = self.holders.get(place)
        link, handler = client.register(place[1], place[0])
        if before is None or (container and container == before[0] and client is not before[1]):
            assert handler.closed == []
            self.holders[place] = container, client, link
            self.links.append((place, link))
        else:
            assert handler.closed == ["amqp:resource-locked"]
        self.pump()
        if before is not None:
            assert before[2].live == (self.holders[place] is before), "who lost its place hears of it"

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        place, link = data.draw(st.sampled_from(self.links))
        link.close()
        self.pump()
        if place in self.holders and self.holders[place][2] is link:
            del self.holders[place]

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        container, client = data.draw(st.sampled_from(self.clients))
        self.clients.remove((container, client))
        client.lose()
        self.pump()
        self.holders = {place: of for place, of in self.holders.items() if of[1] is not client}
        self.watchers = [watcher for watcher in self.watchers if watcher[0] is not client]

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), credit=st.sampled_from([0, 1, 2, 1_000]))
    def watch(self, data: st.DataObject, credit: int) -> None:
        _, client = data.draw(st.sampled_from(self.clients))
        self.watchers.append((client, *client.watch(credit)))

    @precondition(lambda self: self.watchers)
    @rule(data=st.data(), credit=st.integers(1, 3))
    def grant(self, data: st.DataObject, credit: int) -> None:
        _, link, _ = data.draw(st.sampled_from(self.watchers))
        if link.live:
            link.window += credit
            self.pump()

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), address=st.sampled_from(["inbox", "inbox/ark3", "inbox/eu/x", "outbox", "x"]))
    def resolve(self, data: st.DataObject, address: str) -> None:
        _, client = data.draw(st.sampled_from(self.clients))
        served = [known for known, _ in self.holders if f"{address}/".startswith(f"{known}/")]
        condition = client.refusal(address)
        if served:
            longest = max(served, key=len)
            assert condition.name == "amqp:link:redirect"
            assert (longest, condition.info["port"]) in self.holders
        else:
            assert condition.name == "amqp:not-found"

    @invariant()
    def whoever_stands_is_known(self) -> None:
        known = {(route.address, route.port) for route in self.directory.routes}
        assert known == self.holders.keys() | {(self.directory.agent.address, self.directory.port)}
        assert all(link.live for _, _, link in self.holders.values())

    @invariant()
    def a_watcher_knows_all_or_its_link_has_ended(self) -> None:
        for _, link, handler in self.watchers:
            if link.live and handler.messages:
                assert view(handler.messages) == self.holders.keys()
            elif link.live:
                assert link.window == 0
            else:
                assert handler.closed == ["amqp:resource-limit-exceeded"]
                assert len(handler.messages) == link.window, "all that it gave credit for came"


TestDirectoryMachine = DirectoryMachine.TestCase
TestDirectoryMachine.settings = settings(max_examples=60, stateful_step_count=40)
