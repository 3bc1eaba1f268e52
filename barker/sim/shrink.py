"""A plan that fails, made small: fewer faults, shorter, fewer barks and people, as long as it still fails.

Faults are left out by halves, then quarters and so on (delta debugging: Zeller and Hildebrandt, 2002). What
makes the next tries faster comes first. What fails by luck alone (with less in it something else comes out
that nobody looked for) is made smaller with other luck, and goes on with the luck that has helped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import fields, replace
from typing import Any

from barker.core.faults import Fault
from barker.sim.chance import ALWAYS, PRODUCTION
from barker.sim.plan import LOADS, LOOKERS, MANIFOLDS, Plan

MOMENT = 2.0
"""Virtual seconds that are left after the last fault."""

FEW = 4
"""So many barks are few: that they come less often is not tried any more."""

ENOUGH = 20
"""With so many events no other luck is tried."""

LUCKS = 14
"""So much luck there is, the own one included."""

SOME_TRIES = 3
"""After so many in vain it is left for later what is tried next, which leaves out less."""

PARTS = 8
"""In so many parts barks are left out at most, at one go."""

SOME = 80
"""Of so many barks it is tried which of them are needed."""

SERVICES = {"inboxes": "inbox", "partitions": "bizlogic"}
"""Which services are divided into partitions, by the fields of a plan that say into how many."""

Tries = Generator[Plan, bool | None, None]
"""Plans with less in them; to each it is told whether it fails, too, and the next have still less."""


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 1000, enough: int = 0) -> Plan:
    """The smallest plan found that still fails, with `tries` runs at most; `plan` is one that does.

    One with `enough` events is small enough.
    """
    made = _Made(plan, fails, tries, enough)
    for patience, kinds in ((SOME_TRIES, KINDS), (tries, (*KINDS, _usual_bounds))):
        made.luck = 0
        while made.luck < LUCKS and not made.enough:
            before = made.plan
            for kind in kinds:
                made.smaller(kind, patience)
            if made.plan == before:
                if made.plan.events <= ENOUGH:
                    break
                made.luck += 1
    return made.plan


class _Made:
    """What has been made of a plan, which fails."""

    def __init__(self, plan: Plan, fails: Callable[[Plan], bool], tries: int, enough: int) -> None:
        self.plan = plan
        self.luck = 0
        """With so much else by chance the next ones are tried; 0: with what the plan has by now."""
        self._fails, self._tries, self._enough = fails, tries, enough
        self._tried = {repr(plan)}

    @property
    def enough(self) -> bool:
        """Whether it is small, or has taken long."""
        return self.plan.events <= self._enough or len(self._tried) > self._tries

    def smaller(self, kind: Callable[[Plan], Tries], patience: int) -> None:
        """Try what is of this kind, until so many tries in succession were in vain."""
        tries, failed, vain = kind(self.plan), None, 0
        while vain < patience and not self.enough:
            try:
                plan = replace(tries.send(failed), seed=self.plan.seed + self.luck)
            except StopIteration:
                return
            failed = self._try(plan)
            vain = 0 if failed else vain + 1

    def _try(self, plan: Plan) -> bool:
        if repr(plan) in self._tried:
            return False  # It would be the same run again.
        self._tried.add(repr(plan))
        failed = self._fails(plan)
        if failed:
            self.plan, self.luck = plan, 0
        return failed


def _usual_bounds(plan: Plan) -> Tries:
    """Those of production, all together or else one by one; but for those that make a run fast."""
    fast = {name: getattr(plan.bounds, name) for name in ALWAYS}
    usual = replace(PRODUCTION, **fast)
    if plan.bounds == usual or (yield replace(plan, bounds=usual)):
        return
    for field in fields(PRODUCTION):
        bound = getattr(usual, field.name)
        if getattr(plan.bounds, field.name) != bound:
            other = replace(plan, bounds=replace(plan.bounds, **{field.name: bound}))
            plan = other if (yield other) else plan


def _fewer_loads(plan: Plan) -> Tries:
    """Without what clients do besides barking, and what befalls a manifold that is for that alone."""
    for load in (*LOADS, *LOOKERS):
        if getattr(plan, load):
            gone = f"{MANIFOLDS.get(load)}-1"
            faults = [fault for fault in plan.faults if gone not in fault.names]
            without: dict[str, Any] = {load: 0, "faults": faults}
            other = replace(plan, **without)
            plan = other if (yield other) else plan


def _shorter(plan: Plan) -> Tries:
    """Ending sooner, without the faults that come then; and without what comes before the first one."""
    for share in (0.25, 0.5, 0.75):
        end = plan.seconds * share
        other = replace(plan, seconds=end, faults=[fault for fault in plan.faults if fault.end <= end])
        if (yield other):
            plan = other
            break
    end = max((fault.end for fault in plan.faults), default=0.0) + MOMENT
    if end < plan.seconds:
        other = replace(plan, seconds=end)
        plan = other if (yield other) else plan
    begin = min((fault.at for fault in plan.faults), default=0.0) - MOMENT
    if begin > 0:
        skipped = int(begin * plan.rate)
        yield replace(
            plan,
            seconds=plan.seconds - begin,
            faults=[replace(fault, at=fault.at - begin) for fault in plan.faults],
            first=max(0, plan.first - skipped),
            most=max(1, plan.most - skipped),
        )


def _fewer_besides(plan: Plan) -> Tries:
    """Of other messages, without the first half or the last one, the first quarter or the last one, …"""
    size = plan.besides // 2
    while size:
        for from_the_end in (True, False):
            while plan.besides:
                first = plan.first_besides
                most = min(plan.most_besides, first + plan.besides)
                if size >= most - first:
                    break
                first, most = (first, most - size) if from_the_end else (first + size, most)
                other = replace(plan, first_besides=first, most_besides=most)
                if not (yield other):
                    break
                plan = other
        size //= 2


def _fewer_people(plan: Plan) -> Tries:
    """Fewer who bark and read, and fewer partitions of them: what befell the others befalls who is left."""
    for name in ("authors", "readers", "inboxes", "partitions"):
        for fewer in (1, getattr(plan, name) // 2):
            if 0 < fewer < getattr(plan, name):
                fewer_of: dict[str, Any] = {name: fewer}
                other = replace(plan, faults=_moved(plan, name, fewer), **fewer_of)
                plan = other if (yield other) else plan


def _moved(plan: Plan, name: str, fewer: int) -> list[Fault]:
    """The faults, when there are so much fewer partitions: of another one, the same one of its services."""
    kind = SERVICES.get(name)
    if kind is None:
        return plan.faults
    partitions = getattr(plan, name)

    def left(service: str) -> str:
        own, _, number = service.rpartition("-")
        rank, partition = divmod(int(number) - 1, partitions)
        return f"{own}-{rank * fewer + partition % fewer + 1}" if own == kind else service

    return [replace(fault, names=tuple(dict.fromkeys(map(left, fault.names)))) for fault in plan.faults]


def _fewer_faults(plan: Plan) -> Tries:
    """None of them; without a half; without a quarter, …, without any one."""
    size = len(plan.faults)
    while size:
        at = 0
        while at < len(plan.faults):
            other = replace(plan, faults=plan.faults[:at] + plan.faults[at + size :])
            if (yield other):
                plan = other
            else:
                at += size
        size //= 2


def _fewer_barks(plan: Plan) -> Tries:
    """None; less often; without the first half or the last one, the first quarter or the last one, …"""
    none = replace(plan, most=plan.first)
    if plan.barks and (yield none):
        return
    while plan.barks > FEW:
        other = replace(plan, rate=plan.rate / 2, first=plan.first // 2, most=(plan.most + 1) // 2)
        if not (yield other):
            break
        plan = other
    size = plan.barks // 2
    while size and size * PARTS >= plan.barks:
        for from_the_end in (True, False):
            while plan.barks > size:
                left = plan.barks - size
                begin = plan.first if from_the_end else plan.first + size
                other = replace(plan, first=begin, most=begin + left)
                if not (yield other):
                    break
                plan = other
        size //= 2
    yield from _without_some(plan)


def _without_some(plan: Plan) -> Tries:
    """Of few barks, any may be left out."""
    size = plan.barks // 2 if plan.barks <= SOME else 0
    while size and size * PARTS >= plan.barks:
        at = 0
        while at < plan.barks:
            other = replace(plan, left_out=plan.left_out + plan.numbers[at : at + size])
            if plan.barks > size and (yield other):
                plan = other
            else:
                at += size
        size //= 2


def _simpler_faults(plan: Plan) -> Tries:
    """Each for a shorter time, and of one alone that befalls two."""
    if any(fault.seconds > MOMENT for fault in plan.faults):
        other = replace(plan, faults=[replace(fault, seconds=fault.seconds / 2) for fault in plan.faults])
        plan = other if (yield other) else plan
    for at, fault in enumerate(plan.faults):
        for simpler in _simpler(fault):
            other = replace(plan, faults=[*plan.faults[:at], simpler, *plan.faults[at + 1 :]])
            if (yield other):
                plan = other
                break


def _simpler(fault: Fault) -> list[Fault]:
    return [replace(fault, names=(name,)) for name in fault.names] if len(fault.names) > 1 else []


KINDS = (
    _fewer_loads,
    _shorter,
    _fewer_faults,
    _fewer_barks,
    _fewer_besides,
    _fewer_people,
    _simpler_faults,
)
"""What is tried, in this order."""
