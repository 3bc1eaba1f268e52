"""When what has died is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from barker.core.keeper import FIRST_SECONDS, MOST_DEATHS, MOST_SECONDS, STEADY_SECONDS, Keeper


def test_the_first_death_costs_hardly_anything() -> None:
    keeper = Keeper()
    keeper.started(0.0)
    assert keeper.died(100.0) == FIRST_SECONDS


def test_who_dies_at_once_again_and_again_waits_longer_and_is_left_dead() -> None:
    keeper = Keeper()
    waits = []
    for now in range(MOST_DEATHS):
        keeper.started(float(now))
        waits.append(keeper.died(now + 0.5))
    assert waits == [0.1, 0.2, 0.4, 0.8, None]


def test_forgiven_by_hand_it_may_try_again() -> None:
    keeper = Keeper()
    while keeper.died(0.0) is not None:
        keeper.started(0.0)
    keeper.forgive()
    assert keeper.died(0.0) == FIRST_SECONDS


@given(st.lists(st.floats(STEADY_SECONDS, 1e6), min_size=1, max_size=50))
def test_who_has_worked_is_never_left_dead(lives: list[float]) -> None:
    keeper, now = Keeper(), 0.0
    for lived in lives:
        keeper.started(now)
        now += lived
        assert keeper.died(now) == FIRST_SECONDS


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50))
def test_waits_are_bounded_and_deaths_in_a_row_end_it(lives: list[float]) -> None:
    keeper, now, row = Keeper(), 0.0, 0
    for lived in lives:
        keeper.started(now)
        now += lived
        row = 1 if now - (now - lived) >= STEADY_SECONDS else row + 1
        wait = keeper.died(now)
        if wait is None:
            assert row >= MOST_DEATHS
            return
        assert FIRST_SECONDS <= wait <= MOST_SECONDS
        assert row < MOST_DEATHS
