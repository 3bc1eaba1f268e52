"""What the monitor says is lost or there twice, against what has become of each bark in simulated runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from barker.core.balance import Balance
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.sim import simulation
from barker.sim.simulation import planned, simulate
from barker.sim.suite import SimulatedSuite
from tests.seed import SEED
from tests.sim.mutants import MUTANTS


class Watched(SimulatedSuite):
    """A suite that is asked once a second, as the monitor's agents are."""

    told: dict[str, Any]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.balance = Balance()
        self.world.after(1.0, self.ask)

    def ask(self) -> None:
        reports = []
        for name, child in self.children.items():
            process = child.simulated.process
            # Who is in the middle of a turn answers after it; here it has done already all that it does then.
            answers = not child.simulated.frozen and self.world.now >= child.simulated._busy_until
            if isinstance(process, QueueManifold | TimelineManifold) and answers:
                own = {"name": name, "pid": child.simulated._number, "host": "h"}
                reports.append(own | process.state())
        Watched.told = self.balance.update(reports)
        self.world.after(1.0, self.ask)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(simulation, "SimulatedSuite", Watched)
    Watched.told = {}
    return Watched


@pytest.mark.parametrize("inboxes", [1, 3])
def test_no_fault_makes_it_say_that_a_bark_is_lost_or_twice(watched: type[Watched], inboxes: int) -> None:
    plan = planned(SEED, 20, 5, 90, inboxes=inboxes)
    # What a bit that flips has damaged may be lost.
    outcome = simulate(replace(plan, faults=[fault for fault in plan.faults if fault.kind != "flip"]))
    assert outcome.wrong == []
    told = watched.told
    assert (told["lost"], told["twice"]) == (0, 0), f"seed {SEED}, {inboxes} inboxes: {told}"
    assert told["delivered"] > 0


def test_barks_that_a_bug_loses_are_said_to_be_lost(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS["an_inbox_that_is_full_is_passed_over"](monkeypatch)
    outcome = simulate(planned(SEED, 5, 5, 0))
    assert watched.told["lost"] > 0, watched.told
    assert outcome.wrong
