"""What readers of timelines have seen, without I/O: in order, nothing twice on one link, and nothing missed
that they were not told of.

The messages of each timeline are numbered 0, 1, 2 … by the one who writes there, and are there in that order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class _Link:
    """A reader's."""

    timeline: str
    accepted: int
    """How many messages had been accepted there before it was asked for."""
    next: int | None = None
    """What it has to see next; None: it has seen nothing yet."""


class ReadingLedger:
    """What was written, and what each reader saw."""

    def __init__(self, history: int) -> None:
        """`history`: how many messages each timeline keeps."""
        self._history = history
        self._sent: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._links: dict[Hashable, _Link] = {}
        self.wrong: list[str] = []
        """What readers should not have seen."""
        self.seen = 0
        """How many messages readers have seen, each with each link."""
        self.missed = 0
        """How many they were told to have missed."""

    def next(self, timeline: str) -> int:
        """The number of the next message on it, which is sent now."""
        self._sent[timeline] += 1
        return self._sent[timeline] - 1

    def accept(self, timeline: str) -> None:
        """One more was accepted."""
        self._accepted[timeline] += 1

    @property
    def accepted(self) -> int:
        """How many were accepted, on all timelines."""
        return self._accepted.total()

    def accepted_on(self, timeline: str) -> int:
        """How many were accepted on it."""
        return self._accepted[timeline]

    def attached(self, timeline: str, link: Hashable, accepted: int) -> None:
        """A reader's link stands: it is to see the history, then what comes.

        `accepted`: how many were before its reader asked for it, as far as he knows.
        """
        self._links[link] = _Link(timeline, accepted)

    def ended(self, link: Hashable) -> None:
        """It has ended."""
        self._links.pop(link, None)

    def came(self, link: Hashable, number: int, missed: int) -> None:
        """A reader sees a message, and is told to have missed so many before it."""
        found = self._links[link]
        self.seen += 1
        self.missed += missed
        name = f"a reader of {found.timeline}"
        if found.next is None:
            first = number - missed
            # It began when the link was given credit: after it came, and before now.
            oldest = max(0, found.accepted - self._history)
            newest = max(0, self._sent[found.timeline] - self._history)
            if not oldest <= first <= newest:
                self.wrong.append(f"{name} began with {first}, and not with one of {oldest} to {newest}")
        elif number < found.next:
            self.wrong.append(f"{name} saw {number} after {found.next - 1}")
        elif number != found.next + missed:
            self.wrong.append(f"{name} saw {number} after {found.next - 1}, and was told of {missed} missed")
        found.next = number + 1

    @property
    def left(self) -> int:
        """How many messages are still to be seen over the links that stand."""
        return sum(max(0, self._accepted[link.timeline] - (link.next or 0)) for link in self._links.values())

    def judge(self) -> list[str]:
        """What is wrong, once nothing is left to be seen."""
        behind = [
            f"a reader of {link.timeline} has not seen what is behind {(link.next or 0) - 1}"
            for link in self._links.values()
            if self._accepted[link.timeline] > (link.next or 0)
        ]
        return self.wrong + behind


def astray(seen: Sequence[object], timeline: Sequence[object]) -> int | None:
    """Where what was seen over one link is not the beginning of the timeline; None if it is."""
    for place, message in enumerate(seen):
        if place >= len(timeline) or timeline[place] != message:
            return place
    return None
