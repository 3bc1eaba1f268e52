"""A plan that fails, made small: fewer faults, shorter, fewer barks and people, as long as it still fails.

Faults are left out by halves, then quarters and so on (delta debugging: Zeller and Hildebrandt, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from barker.core.faults import Fault
from barker.sim.plan import LOADS, MANIFOLDS, Plan

MOMENT = 2.0
"""Virtual seconds that are left after the last fault."""


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 150) -> Plan:
    """The smallest plan found that still fails, with `tries` runs at most; `plan` is one that does."""
    left = tries
    while left > 0:
        for smaller in _smaller(plan):
            left -= 1
            if fails(smaller):
                plan = smaller
                break
            if left <= 0:
                break
        else:
            break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with less in them, the smallest first."""
    end = max((fault.end for fault in plan.faults), default=0.0) + MOMENT
    if end < plan.seconds:
        yield replace(plan, seconds=end)
    for faults in _fewer(plan.faults):
        yield replace(plan, faults=faults)
    for load in LOADS:
        if getattr(plan, load):
            gone = f"{MANIFOLDS.get(load)}-1"
            faults = [fault for fault in plan.faults if gone not in fault.names]
            without: dict[str, Any] = {load: 0, "faults": faults}
            yield replace(plan, **without)
    for part in (2, 4, 8, plan.barks):
        if plan.barks >= part > 1:
            few = plan.barks // part
            yield replace(plan, first=plan.first + plan.barks - few)
            yield replace(plan, most=plan.first + few)
            yield replace(plan, first=plan.first + few)
            yield replace(plan, most=plan.first + plan.barks - few)
    if any(fault.seconds > MOMENT for fault in plan.faults):
        yield replace(plan, faults=[replace(fault, seconds=fault.seconds / 2) for fault in plan.faults])
    if plan.authors > 1:
        yield replace(plan, authors=plan.authors // 2)
    if plan.readers > 1:
        yield replace(plan, readers=plan.readers // 2)
    for at, fault in enumerate(plan.faults):
        if len(fault.names) > 1:
            for name in fault.names:
                one = replace(fault, names=(name,))
                yield replace(plan, faults=[*plan.faults[:at], one, *plan.faults[at + 1 :]])


def _fewer(faults: list[Fault]) -> Iterator[list[Fault]]:
    """None of them, each half, all but each quarter, …, all but each one."""
    if faults:
        yield []
    parts = 2
    while parts <= 2 * len(faults) and len(faults) > 1:
        size = max(1, len(faults) // parts)
        for begin in range(0, len(faults), size):
            rest = faults[:begin] + faults[begin + size :]
            if rest:
                yield rest
        if size == 1:
            return
        parts *= 2
