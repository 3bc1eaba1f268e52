"""What Barker says to a real RabbitMQ 4, and has it keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from barker.amqp.bundle import offset, unpack
from barker.amqp.connection import Connection
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import encode_bark
from barker.amqp.outbound import Accepted
from barker.amqp.rabbitmq import BrokerNetwork, Management, ToBroker, from_broker
from barker.amqp.reactor import Reactor
from barker.core.barks import Bark
from barker.core.broker import Broker, Queue, inbox_names, inboxes, outbox_names, outboxes
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
    network.connection(network.directories[0])
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


def test_requests_go_on_when_the_broker_has_ended_their_session(node: Node) -> None:
    """It does so over a request that it cannot handle, as RabbitMQ 4.0 over some that it should."""
    reactor = Reactor("test")
    late = Queue("barker-test-late", {"x-queue-type": "quorum"})
    network = BrokerNetwork(reactor, Broker.parse(node.url), [late], lambda why: None)
    network.connection(network.directories[0])
    spoilt: list[Management] = []
    again: list[Connection] = []

    def answered(status: int, body: object) -> None:
        assert network.management is not None
        again.append(network.management.connection)
        assert status == 200
        reactor.stop()

    def ask() -> None:
        management = network.management
        if management is not None and not spoilt:
            spoilt.append(management)
            management.request("PUT", late.address, "no map", lambda status, body: None)
        elif management is not None and management not in spoilt and not management.asked:
            management.request("GET", late.address, None, answered)

    reactor.every(0.02, ask)
    run(reactor)
    assert again == [spoilt[0].connection], "in another session of the same connection"
