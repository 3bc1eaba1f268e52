"""The outbox with a broker: no sockets, and the broker accepts when a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from barker.amqp._proton import ACCEPTED, REJECTED
from barker.amqp.message import encode_bark
from barker.amqp.outbound import Accepted, Outcome
from barker.core.barks import LARGEST, Bark
from barker.core.broker import Broker
from barker.core.partitions import number_of
from barker.core.rates import Rates
from barker.manifolds import relay as module
from barker.manifolds.intake import bark_check
from barker.manifolds.relay import BYTES, MOST, Relay
from tests.stage import Stage, serving

BROKER = Broker.parse("amqp://127.0.0.1:9")


class Kept:
    """A queue at a broker that accepts when it is told to."""

    def __init__(self, network: object, name: str) -> None:
        self.name, self.place = name, "127.0.0.1:9"
        self.waiting: deque[tuple[bytes, Callable[[Outcome], None]]] = deque()
        self.memory = self.in_flight = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def send(self, data: bytes, then: Callable[[Outcome], None]) -> None:
        self.waiting.append((data, then))
        self.memory += len(data)

    def accept(self, count: int = 1) -> None:
        for _ in range(count):
            data, then = self.waiting.popleft()
            self.memory -= len(data)
            then(Accepted())


class Relays(Stage):
    """An outbox with a broker."""

    def __init__(self, authors: int = 1) -> None:
        self.relay = Relay(serving("outbox"), BROKER, bark_check(None, Rates(0)), LARGEST, authors)
        super().__init__(self.relay)

    @property
    def queues(self) -> list[Kept]:
        queues: Any = self.relay._queues
        return queues  # type: ignore[no-any-return]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Relays]]:
    monkeypatch.setattr(module, "ToBroker", Kept)
    stages: list[Relays] = []

    def make(**options: Any) -> Relays:
        stages.append(Relays(**options))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def bark(number: int, user: str = "rex") -> bytes:
    return encode_bark(Bark(f"id-{number}", user, "woof", 1_700_000_000_000))


def test_a_bark_is_accepted_when_the_broker_has_it(opened: Callable[..., Relays]) -> None:
    stage = opened()
    sender, handler = stage.sender(stage.connect(), "outbox")
    sender.send(bark(1), 1)
    sender.send(b"\x00\x53\x77\xa1\x04woof", 2)
    sender.send(bark(3), 3)
    stage.turn()
    assert [(token, outcome) for token, outcome, _ in handler.outcomes] == [(2, REJECTED)]
    assert stage.relay.state()["depth"] == 2
    stage.queues[0].accept()
    stage.turn()
    assert handler.outcomes[-1][:2] == (1, ACCEPTED)
    assert (stage.relay.in_hand(), stage.relay.received, stage.relay.rejected) == (1, 1, 1)


def test_each_author_has_a_queue(opened: Callable[..., Relays]) -> None:
    stage = opened(authors=4)
    sender, _ = stage.sender(stage.connect(), "outbox")
    users = [f"user{number}" for number in range(20)]
    for number, user in enumerate(users):
        sender.send(bark(number, user), number)
    stage.turn()
    for number, queue in enumerate(stage.queues):
        expected = [bark(at, user) for at, user in enumerate(users) if number_of(user, 4) == number]
        assert [data for data, _ in queue.waiting] == expected
        assert queue.name == f"barker-outbox-{number + 1}-of-4"


def test_no_credit_while_the_broker_takes_nothing(opened: Callable[..., Relays]) -> None:
    stage = opened()
    senders = [stage.sender(stage.connect(), "outbox")[0] for _ in range(30)]
    sent = 0
    while any(sender.credit for sender in senders):
        for sender in senders:
            for _ in range(sender.credit):
                sent += 1
                sender.send(bark(sent), sent)
        stage.turn()
    granted = 30 * stage.relay.reactor.system.bounds.window
    assert MOST <= sent <= MOST + granted
    late, _ = stage.sender(stage.connect(), "outbox")
    assert late.credit == 0
    stage.queues[0].accept(len(stage.queues[0]) - MOST // 2)
    stage.turn()
    assert late.credit > 0


def test_a_link_that_brings_too_much_ends(opened: Callable[..., Relays]) -> None:
    stage = opened()
    stage.queues[0].memory = BYTES + 1
    sender, handler = stage.sender(stage.connect(), "outbox")
    sender.send(bark(1), 1)
    stage.turn()
    assert handler.closed == ["amqp:resource-limit-exceeded"]


def test_nothing_is_received_from_it(opened: Callable[..., Relays]) -> None:
    stage = opened()
    _, handler = stage.receiver(stage.connect(), "outbox")
    assert handler.closed == ["amqp:not-allowed"]
    _, handler = stage.sender(stage.connect(), "outbox/other")
    assert handler.closed == ["amqp:not-found"]
