"""Whom `barker chaos` breaks, and who barks and reads meanwhile.

The suite is the one that the launcher starts, but for timelines that are long enough to hold the whole run;
with a broker, that may be broken too (`nodes.py`).
"""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from barker.core.errors import BarkerError
from barker.core.faults import BROKERED_DISKS, DISKS, KINDS, Fault, schedule
from barker.store.social import FILE_NAME, Users
from barker.suite.child import Child
from barker.suite.shape import Shape, numbered, plan
from barker.trial.nodes import Node

READERS_OF_EACH = 3
"""How many readers follow each author."""

STOP_SECONDS = 10.0
"""How long a service may take to end when it is told to."""

SIGNALS = {
    "kill": signal.SIGKILL,
    "fresh": signal.SIGKILL,
    "restart": signal.SIGTERM,
    "freeze": signal.SIGSTOP,
}
"""What a service is sent when a fault begins."""

FAULTS = KINDS if sys.platform == "linux" else tuple(kind for kind in KINDS if kind != "full")
"""What can befall a service here: the disk of one process alone is full by a means that only Linux has."""


class Population:
    """Who barks and who reads: every author has some readers, and reads himself."""

    def __init__(self, authors: int, readers: int, chance: random.Random, others: Sequence[str] = ()) -> None:
        """`others`: users besides, who follow nobody."""
        self.others = others
        self.authors = [f"author{number}" for number in range(authors)]
        self.readers = [f"reader{number}" for number in range(readers)]
        count = min(READERS_OF_EACH, readers)
        self.follows = [
            (reader, author) for author in self.authors for reader in chance.sample(self.readers, count)
        ]

    def write(self, data: Path) -> None:
        """Make the users' file in `data`."""
        with contextlib.closing(Users(data / FILE_NAME, create=True)) as users:
            users.add((*self.authors, *self.others), self.follows)

    def due(self) -> dict[str, set[str]]:
        """Whose barks are due on each timeline."""
        due: dict[str, set[str]] = {author: {author} for author in self.authors}
        for reader, author in self.follows:
            due.setdefault(reader, set()).add(author)
        return due


class Victims:
    """The processes that are broken."""

    def __init__(self, shape: Shape, population: Population, nodes: Iterable[Node] = ()) -> None:
        """`nodes` of the broker, if there is one and it is to be broken too."""
        population.write(shape.data)
        self.shape = shape
        self.nodes = {f"node-{number}": node for number, node in enumerate(nodes, 1)}
        """Those of the broker, by name."""
        services = {name: Child(program) for name, program in numbered(plan(shape)).items()}
        self.children: dict[str, Child] = {**self.nodes, **services}
        self._full: set[str] = set()

    def schedule(self, seed: int, seconds: float, per_minute: float) -> list[Fault]:
        """What befalls them within so many seconds, as far as it can here."""
        kinds = [*FAULTS, "cut"] if any(node.can_be_cut for node in self.nodes.values()) else FAULTS
        disks = DISKS if self.shape.broker is None else BROKERED_DISKS
        services = {name: child.program.kind for name, child in self.children.items()}
        return schedule(seed, services, seconds, per_minute, kinds, disks)

    def strike(self, fault: Fault) -> None:
        """A fault begins."""
        if fault.kind == "full":
            self._full.update(fault.names)
        for name in fault.names:
            if fault.kind == "full":
                self._limit(name)
            elif fault.kind == "cut":
                self.nodes[name].cut_off()
            else:
                self.children[name].signal(SIGNALS[fault.kind])

    def heal(self, fault: Fault) -> None:
        """A fault ends."""
        if fault.kind == "full":
            self._full.difference_update(fault.names)
        for name in fault.names:
            child = self.children[name]
            if fault.kind == "freeze":
                child.signal(signal.SIGCONT)
            elif fault.kind == "cut":
                self.nodes[name].join()
            elif fault.kind != "full":
                child.wait(STOP_SECONDS)
                child.start()
            self._limit(name)

    def _limit(self, name: str) -> None:
        """Let a process write no file while its disk is full, or as it likes: no mounts and no root needed.

        Each write fails (EFBIG); what is there can be read, and be deleted.
        """
        if sys.platform == "linux" and self.children[name].runs:
            # It may have died, and this is not to be about that.
            with contextlib.suppress(ProcessLookupError):
                pid = self.children[name].pid
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if name in self._full else hard, hard))

    def dead(self) -> str:
        """Who has ended without being told to; empty if nobody has."""
        ended = ((name, child.ended()) for name, child in self.children.items())
        return ", ".join(f"{name} {how}" for name, how in ended if how)

    def end(self) -> None:
        """End all processes; the broker after those who need it."""
        for node in self.nodes.values():
            with contextlib.suppress(BarkerError):
                node.join()
        services = [child for name, child in self.children.items() if name not in self.nodes]
        for children in (services, self.nodes.values()):
            for child in reversed(children):
                child.signal(signal.SIGTERM)
                child.signal(signal.SIGCONT)
            for child in reversed(children):
                child.wait(STOP_SECONDS)
