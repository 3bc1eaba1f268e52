"""A plan that fails, made small: fewer faults, shorter, fewer barks and people, as long as it still fails.

Faults are left out by halves, then quarters and so on (delta debugging: Zeller and Hildebrandt, 2002). What
makes the next tries faster comes first. What fails by luck alone (with less in it something else comes out
that nobody looked for) is made smaller with other luck.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import fields, replace
from typing import Any

from barker.core.faults import Fault
from barker.sim.chance import ALWAYS, PRODUCTION
from barker.sim.plan import LOADS, MANIFOLDS, Plan

MOMENT = 2.0
"""Virtual seconds that are left after the last fault."""

FEW = 4
"""So many barks are few: that they come less often is not tried any more."""

ENOUGH = 20
"""With so many events no other luck is tried."""

LUCKS = 3
"""So often it is, at most."""

PARTS = 8
"""In so many parts barks are left out at most, at one go."""

SOME = 80
"""Of so many barks it is tried which of them are needed."""

Tries = Generator[Plan, bool, None]
"""Plans with less in them; to each it is told whether it fails, too, and the next have still less."""


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 200, enough: int = 0) -> Plan:
    """The smallest plan found that still fails, with `tries` runs at most; `plan` is one that does.

    One with `enough` events is small enough.
    """
    others = 0
    while tries > 0 and others < LUCKS:
        before = plan
        for kind in KINDS:
            smaller, failed = kind(plan), None
            while tries > 0:
                try:
                    candidate = smaller.send(failed) if failed is not None else next(smaller)
                except StopIteration:
                    break
                failed = False
                if candidate != plan:
                    if plan.events <= enough:
                        return plan
                    tries -= 1
                    candidate = replace(candidate, seed=candidate.seed + others)
                    failed = fails(candidate)
                    plan = candidate if failed else plan
        if plan == before:
            if plan.events <= ENOUGH:
                break
            others += 1
    return plan


def _usual_bounds(plan: Plan) -> Tries:
    """Those of production, all together or else one by one; but for those that make a run fast."""
    fast = {name: getattr(plan.bounds, name) for name in ALWAYS}
    if (yield replace(plan, bounds=replace(PRODUCTION, **fast))):
        return
    for field in fields(PRODUCTION):
        if field.name in ALWAYS:
            continue
        usual = getattr(PRODUCTION, field.name)
        if getattr(plan.bounds, field.name) != usual:
            other = replace(plan, bounds=replace(plan.bounds, **{field.name: usual}))
            plan = other if (yield other) else plan


def _fewer_loads(plan: Plan) -> Tries:
    """Without what clients do besides barking, and what befalls a manifold that is for that alone."""
    for load in LOADS:
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
    for name in ("authors", "readers", "inboxes"):
        for fewer in (1, getattr(plan, name) // 2):
            if 0 < fewer < getattr(plan, name):
                fewer_of: dict[str, Any] = {name: fewer}
                other = replace(plan, **fewer_of)
                plan = other if (yield other) else plan


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
    """Less often; without the first half or the last one, the first quarter or the last one, …"""
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
    _usual_bounds,
)
"""What is tried, in this order."""
