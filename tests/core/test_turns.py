"""Whom a process asks first, of several who do the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from barker.core.turns import Turns


def test_all_are_asked_in_the_order_in_which_they_were_given() -> None:
    assert list(Turns("abc")) == ["a", "b", "c"]


def test_the_first_that_fails_is_asked_last() -> None:
    turns = Turns("abc")
    turns.failed("a")
    assert list(turns) == ["b", "c", "a"]


def test_that_one_has_failed_which_is_not_first_changes_nothing() -> None:
    turns = Turns("abc")
    for _ in range(3):  # As when many searches have waited for it at the same time.
        turns.failed("b")
    assert list(turns) == ["a", "b", "c"]


def test_there_may_be_none() -> None:
    turns = Turns("")
    turns.failed("a")
    assert not list(turns)


@given(st.integers(1, 5), st.data())
def test_a_search_always_asks_each_once_and_does_not_begin_with_the_last_that_failed(
    count: int, data: st.DataObject
) -> None:
    turns = Turns(range(count))
    for one in data.draw(st.lists(st.integers(0, count - 1))):
        under_way = iter(turns)
        turns.failed(one)
        assert sorted(turns) == sorted(under_way) == list(range(count))
        assert count == 1 or next(iter(turns)) != one


@given(st.integers(2, 5), st.data())
def test_with_one_that_works_it_is_first_when_each_of_the_others_has_failed_once(
    count: int, data: st.DataObject
) -> None:
    turns, works = Turns(range(count)), data.draw(st.integers(0, count - 1))
    searches = 0
    while (first := next(iter(turns))) != works:
        turns.failed(first)
        searches += 1
    assert searches < count
