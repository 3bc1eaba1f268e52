"""What Barker says to a real RabbitMQ 4, and has it keep."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barker.amqp.bundle import offset, unpack
from barker.amqp.connection import Connection
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import KEY, RECIPIENTS, encode_bark, with_delivery_annotations
from barker.amqp.outbound import Accepted
from barker.amqp.rabbitmq import FROM, BrokerNetwork, Management, ToBroker, from_broker
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id
from barker.core import broker
from barker.core.access import OPERATOR, Credentials
from barker.core.barks import Bark
from barker.core.broker import (
    DEAD_LETTERS,
    SUITE,
    Broker,
    Queue,
    address_of,
    inbox_names,
    inboxes,
    outbox_names,
    outboxes,
)
from barker.manifolds.copies import TimelineCopy
from barker.store.journal import CopyJournal
from tests.harness import wait_for
from tests.scale.rabbitmq import Node
from tests.stage import serving

pytestmark = pytest.mark.system


def run(reactor: Reactor, seconds: float = 60.0) -> None:
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


def read(node: Node, place: str | int, most: int, send: int = 0) -> Taker:
    """What comes of the stream from that place on, until it is so much; so much is sent to it."""
    (stream,) = inbox_names()
    reactor = Reactor("test")
    network = BrokerNetwork(reactor, Broker.parse(node.url), inboxes(), lambda why: None)
    taker = Taker(reactor, most)
    from_broker(network, stream, taker, 10, lambda: {FROM: place})
    sender = ToBroker(network, stream, 1_000, 1_000_000)
    for number in range(send):
        sender.send(bark(number))
    run(reactor)
    return taker


def test_a_stream_from_an_offset(node: Node) -> None:
    """A stream is read again from where it was left, exactly."""
    whole = read(node, "first", 500, send=500)
    assert whole.messages == [bark(number) for number in range(500)]
    assert whole.offsets == list(range(len(whole.offsets)))
    assert len(whole.offsets) > 3
    again = read(node, 2, 300)
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


def test_two_suites(node: Node) -> None:
    """The second is turned away, with nothing sent or taken, until somebody deletes what the first left."""

    def join(key: bytes) -> tuple[list[object], list[str]]:
        """What becomes of a bark of the suite with that key; and what it is told."""
        reactor = Reactor("test", credentials=Credentials(OPERATOR, key))
        outcomes: list[object] = []
        why: list[str] = []

        def end(what: list[Any], told: Any) -> None:
            what.append(told)
            reactor.stop()

        network = BrokerNetwork(reactor, Broker.parse(node.url), outboxes(), functools.partial(end, why))
        ToBroker(network, DEAD_LETTERS).send(bark(1), functools.partial(end, outcomes))
        run(reactor)
        return outcomes, why

    one, other = b"the key of one suite", b"the key of another one"
    accepted: tuple[list[object], list[str]] = [Accepted()], []
    assert join(one) == join(one) == accepted
    outcomes, [why] = join(other)
    assert outcomes == []
    assert "another suite is there, and each suite needs a virtual host of its own" in why
    assert f"delete the queue {SUITE} there" in why
    assert node.request("GET", address_of(DEAD_LETTERS))[1]["message_count"] == 2  # type: ignore[index]
    assert node.request("DELETE", address_of(SUITE))[0] == 200
    assert join(other) == accepted
    assert join(one)[0] == []


def test_many_who_begin_at_once(node: Node) -> None:
    """Of two who declare the same at that moment the broker may fail one: it asks again."""
    key = b"the key of a whole suite"
    for _ in range(3):
        for name in (SUITE, *(queue.name for queue in (*outboxes(), *inboxes()))):
            assert node.request("DELETE", address_of(name))[0] == 200
        reactor, left = Reactor("test", credentials=Credentials(OPERATOR, key)), [12]

        def accepted(outcome: object, left: list[int] = left, reactor: Reactor = reactor) -> None:
            left[0] -= 1
            if not left[0]:
                reactor.stop()

        for _ in range(left[0]):
            queues = [*outboxes(), *inboxes()]
            network = BrokerNetwork(reactor, Broker.parse(node.url), queues, lambda why: None)
            ToBroker(network, DEAD_LETTERS).send(bark(1), accepted)
        run(reactor, 60)


class Copy:
    """An inbox that follows the broker's stream, in this process."""

    def __init__(self, node: Node, path: Path) -> None:
        self.copy = TimelineCopy(
            serving("inbox"), CopyJournal(path), Broker.parse(node.url), 10, 100_000, 1 << 20
        )

    def read(self, done: Callable[[], bool]) -> None:
        """Read until that is so; and a little longer."""
        reactor = self.copy.reactor

        def look() -> None:
            if done():
                reactor.after(0.5, reactor.stop)

        reactor.every(0.01, look)
        run(reactor, 60)

    def close(self) -> None:
        self.copy.reactor.close()
        self.copy.on_stop()


def fill(node: Node, count: int) -> None:
    """Have so many fan-outs of 2 kB each in the stream."""
    reactor = Reactor("test")
    network = BrokerNetwork(reactor, Broker.parse(node.url), inboxes(), lambda why: None)
    (stream,) = inbox_names()
    sender = ToBroker(network, stream)
    left = [count]

    def accepted(outcome: object) -> None:
        left[0] -= 1
        if not left[0]:
            reactor.stop()

    for _ in range(count):
        word = encode_bark(Bark(new_id(), "rex", "woof " * 400, 1_700_000_000_000))
        sender.send(with_delivery_annotations(word, {RECIPIENTS: "rex", KEY: ""}), accepted)
    run(reactor, 60)


def test_a_stream_that_is_deleted_while_it_is_read(
    node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is declared again at once, and what comes of the new one is read."""
    fill(node, 300)
    copy = Copy(node, tmp_path / "j.sqlite3")
    intake = copy.copy.intake

    def delete() -> None:
        wait_for(lambda: intake.received >= 300, "it is read")
        assert node.request("DELETE", address_of(inbox_names()[0]))[0] == 200
        wait_for(lambda: "the broker has another stream than before" in caplog.text, "it is declared again")
        fill(node, 10)

    thread = threading.Thread(target=delete)
    thread.start()
    copy.read(lambda: intake.received >= 310)
    thread.join(10)
    copy.close()


def test_what_a_stream_has_forgotten(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said when something is, and not where the broker has notes of its own: as a segment is full."""
    assert node.request("DELETE", address_of(inbox_names()[0]))[0] == 200
    monkeypatch.setattr(broker, "SEGMENT_BYTES", 1_000_000)
    monkeypatch.setattr(broker, "STREAM_BYTES", 5_000_000)
    fill(node, 1_500)
    places = read(node, "first", 1_500).offsets
    assert [end for place, end in itertools.pairwise(places) if end != place + 1]
    copy = Copy(node, tmp_path / "j.sqlite3")
    copy.read(lambda: copy.copy.intake.received >= 1_500)
    copy.close()
    assert "has forgotten" not in caplog.text
    fill(node, 5_000)
    wait_for(lambda: read(node, "first", 1).offsets[0] > places[-1] + 1, "it forgets")
    copy = Copy(node, tmp_path / "j.sqlite3")
    copy.read(lambda: "has forgotten" in caplog.text)
    copy.close()


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
