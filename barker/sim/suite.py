"""A simulated suite: what the launcher would start, but for the gateway, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from barker.amqp.handlers import DEFAULT_LIMITS
from barker.amqp.message import decode_bark
from barker.amqp.process import Process
from barker.amqp.service import Service, Serving
from barker.amqp.system import System, wall
from barker.commands.keys import certified
from barker.core.access import EVERYBODY, Credentials, Identity, service
from barker.core.faults import Fault
from barker.core.partitions import Partition
from barker.directory import Directory
from barker.environment import extra
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.sim.chance import PRODUCTION, Chosen
from barker.sim.disk import Disk, SimulatedQueueJournal, SimulatedTimelineJournal
from barker.sim.looks import beyond, contradictions, forgotten, sleeps, unhealed, waits
from barker.sim.network import WAYS, Network
from barker.sim.simulated import PowerFails, Simulated
from barker.sim.world import World
from barker.store.social import FILE_NAME
from barker.suite.shape import Program, Shape, numbered, plan
from barker.trial.population import Population
from barker.work.spreading import Bizlogic

KEY = b"the key of a simulated suite"

AN_HOUR = 3_600.0

STOP_SECONDS = 10.0
"""How long a service may take to end when it is told to."""

LOOK_SECONDS = 0.05
"""How often it is looked whether it has."""

MOST_SIP = 200
"""So many bytes who reads a few at a time reads at most."""

RATES = (0.9, 1.1)
"""How fast a clock that drifts goes."""

LASTING = frozenset(
    (
        *("full", "broken", "read-only", "unreadable", "slow"),
        *("cut", "cut from", "cut to", "stalled", "trickle"),
        *("descriptors", "memory"),
    )
)
"""Kinds of faults that are told when they begin and when they end."""

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


def certify(folder: Path) -> None:
    """Make the certificates of a suite and its operator there."""
    with extra("tls"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from barker.store.authority import Authority
    # What these keys sign has always the same length: of two runs the same number of bytes goes.
    key = Ed25519PrivateKey.generate()
    Authority.make(folder, [*EVERYBODY, service(ORDERS.kind), service(NOTES.kind)], (), 365, wall(), key)


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
        partitions: int = 1,
        bounds: Chosen = PRODUCTION,
        others: Iterable[Program] = (),
        sync: str = "full",
        tls: bool = False,
    ) -> None:
        """`history`: how many barks a timeline holds; `data`: a folder for its disks.

        `partitions`: into how many its authors are divided.
        `others`: which of :data:`ORDERS` and :data:`NOTES` there are besides. `sync`: how sure its journals'
        commits are. `tls`: whether it speaks that.
        """
        self.world, self.network, self.data, self._history = world, Network(world), data, history
        self._bounds = bounds
        population.write(data)
        secure = data / "tls" if tls else None
        self.shape = Shape(inboxes=inboxes, partitions=partitions, autobarks=0, data=data, tls=secure)
        if self.shape.tls is not None:
            world.encrypted = True
            certify(self.shape.tls)
        self.children: dict[str, Child] = {}
        for name, program in programs(self.shape, *others).items():
            number = int(name.rpartition("-")[2]) - 1
            simulated = Simulated(self.network, name, self._maker(program, number), bounds)
            simulated.disk.bounds, simulated.disk.sync = bounds, sync
            self.children[name] = Child(program, simulated)

    def credentials(self, who: Identity) -> Credentials:
        """By what somebody of the suite shows who it is."""
        return certified(Credentials(who, KEY), self.shape.tls)

    def strike(self, fault: Fault) -> None:
        """A fault begins."""
        if fault.kind == "power":
            self._cut_power(fault.names)
            return
        for name in fault.names:
            simulated = self.children[name].simulated
            disk, port = simulated.disk, simulated.port
            chance = self.world.chance(fault.kind, name, fault.at)
            match fault.kind:
                case "kill" | "fresh":
                    simulated.kill()
                case "within":
                    simulated.kill_within()
                case "vanish":
                    simulated.vanish()
                case "restart":
                    simulated.stop()
                case "freeze":
                    simulated.freeze()
                case "full":
                    disk.full += 1
                case "failing":
                    disk.failures = chance.randint(1, 3)
                case "broken":
                    disk.broken = simulated.runs
                case "read-only":
                    disk.read_only = True
                case "unreadable":
                    disk.unreadable = True
                case "slow":
                    disk.slow = True
                case "flip":
                    simulated.tell("flip", disk.flip())
                case "reset":
                    self.network.reset(name)
                    simulated.tell("reset")
                case "cut" | "cut from" | "cut to":
                    self.network.cut(name, _ways(fault.kind))
                case "stalled":
                    port.stall(True)
                case "trickle":
                    port.sip = chance.randint(1, MOST_SIP)
                case "descriptors":
                    port.most_sockets = len(port.sockets)
                case "memory":
                    simulated.starve()
                case "set clock":
                    self.world.set_wall(chance.uniform(-AN_HOUR, AN_HOUR))
                    simulated.tell("clock", f"{self.world.skew:+.0f} s off")
                case "drift":
                    self.world.drift(rate := chance.uniform(*RATES))
                    simulated.tell("clock", f"{rate:.2f} times as fast")
            if fault.kind in LASTING:
                simulated.tell(f"{fault.kind} on")

    def heal(self, fault: Fault) -> None:
        """A fault ends."""
        for name in fault.names:
            simulated = self.children[name].simulated
            disk, port = simulated.disk, simulated.port
            match fault.kind:
                case "kill" | "fresh" | "within" | "vanish":
                    simulated.kill()
                    simulated.start()
                case "power":
                    disk.power_fails = None
                    simulated.lose_power()
                    simulated.start()
                case "restart":
                    self._start_when_ended(simulated)
                case "freeze":
                    simulated.thaw()
                case "full":
                    disk.full -= 1
                case "broken":
                    disk.broken = False
                case "read-only":
                    disk.read_only = False
                case "unreadable":
                    disk.unreadable = False
                case "slow":
                    disk.slow = False
                case "cut" | "cut from" | "cut to":
                    self.network.join(name, _ways(fault.kind))
                case "stalled":
                    port.stall(False)
                case "trickle":
                    port.sip = None
                case "descriptors":
                    port.most_sockets = None
                case "memory":
                    simulated.short_of_memory = False
                case "drift":
                    self.world.drift(1.0)
            if fault.kind in LASTING:
                simulated.tell(f"{fault.kind} off")

    def _cut_power(self, names: Sequence[str]) -> None:
        """At the next write of one of them, which is not synced then, all of them die."""
        struck = [self.children[name].simulated for name in names]

        def fails() -> None:
            if not any(simulated.acts for simulated in struck):
                return  # One of them is just being started, and salvages something.
            for simulated in struck:
                simulated.disk.power_fails = None
            for simulated in struck:
                if not simulated.acts:
                    simulated.lose_power()
            raise PowerFails

        for simulated in struck:
            simulated.disk.power_fails = fails

    @property
    def excused(self) -> set[tuple[str, int]]:
        """The barks, (author, number), that may be missing or late, as a disk has lost them or was damaged.

        A journal in which a bit has flipped is excused only if that was found, and it is set aside.
        """
        found: set[tuple[str, int]] = set()
        for child in self.children.values():
            disk = child.simulated.disk
            found |= disk.lost
            if disk.flips and list(self.data.glob(f"{child.program.journal}.sqlite3.damaged-*")):
                found |= disk.doubtful
        return found

    def dead(self) -> str:
        """Who has ended without being told to; empty if nobody has."""
        return ", ".join(
            f"{name} {child.simulated.ended}"
            for name, child in self.children.items()
            if child.simulated.ended
        )

    def look(self) -> dict[str, str]:
        """What is wrong with a process now, whatever befalls it (`looks.py`), and of which kind that is.

        Its journal has to be read.
        """
        found: dict[str, str] = {}
        for name, child in self.children.items():
            process, disk = child.simulated.process, child.simulated.disk
            if process is not None and child.simulated.between_turns and not disk.unreadable:
                most = MOST_ORDERS if child.program is ORDERS else 1 << 62
                found |= _told(
                    name,
                    contradictions=contradictions(process),
                    beyond=beyond(process, most),
                    waits=waits(process),
                    sleeps=sleeps(process),
                )
        return found

    def look_at_last(self) -> dict[str, str]:
        """What is wrong with a process in the end, when all is to be healed; and of which kind that is."""
        for child in self.children.values():
            child.simulated.disk.unreadable = False  # The run may have ended before its time.
        found = self.look()
        for name, child in self.children.items():
            process = child.simulated.process
            if process is None:
                found[f"{name} does not run"] = "dead"
            else:
                found |= _told(name, forgotten=forgotten(process), unhealed=unhealed(process))
        return found

    def end(self) -> None:
        """End all processes."""
        for child in self.children.values():
            child.simulated.kill()

    def _start_when_ended(self, simulated: Simulated, left: float = STOP_SECONDS) -> None:
        """A process that was told to end is started again when it has; killed, if that takes too long."""
        if simulated.runs and left > 0:
            rest = left - LOOK_SECONDS
            self.world.after(LOOK_SECONDS, self._start_when_ended, simulated, rest)
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
        host, directories = self.shape.host, self.shape.directory_places
        own = self.credentials(service(program.kind))
        if program.kind == "directory":
            return Directory(host, program.port, DEFAULT_LIMITS, system, own)
        journal = self.data / f"{program.journal}.sqlite3"
        policy = "ordered" if program.kind == "bizlogic" else "round-robin"
        authors = Partition(number % self.shape.partitions, self.shape.partitions)
        address = authors.address(program.kind) if program.kind == "bizlogic" else program.kind
        serving = Serving(
            address, host, program.port, directories, policy, DEFAULT_LIMITS, system, credentials=own
        )
        if program.kind == "outbox":
            queues = disk.open(SimulatedQueueJournal, journal)
            most = self._bounds.max_depth
            return QueueManifold(
                serving, queues, "bizlogic", decode_bark, max_depth=most, partitions=authors.count
            )
        if program.kind == "orders":
            queues = disk.open(SimulatedQueueJournal, journal)
            return QueueManifold(serving, queues, max_depth=MOST_ORDERS)
        if program.kind == "notes":
            notes = disk.open(SimulatedTimelineJournal, journal)
            return TimelineManifold(serving, notes, NOTES_HISTORY)
        if program.kind == "inbox":
            part = Partition(number, self.shape.inboxes) if self.shape.inboxes > 1 else None
            timelines = disk.open(SimulatedTimelineJournal, journal)
            return TimelineManifold(serving, timelines, self._history, partition=part)
        own_authors = authors if authors.count > 1 else None
        return Bizlogic(serving, disk.open_users(self.data / FILE_NAME), self.shape.inboxes, own_authors)


def _told(name: str, **looks: Iterator[str]) -> dict[str, str]:
    """What these find wrong with the process of that name, and which of them does."""
    return {f"{name}: {what}": kind for kind, look in looks.items() for what in look}


def _ways(kind: str) -> Sequence[str]:
    """Which ways a cut of that kind cuts."""
    return WAYS if kind == "cut" else (kind.removeprefix("cut "),)
