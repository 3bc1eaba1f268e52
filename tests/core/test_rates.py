"""How often an author may bark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.errors import LimitExceeded
from barker.core.rates import FORGET_AT, Rates


def taken(rates: Rates, author: str, now: float, tries: int) -> int:
    """How many of so many barks at once are taken."""
    count = 0
    for _ in range(tries):
        try:
            rates.check(author, now)
        except LimitExceeded:
            continue
        count += 1
    return count


def test_a_second_may_come_at_once_and_then_as_many_as_time_makes() -> None:
    rates = Rates(10)
    assert taken(rates, "rex", 0.0, 50) == 10
    assert taken(rates, "rex", 0.5, 50) == 5
    assert taken(rates, "rex", 100.0, 50) == 10


def test_one_who_barks_too_often_costs_the_others_nothing() -> None:
    rates = Rates(10)
    taken(rates, "rex", 0.0, 50)
    assert taken(rates, "ann", 0.0, 50) == 10


def test_less_than_one_a_second() -> None:
    rates = Rates(0.1)
    assert taken(rates, "rex", 0.0, 5) == 1
    with pytest.raises(LimitExceeded, match=r"may do so 0\.1 times a second here; send it again in 5 s"):
        rates.check("rex", 5.0)
    assert taken(rates, "rex", 10.0, 5) == 1


def test_none_is_no_limit() -> None:
    rates = Rates(0)
    assert taken(rates, "rex", 0.0, 10_000) == 10_000


def test_authors_whose_time_has_passed_are_forgotten() -> None:
    rates = Rates(10)
    for number in range(50 * FORGET_AT):
        rates.check(f"user{number}", number / 1_000)
    # A bark is forgotten after a tenth of a second, in which there are a hundred.
    assert len(rates) <= FORGET_AT


@given(st.lists(st.floats(0.0, 0.5), max_size=200), st.integers(1, 20))
def test_never_more_than_a_second_above_the_rate(pauses: list[float], most: int) -> None:
    rates, now, count = Rates(most), 0.0, 0
    for pause in pauses:
        now += pause
        count += taken(rates, "rex", now, 1)
        assert count <= most * (1 + now) + 1e-3
