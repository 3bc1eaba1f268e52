"""What fails is made small: what is tried for it, and what of that counts as failing still."""

from __future__ import annotations

import pytest

from barker.core.faults import Fault
from barker.sim.plan import Plan
from barker.sim.shrink import shrink
from barker.sim.simulation import fails_like, simulate
from barker.sim.suite import programs
from barker.suite.shape import Shape
from tests.seed import SEED
from tests.sim.mutants import MUTANTS


def kills(count: int) -> list[Fault]:
    """One after the other, of three outboxes in turn."""
    return [Fault(float(at), "kill", (f"outbox-{1 + at % 3}",), 1.0) for at in range(count)]


def test_the_smallest_is_found_of_many_faults() -> None:
    faults = kills(40)
    guilty = {faults[7], faults[31]}
    small = shrink(Plan(1, faults=faults), lambda plan: guilty <= set(plan.faults))
    assert set(small.faults) == guilty
    assert small.seconds == faults[31].end + 2
    assert (small.authors, small.readers) == (1, 1)


def test_of_what_is_needed_nothing_is_left_out_and_of_all_else_everything() -> None:
    plan = Plan(1, follows=1.0, work=1.0, notes=1.0, lookers=2, faults=kills(40))
    small = shrink(plan, lambda plan: plan.work > 0)
    assert (small.work, small.barks, small.faults) == (1.0, 0, [])
    assert (small.follows, small.notes, small.lookers) == (0, 0, 0)


def test_no_run_is_had_twice() -> None:
    faults, runs = kills(40), []

    def fails(plan: Plan) -> bool:
        runs.append(repr(plan))
        return faults[7] in plan.faults and plan.barks > 100

    shrink(Plan(1, faults=faults), fails)
    assert len(runs) == len(set(runs))


def test_with_the_luck_that_helped_it_goes_on() -> None:
    faults = kills(8)
    small = shrink(Plan(1, faults=faults), lambda plan: plan.seed == 2 and faults[5] in plan.faults)
    assert (small.seed, small.faults, small.barks, small.authors) == (2, [faults[5]], 0, 1)


def test_what_cannot_be_smaller_keeps_its_luck() -> None:
    faults = kills(30)
    small = shrink(Plan(1, seconds=faults[-1].end, faults=faults), lambda plan: plan.faults == faults)
    assert (small.seed, small.faults) == (1, faults)


@pytest.mark.parametrize(
    ("befell", "befalls"),
    [
        (("inbox-3",), ("inbox-1",)),
        (("bizlogic-2",), ("bizlogic-1",)),
        (("bizlogic-5", "outbox-2"), ("bizlogic-2", "outbox-2")),
        (("bizlogic-1", "bizlogic-3"), ("bizlogic-1",)),
    ],
)
def test_with_fewer_inboxes_and_partitions_faults_befall_who_is_left(
    befell: tuple[str, ...], befalls: tuple[str, ...]
) -> None:
    plan = Plan(1, inboxes=4, partitions=3, faults=[Fault(5.0, "kill", befell, 1.0)])

    def fails(plan: Plan) -> bool:
        there = programs(Shape(inboxes=plan.inboxes, partitions=plan.partitions))
        assert all(name in there for fault in plan.faults for name in fault.names)
        return [len(fault.names) for fault in plan.faults] >= [len(befalls)]

    small = shrink(plan, fails)
    assert (small.inboxes, small.partitions) == (1, 1)
    assert [fault.names for fault in small.faults] == [befalls]


def test_what_fails_for_another_reason_is_another_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(SEED, 5.0, 5.0)
    nobody = Plan(SEED, 5.0, 5.0, [Fault(3.0, "kill", ("inbox-2",), 1.0)])
    astray = simulate(nobody)
    assert "KeyError('inbox-2')" in astray.wrong[0]
    MUTANTS["an_inbox_that_is_full_is_passed_over"](monkeypatch)
    lost = simulate(plan)
    assert lost.broken == {"lost"}
    assert fails_like(lost)(plan)
    assert not fails_like(astray)(plan)
    monkeypatch.undo()
    assert fails_like(astray)(nobody)
    assert not fails_like(lost)(nobody)
