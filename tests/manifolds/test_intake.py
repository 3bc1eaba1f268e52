"""What becomes of arrivals when the journal does not take them, and how much is granted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from barker.amqp._proton import ACCEPTED
from barker.amqp.reactor import Reactor
from barker.amqp.system import System
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import Damaged, StorageError
from barker.manifolds.intake import KEPT_BYTES, RETRY_SECONDS, Intake, Producer
from tests.amqp.pair import Pair, Recorder

FULL = StorageError("the disk is full")


class Stage:
    """An intake with producers, whose owner commits to `disk`; it raises `error` if there is one."""

    def __init__(self, most: int = 1 << 62) -> None:
        self.damage: list[Damaged] = []
        self.now = 0.0
        self.reactor = Reactor("test", System(lambda: self.now))
        self.intake: Intake[bytes] = Intake(self.reactor, self.damage.append, most)
        self.pair = Pair(lambda link: Producer(self.intake, lambda data: data))
        self.disk: list[bytes] = []
        self.error: Exception | None = None
        self.sent = 0

    def close(self) -> None:
        self.reactor.close()

    def turn(self) -> None:
        self.pair.pump()
        arrivals = self.intake.take()
        if self.error is not None:
            self.intake.fail(arrivals, self.error)
        elif arrivals:
            self.disk += [arrival.what for arrival in arrivals]
            self.intake.accept(arrivals)
        self.pair.pump()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.reactor.call_due()

    def send(self, link: Any, count: int = 1, size: int = 1) -> None:
        for _ in range(count):
            link.send(b"%d" % self.sent * size, self.sent)
            self.sent += 1


@pytest.fixture
def stages() -> Iterator[Callable[..., Stage]]:
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(contextlib.closing(Stage(*arguments)))


def accepted(handler: Recorder) -> list[int]:
    return sorted(token for token, outcome, _ in handler.outcomes if outcome == ACCEPTED)


def test_what_a_full_disk_does_not_take_is_kept_in_its_place_and_tried_again(
    stages: Callable[..., Stage], caplog: pytest.LogCaptureFixture
) -> None:
    stage = stages()
    link, handler, _, _ = stage.pair.sender()
    stage.error = FULL
    stage.send(link, 3)
    stage.turn()
    assert stage.intake.resting
    stage.error = None
    stage.send(link, 3)  # They were granted before, and must not overtake.
    stage.turn()
    assert (stage.disk, handler.outcomes) == ([], [])
    stage.wait(RETRY_SECONDS)
    stage.turn()
    assert stage.disk == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert accepted(handler) == [0, 1, 2, 3, 4, 5]
    assert [record.message for record in caplog.records] == [
        "the disk is full",
        "the disk takes it again: messages are accepted",
    ]
    assert not stage.damage


def test_while_the_disk_fails_no_credit_is_granted_and_it_is_told_once(
    stages: Callable[..., Stage], caplog: pytest.LogCaptureFixture
) -> None:
    stage = stages()
    link, handler, _, _ = stage.pair.sender()
    stage.error = FULL
    stage.send(link, DEFAULT_BOUNDS.window)
    for _ in range(3):
        stage.turn()
        stage.wait(RETRY_SECONDS)
    assert link.credit == 0
    late, _, _, _ = stage.pair.sender("another")
    assert late.credit == 0
    assert len(caplog.records) == 1
    stage.error = None
    stage.turn()
    assert len(accepted(handler)) == DEFAULT_BOUNDS.window
    assert (link.credit, late.credit) == (DEFAULT_BOUNDS.window, DEFAULT_BOUNDS.window)


def test_who_brings_too_much_for_a_disk_that_fails_is_sent_away_and_comes_back(
    stages: Callable[..., Stage],
) -> None:
    stage = stages()
    link, handler, _, _ = stage.pair.sender()
    stage.error = FULL
    stage.send(link)
    stage.turn()
    megabytes = KEPT_BYTES // 2**20
    for _ in range(megabytes + 1):
        if link.credit:
            link.send(bytes(2**20), "large")
        stage.pair.pump()
    assert handler.closed == ["amqp:resource-limit-exceeded"]
    stage.error = None
    stage.wait(RETRY_SECONDS)
    stage.turn()
    assert len(stage.disk) == megabytes, "what was kept before is committed, and may come again"
    link, handler, _, _ = stage.pair.sender("once more")
    stage.send(link)
    stage.turn()
    assert handler.outcomes == [(1, ACCEPTED, None)]


def test_behind_damage_nothing_is_taken_any_more(stages: Callable[..., Stage]) -> None:
    stage = stages()
    link, handler, _, _ = stage.pair.sender()
    stage.error = Damaged("j.sqlite3", "malformed", "start again")
    stage.send(link)
    stage.turn()
    assert stage.damage == [stage.error]
    stage.error = None
    stage.wait(10 * RETRY_SECONDS)
    stage.turn()
    assert (stage.disk, handler.outcomes) == ([], [])


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError()])
def test_a_bug_in_a_commit_ends_the_links_it_was_for_and_no_others(
    stages: Callable[..., Stage], error: Exception
) -> None:
    stage = stages()
    link, handler, _, _ = stage.pair.sender("one")
    _, other, _, _ = stage.pair.sender("another")
    stage.error = error
    stage.send(link)
    stage.turn()
    assert (handler.closed, other.closed) == (["amqp:internal-error"], [])
    stage.error = None
    link, handler, _, _ = stage.pair.sender("once more")
    stage.send(link)
    stage.turn()
    assert handler.outcomes == [(1, ACCEPTED, None)]


def test_producers_share_what_there_is_room_for(stages: Callable[..., Stage]) -> None:
    stage = stages(1_000)
    links = [stage.pair.sender(f"producer {number}")[0] for number in range(40)]
    credits = [link.credit for link in links]
    assert credits[0] == 500
    assert min(credits) == 1, "nobody waits for others who say nothing"
    assert sum(credits) <= 1_000 + len(links)


def test_at_its_most_nothing_is_granted_until_a_tenth_is_gone(stages: Callable[..., Stage]) -> None:
    stage = stages(1_000)
    link, _, _, _ = stage.pair.sender()
    stage.intake.stored(1_000)
    stage.send(link, link.credit)
    stage.turn()
    assert link.credit == 0
    stage.intake.stored(901)
    stage.pair.pump()
    assert link.credit == 0
    stage.intake.stored(900)
    stage.pair.pump()
    assert link.credit == 50


def test_what_was_granted_to_who_has_left_is_there_for_others(stages: Callable[..., Stage]) -> None:
    stage = stages(1_000)
    for number in range(40):
        link, _, _, _ = stage.pair.sender(f"producer {number}")
        assert link.credit == 500
        link.close()
        stage.pair.pump()


def test_a_window_of_batches_is_smaller(stages: Callable[..., Stage]) -> None:
    stage = stages()
    pair = Pair(lambda link: Producer(stage.intake, lambda data: data, batches=True))
    link = pair.client.sender("x", Recorder(), batches=True)
    pair.pump()
    assert link.credit == DEFAULT_BOUNDS.batches_window
