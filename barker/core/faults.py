"""What `barker chaos` breaks, without I/O: which fault befalls whom, when; and what gaps faults have made."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

KINDS = ("kill", "restart", "freeze", "fresh", "full")
"""``kill``: SIGKILL, started again within 2 s. ``restart``: SIGTERM, started again at once.
``freeze``: SIGSTOP for 0.1 to 10 s, then SIGCONT. ``fresh``: SIGKILL, started again after 3 to 10 s.
``full``: the disk takes nothing for 0.5 to 6 s."""

SIMULATED_KINDS = (*KINDS, "within", "failing", "reset", "cut", "set clock")
"""Those of a simulation. ``within``: SIGKILL within a turn, started again within 2 s. ``failing``: the next
one to three writes to a disk fail. ``reset``: every connection of a process breaks. ``cut``: for 0.1 to 10 s
nothing comes from or to it. ``set clock``: the clock on the wall jumps, by an hour at most."""

BESIDES = frozenset(("full", "failing", "reset", "cut", "set clock"))
"""What leaves its victims running: they are hit by others meanwhile."""

PAIRS = (("outbox", "outbox"), ("directory", "bizlogic"), ("inbox", "bizlogic"))
"""Kinds of services that are also hit at the same time."""

PAIR_SHARE = 0.15
"""So many of all faults hit two."""

DISKS = (("outbox",), ("inbox",), ("outbox", "inbox"), ("orders",), ("notes",))
"""Kinds of services whose disks are full at the same time, as far as there are such."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that befalls one service, or two at once."""

    at: float
    """When, in seconds after the start."""
    kind: str
    names: tuple[str, ...]
    seconds: float
    """How long until they are started again, or thawed, or have room."""

    @property
    def end(self) -> float:
        """When they are started again, or thawed, or have room."""
        return self.at + self.seconds

    @property
    def label(self) -> str:
        """What it is, without numbers: ``kill bizlogic``, ``freeze directory and bizlogic``."""
        return f"{self.kind} {' and '.join(name.partition('-')[0] for name in self.names)}"


def schedule(
    seed: int,
    services: Mapping[str, str],
    seconds: float,
    per_minute: float,
    kinds: Sequence[str] = KINDS,
) -> list[Fault]:
    """The faults of a run of so many seconds, in order: the same for the same arguments.

    `services`: each service's kind, by its name. Nobody is hit while he is down, and all are up at the end;
    but who has a full disk is hit as others are, and started again with it.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    down_until, full_until = dict.fromkeys(services, 0.0), dict.fromkeys(services, 0.0)
    at = 0.0
    while True:
        at += chance.expovariate(per_minute / 60)
        kind = chance.choice(kinds)
        fault = Fault(at, kind, _victims(chance, services, kind), _duration(chance, kind))
        if fault.end > seconds:
            return faults
        busy_until = full_until if kind in BESIDES else down_until
        if all(busy_until[name] < at for name in fault.names):
            faults.append(fault)
            # A moment more: what has been started has to be ready.
            busy_until.update(dict.fromkeys(fault.names, fault.end + 1.0))


def _victims(chance: random.Random, services: Mapping[str, str], fault: str) -> tuple[str, ...]:
    disks = fault in ("full", "failing")
    if not disks and chance.random() >= PAIR_SHARE:
        return (chance.choice(list(services)),)
    victims: list[str] = []
    there = set(services.values())
    for wanted in chance.choice([kinds for kinds in (DISKS if disks else PAIRS) if there.issuperset(kinds)]):
        victims.append(
            chance.choice([n for n, kind in services.items() if kind == wanted and n not in victims])
        )
    return tuple(victims)


def _duration(chance: random.Random, kind: str) -> float:
    if kind in ("freeze", "cut"):
        return 0.1 * math.exp(chance.random() * math.log(100))  # As many of 0.1 to 1 s as of 1 to 10 s.
    lasts = {"kill": (0.0, 2.0), "within": (0.0, 2.0), "fresh": (3.0, 10.0), "full": (0.5, 6.0)}
    return chance.uniform(*lasts.get(kind, (0.0, 0.0)))


def longest_gaps(arrivals: Iterable[float], faults: Iterable[Fault], settle: float) -> dict[str, float]:
    """For each kind of fault, the longest time (seconds) without a delivery while it lasted or just after it.

    `arrivals` in order. A fault is held responsible for up to `settle` seconds after its end; when several
    overlap, each is for the same gap.
    """
    gaps = [(b - a, a, b) for a, b in itertools.pairwise(arrivals)]
    found: dict[str, float] = {}
    for fault in faults:
        within = [gap for gap, start, end in gaps if end > fault.at and start < fault.end + settle]
        found[fault.label] = max([found.get(fault.label, 0.0), *within])
    return found
