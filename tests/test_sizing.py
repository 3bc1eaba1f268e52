"""What a load takes, on paper: the arithmetic, and the queues that check it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sizing import TWITTER_2012, Costs, needs, parts, served, simulate, through

COSTS = Costs(15, 7, 7, 0.02, 17, 0.15, 100, 600, 220)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_queue_waits_as_long_as_theory_says(load: float) -> None:
    """Poisson arrivals and equal work: load / (2 (1 - load)) of the work, in the mean (Pollaczek)."""
    count = 400_000
    arrivals = np.cumsum(np.random.default_rng(7).exponential(1 / load, count))
    waited = served(arrivals, np.ones(count)) - arrivals - 1
    assert waited.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.05)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(1, 9)), min_size=1))
def test_each_server_does_one_after_the_other(jobs: list[tuple[int, int, int]]) -> None:
    jobs.sort(key=lambda job: job[1])
    where, arrivals, work = (np.array(column, dtype=float) for column in zip(*jobs, strict=True))
    left, busy = through(where.astype(int), 4, arrivals, work)
    assert busy == work.sum()
    free = dict.fromkeys(range(4), 0.0)
    for (server, arrival, takes), when in zip(jobs, left, strict=True):
        free[server] = max(free[server], arrival) + takes
        assert when == pytest.approx(free[server])


def test_names_are_in_no_more_partitions_than_there_are_of_either() -> None:
    assert parts(1, 50) == pytest.approx(1)
    assert parts(10**6, 50) == pytest.approx(50)
    assert 1 < parts(10, 50) < 10


@pytest.mark.parametrize("times", [1, 10])
def test_nobody_is_busier_than_was_asked_and_the_queues_say_so_too(times: float) -> None:
    demand = TWITTER_2012.times(times)
    need = needs(demand, COSTS, 0.5, 32e9)
    for kind in need.values():
        assert kind.busy <= 0.5 * kind.processes
    assert need["inbox"].memory <= 32e9 * need["inbox"].processes
    waited = simulate(demand, COSTS, need, 20_000 / demand.barks)
    for kind, busy in waited.busy.items():
        assert busy == pytest.approx(need[kind].busy / need[kind].processes, rel=0.3)
    assert waited.seconds["p50"] < waited.seconds["p99"] < waited.seconds["most_followed"]


def test_ten_times_the_load_takes_no_more_than_somewhat_more_than_ten_times() -> None:
    """More inboxes are more parts for each bark."""
    one, ten = (needs(TWITTER_2012.times(times), COSTS, 0.5, 32e9) for times in (1, 10))
    for kind in one:
        assert 10 <= ten[kind].busy / one[kind].busy * 1.001 <= 14
