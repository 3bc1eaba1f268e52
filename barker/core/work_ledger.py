"""What came to queues from which consumers pull, and what became of it, without I/O.

Producers' messages are numbered 0, 1, 2 … in each queue. One that was sent again, as nobody knew what had
become of it, may be in the queue as often as it was sent. A consumer's word may be lost with its link, and
then the message comes again; on a link that stands it may not. When a link has ended for the manifold, and
when for its consumer, is not the same moment: what came between is in doubt for a while.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

FIRM_SECONDS = 30.0
"""What was settled so long before its link ended is settled for good, whatever befalls the manifold."""

UNDELIVERABLE = "undeliverable here"
"""An outcome: the message may go to others, and not to this link again."""


class _Tally:
    """How often something was settled: for good, and over links that stand."""

    def __init__(self) -> None:
        self._firm = 0
        self.standing: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return self._firm + self.standing.total()

    def ended(self, link: Hashable, firm: bool) -> None:
        """The link has ended over which it was settled once; `firm`: long after."""
        self.standing[link] -= 1
        self._firm += firm


@dataclass(slots=True)
class _Message:
    """One of them."""

    sent: int = 0
    accepted: bool = False
    came: bool = False
    done: bool = False
    settled: _Tally = field(default_factory=_Tally)
    """How often consumers have accepted or rejected it."""
    taken: _Tally = field(default_factory=_Tally)
    """How often it was accepted, also as a dead letter."""
    reasons: set[str] = field(default_factory=set)
    """Why it was rejected."""
    not_here: set[Hashable] = field(default_factory=set)
    """Where it is not to come again."""


@dataclass(slots=True)
class _Link:
    """A consumer's."""

    queue: str
    last: tuple[int, float] = (-1, 0.0)
    """What came over it last, and when."""
    settled: list[tuple[_Tally, float]] = field(default_factory=list)
    """What was settled over it, and when."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What is wrong, unless a link has ended about then."""

    at: float
    excused: Callable[[Hashable, _Link], bool]
    """Whether it is in order if that one has."""
    what: str


class WorkLedger:
    """What was sent, what was accepted, and what consumers did; times are in seconds, on any one clock."""

    def __init__(self, doubt_seconds: float) -> None:
        """`doubt_seconds`: so long after the manifold, or before it, a consumer may learn of a link's end."""
        self._doubt_seconds = doubt_seconds
        self._messages: dict[str, list[_Message]] = defaultdict(list)
        self._links: dict[Hashable, _Link] = {}
        self._ended: dict[str, float] = {}
        self._doubts: list[_Doubt] = []
        self._wrong: list[str] = []
        self.accepted = 0
        """How many messages the queues have accepted."""
        self.done = 0
        """How many of those a consumer has accepted, some as dead letters."""
        self.outcomes: Counter[str] = Counter()
        """How often consumers have settled, by outcome."""

    # Producers

    def next(self, queue: str) -> int:
        """The number of the queue's next message."""
        self._messages[queue].append(_Message())
        return len(self._messages[queue]) - 1

    def sent(self, queue: str, number: int) -> None:
        """It is sent, once more."""
        self._messages[queue][number].sent += 1

    def accept(self, queue: str, number: int) -> None:
        """The queue has accepted it."""
        message = self._messages[queue][number]
        message.accepted = True
        self.accepted += 1
        self.done += message.done

    # Consumers

    def attached(self, queue: str, link: Hashable) -> None:
        """A consumer's link stands."""
        self._links[link] = _Link(queue)

    def came(self, link: Hashable, number: int, now: float) -> None:
        """It came over that link."""
        found = self._links[link]
        message = self._message(found.queue, number)
        if message is None:
            return
        name, (last, since) = f"{number} of {found.queue}", found.last
        if link in message.not_here and message.sent == 1:
            self._wrong.append(f"{name} came again to who had said that it is undeliverable there")
        self._again(message, message.settled, now, f"{name} came again after it was settled")
        # What was in some consumer's hands may be late, also if it never came there.
        calm = self._ended.get(found.queue, -math.inf) <= since - self._doubt_seconds
        if number < last and calm and not message.came and message.sent == 1:
            self._doubt(now, lambda _, of: of.queue == found.queue, f"{name} came after {last}")
        message.came, found.last = True, (number, now)

    def letter_came(self, link: Hashable, number: int, reason: str, now: float) -> None:
        """It came over that link as a dead letter, with a reason."""
        queue = self._links[link].queue
        message = self._message(queue, number)
        if message is None:
            return
        name = f"{number} of {queue}"
        if reason not in message.reasons:
            self._wrong.append(f"{name} is a dead letter for {reason!r}, as nobody has said")
        self._again(message, message.taken, now, f"{name} is a dead letter after it was accepted")

    def settled(self, link: Hashable, number: int, outcome: str, now: float, reason: str = "") -> None:
        """A consumer's word on it: accepted, rejected (with a reason), released, modified …"""
        found = self._links[link]
        message = self._messages[found.queue][number]
        self.outcomes[outcome] += 1
        if outcome == "accepted":
            self._settle(link, message.settled, now)
            self._take(link, message, now)
        elif outcome == "rejected":
            self._settle(link, message.settled, now)
            message.reasons.add(reason)
        elif outcome == UNDELIVERABLE:
            message.not_here.add(link)

    def letter_accepted(self, link: Hashable, number: int, now: float) -> None:
        """The reader of dead letters has accepted it."""
        self.outcomes["dead letters"] += 1
        self._take(link, self._messages[self._links[link].queue][number], now)

    def ended(self, link: Hashable, now: float) -> None:
        """A consumer's link has ended."""
        found = self._links.pop(link, None)
        if found is None:
            return
        self._ended[found.queue] = now
        self._doubts = [
            doubt
            for doubt in self._doubts
            if now - doubt.at > self._doubt_seconds or not doubt.excused(link, found)
        ]
        for tally, at in found.settled:
            tally.ended(link, now - at > FIRM_SECONDS)

    # In the end

    @property
    def left(self) -> int:
        """How many messages the queues have accepted and nobody has."""
        return self.accepted - self.done

    def judge(self) -> list[str]:
        """What is wrong, once the queues are empty."""
        lost = [
            f"{number} of {queue} was accepted, and no consumer has had it"
            for queue, messages in self._messages.items()
            for number, message in enumerate(messages)
            if message.accepted and not message.done
        ]
        return [*self._wrong, *(doubt.what for doubt in self._doubts), *lost]

    def _message(self, queue: str, number: int) -> _Message | None:
        if 0 <= number < len(self._messages[queue]) and self._messages[queue][number].sent:
            return self._messages[queue][number]
        self._wrong.append(f"{number} of {queue} came, and was never sent")
        return None

    def _settle(self, link: Hashable, tally: _Tally, now: float) -> None:
        tally.standing[link] += 1
        self._links[link].settled.append((tally, now))

    def _take(self, link: Hashable, message: _Message, now: float) -> None:
        self._settle(link, message.taken, now)
        self.done += message.accepted and not message.done
        message.done = True

    def _again(self, message: _Message, tally: _Tally, now: float, what: str) -> None:
        """It has come: is there one that is not settled?"""
        if len(tally) >= message.sent:
            self._doubt(now, lambda link, _: tally.standing[link] > 0, what)

    def _doubt(self, now: float, excused: Callable[[Hashable, _Link], bool], what: str) -> None:
        self._doubts.append(_Doubt(now, excused, what))
