"""Many simulated runs: what is asked for, and that several processes make of it what one does."""

from __future__ import annotations

from collections import Counter

import pytest

from barker.core.errors import BarkerError, Mistake
from barker.sim.many import RUN_SECONDS, Far, plans, rates, run_all
from barker.sim.plan import Plan
from tests.seed import SEED


@pytest.mark.parametrize(
    ("texts", "found"),
    [((), 20.0), (("7.5",), 7.5), (("0",), 0.0), (("kill=10", "full=0.5"), {"kill": 10.0, "full": 0.5})],
)
def test_rates_are_a_number_or_one_for_each_kind(
    texts: tuple[str, ...], found: float | dict[str, float]
) -> None:
    assert rates(texts) == found


@pytest.mark.parametrize(
    "texts",
    [
        ("x",),
        ("kill=",),
        ("kill=-1",),
        ("nan",),
        ("flood=1",),
        ("3", "kill=2"),
        ("kill=1", "kill=2"),
        ("1", "2"),
    ],
)
def test_other_rates_are_a_mistake(texts: tuple[str, ...]) -> None:
    with pytest.raises(Mistake, match="--faults"):
        rates(texts)


def test_a_long_run_is_several_each_with_the_next_seed() -> None:
    found = plans(5, 2, 2.5 * RUN_SECONDS, 1, 1)
    assert [plan.seed for plan in found] == [5, 6, 7, 8, 9, 10]
    assert [plan.seconds / RUN_SECONDS for plan in found] == [1, 1, 0.5] * 2
    assert found[1] == plans(6, 1, RUN_SECONDS, 1, 1)[0]


def test_each_kind_is_as_frequent_as_was_asked_for() -> None:
    (plan,) = plans(SEED, 1, RUN_SECONDS, 1, {"reset": 30.0, "failing": 10.0, "kill": 0.0})
    count = Counter(fault.kind for fault in plan.faults)
    assert set(count) == {"reset", "failing"}
    assert 1.5 < count["reset"] / count["failing"] < 6


def test_how_far_they_are_is_told_with_the_faults_until_then() -> None:
    found = plans(SEED, 2, 60, 1, 60)
    far = Far(found)
    for plan in found:
        far.told(plan.seed, 0.5)
        told = far.told(plan.seed, 1.0)
    assert far.virtual == far.total == 120
    for kind, count in Counter(fault.kind for plan in found for fault in plan.faults).items():
        assert f"{kind} {count}" in told


def test_two_processes_give_what_one_does_in_the_order_of_seeds() -> None:
    found = plans(SEED, 3, 5, 5, 60)
    one, two = (list(run_all(found, jobs, lambda seed, share: None)) for jobs in (1, 2))
    assert [done.plan.seed for done in two] == [SEED, SEED + 1, SEED + 2]
    assert [done.outcome.digest for done in one] == [done.outcome.digest for done in two]


def test_an_error_in_one_of_several_is_told() -> None:
    broken = Plan(SEED, 1.0, 1.0, authors=0)
    with pytest.raises(BarkerError, match=f"seed {SEED}: an error of ours"):
        list(run_all([broken, broken], 2, lambda seed, share: None))
