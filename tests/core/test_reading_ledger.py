"""What is found wrong with what readers see: each wrong is planted, and must be found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.reading_ledger import ReadingLedger, astray
from barker.core.timelines import Timelines


def written(count: int, history: int = 5) -> ReadingLedger:
    ledger = ReadingLedger(history)
    for number in range(count):
        assert ledger.next("news") == number
        ledger.accept("news")
    ledger.attached("news", "link", ledger.accepted_on("news"))
    return ledger


def test_the_history_then_what_comes_is_right() -> None:
    ledger = written(8)
    for number in range(3, 8):
        ledger.came("link", number, 0)
    assert (ledger.judge(), ledger.left, ledger.seen) == ([], 0, 5)


def test_what_is_missed_and_told_is_right() -> None:
    ledger = written(12)
    ledger.came("link", 7, 0)
    ledger.came("link", 11, 3)
    assert (ledger.judge(), ledger.missed) == ([], 3)


@pytest.mark.parametrize(
    "seen",
    [
        [(2, 0)],  # Older than the history.
        [(4, 0)],  # Not all of it.
        [(3, 0), (3, 0)],
        [(3, 0), (4, 0), (3, 0)],
        [(3, 0), (5, 0)],
        [(3, 0), (5, 2)],
        [(3, 0), (4, 1)],
    ],
)
def test_what_should_not_be_seen_is_found(seen: list[tuple[int, int]]) -> None:
    ledger = written(8)
    for number, missed in seen:
        ledger.came("link", number, missed)
    assert ledger.wrong


def test_who_has_not_seen_all_is_found_while_the_link_stands() -> None:
    ledger = written(8)
    ledger.came("link", 3, 0)
    assert ledger.left == 4
    assert len(ledger.judge()) == 1
    ledger.ended("link")
    assert (ledger.left, ledger.judge()) == (0, [])


def test_what_a_link_has_shown_is_the_beginning_of_the_timeline() -> None:
    assert astray("", "abc") is None
    assert astray("ab", "abc") is None
    assert astray("abb", "abc") == 2
    assert astray("abcd", "abc") == 3
    assert astray("b", "abc") == 0


@given(st.lists(st.sampled_from(["write", "read", "come"]), max_size=60), st.integers(1, 4))
def test_what_timelines_do_is_right(steps: list[str], history: int) -> None:
    ledger, timelines = ReadingLedger(history), Timelines[int](history)
    cursor, link = None, 0
    for step in steps:
        if step == "write":
            number = ledger.next("news")
            timelines.deliver(number, b"%d" % number, timelines.audience("news"))
            ledger.accept("news")
        elif step == "come" or cursor is None:
            link += 1
            cursor = timelines.follow("news", link)
            ledger.attached("news", link, ledger.accepted_on("news"))
        elif (found := cursor.read()) is not None:
            message, missed = found
            ledger.came(link, int(message.data), missed)
    assert ledger.wrong == []
