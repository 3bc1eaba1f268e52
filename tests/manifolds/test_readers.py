"""Timelines between producers, readers and a disk: no sockets, and every turn is the test's."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from barker.amqp._proton import ACCEPTED
from barker.amqp.handlers import Condition
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import KEY, MISSED, RECIPIENTS, annotations_in, cut, with_delivery_annotations
from barker.core.errors import StorageError
from barker.core.partitions import Partition
from barker.manifolds.intake import RETRY_SECONDS
from barker.manifolds.readers import TimelineManifold
from barker.store.journal import TimelineJournal
from tests.amqp.pair import Pair, Recorder
from tests.stage import FlakyJournal, Stage, serving

FULL = StorageError("the disk is full")
HISTORY = 5


def fan_out(number: int, users: str, key: str = "") -> bytes:
    body = b"\x00\x53\x77\xa1\x06%06d" % number
    return with_delivery_annotations(body, {RECIPIENTS: users, KEY: key})


def number_of(data: bytes) -> int:
    return int(cut(data).rest[-6:])


def numbers(handler: Recorder) -> list[int]:
    return [number_of(data) for data in handler.messages]


class Timelines(Stage):
    """A manifold of timelines at ``inbox``."""

    def __init__(self, journal: Any, history: int = HISTORY) -> None:
        self.disk = FlakyJournal(journal)
        self.manifold = TimelineManifold(serving("inbox"), self.disk, history)  # type: ignore[arg-type]
        super().__init__(self.manifold)


Open = Callable[..., Timelines]


@pytest.fixture
def timelines(tmp_path: Path) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def open_timelines(history: int = HISTORY) -> Timelines:
            journal = TimelineJournal(tmp_path / "inbox.sqlite3")
            return stack.enter_context(contextlib.closing(Timelines(journal, history)))

        yield open_timelines


def test_a_reader_that_gives_credit_late_sees_the_history_then_what_comes(timelines: Open) -> None:
    stage = timelines()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "inbox")
    reader, got = stage.receiver(pair, "inbox/rex")
    for number in range(3):
        producer.send(fan_out(number, "rex ann"), number)
    stage.turn()
    assert got.messages == []
    reader.window = 10
    stage.turn()
    producer.send(fan_out(3, "rex"), 3)
    stage.turn()
    assert numbers(got) == [0, 1, 2, 3]


def test_a_disk_that_is_full_for_a_moment_changes_no_order_and_is_asked_once_a_second(
    timelines: Open,
) -> None:
    stage = timelines(history=1_000)
    pair = stage.connect()
    producer, sent = stage.sender(pair, "inbox")
    stage.disk.error = FULL
    for number in range(50):
        producer.send(fan_out(number, "rex", f"ann/{number}\n0/1"), number)
        stage.turn(1)
    assert stage.disk.commits == 1, "it rests"
    assert sent.outcomes == [], "nothing is released"
    stage.disk.error = None
    for number in range(50, 60):
        producer.send(fan_out(number, "rex", f"ann/{number}\n0/1"), number)
        stage.turn(1)
    stage.wait(RETRY_SECONDS)
    assert [outcome for _, outcome, _ in sent.outcomes] == [ACCEPTED] * 60
    reader, got = stage.receiver(pair, "inbox/rex")
    reader.window = 100
    stage.turn()
    assert numbers(got) == list(range(60))


def test_the_journal_forgets_little_at_a_time_of_what_goes_to_many(
    timelines: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.manifolds.readers.FORGET_BYTES", 10_000)
    stage = timelines(history=1)
    producer, sent = stage.sender(stage.connect(), "inbox")
    most = 0
    for number in range(50):
        producer.send(fan_out(number, "x" * 200 + " rex" * 200), number)
        stage.turn(1)
        most = max(most, len(stage.manifold.timelines.gone))
    assert len(sent.outcomes) == 50
    assert most == 9, "some 1,000 bytes of names each, and one is on the timeline"


def test_what_is_raised_in_a_commit_leaves_nobody_waiting(timelines: Open) -> None:
    stage = timelines()
    first, second = stage.connect(), stage.connect()
    producer, sent = stage.sender(first, "inbox")
    _, innocent = stage.sender(second, "inbox")
    stage.disk.error = ValueError("a bug")
    producer.send(fan_out(1, "rex"), 1)
    stage.turn()
    assert sent.closed == ["amqp:internal-error"]
    assert innocent.closed == []
    stage.disk.error = None
    producer, sent = stage.sender(first, "inbox")
    producer.send(fan_out(2, "rex"), 2)
    stage.turn()
    assert sent.outcomes == [(2, ACCEPTED, None)]


@pytest.mark.parametrize("key", ["ann/1\n" + "9" * 5_000 + "/1", "ann/1\n0/" + "9" * 4_298, "k" * 10_000])
def test_a_key_that_is_none_is_rejected_when_it_comes(timelines: Open, key: str) -> None:
    stage = timelines()
    pair = stage.connect()
    producer, sent = stage.sender(pair, "inbox")
    producer.send(fan_out(1, "rex", key), 1)
    producer.send(fan_out(2, "rex", "ann/2\n0/1"), 2)
    stage.turn()
    outcomes = {token: str(why) for token, _, why in sent.outcomes}
    assert outcomes[1].startswith("amqp:invalid-field")
    assert outcomes[2] == "None"


def test_memory_that_runs_out_on_the_way_to_timelines_ends_the_service(
    timelines: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory is no longer what is on disk; started again, it is."""
    stage = timelines()
    pair = stage.connect()
    producer, sent = stage.sender(pair, "inbox")

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(stage.manifold.timelines, "deliver", fail)
    producer.send(fan_out(1, "rex"), 1)
    stage.turn()
    assert sent.outcomes == []
    assert "MemoryError" in str(stage.manifold._error)


def test_a_reader_who_reads_nothing_costs_no_more_than_its_share(timelines: Open) -> None:
    stage = timelines(history=100)
    pair = stage.connect()
    producer, _ = stage.sender(pair, "inbox")
    large = with_delivery_annotations(
        b"\x00\x53\x77\xb1" + (100_000).to_bytes(4, "big") + bytes(100_000), {RECIPIENTS: "rex"}
    )
    for _ in range(100):
        producer.send(large, 0)
        stage.turn(1)
    reader = Pair(server_peer=stage.service)  # type: ignore[arg-type]
    receiver = reader.client.receiver("inbox/rex", Recorder(0), 0, settled=True)
    reader.pump()
    (link,) = reader.server.links
    receiver.window = 1_000
    Pair.carry(reader.client, reader.server, [])
    assert isinstance(link, Sender)
    assert 10 <= stage.manifold.sent <= 12, "a megabyte, and what is over it"
    assert link.credit == 0


def test_a_message_that_cannot_be_annotated_ends_no_readers_link(timelines: Open) -> None:
    stage = timelines()
    pair = stage.connect()
    producer, sent = stage.sender(pair, "inbox")
    # Behind the delivery annotations there is another header, cut short: no sections that can be cut.
    sound = with_delivery_annotations(b"\x00\x53\x77\xa1\x00", {RECIPIENTS: "rex"})
    strange = sound[:-5] + b"\x00\x53\x70\xc0\x09"
    producer.send(strange, 1)
    stage.turn()
    assert "decode-error" in str(sent.outcomes[0][2])


def test_a_reader_that_takes_no_message_of_that_size_is_told_so(timelines: Open) -> None:
    stage = timelines()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "inbox")
    producer.send(fan_out(1, "rex") + b"\x00\x53\x78\xd1" + (2_000).to_bytes(4, "big") + bytes(2_000), 1)
    stage.turn()
    small = Recorder(0)
    pair.client.receiver("inbox/rex", small, 10, max_message_size=1_000)
    stage.turn()
    assert small.closed == ["amqp:link:message-size-exceeded"]


def test_a_partition_takes_no_message_for_those_of_another(tmp_path: Path) -> None:
    part = Partition.parse("1/2")
    ours = next(name for name in map(str, range(100)) if part.holds(name))
    theirs = next(name for name in map(str, range(100)) if not part.holds(name))
    journal = TimelineJournal(tmp_path / "inbox.sqlite3")
    manifold = TimelineManifold(serving("inbox"), journal, HISTORY, partition=part)
    with contextlib.closing(Stage(manifold)) as stage:
        producer, sent = stage.sender(stage.connect(), "inbox-1-of-2")
        producer.send(fan_out(1, ours), 1)
        producer.send(fan_out(2, f"{ours} {theirs}"), 2)
        stage.turn()
    outcomes = {token: str(why) for token, _, why in sent.outcomes}
    assert outcomes == {
        1: "None",
        2: f"amqp:invalid-field: {theirs!r} is not of partition 1/2, which this is",
    }


# A life of timelines


class Life(RuleBasedStateMachine):
    """Producers who repeat themselves, readers who come, stall and go, and a disk that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = contextlib.ExitStack()
        folder = Path(self.folder.enter_context(tempfile.TemporaryDirectory()))
        self.stage = Timelines(TimelineJournal(folder / "inbox.sqlite3"))
        self.pair = self.stage.connect()
        self.producer, self.sent = self.stage.sender(self.pair, "inbox")
        self.made = 0
        self.readers: list[tuple[str, Receiver, Recorder]] = []

    def _send(self, number: int) -> None:
        if self.producer.credit:
            users = " ".join(user for at, user in enumerate(("rex", "ann", "bo")) if number % (at + 1) == 0)
            self.producer.send(fan_out(number, users, f"ann/{number}\n0/1"), number)

    @rule(count=st.integers(1, 8))
    def send(self, count: int) -> None:
        for _ in range(count):
            if self.producer.credit:
                self._send(self.made)
                self.made += 1

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """As after a loss: the last few come again, in their order."""
        for number in range(data.draw(st.integers(max(0, self.made - 5), self.made - 1)), self.made):
            self._send(number)

    @rule(fails=st.booleans())
    def disk(self, fails: bool) -> None:
        self.stage.disk.error = FULL if fails else None

    @rule(user=st.sampled_from(["rex", "ann", "bo"]), window=st.integers(0, 5))
    def attach(self, user: str, window: int) -> None:
        if len(self.readers) < 4:
            link, handler = self.stage.receiver(self.pair, f"inbox/{user}")
            link.window = window
            self.readers.append((user, link, handler))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), window=st.integers(0, 10))
    def grant(self, data: st.DataObject, window: int) -> None:
        _, link, _ = data.draw(st.sampled_from(self.readers))
        link.window = window

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), release=st.booleans())
    def settle(self, data: st.DataObject, release: bool) -> None:
        _, _, handler = data.draw(st.sampled_from(self.readers))
        for delivery in handler.deliveries:
            delivery.release() if release else delivery.accept()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.readers) - 1))
        user, link, handler = self.readers.pop(at)
        link.close(Condition("bye"))
        self.check(user, handler)

    @rule(seconds=st.sampled_from([0.0, RETRY_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.stage.wait(seconds)

    def check(self, user: str, handler: Recorder) -> None:
        """In order, nothing twice, and told how many were missed in each gap."""
        step = ("rex", "ann", "bo").index(user) + 1
        seen = numbers(handler)
        assert seen == sorted(set(seen))
        before = None
        for data in handler.messages:
            number = number_of(data)
            missed = annotations_in(cut(data).delivery_annotations).get(MISSED, 0)
            if before is not None:
                assert number == before + (missed + 1) * step
            before = number

    def teardown(self) -> None:
        """In the end the last of what was accepted is on each timeline, and everything was."""
        try:
            self.stage.disk.error = None
            self.stage.wait(RETRY_SECONDS)
            assert all(outcome == ACCEPTED for _, outcome, _ in self.sent.outcomes)
            assert {token for token, _, _ in self.sent.outcomes} == set(range(self.made))
            for user, link, handler in self.readers:
                link.window += 100
                self.stage.turn()
                self.check(user, handler)
            for at, user in enumerate(("rex", "ann", "bo")):
                link, handler = self.stage.receiver(self.pair, f"inbox/{user}")
                link.window = 100
                self.stage.turn()
                assert numbers(handler) == list(range(0, self.made, at + 1))[-HISTORY:]
        finally:
            self.stage.close()
            self.folder.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=40)


def test_an_inbox_counts_the_barks_on_their_authors_timelines(tmp_path: Path) -> None:
    stage = Timelines(TimelineJournal(tmp_path / "inbox.sqlite3"))
    stage.manifold.reactor.wall = stage.clock
    producer, _ = stage.sender(stage.connect(), "inbox")

    def counts() -> list[int]:
        stage.clock.now += 1
        state = stage.manifold.state()
        assert state["counted_at"] == int(stage.clock.now)
        return [state[name] for name in ("put_before", "put", "put_again_before", "put_again")]

    # The third is the part of a fan-out that its author is not in, the fourth is no bark's.
    for number, (users, key) in enumerate(
        [("ark3 rex", "ark3/1\n0/1"), ("ark3", "ark3/2\n1/2"), ("rex", "ark3/2\n0/2"), ("ark3", "ark3/3")]
    ):
        producer.send(fan_out(number, users, key), number)
    stage.turn()
    assert counts() == [0, 2, 0, 0]
    producer.send(fan_out(9, "ark3 rex", "ark3/1\n0/1"), 9)
    stage.turn()
    assert counts() == [0, 2, 0, 1]
    stage.disk.error = FULL
    for number, key in (10, "ark3/4\n0/1"), (11, "ark3/1\n0/1"):
        producer.send(fan_out(number, "ark3", key), number)
        stage.turn()
    assert counts() == [0, 2, 0, 1]
    stage.close()
    stage = Timelines(TimelineJournal(tmp_path / "inbox.sqlite3"))
    stage.manifold.reactor.wall = stage.clock
    assert counts() == [2, 2, 1, 1], "what was not committed is not counted"
    stage.close()
