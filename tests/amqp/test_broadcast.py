"""Many readers of one thing: who gets what, whenever their credit comes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.connection import OUTGOING_BYTES
from barker.amqp.link import Receiver
from tests.amqp.pair import Pair, Recorder

TOO_SLOW = "amqp:resource-limit-exceeded"


def numbered(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


class Reader(Recorder):
    """One that settles nothing, so it has the credit it is given and no more."""

    link: Receiver

    def grant(self, credit: int) -> None:
        self.link.window += credit


class Scene:
    """A broadcast, and one connection with its readers; a reader sees `first` first."""

    def __init__(self, lag: Lag, first: Iterable[bytes] = ()) -> None:
        self.first = list(first)
        self.broadcast = Broadcast(lambda: self.first, lag)
        self.pair = Pair(lambda link: self.broadcast)

    def reader(self, credit: int) -> Reader:
        reader = Reader(credit)
        reader.link = self.pair.client.receiver("news", reader, 0)
        self.pair.pump()
        return reader

    def grant(self, reader: Reader, credit: int) -> None:
        reader.grant(credit)
        self.pair.pump()

    def leave(self, reader: Reader) -> None:
        reader.link.close()
        self.pair.pump()

    def lose_the_connection(self) -> None:
        self.pair.client.lost()
        self.pair.server.lost()
        self.pair = Pair(lambda link: self.broadcast)

    def send(self, *numbers: int) -> None:
        for message in numbered(*numbers):
            self.broadcast.send(message)
        self.pair.pump()


# Who has credit


@pytest.mark.parametrize("lag", Lag)
def test_every_reader_sees_what_comes_first_and_then_each_message(lag: Lag) -> None:
    scene = Scene(lag, numbered(1))
    readers = [scene.reader(10), scene.reader(10)]
    scene.send(2, 3)
    for reader in readers:
        assert reader.messages == numbered(1, 2, 3)
    assert (len(scene.broadcast), scene.broadcast.sent) == (2, 6)


@pytest.mark.parametrize("lag", Lag)
def test_a_reader_whose_first_credit_comes_late_sees_what_is_first_then(lag: Lag) -> None:
    scene = Scene(lag, numbered(1))
    reader = scene.reader(0)
    scene.first = numbered(5)
    scene.send(2, 3)
    assert (reader.messages, reader.closed, len(scene.broadcast)) == ([], [], 0)
    scene.grant(reader, 10)
    scene.send(6)
    assert reader.messages == numbered(5, 6)


@pytest.mark.parametrize("lag", Lag)
def test_who_has_gone_is_forgotten_and_harms_nobody(lag: Lag) -> None:
    scene = Scene(lag)
    gone, lost, stays = scene.reader(10), scene.reader(0), scene.reader(10)
    scene.leave(gone)
    scene.leave(lost)
    scene.send(1)
    assert (gone.messages, stays.messages, len(scene.broadcast)) == ([], numbered(1), 1)
    scene.lose_the_connection()
    scene.broadcast.send(b"to nobody")
    assert len(scene.broadcast) == 0


# Who has none


@pytest.mark.parametrize(
    ("lag", "seen", "ends"),
    [
        pytest.param(Lag.GAP, [1, 2, 6], [], id="a gap"),
        pytest.param(Lag.NEWEST, [1, 2, 5, 6], [], id="the newest"),
        pytest.param(Lag.END, [1, 2], [TOO_SLOW], id="the end"),
    ],
)
def test_what_a_reader_without_credit_gets(lag: Lag, seen: list[int], ends: list[str]) -> None:
    scene = Scene(lag, numbered(1))
    slow, quick = scene.reader(2), scene.reader(100)
    scene.send(2, 3, 4, 5)
    assert (slow.messages, slow.closed) == (numbered(1, 2), ends)
    if slow.link.live:
        scene.grant(slow, 10)
    scene.send(6)
    assert (slow.messages, slow.closed) == (numbered(*seen), ends)
    assert (quick.messages, quick.closed) == (numbered(1, 2, 3, 4, 5, 6), [])


@pytest.mark.parametrize(
    ("lag", "at_once", "after_more_credit"),
    [
        pytest.param(Lag.GAP, [3, 4], [3, 4, 5], id="a gap"),
        pytest.param(Lag.NEWEST, [3, 4], [3, 4, 5], id="the newest"),
        pytest.param(Lag.END, [1, 2], [1, 2, 3, 4, 5], id="the end: a table without holes"),
    ],
)
def test_with_less_credit_than_comes_first(
    lag: Lag, at_once: list[int], after_more_credit: list[int]
) -> None:
    scene = Scene(lag, numbered(1, 2, 3, 4))
    reader = scene.reader(2)
    assert reader.messages == numbered(*at_once)
    scene.grant(reader, 10)
    scene.send(5)
    assert reader.messages == numbered(*after_more_credit)


# Who grants credit and does not read


@pytest.mark.parametrize("lag", Lag)
def test_nothing_piles_up_for_a_reader_that_does_not_read(lag: Lag) -> None:
    scene = Scene(lag)
    large = bytes(100_000)
    reader = scene.reader(1_000)
    for _ in range(100):
        scene.broadcast.send(large)
    assert scene.broadcast.sent * len(large) < OUTGOING_BYTES + 2 * len(large)
    scene.pair.pump()
    scene.pair.server.resume()
    scene.pair.pump()
    last = b"it reads again"
    scene.broadcast.send(last)
    scene.pair.pump()
    assert reader.closed == ([TOO_SLOW] if lag is Lag.END else [])
    assert (last in reader.messages) == (lag is not Lag.END)


@pytest.mark.parametrize("lag", Lag)
def test_a_long_past_comes_whole_as_the_reader_reads(lag: Lag) -> None:
    past = [bytes([number]) * 100_000 for number in range(50)]
    scene = Scene(lag, past)
    reader = scene.reader(200)
    for _ in range(10):
        scene.pair.server.resume()
        scene.pair.pump()
    assert reader.messages == past


# All of it, in any order


class BroadcastMachine(RuleBasedStateMachine):
    """Readers that come, get credit, have none and go, at any time, beside a plain model of each."""

    readers: Bundle[Reader] = Bundle("readers")

    @initialize(lag=st.sampled_from(Lag))
    def begin(self, lag: Lag) -> None:
        self.lag, self.scene = lag, Scene(lag)
        self.count = 0
        self.models: dict[Reader, Model] = {}

    @rule(target=readers, credit=st.integers(0, 6))
    def come(self, credit: int) -> Reader:
        reader = self.scene.reader(credit)
        self.models[reader] = Model(self.lag)
        self.models[reader].grant(credit, self.scene.first)
        return reader

    @rule(target=readers, reader=consumes(readers), credit=st.integers(1, 6))
    def grant(self, reader: Reader, credit: int) -> object:
        if self.models[reader].ended:
            return multiple()
        self.scene.grant(reader, credit)
        self.models[reader].grant(credit, self.scene.first)
        return reader

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            self.scene.first = [*self.scene.first[-2:], *numbered(self.count)]
            self.scene.send(self.count)
            for model in self.models.values():
                model.send(b"%d" % self.count)

    @rule(reader=consumes(readers))
    def leave(self, reader: Reader) -> None:
        self.scene.leave(reader)
        del self.models[reader]

    @rule()
    def lose_the_connection(self) -> None:
        self.scene.lose_the_connection()
        for model in self.models.values():
            model.lost = True

    @invariant()
    def everyone_has_what_he_must(self) -> None:
        for reader, model in self.models.items():
            assert reader.messages == model.seen
            assert model.lost or reader.closed == model.closed
        joined = [model for model in self.models.values() if model.joined and not model.ended]
        assert len(self.scene.broadcast) == len(joined)


class Model:
    """What one reader must see, as plainly as it can be said."""

    def __init__(self, lag: Lag) -> None:
        self.lag, self.credit, self.joined, self.lost = lag, 0, False, False
        self.seen: list[bytes] = []
        self.owed: list[bytes] = []
        self.closed: list[str] = []

    @property
    def ended(self) -> bool:
        return self.lost or bool(self.closed)

    def grant(self, credit: int, first: list[bytes]) -> None:
        if self.ended:
            return
        self.credit += credit
        if self.credit and not self.joined:
            self.joined = True
            self.owed = first if self.lag is Lag.END else first[-self.credit :]
        take, self.owed = self.owed[: self.credit], self.owed[self.credit :]
        self.credit -= len(take)
        self.seen += take

    def send(self, message: bytes) -> None:
        if not self.joined or self.ended:
            return
        if self.credit and not self.owed:
            self.credit -= 1
            self.seen.append(message)
        elif self.lag is Lag.NEWEST:
            self.owed = [message]
        elif self.lag is Lag.END:
            self.closed = [TOO_SLOW]


TestBroadcastMachine = BroadcastMachine.TestCase
TestBroadcastMachine.settings = settings(max_examples=60, stateful_step_count=30)
