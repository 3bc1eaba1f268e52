"""A simulated process: a real service on a reactor whose clock, chance and sockets are the world's.

It takes a turn when one of its sockets may be ready or a timer is due, as a process would that waits for
these. It can be frozen, told to end, and killed: at once, or within a turn, before any of its effects on
others. Its machine can be gone, with what was not synced; it can be short of memory.

One that ends by itself for a reason that it may end for is started again, as a launcher does that keeps it
alive.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

from barker.amqp.handlers import ConnectionHandler
from barker.amqp.process import Process
from barker.amqp.reactor import Reactor
from barker.amqp.system import Own, System
from barker.core.capacity import DEFAULT_BOUNDS, Bounds
from barker.core.errors import BarkerError, Damaged, StorageError
from barker.sim.disk import Disk
from barker.sim.network import Network, Port
from barker.sim.record import Statement

TURN_SECONDS = 0.0001
"""So long a turn takes, at least: what becomes ready meanwhile is for the next one."""

WAKE_SECONDS = 0.0001
"""So long after a socket is ready the process has its turn: what becomes ready meanwhile is for that one."""

SLACK = 1e-9
"""Seconds that an alarm comes later than a timer is due, so that no error of rounding has it come before."""

MOST_EFFECTS = 40
"""Who is to die within a turn does so before one of so many next effects on others, a send or a write."""


START_AGAIN_SECONDS = 1.0
"""So long after its end one is started again that has ended by itself, and may."""

MEMORY_SHARE = 0.2
"""So often whoever is short of memory finds none."""


class OutOfMemory(MemoryError):
    """There is none, as this is simulated; any other MemoryError is a real one."""


class Killed(BaseException):
    """The process is dead from here on. No handler may catch it."""


class PowerFails(Killed):
    """The machine is gone from here on."""


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
        wake_seconds: float = WAKE_SECONDS,
    ) -> None:
        """`make` makes what runs in it; once a socket is ready it takes `wake_seconds` until its turn."""
        self._bounds, self._wake_seconds = bounds, wake_seconds
        self.world, self.network, self.name, self._make = network.world, network, name, make
        self.port = Port(network, name, self.wake, self._act, self._allocate)
        chance = self.world.chance("disk", name)
        self.disk = Disk(self._act, self.tell, chance, self._allocate, self._wait)
        self.process: Process | None = None
        """What runs in it; None while it is dead."""
        self.frozen = False
        self.effects_left = math.inf
        """How many effects it has before it dies."""
        self.ended = ""
        """How it has ended, if nobody has told it to, and it may not."""
        self.short_of_memory = False
        """Whether what it does next may find none."""
        self._was_short = False
        self._told = False
        self._number = 0
        self._busy_until = 0.0
        self._next_turn = math.inf
        self._acting = False

    @property
    def runs(self) -> bool:
        """Whether it lives."""
        return self.process is not None

    @property
    def acts(self) -> bool:
        """Whether this is its turn."""
        return self._acting

    @property
    def between_turns(self) -> bool:
        """Whether it runs and waits: no turn is to come at once, and none takes its time on a slow disk."""
        process = self.process
        return (
            process is not None
            and process.reactor.running
            and process.reactor.patience() != 0
            and self.world.now >= self._busy_until
        )

    def start(self) -> None:
        """Make what runs in it, and let it begin; later, if its disk does not let it now."""
        self._number += 1
        self.frozen, self.effects_left, self._told = False, math.inf, False
        self.short_of_memory = self._was_short = False
        self.disk.begin()
        self.port.begin()
        begun = self.world.now
        try:
            self.process = self._make(self._system(), self.disk)
        except StorageError as error:
            self._leave()
            self._start_again(str(error))
            return
        finally:
            self._took_until(self.world.now, begun)
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
        self._die("kill", when, self.port.close)

    def kill_within(self) -> None:
        """SIGKILL at one of its next effects, wherever within a turn that is."""
        chance = self.world.chance("within", self.name, self.world.now)
        self.effects_left = chance.randrange(MOST_EFFECTS)

    def vanish(self) -> None:
        """Its machine is gone, without a word to anybody."""
        self._die("vanish", "", self.port.vanish)

    def lose_power(self) -> None:
        """Its machine is gone, and with it what was not synced."""
        self._die("power", "", self.port.vanish)
        self.disk.lose_power()

    def starve(self) -> None:
        """It is short of memory from now on, until :attr:`short_of_memory` says something else."""
        self.short_of_memory = self._was_short = True
        self._memory = self.world.chance("memory", self.name, self.world.now)

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
        if not self._acting and not self.frozen and self.process is not None:
            self._turn_by(self.world.now + self._wake_seconds)

    def tell(self, what: str, text: str = "", statements: Sequence[Statement] = ()) -> None:
        """Have it in the record, if there is one."""
        if self.world.record is not None:
            self.world.record.mark(self.world.now, self.name, what, text, statements)

    def _system(self) -> System:
        world, number = self.world, self._number
        nonces = world.chance("nonces", self.name, number)
        return System(
            clock=world.clock,
            wall=world.wall,
            chance=world.chance("process", self.name, number),
            sockets=self.port,  # type: ignore[arg-type]
            own=lambda: SimulatedOwn(number, world.wall()),
            bounds=self._bounds,
            nonce=lambda: f"{nonces.getrandbits(128):032x}",
        )

    def _turn_by(self, at: float) -> None:
        """The next turn is to be then, or before; not as long as the last one takes."""
        at = max(at, self._busy_until)
        if at < self._next_turn:
            self._next_turn = at
            self.world.at(at, self._due, at)

    def _due(self, at: float) -> None:
        if at == self._next_turn:
            self._next_turn = math.inf
            process = self.process
            if process is not None and not self.frozen:
                # The timer it was set for may have been called, or cancelled, in a turn since.
                if self.port.ready or process.reactor.patience() == 0:
                    self._turn(process)
                else:
                    self._sleep(process)

    def _sleep(self, process: Process) -> None:
        """Until a socket is ready, or a timer is due."""
        if self.port.ready:
            self.wake()
            return
        patience = process.reactor.patience()
        if patience is not None:
            self._turn_by(self.world.now + patience + SLACK)

    def _turn(self, process: Process) -> None:
        reactor, begun = process.reactor, self.world.now
        self._acting = True
        try:
            reactor.turn(wait=False)
            if not reactor.running:
                self._end(process)
        except PowerFails:
            self.lose_power()
        except Killed:
            self.kill("within a turn")
        except OutOfMemory:
            self.kill("out of memory")
            self._start_again("out of memory")
        finally:
            self._acting = False
            self._took_until(self.world.now, begun)
        if self.process is not None:
            self._sleep(process)

    def _took_until(self, end: float, begun: float) -> None:
        """What it has done now took it until `end`; for all others it is the time when that was begun."""
        self._busy_until, self.world.now = end + TURN_SECONDS, begun

    def _end(self, process: Process) -> None:
        process.reactor.close()
        with contextlib.suppress(StorageError):  # A disk that takes nothing: nothing is lost by that.
            process.on_stop()
        self._leave()
        self.process = None
        if self._told:
            self.tell("end")
        elif self._may_end(process._error):
            self._start_again(str(process._error))
        else:
            self.ended = f"has ended by itself: {process._error}"
            self.tell("end", self.ended)

    def _may_end(self, error: BarkerError | None) -> bool:
        """Whether it may end by itself with that error."""
        return self._was_short or (isinstance(error, Damaged) and self.disk.flips + self.disk.misread > 0)

    def _start_again(self, why: str) -> None:
        """It has ended by itself, and is kept alive."""
        self.tell("end", why)
        number = self._number

        def start() -> None:
            if self.process is None and self._number == number:
                self.start()

        self.world.after(START_AGAIN_SECONDS, start)

    def _die(self, what: str, text: str, leave: Callable[[], None]) -> None:
        """It is dead at once; `leave` is what becomes of its sockets."""
        if self.process is None:
            return
        self.tell(what, text)
        reactor, self.process = self.process.reactor, None
        self.frozen = False
        self.disk.vanish()
        _forget(reactor)
        leave()

    def _leave(self) -> None:
        """Give back what a process has that has ended."""
        self.disk.vanish()
        self.port.close()

    def _act(self) -> None:
        """Something is about to have an effect on others."""
        if self._acting:
            self.effects_left -= 1
            if self.effects_left < 0:
                raise Killed

    def _allocate(self) -> None:
        """It needs memory."""
        if self.short_of_memory and self._acting and self._memory.random() < MEMORY_SHARE:
            raise OutOfMemory("simulated")

    def _wait(self, seconds: float) -> None:
        """It waits for its disk, and does nothing else."""
        self.world.now += seconds


def _forget(reactor: Reactor) -> None:
    """Give back what a dead process's connections hold; nobody of it hears of that."""
    for connection in list(reactor.connections):
        connection.handler = ConnectionHandler()
        connection._links.clear()
        connection.lost()
