"""The processes of a running suite: starts them, stage by stage, breaks them when told so, ends them all.

Each ends when this process does, even when that is killed: its standard input is a pipe whose other end
closes then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable
from typing import Any

from barker.amqp.reactor import Reactor, taken_port
from barker.amqp.system import listener, time_of_day, wall
from barker.commands.output import OutputLost, show
from barker.core.errors import InvalidField, NotAllowed, NotFound
from barker.core.keeper import STEADY_SECONDS
from barker.core.printable import printable
from barker.store.contents import messages_in
from barker.suite.child import Child
from barker.suite.lines import Lines
from barker.suite.shape import Shape, another, autobark, plan

END_SECONDS = 5.0
"""How long a service may take to end before it is killed."""

SIGNALS = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "thaw": signal.SIGCONT,
    "stop": signal.SIGTERM,
}
"""The orders that are a signal."""


class Supervisor:
    """Every process of one suite, by its name."""

    def __init__(
        self,
        shape: Shape,
        reactor: Reactor,
        keep_alive: bool,
        on_change: Callable[[], None],
        on_line: Callable[[str, str], None],
    ) -> None:
        """With `keep_alive`, what dies is started again; `on_change` is called when that was done.

        `on_line(name, line)` is called with what a process writes on standard error.
        """
        self.shape, self._reactor, self._keep_alive = shape, reactor, keep_alive
        self._on_change = on_change
        self.lines = Lines(reactor, on_line)
        pipe = self.lines.pipe
        self.children = {program.name: Child(program, pipe) for program in plan(shape)}
        self.stage = 0
        """What was started last: programs of this stage, and all before it."""

    # The start

    def start_stage(self) -> None:
        """Start what is of the stage that it is at."""
        for child in self.children.values():
            if child.program.stage == self.stage and not child.runs:
                child.start()

    def next_stage(self) -> bool:
        """Start what comes next; False when everything was started."""
        if self.stage == max(child.program.stage for child in self.children.values()):
            return False
        self.stage += 1
        self.start_stage()
        return True

    def missing(self, ports: set[int]) -> list[str]:
        """Services that run and are not at one of these ports, where those are that the directory knows."""
        programs = [child.program for child in self.children.values() if child.runs]
        return [
            program.name for program in programs if program.port is not None and program.port not in ports
        ]

    # Orders

    def signal(self, name: str, verb: str) -> None:
        """Kill, freeze, thaw or stop a process.

        :raises NotFound: when there is none of that name.
        :raises NotAllowed: when it is gone.
        """
        child = self._child(name)
        if not child.runs:
            raise NotAllowed(f"{name} is gone already")
        child.signal(SIGNALS[verb])
        if verb in ("kill", "stop"):
            child.due = False
        if verb == "stop":
            child.stopped = True
            child.signal(signal.SIGCONT)  # One that is frozen cannot end otherwise.

    def start(self, name: str) -> str | None:
        """Start a process that is gone.

        Gives its name, if it is one whom others wait for.

        :raises NotFound: when there is none of that name.
        :raises NotAllowed: when it runs, or cannot be started, as when another has its port.
        """
        child = self._child(name)
        if child.runs:
            raise NotAllowed(f"{name} runs already, as process {child.pid}")
        child.keeper.forgive()
        return self._begin_at_port(child)

    def add(self, kind: str) -> str | None:
        """Start one more of a kind; its name, if it is one whom others wait for.

        :raises InvalidField: when there cannot be more of it.
        :raises NotAllowed: when it cannot be started.
        """
        there = [child.program for child in self.children.values()]
        child = Child(another(kind, self.shape, there), self.lines.pipe)
        child.added = True
        started = self._begin_at_port(child)
        self.children[child.program.name] = child
        return started

    def _begin_at_port(self, child: Child) -> str | None:
        name, port = child.program.name, child.program.port
        if port is not None and taken_port(self.shape.host, port) is not None:
            held = listener(port) or "another process has it"
            raise NotAllowed(f"{name} cannot be started: its port {port} is taken, {held}")
        _begin(child)
        return name if port is not None else None

    def remove(self, name: str) -> None:
        """Forget a process that was added and is gone.

        :raises NotFound: when there is none of that name.
        :raises NotAllowed: when it runs, was there from the start, or leaves a journal with messages.
        """
        child = self._child(name)
        if child.runs:
            raise NotAllowed(f"{name} runs, as process {child.pid}: kill or stop it first")
        if not child.added:
            raise NotAllowed(f"{name} belongs to the suite from its start: it can be started again")
        journal = self.shape.data / f"{child.program.journal}.sqlite3"
        if child.program.journal and journal.exists() and messages_in(journal) != 0:
            raise NotAllowed(f"{name} leaves messages in its journal: start it, and it hands them on")
        del self.children[name]

    def set_rate(self, rate: float) -> None:
        """Another rate (barks/s) for every autobark that runs, and for all to come.

        :raises InvalidField: when it is too low or too high.
        """
        if not 0 < rate <= 100_000:
            raise InvalidField(f"rate is a number of barks/s above 0, 100,000 at most; it is {rate!r:.60}")
        self.shape = dataclasses.replace(self.shape, rate=float(rate))
        for child in self.children.values():
            if child.program.kind == "autobark":
                number = int(child.program.name.rpartition("-")[2])
                child.program = autobark(self.shape, number)
                if child.runs and not child.stopped:
                    self._renew(child)

    def processes(self) -> list[dict[str, Any]]:
        """All of them, as they are told to who asks."""
        return [
            {
                "name": name,
                "kind": child.program.kind,
                "pid": child.pid,
                "port": child.program.port,
                "state": child.state,
                "held": "" if child.runs or child.program.port is None else listener(child.program.port),
                "does": child.program.does,
                "added": child.added,
            }
            for name, child in self.children.items()
        ]

    def _child(self, name: str) -> Child:
        if name not in self.children:
            shown = printable(repr(name), 60)
            raise NotFound(f"no process here is called {shown}; there are {', '.join(self.children)}")
        return self.children[name]

    def _renew(self, child: Child) -> None:
        """Have it end, to begin anew: nobody waits for it, and if it takes too long it is killed."""
        child.due, pid = True, child.pid
        child.signal(signal.SIGTERM)
        child.signal(signal.SIGCONT)

        def kill() -> None:
            if child.due and child.pid == pid:
                say(f"{child.program.name} (pid {pid}) did not end within {END_SECONDS:g} s: killed")
                child.signal(signal.SIGKILL)

        self._reactor.after(END_SECONDS, kill)

    # Those that end

    def bury(self) -> dict[str, str]:
        """Note who has ended, and say so; by name how, but for those that begin anew at once."""
        gone = {}
        for name, child in self.children.items():
            how = child.ended()
            if how:
                self.lines.read(name)  # Why, before that.
            if how and child.due:
                child.due = False
                self._again(child)
            elif how:
                say(f"{name} (pid {child.pid}) is gone: {how}")
                gone[name] = how
        return gone

    def revive(self, name: str) -> None:
        """With `keep_alive`, start it again in a while: the longer, the oftener it has died soon."""
        child = self.children[name]
        if not self._keep_alive or child.stopped:
            return
        wait = child.keeper.died(self._reactor.clock())
        if child.keeper.deaths > 1:
            say(
                f"{name} has died {child.keeper.deaths} times in a row, within {STEADY_SECONDS:g} s of its "
                f"start: again in {wait:g} s"
            )

        def start() -> None:
            if not child.runs and not child.stopped:
                self._again(child)
                self._on_change()

        self._reactor.after(wait, start)

    def _again(self, child: Child) -> None:
        """Start it again, and say so; or why not, and then it is gone."""
        try:
            _begin(child)
        except NotAllowed as error:
            say(str(error))
            self.revive(child.program.name)
        else:
            say(f"{child.program.name} is started again (pid {child.pid})")

    def end(self) -> None:
        """End every process: all are told to at once, clients first, and each is waited for a while."""
        for child in reversed(self.children.values()):
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)
        deadline = self._reactor.clock() + END_SECONDS
        for name, child in self.children.items():
            if not child.wait(max(0.1, deadline - self._reactor.clock())):
                say(f"{name} (pid {child.pid}) did not end within {END_SECONDS:g} s: killed")
            self.lines.read(name)


def say(what: str) -> None:
    """One line for the terminal: what has happened just now."""
    with contextlib.suppress(OutputLost):  # The suite goes on, whoever looks on.
        show(printable(f"{time_of_day(wall())} {what}"), err=True)


def _begin(child: Child) -> None:
    """Start it.

    :raises NotAllowed: when the system has no room for a process more.
    """
    try:
        child.start()
    except OSError as error:
        raise NotAllowed(f"{child.program.name} cannot be started: {error.strerror or error}") from None
