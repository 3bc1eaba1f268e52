"""Which of a peer's addresses are tried, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from barker.core.attempts import FIRST_SECONDS, MOST_SECONDS, Attempts


def test_one_who_is_silent_is_asked_again_beside_the_first_time_and_ever_later() -> None:
    attempts, begun, at = Attempts(["a"]), [], 0.0
    while at < 2:
        begun.append((attempts.next(), at))
        at += attempts.patience()
    assert begun == [("a", at) for at in (0, 0.25, 0.75, 1.25, 1.75)]


def test_the_next_address_is_tried_before_the_first_again() -> None:
    attempts = Attempts("abc")
    assert [attempts.next() for _ in range(7)] == [*"abcabca"]


def test_who_has_refused_is_not_asked_again() -> None:
    attempts = Attempts("abc")
    assert [attempts.next() for _ in range(2)] == [*"ab"]
    attempts.refused("a")
    assert attempts.untried
    assert [attempts.next() for _ in range(3)] == [*"cbc"]
    assert not attempts.untried


def test_it_is_over_when_all_have_refused() -> None:
    attempts = Attempts("ab")
    for address in "ab":
        assert not attempts.over
        assert attempts.next() == address
        attempts.refused(address)
    assert attempts.over
    assert not attempts.untried


@given(st.integers(1, 5), st.data())
def test_all_addresses_are_tried_as_often_as_each_other_and_waits_are_bounded(
    count: int, data: st.DataObject
) -> None:
    attempts, tried = Attempts(range(count)), dict.fromkeys(range(count), 0)
    while tried and max(tried.values()) < 4:
        tried[attempts.next()] += 1
        assert max(tried.values()) - min(tried.values()) <= 1
        assert FIRST_SECONDS <= attempts.patience() <= MOST_SECONDS
        for address in data.draw(st.sets(st.sampled_from([one for one in tried if tried[one]]))):
            del tried[address]
            attempts.refused(address)
    assert attempts.over == (not tried)
