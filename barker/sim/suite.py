"""A simulated suite: what the launcher would start, but for the gateway, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from barker.amqp.handlers import DEFAULT_LIMITS
from barker.amqp.message import decode_bark
from barker.amqp.process import Process
from barker.amqp.service import Service, Serving
from barker.amqp.system import System
from barker.core.faults import Fault
from barker.core.partitions import Partition
from barker.directory import Directory
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.sim.chance import PRODUCTION, Chosen
from barker.sim.disk import Disk, SimulatedQueueJournal, SimulatedTimelineJournal
from barker.sim.looks import beyond, contradictions, forgotten, unhealed, waits
from barker.sim.network import Network
from barker.sim.simulated import Simulated
from barker.sim.world import World
from barker.store.social import FILE_NAME, Users
from barker.suite.shape import Program, Shape, numbered, plan
from barker.trial.population import Population
from barker.work.spreading import Bizlogic

AN_HOUR = 3_600.0

STOP_SECONDS = 10.0
"""How long a service may take to end when it is told to."""

LOOK_SECONDS = 0.05
"""How often it is looked whether it has."""

LEFT_OUT = frozenset(("gateway", "autobark", "monitor"))
"""Kinds of programs that are not simulated."""


ORDERS = Program("orders-5850", "orders", (), 5850, "a queue from which consumers pull", journal="orders")

NOTES = Program("notes-5860", "notes", (), 5860, "timelines that are short", journal="notes")

NOTES_HISTORY = 10
"""So many messages each of those keeps."""

MOST_ORDERS = 60
"""With so many messages stored, that queue gives producers no more credit."""


def programs(shape: Shape, *others: Program) -> dict[str, Program]:
    """What is simulated of a suite of that shape, and what else, by kind and number."""
    return numbered((*(program for program in plan(shape) if program.kind not in LEFT_OUT), *others))


class Child(NamedTuple):
    """One of them."""

    program: Program
    simulated: Simulated

    def start(self) -> None:
        """Start it."""
        self.simulated.start()


class SimulatedSuite:
    """The processes that are broken."""

    def __init__(
        self,
        world: World,
        data: Path,
        population: Population,
        history: int,
        inboxes: int = 1,
        bounds: Chosen = PRODUCTION,
        others: Iterable[Program] = (),
    ) -> None:
        """`history`: how many barks a timeline holds; `data`: a folder for its disks.

        `others`: which of :data:`ORDERS` and :data:`NOTES` there are besides.
        """
        self.world, self.network, self.data, self._history = world, Network(world), data, history
        self._bounds = bounds
        population.write(data)
        self.shape = Shape(inboxes=inboxes, autobarks=0, data=data)
        self.children: dict[str, Child] = {}
        for name, program in programs(self.shape, *others).items():
            number = int(name.rpartition("-")[2]) - 1
            simulated = Simulated(self.network, name, self._maker(program, number), bounds)
            self.children[name] = Child(program, simulated)

    def strike(self, fault: Fault) -> None:
        """A fault begins."""
        for name in fault.names:
            simulated = self.children[name].simulated
            match fault.kind:
                case "kill" | "fresh":
                    simulated.kill()
                case "within":
                    simulated.kill_within()
                case "restart":
                    simulated.stop()
                case "freeze":
                    simulated.freeze()
                case "full":
                    simulated.disk.full += 1
                    simulated.tell("full on")
                case "failing":
                    simulated.disk.failures = self.world.chance.randint(1, 3)
                case "reset":
                    self.network.reset(name)
                    simulated.tell("reset")
                case "cut":
                    self.network.cut(name)
                    simulated.tell("cut on")
                case "set clock":
                    self.world.skew = self.world.chance.uniform(-AN_HOUR, AN_HOUR)
                    simulated.tell("clock", f"{self.world.skew:+.0f} s off")

    def heal(self, fault: Fault) -> None:
        """A fault ends."""
        for name in fault.names:
            simulated = self.children[name].simulated
            match fault.kind:
                case "kill" | "fresh" | "within":
                    simulated.kill()
                    simulated.start()
                case "restart":
                    self._start_when_ended(simulated)
                case "freeze":
                    simulated.thaw()
                case "full":
                    simulated.disk.full -= 1
                    simulated.tell("full off")
                case "cut":
                    simulated.tell("cut off")
                    self.network.join(name)

    def dead(self) -> str:
        """Who has ended without being told to; empty if nobody has."""
        return ", ".join(
            f"{name} {child.simulated.ended}"
            for name, child in self.children.items()
            if child.simulated.ended
        )

    def look(self) -> list[str]:
        """What is wrong with a process now, whatever befalls it (`looks.py`)."""
        found = []
        for name, child in self.children.items():
            process = child.simulated.process
            # A turn that is to come at once has not been yet.
            if process is not None and process.reactor.running and process.reactor.patience() != 0:
                most = MOST_ORDERS if child.program is ORDERS else 1 << 62
                found += [
                    f"{name}: {what}"
                    for what in (*contradictions(process), *beyond(process, most), *waits(process))
                ]
        return found

    def look_at_last(self) -> list[str]:
        """What is wrong with a process in the end, when all is to be healed."""
        found = self.look()
        for name, child in self.children.items():
            process = child.simulated.process
            if process is None:
                found.append(f"{name} does not run")
            else:
                found += [f"{name}: {what}" for what in (*forgotten(process), *unhealed(process))]
        return found

    def end(self) -> None:
        """End all processes."""
        for child in self.children.values():
            child.simulated.kill()

    def _start_when_ended(self, simulated: Simulated, left: float = STOP_SECONDS) -> None:
        """A process that was told to end is started again when it has; killed, if that takes too long."""
        if simulated.runs and left > 0:
            rest = left - LOOK_SECONDS
            self.world.after(LOOK_SECONDS, lambda: self._start_when_ended(simulated, rest))
            return
        simulated.kill()
        simulated.start()

    def _maker(self, program: Program, number: int) -> Callable[[System, Disk], Process]:
        def make(system: System, disk: Disk) -> Process:
            service = self._service(program, number, system, disk)
            if program.kind != "directory":
                service.register()
            return service

        return make

    def _service(self, program: Program, number: int, system: System, disk: Disk) -> Service:
        assert program.port is not None
        host, directory = self.shape.host, self.shape.directory
        if program.kind == "directory":
            return Directory(host, program.port, DEFAULT_LIMITS, system)
        journal = self.data / f"{program.journal}.sqlite3"
        policy = "ordered" if program.kind == "bizlogic" else "round-robin"
        serving = Serving(program.kind, host, program.port, directory, policy, DEFAULT_LIMITS, system)
        if program.kind == "outbox":
            queues = SimulatedQueueJournal(journal, disk, self._bounds)
            return QueueManifold(serving, queues, "bizlogic", decode_bark, max_depth=self._bounds.max_depth)
        if program.kind == "orders":
            queues = SimulatedQueueJournal(journal, disk, self._bounds)
            return QueueManifold(serving, queues, max_depth=MOST_ORDERS)
        if program.kind == "notes":
            notes = SimulatedTimelineJournal(journal, disk, self._bounds)
            return TimelineManifold(serving, notes, NOTES_HISTORY)
        if program.kind == "inbox":
            part = Partition(number, self.shape.inboxes) if self.shape.inboxes > 1 else None
            timelines = SimulatedTimelineJournal(journal, disk, self._bounds)
            return TimelineManifold(serving, timelines, self._history, partition=part)
        users = Users(self.data / FILE_NAME, patience=0)
        disk.users.append(users)
        return Bizlogic(serving, users, self.shape.inboxes)
