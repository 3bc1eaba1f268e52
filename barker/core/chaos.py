"""What `barker chaos` decides, without I/O: which fault befalls whom, when; whether promises were kept."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

KINDS = ("kill", "restart", "freeze", "fresh", "full")
"""``kill``: SIGKILL, started again within 2 s. ``restart``: SIGTERM, started again at once.
``freeze``: SIGSTOP for 0.1 to 10 s, then SIGCONT. ``fresh``: SIGKILL, started again after 3 to 10 s.
``full``: the disk takes nothing for 0.5 to 6 s."""

PAIRS = (("outbox", "outbox"), ("directory", "bizlogic"), ("inbox", "bizlogic"))
"""Kinds of services that are also hit at the same time."""

PAIR_SHARE = 0.15
"""So many of all faults hit two."""

DISKS = (("outbox",), ("inbox",), ("outbox", "inbox"))
"""Kinds of services whose disks are full at the same time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that befalls one service, or two at once."""

    at: float
    """When, in seconds after the start."""
    kind: str
    names: tuple[str, ...]
    seconds: float
    """How long until they are started again, or thawed, or have room."""

    @property
    def end(self) -> float:
        """When they are started again, or thawed, or have room."""
        return self.at + self.seconds

    @property
    def label(self) -> str:
        """What it is, without numbers: ``kill bizlogic``, ``freeze directory and bizlogic``."""
        return f"{self.kind} {' and '.join(name.partition('-')[0] for name in self.names)}"


def schedule(
    seed: int,
    services: Mapping[str, str],
    seconds: float,
    per_minute: float,
    kinds: Sequence[str] = KINDS,
) -> list[Fault]:
    """The faults of a run of so many seconds, in order: the same for the same arguments.

    `services`: each service's kind, by its name. Nobody is hit while he is down, and all are up at the end;
    but who has a full disk is hit as others are, and started again with it.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    down_until, full_until = dict.fromkeys(services, 0.0), dict.fromkeys(services, 0.0)
    at = 0.0
    while True:
        at += chance.expovariate(per_minute / 60)
        kind = chance.choice(kinds)
        fault = Fault(at, kind, _victims(chance, services, kind), _duration(chance, kind))
        if fault.end > seconds:
            return faults
        busy_until = full_until if kind == "full" else down_until
        if all(busy_until[name] < at for name in fault.names):
            faults.append(fault)
            # A moment more: what has been started has to be ready.
            busy_until.update(dict.fromkeys(fault.names, fault.end + 1.0))


def _victims(chance: random.Random, services: Mapping[str, str], fault: str) -> tuple[str, ...]:
    if fault != "full" and chance.random() >= PAIR_SHARE:
        return (chance.choice(list(services)),)
    victims: list[str] = []
    for wanted in chance.choice(DISKS if fault == "full" else PAIRS):
        victims.append(
            chance.choice([n for n, kind in services.items() if kind == wanted and n not in victims])
        )
    return tuple(victims)


def _duration(chance: random.Random, kind: str) -> float:
    if kind == "freeze":
        return 0.1 * math.exp(chance.random() * math.log(100))  # As many of 0.1 to 1 s as of 1 to 10 s.
    lasts = {"kill": (0.0, 2.0), "restart": (0.0, 0.0), "fresh": (3.0, 10.0), "full": (0.5, 6.0)}
    return chance.uniform(*lasts[kind])


@dataclass(slots=True)
class Verdict:
    """What the timelines show of what was accepted."""

    accepted: int = 0
    delivered: int = 0
    """Of those accepted, each counted on every timeline that it is due to."""
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    """On a timeline before one that its author has sent earlier and the same outbox accepted."""
    strange: int = 0
    """On a timeline that they are not due to, or never sent."""
    examples: list[str] = field(default_factory=list)
    """The first few things that are wrong."""

    @property
    def kept(self) -> bool:
        """Whether all promises were kept."""
        return not (self.lost or self.twice or self.disordered or self.strange)

    def wrong(self, what: str) -> None:
        """Note what is wrong, as long as few are noted."""
        if len(self.examples) < 10:
            self.examples.append(what)


class Ledger:
    """What was sent and what was accepted: each author's barks are numbered 0, 1, 2 …"""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._accepted: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._offered: dict[tuple[str, int], str] = {}
        self._moved: set[tuple[str, int]] = set()
        """What was offered to more than one outbox."""
        self.accepted = 0

    def next(self, author: str) -> int:
        """The number of the author's next bark, which is sent now."""
        self.sent[author] += 1
        return self.sent[author] - 1

    def offer(self, author: str, number: int, outbox: str) -> None:
        """It is sent to that outbox, which may keep it and never say so."""
        if self._offered.setdefault((author, number), outbox) != outbox:
            self._moved.add((author, number))

    def accept(self, author: str, number: int, outbox: str) -> None:
        """That outbox has accepted it."""
        self._accepted[author][outbox].append(number)
        self.accepted += 1

    def due(self, authors: Iterable[str]) -> int:
        """How many accepted barks stand on a timeline that these authors' barks go to."""
        return sum(len(numbers) for author in authors for numbers in self._accepted[author].values())

    def judge(
        self, timelines: Mapping[str, list[tuple[str, int]]], authors: Mapping[str, set[str]]
    ) -> Verdict:
        """Compare what stands on timelines, (author, number) each, with what was accepted.

        `authors`: whose barks are due on each timeline. A bark that was sent and never accepted may be there.
        """
        verdict = Verdict(accepted=self.accepted)
        for user, barks in timelines.items():
            for bark, count in Counter(barks).items():
                if count > 1:
                    verdict.twice += count - 1
                    verdict.wrong(f"{bark} is {count} times on the timeline of {user}")
                if bark[0] not in authors[user] or not 0 <= bark[1] < self.sent[bark[0]]:
                    verdict.strange += 1
                    verdict.wrong(f"{bark} is on the timeline of {user}, and should not")
            places = {bark: place for place, bark in reversed(list(enumerate(barks)))}
            for author in sorted(authors[user]):
                for outbox, numbers in self._accepted[author].items():
                    # An outbox journals an author's barks as they were sent; outcomes come in any order.
                    self._judge(verdict, places, user, author, outbox, sorted(numbers))
        return verdict

    def _judge(
        self,
        verdict: Verdict,
        places: Mapping[tuple[str, int], int],
        user: str,
        author: str,
        outbox: str,
        numbers: list[int],
    ) -> None:
        """What one outbox accepted of one author, in the order sent, on one timeline.

        One that was offered elsewhere too may be early: the other outbox may have had nothing before it.
        """
        last, before = -1, -1
        for number in numbers:
            place = places.get((author, number))
            if place is None:
                verdict.lost += 1
                verdict.wrong(f"({author}, {number}), accepted by {outbox}, is not on the timeline of {user}")
                continue
            verdict.delivered += 1
            if place < last and (author, number) in self._moved:
                continue
            if place < last:
                verdict.disordered += 1
                verdict.wrong(f"({author}, {number}) is before {before} on the timeline of {user} ({outbox})")
            else:
                last, before = place, number


def longest_gaps(arrivals: Iterable[float], faults: Iterable[Fault], settle: float) -> dict[str, float]:
    """For each kind of fault, the longest time (seconds) without a delivery while it lasted or just after it.

    `arrivals` in order. A fault is held responsible for up to `settle` seconds after its end; when several
    overlap, each is for the same gap.
    """
    gaps = [(b - a, a, b) for a, b in itertools.pairwise(arrivals)]
    found: dict[str, float] = {}
    for fault in faults:
        within = [gap for gap, start, end in gaps if end > fault.at and start < fault.end + settle]
        found[fault.label] = max([found.get(fault.label, 0.0), *within])
    return found
