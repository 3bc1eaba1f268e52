"""Many simulated runs, one after the other or in several processes, and how far they are.

A long run is several: each has a seed of its own (the next number), so that one that fails is had again by
itself, and nothing grows with the hours.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from barker.amqp.system import clock
from barker.core.errors import BarkerError, Mistake
from barker.core.faults import SIMULATED_KINDS
from barker.sim.plan import Plan
from barker.sim.record import Record
from barker.sim.simulation import Outcome, planned, simulate

RUN_SECONDS = 600.0
"""No run is longer, in virtual seconds."""

LOOK_SECONDS = 0.2
"""How often it is looked how far other processes are."""

TOLD_SHARE = 0.01
"""So much further a run has to be before that is told."""

Show = Callable[[int, float], None]
"""Is told how far a run is: its seed, and the share from 0 to 1."""


class Done(NamedTuple):
    """A run that is over."""

    plan: Plan
    outcome: Outcome
    seconds: float
    """Real ones that it took."""


def rates(texts: tuple[str, ...]) -> float | dict[str, float]:
    """Faults a minute: of all kinds together, as ``20`` says, or of some, as ``kill=10`` and others do.

    :raises Mistake: when it is neither.
    """
    found: dict[str, float] = {}
    for text in texts:
        kind, _, number = text.rpartition("=")
        try:
            rate = float(number)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 10_000:
            raise Mistake(f"--faults {text}: write a number of faults a minute, such as 20 or kill=10")
        if kind and kind not in SIMULATED_KINDS:
            raise Mistake(f"--faults {text}: there is no such fault; there are: {', '.join(SIMULATED_KINDS)}")
        if kind in found or "" in found:
            raise Mistake("--faults: either one number, or one for each kind: kill=10, each kind once")
        found[kind] = rate
    if "" in found and len(found) > 1:
        raise Mistake("--faults: either one number, or one for each kind: kill=10, each kind once")
    return found.get("", found) if found else 20.0


def duration(hours: float | None, minutes: float | None) -> float:
    """Seconds, of so many hours or minutes.

    :raises Mistake: when both are given.
    """
    if hours is not None and minutes is not None:
        raise Mistake("give --hours or --minutes, not both")
    return hours * 3600 if hours is not None else (minutes or 10.0) * 60


def plans(
    seed: int, runs: int, seconds: float, rate: float, faults: float | dict[str, float], **more: Any
) -> list[Plan]:
    """`runs` times so many virtual seconds, in runs that are not too long; the first with this seed.

    `more` as in a plan.
    """
    count = math.ceil(seconds / RUN_SECONDS)
    lengths = [RUN_SECONDS] * (count - 1) + [seconds - RUN_SECONDS * (count - 1)]
    return [
        planned(seed + number, length, rate, faults, **more) for number, length in enumerate(lengths * runs)
    ]


class Far:
    """How far many runs are, all together."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = {plan.seed: plan for plan in plans}
        self._shares: dict[int, float] = {}
        self._faults: Counter[str] = Counter()
        self._begun = clock()
        self.total = sum(plan.seconds for plan in plans)
        """Virtual seconds of all."""
        self.virtual = 0.0
        """Those that have been."""

    @property
    def seconds(self) -> float:
        """Real ones since the beginning."""
        return clock() - self._begun

    def told(self, seed: int, share: float) -> str:
        """This run is so far now: virtual time, speed, and faults until now, in words."""
        plan, before = self._plans[seed], self._shares.get(seed, 0.0)
        self._shares[seed] = share
        since, now = before * plan.seconds, share * plan.seconds
        self.virtual += now - since
        self._faults.update(fault.kind for fault in plan.faults if since < fault.at <= now)
        faults = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self._faults.items()))
        return f"{self.virtual / 3600:.2f} h, {self.virtual / self.seconds:.0f} times real time; {faults}"


def run_all(plans: list[Plan], jobs: int, show: Show, record: Record | None = None) -> Iterator[Done]:
    """Each run, in this order, with `jobs` processes. With one it is this process, and may have a record.

    :raises BarkerError: when one of the processes ends, or makes an error of ours.
    """
    if jobs == 1:
        for plan in plans:
            yield _run(plan, show, record)
        return
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    pool = ProcessPoolExecutor(jobs, context, _begin, (told,))
    try:
        # Not all at once: what is done waits for what was begun before it.
        begun: deque[tuple[Plan, Future[Done]]] = deque()
        left = iter(plans)
        for plan in left:
            begun.append((plan, pool.submit(_run_here, plan)))
            if len(begun) >= 2 * jobs:
                yield _result(*begun.popleft(), told, show)
        while begun:
            yield _result(*begun.popleft(), told, show)
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _result(plan: Plan, future: Future[Done], told: Any, show: Show) -> Done:
    while not wait([future], LOOK_SECONDS).done:
        while not told.empty():
            show(*told.get())
    try:
        return future.result()
    except BrokenProcessPool:
        raise BarkerError(
            f"the process of seed {plan.seed}, or another, has ended: is there memory?"
        ) from None
    except Exception as error:
        raise BarkerError(f"seed {plan.seed}: an error of ours: {error!r}") from error


def _run(plan: Plan, show: Show, record: Record | None = None) -> Done:
    begun, before = clock(), 0.0

    def progress(phase: str, share: float) -> None:
        nonlocal before
        if phase == "faults" and share - before >= TOLD_SHARE:
            before = share
            show(plan.seed, before)

    outcome = simulate(plan, progress, record)
    gc.collect()  # A world is full of circles, which hold more than Python can see: Proton's memory.
    show(plan.seed, 1.0)
    return Done(plan, outcome, clock() - begun)


_told: Any = None
"""Where a process of several says how far it is."""


def _begin(told: Any) -> None:
    global _told
    _told = told
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a word.


def _run_here(plan: Plan) -> Done:
    return _run(plan, lambda seed, share: _told.put((seed, share)))
