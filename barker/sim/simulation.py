"""One simulated run: a suite, clients that bark and read, faults; and what is found wrong."""

from __future__ import annotations

import logging
import math
import random
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from barker.core.access import OPERATOR
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import BarkerError
from barker.core.faults import SIMULATED_DISKS, SIMULATED_KINDS, schedule
from barker.sim.chance import chosen
from barker.sim.loads import manifolds, workloads
from barker.sim.plan import UNSURE_LOADS, Plan, loads_beside
from barker.sim.record import Record
from barker.sim.simulated import OutOfMemory, Simulated
from barker.sim.suite import SimulatedSuite, programs
from barker.sim.world import World
from barker.suite.shape import Shape
from barker.trial.follows import Follows
from barker.trial.population import Population
from barker.trial.run import Run

TICK_SECONDS = 0.05
"""How often the clients bark, and faults are due, in virtual seconds."""

CLIENT_SECONDS = 0.005
"""So long the clients, which are many in one process, wait for more before they do what is to be done."""

EACH_SECONDS = 2.0
"""How often processes are looked at, and how far all is, in virtual seconds."""

MOMENT = 3.0
"""So long after the clients have ended nothing is on its way any more."""

PATIENCE = 600.0
"""So many virtual seconds after its last fault a run has to be over."""

BUSY_SECONDS = 6
"""Who goes in circles is as busy for so long, in virtual seconds."""

MOST_EVENTS, MOST_OF_A_BARK = 4_000, 200
"""In each of those so much may happen, and so much more for each bark/s: several times what does."""


@dataclass(slots=True)
class Outcome:
    """What became of a run."""

    figures: dict[str, Any]
    wrong: list[str]
    """What is found wrong; nothing, if all promises were kept."""
    broken: frozenset[str]
    """Of which kinds the promises are that were not; and of which kind errors of ours."""
    digest: str
    """A hash of all bytes that were sent."""
    seconds: float
    """Virtual seconds that it took."""
    events: int
    bytes: int
    besides: dict[str, int]
    """How much clients did besides barking, by what it is."""


def planned(
    seed: int, seconds: float, rate: float, per_minute: float | Mapping[str, float], **more: Any
) -> Plan:
    """A run with faults and bounds by chance: `per_minute` of all kinds, or so many of each that is named.

    `more` as in a plan.
    """
    sorts: Sequence[str] = SIMULATED_KINDS
    if isinstance(per_minute, Mapping):
        hundredths = {kind: round(each * 100) for kind, each in per_minute.items()}
        divisor = math.gcd(*hundredths.values()) or 1
        # Chance takes one of them: those that are to be more often stand there more often.
        sorts = [kind for kind, count in hundredths.items() for _ in range(count // divisor)]
        per_minute = sum(hundredths.values()) / 100
    loads = UNSURE_LOADS if more.get("sync") == "normal" else loads_beside(rate)
    plan = Plan(seed, seconds, rate, bounds=chosen(seed), **{**loads, **more})
    shape = Shape(inboxes=plan.inboxes, partitions=plan.partitions, autobarks=0)
    kinds = {name: program.kind for name, program in programs(shape, *manifolds(plan)).items()}
    faults = schedule(seed, kinds, seconds, per_minute, sorts, SIMULATED_DISKS) if per_minute else []
    return replace(plan, faults=faults)


def simulate(
    plan: Plan,
    show: Callable[[str, float], None] = lambda phase, share: None,
    record: Record | None = None,
) -> Outcome:
    """Run it. `show(phase, share)` is told how far each phase is; `record`, all that happens."""
    with tempfile.TemporaryDirectory(prefix="barker-sim-", dir=_memory()) as folder, _Bugs() as bugs:
        world = World(plan.seed)
        world.record = record
        chance = random.Random(plan.seed)
        others = Follows.users() if plan.follows else []
        population = Population(plan.authors, plan.readers, chance, others)
        history = int(plan.rate * plan.seconds) + 1000
        suite = SimulatedSuite(
            world,
            Path(folder),
            population,
            history,
            plan.inboxes,
            plan.partitions,
            plan.bounds,
            manifolds(plan),
            plan.sync,
            plan.tls,
        )
        run: list[Run] = []

        def client(system: Any, disk: object) -> Any:
            run.append(
                Run(
                    suite,
                    population,
                    plan.rate,
                    plan.seconds,
                    plan.faults,
                    tick_seconds=TICK_SECONDS,
                    look_seconds=EACH_SECONDS,
                    first=plan.first,
                    most=plan.most,
                    left_out=frozenset(plan.left_out),
                    system=system,
                    credentials=suite.credentials(OPERATOR),
                )
            )
            run[0].workloads += workloads(plan, suite, run[0])
            run[0].begin(show)
            return _Client(run[0], world.stop)

        # With another's patience they would give up services that are well.
        bounds = replace(DEFAULT_BOUNDS, idle_seconds=plan.bounds.idle_seconds)
        clients = Simulated(suite.network, "clients", client, bounds, wake_seconds=CLIENT_SECONDS)
        clients.start()
        seen: dict[str, str] = {}
        counts: deque[int] = deque(maxlen=1 + round(BUSY_SECONDS / EACH_SECONDS))
        most = (MOST_EVENTS + MOST_OF_A_BARK * plan.rate) * BUSY_SECONDS

        def look() -> None:
            seen.update(suite.look())
            counts.append(world.events)
            busy = counts[-1] - counts[0]
            if busy > most:
                run[0].fail(f"something goes in circles: {busy} events within {BUSY_SECONDS} s")
            world.after(EACH_SECONDS, look)

        look()
        world.run(plan.seconds + PATIENCE)
        world.run(world.now + MOMENT)  # The clients' last words are on their way.
        verdict = run[0].judge(suite.excused)
        error = run[0].error
        wrong = {} if error is None else {str(error): str(error).partition(":")[0]}
        wrong |= bugs.found | seen | suite.look_at_last()
        if clients.runs:
            wrong[f"not over {PATIENCE:g} s after the last fault"] = "not over"
            clients.kill()
        world.record = None  # The end of the run is nothing that befalls it.
        suite.end()
        return Outcome(
            run[0].figures(verdict, plan.seed),
            [*wrong, *verdict.examples],
            frozenset(wrong.values()) | verdict.broken,
            world.digest,
            world.now,
            world.events,
            world.bytes,
            run[0].besides(),
        )


def fails_like(outcome: Outcome) -> Callable[[Plan], bool]:
    """Whether a run breaks a promise of a kind that this one has broken: any other is another failure.

    An error of ours is the same one if it comes of the same place.
    """
    return lambda plan: not outcome.broken.isdisjoint(simulate(plan).broken)


def figures_of(plan: Plan, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """What is known of a run that took so many real seconds."""
    names = ("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange", "others", "excused")
    return {
        "seed": plan.seed,
        "kept": not outcome.wrong,
        "wrong": outcome.wrong,
        "virtual_seconds": round(outcome.seconds, 3),
        "seconds": round(seconds, 3),
        "times_real_time": round(outcome.seconds / seconds, 1),
        "events": outcome.events,
        "bytes": outcome.bytes,
        "digest": outcome.digest,
        "faults": len(plan.faults),
        "by_fault": dict(sorted(Counter(fault.kind for fault in plan.faults).items())),
        **{name: outcome.figures[name] for name in names},
        "besides": outcome.besides,
    }


class _Client:
    """The run's clients, as a process."""

    def __init__(self, run: Run, ended: Callable[[], None]) -> None:
        self.reactor, self._ended = run.reactor, ended
        self._error: BarkerError | None = None

    def on_stop(self) -> None:
        """Nothing more is to happen."""
        self._ended()


class _Bugs(logging.Handler):
    """Collects errors of ours, while it lasts."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: dict[str, str] = {}
        """What they are, and of which kind."""

    def emit(self, record: logging.LogRecord) -> None:
        _, error, where = record.exc_info or (None, None, None)
        if error is not None and not isinstance(error, OutOfMemory):
            place = traceback.extract_tb(where)[-1].name
            self.found[f"{record.getMessage()}: {error!r}"] = f"{type(error).__name__} in {place}"

    def __enter__(self) -> _Bugs:
        self._logger = logging.getLogger("barker")
        self._before = self._logger.propagate, self._logger.level
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._logger.setLevel(logging.ERROR)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate, level = self._before
        self._logger.setLevel(level)


def _memory() -> str | None:
    """A folder in memory, where there is one: the disks are simulated, and need not be slow."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
