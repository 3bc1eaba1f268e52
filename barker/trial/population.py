"""Whom `barker chaos` breaks, and who barks and reads meanwhile.

The suite is the one that the launcher starts, but for timelines that are long enough to hold the whole run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from barker.core.faults import KINDS, Fault
from barker.store.social import FILE_NAME, Users
from barker.suite.child import Child
from barker.suite.ports import free_offset
from barker.suite.shape import Shape, numbered, plan

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

    def __init__(
        self,
        data: Path,
        population: Population,
        history: int,
        inboxes: int,
        tls: Path | None = None,
        partitions: int = 1,
    ) -> None:
        """`history`: how many barks a timeline holds; `tls`: the folder with certificates, with TLS.

        `partitions`: into how many authors are divided.
        """
        population.write(data)
        offset = free_offset()
        self.shape = Shape(
            port_offset=offset,
            inboxes=inboxes,
            partitions=partitions,
            autobarks=0,
            data=data,
            log_level="error",
            tls=tls,
        )
        self.children: dict[str, Child] = {}
        self._full: set[str] = set()
        for name, program in numbered(plan(self.shape)).items():
            if program.kind == "inbox":
                at = program.arguments.index("--history") + 1
                arguments = (*program.arguments[:at], str(history), *program.arguments[at + 1 :])
                program = dataclasses.replace(program, arguments=arguments)
            self.children[name] = Child(program)

    def strike(self, fault: Fault) -> None:
        """A fault begins."""
        if fault.kind == "full":
            self._full.update(fault.names)
        for name in fault.names:
            if fault.kind == "full":
                self._limit(name)
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
        """End all processes."""
        for child in reversed(self.children.values()):
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)
        for child in reversed(self.children.values()):
            child.wait(STOP_SECONDS)
