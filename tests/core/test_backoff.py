"""How long to wait before the next try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.backoff import Backoff


def most() -> float:
    return 1.0


def least() -> float:
    return 0.0


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(first=0.1, most=0.5)
    assert [backoff.next(most) for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_chance_shortens_a_wait_but_never_under_a_tenth() -> None:
    backoff = Backoff(first=0.1, most=0.4)
    assert [backoff.next(least) for _ in range(4)] == pytest.approx([0.01, 0.02, 0.04, 0.04])


def test_what_the_try_took_is_waited_for_already() -> None:
    backoff = Backoff(first=0.1, most=0.5)
    waits = [backoff.next(most, spent) for spent in (0.05, 0.3, 0.3, 0.0)]
    assert waits == pytest.approx([0.05, 0, 0.1, 0.5])


def test_after_a_reset_the_first_wait_is_the_first_again() -> None:
    backoff = Backoff(first=0.1, most=5)
    for _ in range(4):
        backoff.next(most)
    backoff.reset()
    assert [backoff.next(most) for _ in range(2)] == pytest.approx([0.1, 0.2])


def test_clients_that_failed_together_do_not_come_back_together() -> None:
    chances = [at / 100 for at in range(100)]
    waits = {Backoff().next(lambda chance=chance: chance) for chance in chances}
    assert len(waits) == 100


CHANCES = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40)


@given(st.floats(0.001, 1), st.floats(1, 100), CHANCES)
def test_a_wait_is_never_nothing_and_never_above_the_limit(
    first: float, limit: float, chances: list[float]
) -> None:
    backoff = Backoff(first, limit)
    for chance in chances:
        assert 0 < first * 0.1 <= backoff.next(lambda chance=chance: chance) <= limit
