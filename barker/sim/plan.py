"""What a simulated run is made of, as a value and as a file; and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from barker.core.errors import Mistake
from barker.core.faults import SIMULATED_KINDS, Fault
from barker.sim.chance import PRODUCTION, Chosen

LOADS = {"follows": 1.0, "work": 1.0, "notes": 1.0}
"""What clients do besides barking, by the fields of a plan; how much a second, unless told otherwise."""

LOADS_RATE = 2.0
"""Beside so many barks/s or more; beside fewer, in proportion."""

LOOKERS = {"lookers": 2}
"""How many come and go, likewise."""

UNSURE_LOADS = LOOKERS
"""The same where a power loss may take what was accepted: of barks alone it is known what that may be."""

MANIFOLDS = {"work": "orders", "notes": "notes"}
"""Which of them take a manifold besides, and its kind."""


def loads_beside(rate: float) -> dict[str, float]:
    """What clients do besides so many barks/s, unless told otherwise."""
    return {name: most * min(1.0, rate / LOADS_RATE) for name, most in LOADS.items()} | LOOKERS


@dataclass(frozen=True, slots=True)
class Plan:
    """The same plan makes the same run, to the byte."""

    seed: int
    seconds: float = 60.0
    rate: float = 20.0
    """Barks/s, of all authors together."""
    faults: list[Fault] = field(default_factory=list)
    first: int = 0
    """So many barks are left out at the beginning."""
    most: int = 10**9
    """So many barks at most, with those."""
    left_out: list[int] = field(default_factory=list)
    """Barks that are left out besides, by number."""
    authors: int = 10
    readers: int = 10
    inboxes: int = 1
    partitions: int = 1
    """Into how many the authors are divided."""
    bounds: Chosen = PRODUCTION
    follows: float = 0.0
    """Follows and unfollows a second, of users besides."""
    work: float = 0.0
    """Messages a second for consumers that pull; 0: there is no such queue."""
    notes: float = 0.0
    """Messages a second for short timelines; 0: there are none."""
    first_besides: int = 0
    """So many messages of each of these are left out at the beginning."""
    most_besides: int = 10**9
    """So many messages of each at most, with those."""
    lookers: int = 0
    """How many read a timeline of barks, and come and go."""
    sync: str = "full"
    """How sure a commit is, as services have it (`store/journal.py`)."""
    tls: bool = False
    """Whether all speak TLS. OpenSSL's chance is its own: as many bytes go then, but they are others."""

    @property
    def barks(self) -> int:
        """How many barks are made."""
        return len(self.numbers)

    @property
    def besides(self) -> int:
        """How many messages there are about, besides barks."""
        rates = (self.follows, self.work, self.notes)
        return sum(
            max(0, min(self.most_besides, round(r * self.seconds)) - self.first_besides) for r in rates
        )

    @property
    def events(self) -> int:
        """How much happens in it: barks, other messages, faults."""
        return self.barks + self.besides + len(self.faults)

    @property
    def numbers(self) -> list[int]:
        """Those of the barks that are made, counted from 0."""
        last = min(self.most, int(self.rate * self.seconds))
        return [number for number in range(self.first, last) if number not in self.left_out]

    def write(self, file: Path) -> None:
        """Keep it in a file, which :func:`read` takes.

        :raises Mistake: when it cannot be written.
        """
        try:
            file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise Mistake(f"{file}: {error.strerror or error}") from None

    def told(self) -> Iterator[str]:
        """What happens in it, a line each."""
        yield (
            f"{self.barks} barks in {self.seconds:g} s, of {self.authors} author(s) with {self.readers} "
            f"reader(s), {self.inboxes} inbox(es); seed {self.seed}"
        )
        if self.partitions > 1:
            yield f"authors in {self.partitions} partitions"
        if self.tls:
            yield "over TLS"
        usual = asdict(PRODUCTION)
        others = [f"{name} {value:g}" for name, value in asdict(self.bounds).items() if value != usual[name]]
        if others:
            yield f"other bounds than usual: {', '.join(others)}"
        if self.follows or self.work or self.notes or self.lookers:
            yield (
                f"besides, a second: {self.follows:g} follows, {self.work:g} messages that are pulled, "
                f"{self.notes:g} on short timelines; {self.lookers} reader(s) who come and go"
            )
        if self.most_besides < 10**9:
            yield f"of the messages of each kind number {self.first_besides} to {self.most_besides - 1}"
        for fault in self.faults:
            lasts = f", for {fault.seconds:.3f} s" if fault.seconds else ""
            yield f"{fault.at:9.3f} s  {_WORDS[fault.kind].format(' and '.join(fault.names))}{lasts}"


_WORDS = {
    "kill": "{} is killed",
    "within": "{} is killed within a turn",
    "fresh": "{} is killed, and away",
    "vanish": "the machine of {} is gone without a word",
    "power": "the power of {} fails in the middle of a write",
    "restart": "{} is told to end, and started again",
    "freeze": "{} is frozen",
    "full": "the disk of {} is full",
    "failing": "the next writes of {} fail",
    "broken": "the disk of {} is broken",
    "read-only": "the disk of {} is read-only",
    "unreadable": "the disk of {} cannot be read",
    "slow": "the disk of {} is slow",
    "flip": "a bit flips in the journal of {}",
    "reset": "every connection of {} breaks",
    "cut": "nothing comes from or to {}",
    "cut from": "nothing comes from {}",
    "cut to": "nothing comes to {}",
    "stalled": "{} reads nothing",
    "trickle": "{} reads a few bytes at a time",
    "descriptors": "{} may have no more sockets",
    "memory": "{} is short of memory",
    "set clock": "the clock on the wall is set ({})",
    "drift": "the clock on the wall drifts ({})",
}


def read(file: Path) -> Plan:
    """The plan in a file.

    :raises Mistake: when there is none in it.
    """
    try:
        fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        faults = [Fault(**{**fault, "names": tuple(fault["names"])}) for fault in fields.pop("faults")]
        bounds = Chosen(**fields.pop("bounds", {}))
        plan = Plan(**fields, faults=faults, bounds=bounds)
        assert all(fault.kind in SIMULATED_KINDS for fault in faults)
        return plan
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError):
        raise Mistake(f"{file} is no run that 'barker simulate' has kept") from None
