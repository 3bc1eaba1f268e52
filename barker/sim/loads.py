"""What the clients of a simulated run do besides barking, as its plan says, and what that takes."""

from __future__ import annotations

import random
from collections.abc import Iterator

from barker.sim.plan import Plan
from barker.sim.suite import NOTES, NOTES_HISTORY, ORDERS, SimulatedSuite
from barker.store.social import FILE_NAME
from barker.suite.shape import Program
from barker.trial.follows import Follows
from barker.trial.reading import Lookers, Notes
from barker.trial.run import Run
from barker.trial.work import Work
from barker.trial.workload import Chances, Workload


def manifolds(plan: Plan) -> list[Program]:
    """The manifolds that it takes."""
    return [*([ORDERS] if plan.work else []), *([NOTES] if plan.notes else [])]


def workloads(plan: Plan, suite: SimulatedSuite, run: Run) -> Iterator[Workload]:
    """The workloads of a run; each has chances of its own: without one of them, the others do the same."""
    network, shape = run.network, suite.shape
    which = range(plan.first_besides, plan.most_besides)

    def chances(load: str) -> Chances:
        return lambda name: random.Random(f"{plan.seed} {load}: {name}")

    if plan.follows:
        file = suite.data / FILE_NAME
        yield Follows(network, chances("follows")("saying"), file, plan.follows, which)
    if plan.work:
        agent = f"agents/{shape.host}-{ORDERS.port}"
        yield Work(network, chances("work"), ORDERS.kind, agent, plan.work, which, plan.bounds.idle_seconds)
    if plan.notes:
        yield Notes(network, chances("notes"), NOTES.kind, NOTES_HISTORY, plan.notes, which)
    if plan.lookers:
        people = [*run.population.readers, *run.population.authors][: plan.lookers]
        yield Lookers(network, chances("lookers"), people, run.timelines, lambda: suite.excused)
