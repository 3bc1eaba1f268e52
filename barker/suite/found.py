"""Which suites run on this machine, told by its processes: launched here, from another folder, or by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from barker.amqp.system import Seen

LAUNCHERS = ("launcher", "launch", "launch-no-bizlogic", "up")
"""What a launcher is called: the module, the scripts, the command."""

SERVICES = ("directory", "gateway", "manifold", "bizlogic", "autobark", "monitor")
"""What it starts, or somebody by hand."""


@dataclass(frozen=True, slots=True)
class Found:
    """A directory that runs, or several, and what was started with it."""

    directory: str
    """Where it is, as HOST:PORT; of several, with commas between them."""
    launcher: int
    """The launcher's process id; 0: it was started by hand."""
    data: Path | None
    """The folder with its data; None: nothing of it says."""
    pids: frozenset[int]
    """All its processes."""

    def __str__(self) -> str:
        """Where it is, what ends it, and what it works on."""
        how = f"its launcher is process {self.launcher}" if self.launcher else "started by hand"
        return f"the suite at {self.directory} ({how}{f'; data in {self.data}' if self.data else ''})"


def program(command: Sequence[str]) -> str:
    """Which service or launcher of Barker a command line runs, such as ``manifold``; empty if it is none."""
    for word, following in itertools.pairwise([*command, ""]):
        name = ""
        if word == "-m" and following.startswith("barker."):
            name = following.removeprefix("barker.")
        elif word.endswith(".py"):
            name = Path(word).stem
        elif Path(word).name == "barker":
            name = following
        if name in LAUNCHERS or name in SERVICES:
            return name
    return ""


def suites(processes: Iterable[Seen]) -> list[Found]:
    """Every suite, in the order of its directory's place."""
    ours = [process for process in processes if program(process.command)]
    by_pid = {process.pid: process for process in ours}
    found: list[Found] = []
    for directory in ours:
        if program(directory.command) != "directory":
            continue
        launcher = by_pid.get(directory.parent)
        launched = launcher is not None and program(launcher.command) in LAUNCHERS
        given = _options(directory.command)
        host = given.get("--advertise") or given.get("--host", "127.0.0.1")
        place = f"{host}:{given.get('--port', '5672')}"
        mates = [
            process
            for process in ours
            if process.parent == directory.parent
            and (launched or process is directory or place in _directories(process.command))
        ]
        data = [(mate, mate_data) for mate in mates if (mate_data := _options(mate.command).get("--data"))]
        suite = Found(
            place,
            directory.parent if launched else 0,
            Path(data[0][0].folder, data[0][1]) if data else None,
            frozenset([mate.pid for mate in mates] + ([directory.parent] if launched else [])),
        )
        # One that has several directories is found at each.
        same = [other for other in found if other.pids & suite.pids]
        places = ",".join([*(other.directory for other in same), place])
        pids = suite.pids.union(*(other.pids for other in same))
        found = [other for other in found if other not in same]
        found.append(replace(suite, directory=places, pids=pids))
    return sorted(found, key=lambda suite: suite.directory)


def _directories(command: Sequence[str]) -> list[str]:
    """Where a command line says that directories are."""
    return _options(command).get("--directory", "").split(",")


def _options(command: Sequence[str]) -> Mapping[str, str]:
    """The options of a command line that have a value, by name."""
    return {name: value for name, value in itertools.pairwise(command) if name.startswith("--")}
