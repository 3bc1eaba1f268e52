"""What a load takes, on paper: the arithmetic, and the queues that check it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.broker import STREAM_BYTES
from benchmarks.costs import read_costs
from benchmarks.sizing import (
    GB,
    TWITTER_2012,
    BrokerCosts,
    Costs,
    Demand,
    Need,
    Passing,
    Prices,
    needs,
    parts,
    served,
    simulate,
    through,
)

COSTS = Costs(15, 7, 7, 0.02, 17, 0.15, 100, 600, 220, 160, 24)
BROKER = BrokerCosts(Passing(150, 0.01, 900, 3, 2_000), Passing(60, 0.005, 300, 3, 500), 400e6)
BROKERED = dataclasses.replace(COSTS, broker=BROKER)


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


@pytest.mark.parametrize("costs", [COSTS, BROKERED])
@pytest.mark.parametrize("times", [1, 10])
def test_nobody_is_busier_than_was_asked_and_the_queues_say_so_too(times: float, costs: Costs) -> None:
    demand = TWITTER_2012.times(times)
    need = needs(demand, costs, 0.5, 32e9)
    for kind in need.values():
        assert kind.load <= 0.5
    assert need["inbox"].memory <= 32e9 * need["inbox"].processes
    waited = simulate(demand, costs, need, 20_000 / demand.barks)
    assert waited.busy.keys() == need.keys()
    for kind, busy in waited.busy.items():
        assert busy == pytest.approx(need[kind].load, rel=0.3)
    assert waited.seconds["p50"] < waited.seconds["p99"] < waited.seconds["most_followed"]


def test_ten_times_the_load_takes_no_more_than_somewhat_more_than_ten_times() -> None:
    """More inboxes are more parts for each bark."""
    one, ten = (needs(TWITTER_2012.times(times), COSTS, 0.5, 32e9) for times in (1, 10))
    for kind in one:
        assert 10 <= ten[kind].busy / one[kind].busy * 1.001 <= 14


# A broker between the services

SMALL = Demand(1_000, 0, 0, 1_000, 25, 0)
"""Everybody barks to nobody but himself: each bark is one part, with one name."""


def test_what_goes_through_a_broker_by_hand() -> None:
    """1,000 barks/s of 300 bytes: once through a queue, and with a name of 10 bytes once through a stream."""
    broker = needs(SMALL, BROKERED, 0.5, 32e9, node_cores=4)["broker"]
    assert broker.busy == pytest.approx(1e-6 * 1_000 * (150 + 300 * 0.01 + 60 + 310 * 0.005))
    assert (broker.processes, broker.cores) == (3, 4)
    assert broker.written == pytest.approx(1_000 * (900 + 300 * 3 + 300 + 310 * 3))
    # Of 3 nodes each has all. Two of three who send, or take from a queue, are connected to a follower.
    copied = (2 + 2 / 3) * 610_000 + 2 / 3 * 300_000
    assert broker.between == pytest.approx(2 * copied)
    assert broker.traffic == pytest.approx(2 * 610_000 + broker.between)
    assert broker.memory == pytest.approx(3 * 400e6)


def test_a_stream_keeps_a_week_or_what_it_may() -> None:
    few, many = (
        needs(dataclasses.replace(SMALL, barks=barks), BROKERED, 0.9, 32e9)["broker"].disk
        for barks in (1, 1_000)
    )
    assert few == pytest.approx(3 * 7 * 86_400 * 310)
    assert many == 3 * STREAM_BYTES


def test_barks_that_go_together_cost_the_broker_less() -> None:
    together = dataclasses.replace(BROKERED, broker=dataclasses.replace(BROKER, together=10))
    alone, ten = (needs(SMALL, costs, 0.5, 32e9)["broker"].busy for costs in (BROKERED, together))
    assert alone / 10 < ten < alone / 5


def test_a_bark_takes_as_long_as_a_broker_does_when_it_is_alone() -> None:
    """With hardly any load: each work once, and the time through a queue, and a stream."""
    demand = dataclasses.replace(SMALL, barks=10)
    need = needs(demand, BROKERED, 0.5, 32e9)
    work = 15 + 150 + 300 * 0.01 + 7 + 7 + 0.02 + 60 + 310 * 0.005 + 17 + 0.15
    waited = simulate(demand, BROKERED, need, 100)
    assert waited.seconds["p50"] == pytest.approx(1e-6 * (work + 2_000 + 500), rel=1e-3)


def test_one_queue_is_no_faster_with_more_processors() -> None:
    """Whoever has one bizlogic has one queue, for which one processor works."""
    costs = dataclasses.replace(
        BROKERED, broker=dataclasses.replace(BROKER, queue=Passing(1_200, 0, 0, 0, 0))
    )
    need = needs(SMALL, costs, 0.5, 32e9, node_cores=16)
    assert need["broker"].load < 0.1
    assert simulate(SMALL, costs, need, 20).seconds["p50"] > 1


def test_a_replica_more_takes_as_much_more_at_the_same_time() -> None:
    assert Passing(10, 0.5, 100, 2, 700).times(3) == Passing(30, 1.5, 300, 6, 700)


def test_a_month_is_paid_for_by_processor_memory_and_disk() -> None:
    need = Need(2, 1.0, 5 * GB, 0, cores=4, disk=100 * GB)
    assert Prices(20, 3, 0.1).of(need) == pytest.approx(8 * 20 + 5 * 3 + 100 * 0.1)


def test_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    plain, brokered = map(dataclasses.asdict, (COSTS, BROKERED))
    file.write_text(json.dumps({"costs": plain, "broker": {"costs": brokered}}))
    assert read_costs(file) == {None: COSTS, "broker": BROKERED}
    file.write_text(json.dumps({"costs": plain}))
    assert read_costs(file) == {None: COSTS}
