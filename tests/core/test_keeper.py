"""When what has died is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from barker.core.keeper import FIRST_SECONDS, MOST_SECONDS, STEADY_SECONDS, Keeper


def test_the_first_death_costs_hardly_anything() -> None:
    keeper = Keeper()
    keeper.started(0.0)
    assert keeper.died(100.0) == FIRST_SECONDS


def test_who_dies_at_once_again_and_again_waits_ever_longer_and_is_never_given_up() -> None:
    keeper = Keeper()
    waits = []
    for now in range(100):
        keeper.started(float(now))
        waits.append(keeper.died(now + 0.5))
    assert waits[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, MOST_SECONDS, MOST_SECONDS]
    assert waits[-1] == MOST_SECONDS
    assert keeper.deaths == 100


def test_forgiven_by_hand_it_is_as_at_first() -> None:
    keeper = Keeper()
    for _ in range(10):
        keeper.started(0.0)
        keeper.died(0.0)
    keeper.forgive()
    assert keeper.died(0.0) == FIRST_SECONDS


@given(st.lists(st.floats(STEADY_SECONDS, 1e6), min_size=1, max_size=50))
def test_who_has_worked_starts_again_at_once(lives: list[float]) -> None:
    keeper, now = Keeper(), 0.0
    for lived in lives:
        keeper.started(now)
        now += lived
        assert keeper.died(now) == FIRST_SECONDS


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50))
def test_waits_are_bounded_and_grow_while_it_does_not_work(lives: list[float]) -> None:
    keeper, now, before = Keeper(), 0.0, 0.0
    for lived in lives:
        keeper.started(now)
        worked = now + lived - now >= STEADY_SECONDS
        now += lived
        wait = keeper.died(now)
        assert FIRST_SECONDS <= wait <= MOST_SECONDS
        assert wait == FIRST_SECONDS if worked else wait >= before
        before = wait
