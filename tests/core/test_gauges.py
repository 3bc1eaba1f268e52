"""Rates and latencies over the last ten seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.gauges import WINDOW_SECONDS, AtSecond, Latencies, Peak, Rate


def test_a_rate_needs_two_samples() -> None:
    assert Rate().update(5.0, 1000) == 0


def test_a_steady_rate_is_told_exactly() -> None:
    rate = Rate()
    assert [rate.update(float(second), 7 * second) for second in range(30)][1:] == [7.0] * 29


def test_a_rate_forgets_what_is_older_than_its_window() -> None:
    rate = Rate()
    for second in range(20):
        rate.update(float(second), 1000)
    for second in range(20, 32):
        told = rate.update(float(second), 1000 + 5 * (second - 19))
    assert told == 5.0


def test_a_rate_may_be_of_the_last_second_alone() -> None:
    rate = Rate(0)
    assert [rate.update(second, total) for second, total in [(0.0, 0), (1.0, 50), (3.0, 50), (3.5, 80)]] == [
        0,
        50,
        0,
        60,
    ]


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_a_rate_is_between_the_slowest_and_the_fastest_second(steps: list[int]) -> None:
    rate, total = Rate(), 0
    for second, step in enumerate(steps):
        total += step
        told = rate.update(float(second), total)
    recent = steps[1:][-int(WINDOW_SECONDS) :]
    assert min(recent) <= told <= max(recent) + 1e-9


def test_no_latencies_no_percentiles() -> None:
    assert Latencies().percentiles(0.0, 0.5, 0.99) == [None, None]


def test_latencies_are_forgotten_after_the_window() -> None:
    latencies = Latencies()
    latencies.add(1.0, 5.0)
    assert latencies.percentiles(5.0, 0.5) != [None]
    assert latencies.percentiles(1.0 + WINDOW_SECONDS + 2, 0.5) == [None]


def test_old_latencies_are_not_among_those_of_now() -> None:
    latencies = Latencies()
    latencies.add(1.5, 8.0)
    latencies.add(3.5, 0.001)
    assert latencies.percentiles(3.6, 0.9) == [8.0]
    assert latencies.percentiles(3.6, 0.9, seconds=1) == [pytest.approx(0.001, rel=0.09)]
    assert latencies.percentiles(5.6, 0.9, seconds=1) == [None]


@given(
    st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])
)
def test_percentiles_are_right_to_nine_per_cent(values: list[float], share: float) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add(3.0, value)
    (told,) = latencies.percentiles(3.0, share)
    rank = max(1, -int(-share * len(values) // 1))
    assert told == pytest.approx(sorted(values)[rank - 1], rel=0.09)


def test_a_peak_is_seen_in_its_second_and_the_next() -> None:
    peak = Peak()
    peak.update(5.0, 3)
    peak.update(5.5, 40)
    peak.update(5.6, 0)
    assert [peak.highest(now) for now in (5.7, 6.9, 7.0)] == [40, 40, 0]


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 1000)), min_size=1, max_size=50))
def test_a_peak_is_the_highest_of_what_there_was_lately(steps: list[tuple[float, int]]) -> None:
    peak, now = Peak(), 0.0
    values: list[tuple[float, int]] = []
    for wait, value in steps:
        now += wait
        peak.update(now, value)
        values.append((now, value))
    lately = [value for when, value in values if int(when) >= int(now) - 1]
    assert peak.highest(now) == max(lately)


def test_what_a_value_was_when_the_second_began() -> None:
    count = 0
    value = AtSecond(lambda: count, 4.3)
    assert value.at(4.9) == (0, 0), "there may have been more or less before"
    assert value.at(5.95) == (5, 0)
    for now, count_then in ((6.2, 3), (6.9, 7)):
        value.at(now)
        count = count_then
    assert value.at(6.99) == (6, 0)
    assert value.at(7.4) == (7, 7)
    value.at(7.5)
    count = 8
    assert value.at(7.6) == (7, 7)
    assert value.at(60.0) == (60, 8)
