"""A simulated process: a real service on a reactor whose clock, chance and sockets are the world's.

It takes a turn when one of its sockets may be ready or a timer is due, as a process would that waits for
these. It can be frozen, told to end, and killed: at once, or within a turn, before any of its effects on
others.
"""

from __future__ import annotations

import contextlib
import functools
import math
import random
from collections.abc import Callable, Sequence

from barker.amqp.handlers import ConnectionHandler
from barker.amqp.process import Process
from barker.amqp.reactor import Reactor
from barker.amqp.system import Own, System
from barker.core.capacity import DEFAULT_BOUNDS, Bounds
from barker.core.errors import StorageError
from barker.sim.disk import Disk
from barker.sim.network import Network, Port
from barker.sim.record import Statement

TURN_SECONDS = 0.0001
"""So long a turn takes, at least: what becomes ready meanwhile is for the next one."""

SLACK = 1e-9
"""Seconds that an alarm comes later than a timer is due, so that no error of rounding has it come before."""

MOST_EFFECTS = 40
"""Who is to die within a turn does so before one of so many next effects on others, a send or a write."""


class Killed(BaseException):
    """The process is dead from here on. No handler may catch it."""


class SimulatedOwn(Own):
    """What a simulated process is told of itself."""

    def __init__(self, number: int, since: float) -> None:
        self.pid, self.since, self.command = number, since, "simulated"

    memory = files = 0
    cpu_seconds = 0.0


class Simulated:
    """One process, which may be started again and again."""

    def __init__(
        self,
        network: Network,
        name: str,
        make: Callable[[System, Disk], Process],
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        """`make` makes what runs in it."""
        self._bounds = bounds
        self.world, self.network, self.name, self._make = network.world, network, name, make
        self.port = Port(network, name, self.wake, self._act)
        self.disk = Disk(self._act, self.tell)
        self.process: Process | None = None
        """What runs in it; None while it is dead."""
        self.frozen = False
        self.effects_left = math.inf
        """How many effects it has before it dies."""
        self.ended = ""
        """How it has ended, if nobody has told it to."""
        self._told = False
        self._number = 0
        self._busy_until = 0.0
        self._woken = False
        self._alarm = math.inf
        self._acting = False

    @property
    def runs(self) -> bool:
        """Whether it lives."""
        return self.process is not None

    def start(self) -> None:
        """Make what runs in it, and let it begin."""
        self._number += 1
        self.frozen, self.effects_left, self._told = False, math.inf, False
        self.process = self._make(self._system(), self.disk)
        self.tell("start")
        self.process.reactor.begin()
        self.wake()

    def stop(self) -> None:
        """SIGTERM: it ends well, as soon as it can."""
        self._told = True
        if self.process is not None:
            self.tell("term")
            self.process.reactor.call_from_thread(self.process.stop)

    def kill(self, when: str = "between two turns") -> None:
        """SIGKILL; `when` is for the record."""
        if self.process is None:
            return
        self.tell("kill", when)
        reactor, self.process = self.process.reactor, None
        self.frozen = False
        self.disk.vanish()
        _forget(reactor)
        self.port.vanish()

    def kill_within(self) -> None:
        """SIGKILL at one of its next effects, wherever within a turn that is."""
        self.effects_left = self.world.chance.randrange(MOST_EFFECTS)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.tell("frozen on")
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.tell("frozen off")
        self.frozen = False
        self.wake()

    def wake(self) -> None:
        """One of its sockets may be ready: a turn as soon as it is not busy."""
        if self._woken or self._acting or self.frozen or self.process is None:
            return
        self._woken = True
        busy = self._busy_until - self.world.now
        if busy > 0:
            self.world.after(busy, self._awake)
        else:
            self.world.soon(self._awake)

    def tell(self, what: str, text: str = "", statements: Sequence[Statement] = ()) -> None:
        """Have it in the record, if there is one."""
        if self.world.record is not None:
            self.world.record.mark(self.world.now, self.name, what, text, statements)

    def _system(self) -> System:
        world, number = self.world, self._number
        return System(
            clock=world.clock,
            wall=world.wall,
            chance=random.Random(world.chance.random()),
            sockets=self.port,  # type: ignore[arg-type]
            own=lambda: SimulatedOwn(number, world.wall()),
            bounds=self._bounds,
        )

    def _awake(self) -> None:
        self._woken = False
        if self.process is not None and not self.frozen:
            self._turn(self.process)

    def _sleep(self, process: Process) -> None:
        """Until a socket is ready, or a timer is due: the alarm for the earliest is set, but not twice."""
        patience = process.reactor.patience()
        if patience is not None:
            at = max(self.world.now + patience, self._busy_until) + SLACK
            if at < self._alarm - SLACK:
                self._alarm = at
                self.world.after(at - self.world.now, functools.partial(self._ring, at))

    def _ring(self, at: float) -> None:
        if at == self._alarm:
            self._alarm = math.inf
            if self.process is not None and not self.frozen and not self._woken:
                # The timer it was set for may have been called, or cancelled, in a turn since.
                if self.process.reactor.patience() == 0:
                    self._turn(self.process)
                else:
                    self._sleep(self.process)

    def _turn(self, process: Process) -> None:
        reactor = process.reactor
        self._acting = True
        try:
            reactor.turn()
            if not reactor.running:
                self._end(process)
        except Killed:
            self.kill("within a turn")
        finally:
            self._acting = False
        self._busy_until = self.world.now + TURN_SECONDS
        if self.process is not None:
            if reactor._selector.select():
                self.wake()
            else:
                self._sleep(process)

    def _end(self, process: Process) -> None:
        process.reactor.close()
        with contextlib.suppress(StorageError):  # A disk that takes nothing: nothing is lost by that.
            process.on_stop()
        self.disk.vanish()
        self.port.vanish()
        self.process = None
        if not self._told:
            self.ended = f"has ended by itself: {process._error}"
        self.tell("end", self.ended)

    def _act(self) -> None:
        """Something is about to have an effect on others."""
        if self._acting:
            self.effects_left -= 1
            if self.effects_left < 0:
                raise Killed


def _forget(reactor: Reactor) -> None:
    """Give back what a dead process's connections hold; nobody of it hears of that."""
    for connection in list(reactor.connections):
        connection.handler = ConnectionHandler()
        connection._links.clear()
        connection.lost()
