"""What `barker chaos` breaks, without I/O: which fault befalls whom, when; and what gaps faults have made."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KINDS = ("kill", "restart", "freeze", "fresh", "full")
"""``kill``: SIGKILL, started again within 2 s. ``restart``: SIGTERM, started again at once.
``freeze``: SIGSTOP for 0.1 to 10 s, then SIGCONT. ``fresh``: SIGKILL, started again after 3 to 10 s.
``full``: the disk takes nothing for 0.5 to 6 s."""

SIMULATED_KINDS = (
    *KINDS,
    *("within", "vanish", "power"),
    *("failing", "broken", "read-only", "unreadable", "slow", "flip"),
    *("reset", "cut", "cut from", "cut to", "stalled", "trickle"),
    *("descriptors", "memory", "set clock", "drift"),
)
"""Those of a simulation.

Processes: ``within``: SIGKILL within a turn, started again within 2 s. ``vanish``: its machine is gone
without a word, so that its connections stand until somebody misses it; started again after 1 to 10 s.
``power``: all that run lose power, in the middle of a write, and what is not synced is gone; started
again after 1 to 5 s.

Disks: ``failing``: the next one to three writes fail. ``broken``: all fail, for 3 to 30 s or until the
process is started again. ``read-only``: nothing is written, and no file opened, for 0.5 to 6 s.
``unreadable``: nothing is read, and no file opened, for 0.5 to 6 s. ``slow``: each write takes up to 3 s, for
1 to 10 s. ``flip``: a bit of a journal is another from now on.

Networks: ``reset``: every connection of a process breaks. ``cut``: for 0.1 to 10 s nothing comes from or
to it; ``cut from``, ``cut to``: one way only. ``stalled``: it reads nothing for 0.1 to 10 s, though it
runs. ``trickle``: it reads a few bytes at a time for 1 to 10 s.

Limits: ``descriptors``: it may have no more sockets than it has now, for 0.5 to 10 s. ``memory``: what it
reads, sends or writes may find no memory, for 0.5 to 6 s.

Clocks: ``set clock``: the clock on the wall jumps, by an hour at most. ``drift``: it is a tenth too fast
or too slow at most, for 1 to 30 s."""

BESIDES = frozenset(SIMULATED_KINDS) - {"kill", "restart", "freeze", "fresh", "within", "vanish", "power"}
"""What leaves its victims running: they are hit by others meanwhile."""

RARE = ("flip", "power")
"""Kinds after which much is excused, or much is down: they come :data:`RARE_SHARE` as often as the others."""

RARE_SHARE = 0.3

PAIRS = (("outbox", "outbox"), ("directory", "bizlogic"), ("inbox", "bizlogic"))
"""Kinds of services that are also hit at the same time."""

PAIR_SHARE = 0.15
"""So many of all faults hit two."""

DISKS = (("outbox",), ("inbox",), ("outbox", "inbox"), ("orders",), ("notes",))
"""Kinds of services whose disks are full at the same time, as far as there are such."""

SIMULATED_DISKS = (*DISKS, ("bizlogic",))
"""The same in a simulation, with those who share the users' file: there, each has a disk of its own."""

_OF_DISKS = frozenset(("full", "failing", "broken", "read-only", "unreadable", "slow"))

BROKERED_DISKS = (("inbox",),)
"""The same with a broker: outboxes have no journals then."""

NODE = "node"
"""The kind of a broker's nodes: no two of them are struck at the same time, as a majority has to be there."""

NODE_KINDS = ("kill", "restart", "freeze", "fresh", "cut")
"""What befalls a node: ``restart``: SIGTERM, started again after 5 to 10 s, as it takes its time to end.
``freeze``: for 1 to 12 s. ``cut``: nothing comes from or to it, for 1 to 12 s. The others as above."""

NODE_SHARE = 0.35
"""So many of all faults befall a node, if there are any."""

NODE_SECONDS = 8.0
"""So long after a fault of one no node is struck: it has to be ready, and has to have what it missed."""

_JOURNALS = (("outbox",), ("inbox",))
"""Whose file a bit flips in."""


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
    disks: Sequence[tuple[str, ...]] = DISKS,
) -> list[Fault]:
    """The faults of a run of so many seconds, in order: the same for the same arguments.

    `services`: each service's kind, by its name. `disks`: the kinds of services whose disks are hit. Nobody
    is hit while he is down, and all are up at the end; but who has a full disk is hit as others are, and
    started again with it. With a broker's nodes among them, ``cut`` befalls these alone.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    down_until, full_until = dict.fromkeys(services, 0.0), dict.fromkeys(services, 0.0)
    nodes = [name for name, of in services.items() if of == NODE]
    others = {name: of for name, of in services.items() if of != NODE}
    at = 0.0
    while per_minute:
        at += chance.expovariate(per_minute / 60)
        kind = chance.choice(kinds)
        if kind in RARE and chance.random() >= RARE_SHARE:
            continue
        of_node = bool(nodes) and kind in NODE_KINDS and (kind == "cut" or chance.random() < NODE_SHARE)
        victims: tuple[str, ...]
        if of_node:
            victims = (chance.choice(nodes),)
        elif kind == "power":
            victims = tuple(name for name in services if down_until[name] < at)
        else:
            victims = _victims(chance, others, kind, disks)
        fault = Fault(at, kind, victims, _duration(chance, kind, _NODE_LASTS if of_node else _LASTS))
        if at > seconds:
            return faults
        busy_until = full_until if kind in BESIDES and not of_node else down_until
        if victims and fault.end <= seconds and all(busy_until[name] < at for name in victims):
            faults.append(fault)
            # A moment more: what has been started has to be ready.
            busy, more = (nodes, NODE_SECONDS) if of_node else (victims, 1.0)
            busy_until.update(dict.fromkeys(busy, fault.end + more))
    return faults


def _victims(
    chance: random.Random, services: Mapping[str, str], fault: str, disks: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    groups: Sequence[tuple[str, ...]] = PAIRS
    if fault == "flip":
        groups = _JOURNALS
    elif fault in _OF_DISKS:
        groups = disks
    elif chance.random() >= PAIR_SHARE:
        return (chance.choice(list(services)),)
    victims: list[str] = []
    there = set(services.values())
    for wanted in chance.choice([kinds for kinds in groups if there.issuperset(kinds)]):
        victims.append(
            chance.choice([n for n, kind in services.items() if kind == wanted and n not in victims])
        )
    return tuple(victims)


_LASTS = {
    "kill": (0.0, 2.0),
    "within": (0.0, 2.0),
    "fresh": (3.0, 10.0),
    "vanish": (1.0, 10.0),
    "power": (1.0, 5.0),
    "full": (0.5, 6.0),
    "broken": (3.0, 30.0),
    "read-only": (0.5, 6.0),
    "unreadable": (0.5, 6.0),
    "slow": (1.0, 10.0),
    "trickle": (1.0, 10.0),
    "descriptors": (0.5, 10.0),
    "memory": (0.5, 6.0),
    "drift": (1.0, 30.0),
}
"""How long each kind lasts: least and most, in seconds."""

_NODE_LASTS = {**_LASTS, "restart": (5.0, 10.0), "freeze": (1.0, 12.0), "cut": (1.0, 12.0)}
"""The same for a broker's node."""

_BRIEF = ("freeze", "cut", "cut from", "cut to", "stalled")
"""As many of 0.1 to 1 s as of 1 to 10 s."""


def _duration(chance: random.Random, kind: str, lasts: Mapping[str, tuple[float, float]]) -> float:
    if kind in _BRIEF and kind not in lasts:
        return 0.1 * math.exp(chance.random() * math.log(100))
    return chance.uniform(*lasts.get(kind, (0.0, 0.0)))


class Gap(NamedTuple):
    """How long nothing was delivered, for a kind of fault."""

    alone: float | None
    """The longest such time (seconds) of which only this kind can be the cause; None: there is none."""
    shared: float = 0.0
    """The longest (seconds) of which those of other kinds can be the cause as well; 0: there is none."""
    suspects: tuple[str, ...] = ()
    """Of that one, the labels of all that can be the cause; this kind's, too."""


def longest_gaps(arrivals: Sequence[float], faults: Sequence[Fault], settle: float) -> dict[str, Gap]:
    """For each kind of fault, by its label, how long nothing was delivered while it lasted or just after it.

    `arrivals` in order, in seconds as the faults' times are. A fault can be the cause for up to `settle`
    seconds after its end. When several overlap, it is not known which one was: then each is a suspect.
    """
    starts, ends = arrivals[:-1], arrivals[1:]
    suspects: dict[int, set[str]] = defaultdict(set)
    for fault in faults:
        first, behind = bisect_right(ends, fault.at), bisect_left(starts, fault.end + settle)
        for gap in range(first, behind):
            suspects[gap].add(fault.label)
    found = {fault.label: Gap(None) for fault in faults}
    for gap, labels in suspects.items():
        seconds = ends[gap] - starts[gap]
        for label in labels:
            known = found[label]
            if len(labels) == 1:
                found[label] = known._replace(alone=max(known.alone or 0.0, seconds))
            elif seconds > known.shared:
                found[label] = known._replace(shared=seconds, suspects=tuple(sorted(labels)))
    return found
