"""Barker with a real RabbitMQ 4 in place of the outboxes' journals and the push."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from barker.amqp.bundle import offset, unpack
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import encode_bark
from barker.amqp.outbound import Accepted
from barker.amqp.rabbitmq import BrokerNetwork, ToBroker, from_broker
from barker.amqp.reactor import Reactor
from barker.core.barks import Bark
from barker.core.broker import Broker, Queue, inbox_names, inboxes, outbox_names, outboxes
from tests.harness import Client, Process, Suite, wait_for
from tests.scale.rabbitmq import Node

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    try:
        node.start()
        yield node
    finally:
        node.end()


def run(reactor: Reactor, seconds: float = 15.0) -> None:
    """Turn until somebody stops it."""
    late: list[bool] = []

    def stop() -> None:
        late.append(True)
        reactor.stop()

    reactor.after(seconds, stop)
    reactor.run()
    assert not late, f"not done within {seconds:g} s"


def bark(number: int) -> bytes:
    return encode_bark(Bark(f"bark-{number}", "rex", f"woof {number}", 1_700_000_000_000 + number))


class Taker(PeerHandler[Receiver]):
    """Keeps what comes, until it is enough."""

    def __init__(self, reactor: Reactor, most: int) -> None:
        self.reactor, self.most = reactor, most
        self.messages: list[bytes] = []
        self.offsets: list[int] = []

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self.messages += unpack(data)
        if "inbox" in link.address:
            self.offsets.append(offset(data))
        delivery.accept()
        if len(self.messages) >= self.most:
            self.reactor.stop()


def test_declared_and_used(node: Node) -> None:
    """What is needed is declared, however often; messages go in as bundles, and come out in order."""
    for _ in range(2):
        reactor = Reactor("test")
        why: list[str] = []
        network = BrokerNetwork(reactor, Broker.parse(node.url), [*outboxes(), *inboxes()], why.append)
        (queue,) = outbox_names()
        takers = [Taker(reactor, 250)]
        from_broker(network, queue, takers[0], 10)
        sender = ToBroker(network, queue, 1_000, 1_000_000)
        outcomes: list[object] = []
        for number in range(250):
            sender.send(bark(number), outcomes.append)
        run(reactor)
        assert takers[0].messages == [bark(number) for number in range(250)]
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert not why
    status, body = node.request("GET", "/queues/barker-outbox")
    assert (status, body["type"]) == (200, "quorum")  # type: ignore[index]
    assert node.request("GET", "/queues/barker-inbox")[0] == 200


def test_a_stream_from_an_offset(node: Node) -> None:
    """A stream is read again from where it was left, exactly."""
    (stream,) = inbox_names()

    def read(filters: dict[str, Any], most: int, send: int = 0) -> Taker:
        reactor = Reactor("test")
        network = BrokerNetwork(reactor, Broker.parse(node.url), inboxes(), lambda why: None)
        taker = Taker(reactor, most)
        from_broker(network, stream, taker, 10, lambda: filters)
        sender = ToBroker(network, stream, 1_000, 1_000_000)
        for number in range(send):
            sender.send(bark(number))
        run(reactor)
        return taker

    whole = read({"rabbitmq:stream-offset-spec": "first"}, 500, send=500)
    assert whole.messages == [bark(number) for number in range(500)]
    assert whole.offsets == list(range(len(whole.offsets)))
    assert len(whole.offsets) > 3
    again = read({"rabbitmq:stream-offset-spec": 2}, 300)
    assert again.offsets[0] == 2
    assert again.messages == whole.messages[-len(again.messages) :]


def test_another_declaration(node: Node) -> None:
    """What is there and is something else is said in words."""
    reactor, why = Reactor("test"), []
    classic = Queue("barker-test-other", {"x-queue-type": "classic"})
    quorum = Queue("barker-test-other", {"x-queue-type": "quorum"})

    def never(text: str) -> None:
        why.append(text)
        reactor.stop()

    network = BrokerNetwork(reactor, Broker.parse(node.url), [classic, quorum], never)
    network.connection(network.directory)
    run(reactor)
    assert "barker-test-other is there, and is another than it has to be (inequivalent arg" in why[0]
    assert "guest:guest" not in why[0]


def test_a_wrong_password(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, without the password; and tried again."""
    reactor = Reactor("test")
    url = f"amqp://guest:wrong@127.0.0.1:{node.port}"
    network = BrokerNetwork(reactor, Broker.parse(url), [], lambda why: None)
    ToBroker(network, "barker-outbox", 10, 1_000)

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    reactor.every(0.05, lambda: reactor.stop() if told() else None)
    run(reactor)
    assert "the password of its user guest" in told()[0]
    assert ":wrong" not in told()[0]


class Brokered:
    """A suite whose barks go through a broker of its own."""

    def __init__(self, folder: Path, inboxes: int = 1, bizlogics: int = 2) -> None:
        self.node = Node()
        self.suite = Suite(folder)
        try:
            self.node.start()
            self.suite.users([("rex", "ark"), ("rex", "fido"), ("fido", "ark")]).close()
            broker = ("--broker", self.node.url)
            self.inboxes = [
                self.suite.start("manifold", "inbox", "--history", "5000", *broker) for _ in range(inboxes)
            ]
            self.outbox = self.suite.start("manifold", "outbox", "--accept", "bark", *broker)
            self.bizlogics = [self.suite.start("bizlogic", *broker) for _ in range(bizlogics)]
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self.suite.end()
        self.node.end()


@pytest.fixture
def brokered(tmp_path: Path) -> Iterator[Brokered]:
    brokered = Brokered(tmp_path)
    yield brokered
    brokered.end()


class Load:
    """Barks of three authors in turn, until it is stopped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.sent: list[Bark] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._bark, daemon=True)
        self._thread.start()

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
        self._stop.set()
        self._thread.join(10)


AUTHORS = ("rex", "fido", "ark")
SEES = {"rex": ("rex", "ark", "fido"), "fido": ("fido", "ark"), "ark": ("ark",)}
"""Whose barks are on whose timeline, as :class:`Brokered` has it."""


def check_all_there_once(client: Client, sent: list[Bark]) -> None:
    """Each bark that was accepted is once on each timeline, and each author's are in order."""
    wait_for(lambda: len(client.accepted) == len(sent), "all is accepted")
    due = sum(bark.user in seen for seen in SEES.values() for bark in sent)
    wait_for(lambda: client.read_count >= due, f"{due} deliveries")
    for reader, seen in SEES.items():
        for author in seen:
            there = [bark.text for bark in client.timelines[reader] if bark.user == author]
            assert there == [bark.text for bark in sent if bark.user == author], (reader, author)


def test_a_bark_through_the_broker(brokered: Brokered) -> None:
    client = Client(brokered.suite.place)
    try:
        client.read_all(["rex", "fido", "ark"])
        for number in range(300):
            client.bark("ark", f"woof {number} to @rex")
        wait_for(lambda: client.read_count == 900, "all is on all timelines")
        texts = [f"woof {number} to @rex" for number in range(300)]
        assert client.texts("rex") == client.texts("fido") == client.texts("ark") == texts
        assert len(client.accepted) == 300
    finally:
        client.close()


@pytest.mark.timeout(240)
def test_all_of_it_killed_under_load(brokered: Brokered) -> None:
    """Each alone, and the broker with each: nothing is lost, there twice, or out of order."""
    node, client = brokered.node, Client(brokered.suite.place)
    try:
        client.read_all(list(AUTHORS))
        load = Load(client)
        load.goes_on()

        def kill_broker() -> None:
            node.signal(signal.SIGKILL)
            node.start()

        def restart(*processes: Process) -> None:
            for process in processes:
                process.kill()
            for process in processes:
                process.restart()

        first, second = brokered.bizlogics
        steps: list[Any] = [
            lambda: restart(brokered.outbox),
            lambda: restart(first),
            lambda: restart(second),
            lambda: restart(*brokered.inboxes),
            kill_broker,
            lambda: restart(first, second, *brokered.inboxes),
            lambda: (node.signal(signal.SIGKILL), restart(brokered.outbox, *brokered.inboxes), node.start()),
            lambda: (node.signal(signal.SIGKILL), restart(first, second), node.start()),
        ]
        for step in steps:
            step()
            load.goes_on()
        load.stop()
        check_all_there_once(client, load.sent)
    finally:
        client.close()
