"""What a suite is made of: the list of processes that the launcher starts. Nothing is started here."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from barker.amqp.links import Place, Places
from barker.commands import options
from barker.core.broker import Broker
from barker.core.errors import InvalidField, Mistake
from barker.core.partitions import Partition
from barker.core.postgresql_url import PostgresUrl
from barker.store import key
from barker.store.social import FILE_NAME

MOST = {"outbox": 20, "bizlogic": 100, "autobark": 100}
"""How many of each kind there may be: outboxes have the ports below the inboxes'."""


MOST_PARTITIONS = 20
"""Into so many are users (inboxes) and authors divided at most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a suite is to be started, and where."""

    host: str = "127.0.0.1"
    port_offset: int = 0
    outboxes: int = 3
    bizlogics: int = 2
    """How many there are in each partition of the authors."""
    autobarks: int = 5
    rate: float = 1.0
    """Barks/s of each autobark."""
    history: int = 200
    """How many of the last barks each timeline keeps."""
    data: Path = Path(options.DATA)
    users: PostgresUrl | None = None
    """The database with its users; None: they are in a file in its data folder."""
    log_level: str = "warning"
    monitoring: bool = False
    """Whether the monitor is started too."""
    sync: str = "normal"
    """Whether what manifolds accept is safe against power loss too: full."""
    inboxes: int = 1
    """How many inboxes there are; several have a partition of the users each."""
    partitions: int = 1
    """Into how many the authors are divided; each has bizlogics of its own."""
    journals: tuple[str, ...] = ()
    """The outboxes' journals, each a name in the data folder; those behind the last are numbered."""
    inbox_journals: tuple[str, ...] = ()
    """The inboxes' journals likewise."""
    tls: Path | None = None
    """The folder with its certificates; None: it speaks no TLS."""
    insecure: bool = False
    """Whether it may listen beyond loopback as it is."""
    allow_hosts: tuple[str, ...] = ()
    """Further names that browsers may reach the gateway by."""
    advertised: str = ""
    """The host by which its services are reached; empty: that where they listen."""
    directories: int = 1
    """How many there are; each service registers with all of them."""
    broker: Broker | None = None
    """What is between outboxes, bizlogics and inboxes; None: nothing, and outboxes have journals."""
    copies: int = 1
    """With a broker, how many inboxes have each partition of the users."""

    @property
    def key(self) -> Path:
        """The file with its key."""
        return self.data / key.FILE_NAME

    @property
    def directory(self) -> Place:
        """Where its directory is, of several the first."""
        return self._place(5672)

    @property
    def directory_places(self) -> Places:
        """Where all of them are."""
        return Places(self._place(port) for port in _DIRECTORIES[: self.directories])

    @property
    def launcher(self) -> Place:
        """Where its launcher is."""
        return self._place(5674)

    @property
    def gateway(self) -> Place:
        """Where its gateway is."""
        return self._place(5673)

    def _place(self, port: int) -> Place:
        """Where that is reached which has this port without an offset."""
        return Place(self.advertised or self.host, port + self.port_offset)


_DIRECTORIES = (5672, *range(5675, 5680))
"""The directories' ports: between the first and the second, the gateway and the launcher have theirs."""

MOST_DIRECTORIES = len(_DIRECTORIES)


@dataclass(frozen=True, slots=True)
class Program:
    """One process to start."""

    name: str
    kind: str
    """directory, gateway, inbox, outbox, bizlogic, autobark or monitor."""
    arguments: tuple[str, ...]
    """What stands behind ``python -m``."""
    port: int | None
    does: str
    """What it is for, in a few words."""
    stage: int = 0
    """When it is started: when all of the stage before are ready."""
    journal: str = ""
    """Its journal's name in the data folder; empty for who has none."""
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Options that nobody is to see on its command line: variables of its environment."""

    @property
    def command(self) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", *self.arguments]


def service(kind: str, shape: Shape, number: int = 0, journal: str = "") -> Program:
    """The `number`-th service of a kind (from 0), which listens at the kind's first port plus `number`.

    `journal`: its name, if it is not the one that the shape has for that number.
    """
    first_port, does, arguments = _SERVICES[kind]
    if kind == "outbox" and shape.broker is not None:
        does, arguments = _RELAY
    port = (_DIRECTORIES[number] if kind == "directory" else first_port + number) + shape.port_offset
    places = [*_everywhere(shape), "--port", str(port)]
    if kind != "directory" or shape.directories > 1:
        places += ["--directory", str(shape.directory_places)]
    if kind == "gateway":
        places += [word for name in shape.allow_hosts for word in ("--allow-host", name)]
    if kind in ("inbox", "outbox", "bizlogic"):
        places += ["--data", str(shape.data)]
    if kind in ("inbox", "outbox"):
        places += ["--users-file", str(shape.users or shape.data / FILE_NAME)]
    if kind == "inbox" or (kind == "outbox" and shape.broker is None):
        journal = journal or journal_name(kind, shape, number)
        places += ["--sync", shape.sync, "--journal", journal]
    else:
        journal = ""
    if kind == "inbox":
        places += ["--history", str(shape.history)]
    if kind == "inbox" and shape.inboxes > 1:
        places += ["--partition", str(Partition(number % shape.inboxes, shape.inboxes))]
    if kind == "bizlogic" and shape.inboxes > 1:
        places += ["--inboxes", str(shape.inboxes)]
    if kind == "bizlogic":
        places += _users(shape)
    name = kind
    if kind == "outbox" and shape.partitions > 1:
        places += ["--partitions", str(shape.partitions)]
    if kind == "bizlogic" and shape.partitions > 1:
        partition = Partition(number % shape.partitions, shape.partitions)
        places += ["--partition", str(partition)]
        name, does = partition.address(kind), f"{does}, of authors {partition}"
    # Standbys after those that are to work: an outbox stays with the first that it finds.
    stage = 1 if kind == "bizlogic" and number >= shape.partitions else 0
    brokered = shape.broker is not None and kind in BROKERED
    variables = ((BROKER, shape.broker.secret),) if brokered and shape.broker else ()
    return Program(f"{name}-{port}", kind, (*arguments, *places), port, does, stage, journal, variables)


def _everywhere(shape: Shape) -> list[str]:
    """The options that all have."""
    options = ["--host", shape.host, "--log-level", shape.log_level, "--key", str(shape.key)]
    options += ["--advertise", shape.advertised] if shape.advertised else []
    options += ["--tls", str(shape.tls)] if shape.tls else []
    return [*options, "--insecure"] if shape.insecure else options


def _users(shape: Shape) -> list[str]:
    """Where users are, if not in the data folder; their password is in no command line."""
    return ["--users", str(shape.users)] if shape.users is not None else []


def journal_name(kind: str, shape: Shape, number: int) -> str:
    """The name of the journal of the `number`-th manifold of a kind: by its number, wherever it listens."""
    known = shape.journals if kind == "outbox" else shape.inbox_journals
    if number < len(known):
        return known[number]
    if kind == "inbox" and shape.inboxes > 1:
        copy, part = divmod(number, shape.inboxes)
        return Partition(part, shape.inboxes).address(kind) + (f"-{copy + 1}" if copy else "")
    return f"{kind}-{number + 1}"


def autobark(shape: Shape, number: int) -> Program:
    """The `number`-th autobark (from 1)."""
    places = [*_everywhere(shape), "--directory", str(shape.directory_places), "--data", str(shape.data)]
    places += _users(shape)
    arguments = ("barker.autobark", f"{shape.rate:g}", *places)
    does = f"barks {shape.rate:g} times a second" if shape.rate != 1 else "barks once a second"
    # Last: who looks for an outbox while there is one of three stays with that one.
    return Program(f"autobark-{number}", "autobark", arguments, None, does, stage=2)


_SERVICES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "directory": (5672, "tells everyone where everyone is", ("barker.directory",)),
    "gateway": (5673, "brings browsers in: HTTP and WebSocket", ("barker.gateway",)),
    "inbox": (5820, "holds timelines", ("barker.manifold", "inbox")),
    "outbox": (
        5800,
        "takes barks, holds them until delivered",
        ("barker.manifold", "outbox", "--push", "bizlogic", "--accept", "bark"),
    ),
    "bizlogic": (5680, "works out who must see a bark", ("barker.bizlogic",)),
    "monitor": (6000, "watches all others", ("barker.monitor",)),
}
"""Each kind's first port, what it is for, and its command."""


_RELAY = (
    "checks barks, and hands them to the broker",
    ("barker.manifold", "outbox", "--accept", "bark"),
)
"""What an outbox is for with a broker, and its command."""

BROKERED = ("inbox", "outbox", "bizlogic", "monitor")
"""Who speaks with the broker."""

BROKER = "BARKER_BROKER"
"""The variable by which they know where it is, and who they are there."""


def plan(shape: Shape) -> list[Program]:
    """Which processes a suite of that shape is made of.

    :raises Mistake: when these are more of a kind than there may be.
    """
    if shape.copies > 1 and shape.broker is None:
        raise Mistake("--copies of an inbox follow a broker's streams: they go with --broker URL")
    if shape.bizlogics * shape.partitions > MOST["bizlogic"]:
        raise Mistake(
            f"--partitions {shape.partitions} of --bizlogics {shape.bizlogics} each: there may be "
            f"{MOST['bizlogic']} bizlogics in all"
        )
    return [
        *(service("directory", shape, number) for number in range(shape.directories)),
        service("gateway", shape),
        *(service("inbox", shape, number) for number in range(shape.inboxes * shape.copies)),
        *(service("outbox", shape, number) for number in range(shape.outboxes)),
        *(service("bizlogic", shape, number) for number in range(shape.bizlogics * shape.partitions)),
        *(autobark(shape, number + 1) for number in range(shape.autobarks)),
        *([service("monitor", shape)] if shape.monitoring else []),
    ]


def numbered(programs: Iterable[Program]) -> dict[str, Program]:
    """These by kind and number, such as ``outbox-2``: not by their ports, which are others in each run."""
    found: dict[str, Program] = {}
    for program in programs:
        number = sum(other.kind == program.kind for other in found.values()) + 1
        found[f"{program.kind}-{number}"] = program
    return found


def another(kind: str, shape: Shape, programs: Collection[Program]) -> Program:
    """One more bizlogic, outbox or autobark beside these.

    :raises InvalidField: when there cannot be more of that kind.
    """
    if kind not in MOST:
        raise InvalidField(f"there can be more of bizlogic, outbox and autobark, not of {kind!r:.40}")
    names = {program.name for program in programs}
    used = {program.journal for program in programs}
    journal = next(name for name in map("outbox-{}".format, itertools.count(1)) if name not in used)
    for number in range(MOST[kind]):
        program = (
            autobark(shape, number + 1)
            if kind == "autobark"
            else service(kind, shape, number, journal if kind == "outbox" else "")
        )
        if program.name not in names:
            return program
    raise InvalidField(f"there are {MOST[kind]} of {kind} already, and cannot be more")
