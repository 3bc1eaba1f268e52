"""A broker's nodes, each started by a command of somebody's, so that they can be stopped, killed and frozen.

Each is a group of processes, as such a command is a script, or enters something first. Its network can be cut
if there is a command for that.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from barker.core.broker import Broker
from barker.core.errors import BarkerError, Mistake
from barker.core.faults import NODE
from barker.suite.child import Child, inherited
from barker.suite.shape import Program

STOP_SECONDS = 30.0
"""How long a node may take to end when it is told to."""

CUT_SECONDS = 10.0
"""How long a command that cuts a node off may take."""


class Node(Child):
    """One node."""

    def __init__(self, program: Program, log: Path, cut: Sequence[Sequence[str]] = ()) -> None:
        """What it says goes to the file `log`; `cut`: the commands that cut it off, and join it again."""
        super().__init__(
            program, lambda name: os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, mode=0o600)
        )
        self._cut, self._is_cut = cut, False

    def _process(self, stderr: int | None) -> subprocess.Popen[bytes]:
        command = self.program.arguments
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=inherited(),
                start_new_session=True,
            )
        except OSError as error:
            raise Mistake(f"--node {shlex.join(command)}: {error.strerror}") from None

    def signal(self, number: int) -> None:
        """Send all its processes a signal."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended, for longer than `seconds` if it needs that; after that, it is killed."""
        if not self.runs:
            return True
        try:
            return super().wait(max(seconds, STOP_SECONDS))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)  # Whoever is left of it.

    @property
    def can_be_cut(self) -> bool:
        """Whether there are commands for that."""
        return bool(self._cut)

    def cut_off(self) -> None:
        """Nothing comes from it or to it from now on."""
        self._is_cut = True
        _run(self._cut[0])

    def join(self) -> None:
        """It is cut off no longer."""
        if self._is_cut:
            self._is_cut = False
            _run(self._cut[1])


def nodes(
    broker: Broker | None, commands: Sequence[str], cuts: Sequence[Sequence[str]], folder: Path
) -> list[Node]:
    """The nodes of the broker, one for each of the places that its URL names; what they say is in `folder`.

    :raises Mistake: when there are not as many commands as places, or one is none.
    """
    if broker is None:
        if commands or cuts:
            raise Mistake("--node and --cut say how a broker is broken: they go with --broker URL")
        return []
    count = len(broker.places)
    for option, given in (("--node", commands), ("--cut", cuts)):
        if given and len(given) != count:
            raise Mistake(f"{broker.url} names {count} node(s), and there are {len(given)} {option}")
    if cuts and not commands:
        raise Mistake("--cut goes with --node: a broker that chaos has not started is not broken")
    made = []
    for number, (command, (_, port)) in enumerate(zip(commands, broker.places, strict=False)):
        name = f"{NODE}-{number + 1}"
        program = Program(name, NODE, _words("--node", command), port, "a broker's node")
        cut = [_words("--cut", each) for each in cuts[number]] if cuts else []
        made.append(Node(program, folder / f"{name}.log", cut))
    return made


def _words(option: str, command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise Mistake(f"{option} {command!r} is no command: {error}") from None
    if not words:
        raise Mistake(f"{option} '' is no command")
    return words


def _run(command: Sequence[str]) -> None:
    """Run one that cuts, or joins.

    :raises BarkerError: when it fails.
    """
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CUT_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise BarkerError(f"--cut {shlex.join(command)}: {error.stderr.strip() or error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BarkerError(f"--cut {shlex.join(command)}: {error}") from None
