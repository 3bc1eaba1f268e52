"""A suite with a real RabbitMQ 4 in place of the outboxes' journals and the push."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proton import Message

from barker.amqp.message import REASON, encode_bark
from barker.amqp.rabbitmq import BrokerNetwork, ToBroker
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id, now
from barker.core.barks import Bark, Follow
from barker.core.broker import (
    DEAD_LETTERS,
    OWNER,
    SUITE,
    Broker,
    address_of,
    inbox_names,
    inboxes,
    outbox_names,
    outboxes,
)
from tests.harness import Client, Process, Suite, wait_for
from tests.scale.rabbitmq import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SEES = {"rex": ("rex", "ark", "fido"), "fido": ("fido", "ark"), "ark": ("ark",)}
"""Whose barks are on whose timeline."""

AUTHORS = tuple(SEES)


class Brokered:
    """A suite whose barks go through a broker of its own."""

    def __init__(self, folder: Path) -> None:
        self.node = Node()
        self.suite = Suite(folder)
        try:
            self.node.start()
            self.suite.users([(reader, author) for reader in SEES for author in SEES[reader][1:]]).close()
            broker = ("--broker", self.node.url)
            inbox = ("manifold", "inbox", "--history", "20000", *broker)
            self.inboxes = [self.suite.start(*inbox), self.suite.start(*inbox)]
            self.outbox = self.suite.start("manifold", "outbox", "--accept", "bark", *broker)
            self.bizlogics = [self.suite.start("bizlogic", *broker) for _ in range(2)]
            # A broker that is killed within two seconds of a declaration may have lost half of it; not one
            # that was ended.
            names = [SUITE, *(queue.name for queue in (*outboxes(), *inboxes()))]
            wait_for(lambda: all(self.look(name)[0] == 200 for name in names), "all is declared", 30)
            self.node.signal(signal.SIGTERM)
            self.node.start()
        except BaseException:
            self.end()
            raise

    def look(self, name: str) -> tuple[int, Any]:
        """What the broker says of a queue or stream."""
        return self.node.request("GET", address_of(name))

    @property
    def active(self) -> Process:
        """The bizlogic that the broker gives barks to, once only one says so of itself."""

        def alone() -> Process | None:
            active = [each for each in self.bizlogics if self.suite.state(each)["active"]]
            return active[0] if len(active) == 1 else None

        active: Process = wait_for(alone, "one bizlogic is active")
        return active

    def end(self) -> None:
        self.suite.end()
        self.node.end()


@pytest.fixture(scope="module")
def brokered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokered]:
    brokered = Brokered(tmp_path_factory.mktemp("brokered"))
    yield brokered
    brokered.end()


@pytest.fixture
def client(brokered: Brokered) -> Iterator[Client]:
    client = Client(brokered.suite.place)
    yield client
    client.close()


class Load:
    """Barks of three authors in turn, until it is stopped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        client.read_all(list(AUTHORS))
        self.sent: list[Bark] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._bark, daemon=True)
        self._thread.start()
        self.goes_on()

    def _bark(self) -> None:
        while not self._stop.wait(0.01):
            for author in AUTHORS:
                self.sent.append(self._client.bark(author, f"woof {len(self.sent)}"))

    def goes_on(self) -> None:
        """Returns when what is barked from now on is on timelines."""
        due = len(self.sent) + 1
        wait_for(lambda: len(self.sent) > due, "more is barked")
        mark = self.sent[due].id
        wait_for(lambda: mark in self._client.arrived, f"bark {due} arrives")

    def stop(self) -> None:
        """Bark no more; what was is all accepted, once on each timeline, and each author's in order."""
        self._stop.set()
        self._thread.join(10)
        client, sent = self._client, self.sent
        wait_for(lambda: all(bark.id in client.accepted for bark in sent), "all is accepted")
        ours = {bark.id for bark in sent}
        for reader, seen in SEES.items():
            due = sum(bark.user in seen for bark in sent)

            def there(reader: str = reader) -> list[Bark]:
                return [bark for bark in client.timelines[reader] if bark.id in ours]

            wait_for(lambda: len(there()) >= due, f"{due} on the timeline of {reader}")  # noqa: B023
            for author in seen:
                texts = [bark.text for bark in there() if bark.user == author]
                assert texts == [bark.text for bark in sent if bark.user == author], (reader, author)


def restart(*processes: Process) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.restart()


def test_a_bark_through_the_broker(client: Client) -> None:
    client.read_all(list(AUTHORS))
    barks = [client.bark("ark", f"woof {number} to @rex") for number in range(300)]
    wait_for(lambda: client.read_count >= 900, "all is on all timelines")
    for reader in AUTHORS:
        assert [bark.id for bark in client.timelines[reader]] == [bark.id for bark in barks]
    assert len(client.accepted) == 300


def test_all_of_it_killed_under_load(brokered: Brokered, client: Client) -> None:
    """Each alone, and the broker with each: nothing is lost, there twice, or out of order."""
    load = Load(client)
    steps: list[tuple[list[Process], bool]] = [
        ([brokered.outbox], False),
        ([brokered.active], False),
        (brokered.inboxes, False),
        ([], True),
        ([*brokered.bizlogics, *brokered.inboxes], False),
        ([brokered.outbox, *brokered.inboxes], True),
        (brokered.bizlogics, True),
    ]
    for processes, broker in steps:
        if broker:
            brokered.node.signal(signal.SIGKILL)
        restart(*processes)
        if broker:
            brokered.node.start()
        load.goes_on()
    load.stop()


def test_follows_that_wait_for_the_users_file(brokered: Brokered, client: Client) -> None:
    client.read_all(list(AUTHORS))

    def follow(wanted: bool = True) -> None:
        client.send(Follow(new_id(), "ark", "rex", now(), wanted))

    def seen(by: str, bark: Bark) -> None:
        wait_for(lambda: bark in client.timelines[by], f"{by} sees {bark.text}")

    barks: list[Bark] = []
    with contextlib.closing(brokered.suite.users([])) as users:
        users._db.execute("BEGIN IMMEDIATE")
        try:
            for number in range(30):  # So they come in as many deliveries.
                follow(wanted=number % 2 == 0)
                wait_for(lambda: len(client.accepted) > 2 * len(barks), "a follow is accepted")
                barks.append(client.bark("rex", f"bark {number}"))
                seen("rex", barks[-1])
        finally:
            users._db.execute("ROLLBACK")
    brokered.suite.wait_for_state(brokered.active, in_flight=0)
    follow()
    seen("ark", client.bark("rex", "to ark"))
    assert not set(barks) & set(client.timelines["ark"])
    follow(wanted=False)
    brokered.suite.wait_for_state(brokered.active, in_flight=0)


def test_a_frozen_bizlogic(brokered: Brokered, client: Client) -> None:
    """The broker finds it by its heartbeat; when it thaws, it harms nothing."""
    load = Load(client)
    frozen = brokered.active
    frozen.kill(signal.SIGSTOP)
    load.goes_on()
    (other,) = [each for each in brokered.bizlogics if each is not frozen]
    brokered.suite.wait_for_state(other, active=True)
    frozen.kill(signal.SIGCONT)
    load.goes_on()
    load.stop()


def test_a_frozen_broker(brokered: Brokered, client: Client) -> None:
    """It is given up; when it thaws, what it was sent before comes twice, and is there once."""
    load = Load(client)
    lost = brokered.outbox.log.count("All waits for it")
    brokered.node.signal(signal.SIGSTOP)
    wait_for(lambda: brokered.outbox.log.count("All waits for it") > lost, "it is given up")
    brokered.node.signal(signal.SIGCONT)
    load.goes_on()
    load.stop()


def test_readers_move_on(brokered: Brokered, client: Client) -> None:
    """Two inboxes have the same timelines: when one dies, its readers go to the other."""
    load = Load(client)
    for inbox in brokered.inboxes:
        brokered.suite.wait_for_state(inbox, timelines=lambda count: count >= len(AUTHORS))
    gaps = []
    for inbox in brokered.inboxes * 2:
        inbox.kill()
        begun = time.monotonic()
        load.goes_on()
        gaps.append(time.monotonic() - begun)
        restart_whole(inbox)
    load.stop()
    print("readers read on after", *(f"{gap:.2f} s" for gap in gaps))


def restart_whole(inbox: Process) -> None:
    """Start it again; returns when the directory sends readers there."""
    lives = inbox.log.count("inbox is served")
    inbox.restart()

    def registered() -> bool:
        since = inbox.log.split("inbox is served")[lives + 1 :]
        return bool(since) and since[0].count("directory: found") >= 2  # Its agent is, too.

    wait_for(registered, "readers are sent there")


def test_a_journal_is_a_copy(brokered: Brokered, client: Client) -> None:
    """An inbox without one reads the stream from its start; one that is damaged likewise."""
    client.read_all(list(AUTHORS))
    last = [client.bark("ark", f"before {number}") for number in range(50)][-1]
    wait_for(lambda: all(last in client.timelines[reader] for reader in AUTHORS), "they arrive")
    before = {reader: [bark.id for bark in client.timelines[reader]] for reader in AUTHORS}
    for inbox in brokered.inboxes:
        inbox.kill()
    first, second = brokered.inboxes
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(brokered.suite.data / f"inbox-{first.port}.sqlite3{end}")
    with (brokered.suite.data / f"inbox-{second.port}.sqlite3").open("r+b") as file:
        file.write(bytes(200))
    first.restart()
    again = Client(brokered.suite.place)
    try:
        again.read_all(list(AUTHORS))
        for reader in AUTHORS:
            wait_for(lambda: last in again.timelines[reader], f"the whole timeline of {reader}")  # noqa: B023
            assert [bark.id for bark in again.timelines[reader]] == before[reader]
    finally:
        again.close()
    restart_whole(second)
    assert "and all is read again from the broker's stream" in second.log
    brokered.suite.wait_for_state(second, offset=brokered.suite.state(first)["offset"])


def test_another_stream(brokered: Brokered, client: Client) -> None:
    """A broker that has lost its stream, or somebody has deleted it: what comes of the new one is read."""
    client.read_all(list(AUTHORS))
    for _ in range(25):  # One by one, so that each is a message of the stream.
        before = client.bark("ark", "of the old one")
        wait_for(lambda: before.id in client.arrived, "it arrives")  # noqa: B023
    for inbox in brokered.inboxes:
        brokered.suite.wait_for_state(inbox, offset=lambda offset: offset > 20)
        inbox.kill()
    (stream,) = inbox_names()
    assert brokered.node.request("DELETE", address_of(stream), None)[0] == 200
    for inbox in brokered.inboxes:
        restart_whole(inbox)
        assert "the broker has another stream than before" in inbox.log
    after = client.bark("ark", "of the new one")
    again = Client(brokered.suite.place)
    try:
        again.read_all(list(AUTHORS))
        for reader in AUTHORS:
            wait_for(lambda: after in again.timelines[reader], "it is on each timeline")  # noqa: B023
            assert before in again.timelines[reader]
    finally:
        again.close()
    assert not any("has forgotten" in inbox.log for inbox in brokered.inboxes)


def test_another_suite(brokered: Brokered, client: Client, tmp_path: Path) -> None:
    """It is turned away before it has touched anything, and told why; the key is nowhere to be seen."""
    client.read("ark")
    other, broker = Suite(tmp_path), ("--broker", brokered.node.url)
    try:
        other.users([("ann", "bob")]).close()
        started = [
            other.start("manifold", "outbox", "--accept", "bark", *broker),
            other.start("bizlogic", *broker),
            other.start("manifold", "inbox", "--history", "9", *broker),
        ]
        for process in started:
            assert process.popen.wait(20) == 2
            last = process.log.splitlines()[-1]
            assert "another suite is there, and each suite needs a virtual host of its own: name one" in last
            assert "guest:guest" not in process.log
            assert "found at" not in process.log.replace("directory: found at", "")
    finally:
        other.end()
    said = brokered.look(SUITE)[1]
    assert len(said["arguments"][OWNER]) == 32
    assert said["message_count"] == 0
    assert brokered.suite.key.read_text()[:8] not in str(said)
    bark = client.bark("ark", "and on it goes")
    wait_for(lambda: bark.id in client.arrived, "what is barked here")


def depth_of_letters(brokered: Brokered) -> int:
    status, body = brokered.look(DEAD_LETTERS)
    assert status == 200
    return int(body["message_count"])


def test_what_is_no_bundle(brokered: Brokered, client: Client) -> None:
    """A bark that somebody puts into the queue is a dead letter, with the reason; so is what cannot be."""
    client.read("ark")
    reactor = Reactor("test")
    network = BrokerNetwork(reactor, Broker.parse(brokered.node.url), [], lambda why: None)
    stray = encode_bark(Bark(new_id(), "ark", "by itself", now()))
    ToBroker(network, outbox_names()[0], bundles=False).send(stray)
    client.send(Follow(new_id(), "rex", "nobody", now(), True))
    letters = client.receive_raw("outbox/dead-letters")
    reactor.every(0.05, lambda: reactor.stop() if len(letters) == 2 else None)
    reactor.after(60, reactor.stop)
    reactor.run()
    reasons = {}
    for data in letters:
        letter = Message()
        letter.decode(data)
        reasons[letter.body] = dict(letter.annotations)[REASON]
    assert reasons["by itself"].startswith("amqp:decode-error: this is no bundle of messages")
    assert reasons["nobody"] == "amqp:not-found: there is no user nobody"
    wait_for(lambda: depth_of_letters(brokered) == 0, "who has accepted them has them")
    (again,) = [data for data in letters if b"by itself" in data]
    client.send_raw("outbox", again)
    bark = client.bark("ark", "and on it goes")
    wait_for(lambda: bark.id in client.arrived, "what came behind it")
    wait_for(lambda: "by itself" in client.texts("ark"), "what was sent again")


def test_a_broker_that_is_away(brokered: Brokered, client: Client) -> None:
    """Nothing is accepted, and that is said once; readers read on, also at an inbox that starts meanwhile."""
    client.read("ark")
    bark = client.bark("ark", "before")
    wait_for(lambda: bark.id in client.arrived, "it arrives")
    brokered.node.signal(signal.SIGKILL)
    told = brokered.outbox.log.count("All waits for it")
    late = client.bark("ark", "meanwhile")
    wait_for(lambda: brokered.outbox.log.count("All waits for it") > told, "the outbox says so")
    restart(*brokered.inboxes)
    again = Client(brokered.suite.place)
    try:
        again.read("ark")
        wait_for(lambda: bark.id in again.arrived, "it can be read")
    finally:
        again.close()
    assert late.id not in client.accepted
    assert brokered.outbox.log.count("All waits for it") == told + 1
    brokered.node.start()
    wait_for(lambda: late.id in client.accepted, "it is accepted")
    wait_for(lambda: late.id in client.arrived, "it arrives, too")
