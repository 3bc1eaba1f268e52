"""What was sent, what was accepted, and what became of it, without I/O: whether the promises were kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field


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
    excused: int = 0
    """Missing, where a loss is excused."""
    strange: int = 0
    """On a timeline that they are not due to, or never sent."""
    others: Counter[str] = field(default_factory=Counter)
    """What is wrong with what clients did besides barking, by what that is."""
    examples: list[str] = field(default_factory=list)
    """The first few things that are wrong."""

    @property
    def kept(self) -> bool:
        """Whether all promises were kept."""
        return not self.broken

    @property
    def broken(self) -> set[str]:
        """Of which kinds those are that were not."""
        names = ("lost", "twice", "disordered", "strange")
        return {name for name in names if getattr(self, name)} | set(self.others)

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
        self,
        timelines: Mapping[str, list[tuple[str, int]]],
        authors: Mapping[str, set[str]],
        excused: Container[tuple[str, int]] = (),
    ) -> Verdict:
        """Compare what stands on timelines, (author, number) each, with what was accepted.

        `authors`: whose barks are due on each timeline. A bark that was sent and never accepted may be there.
        `excused`: what may be missing, or late, as a disk that had it was damaged.
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
                    due = [number for number in sorted(numbers) if (author, number) not in excused]
                    self._judge(verdict, places, user, author, outbox, due)
                    others = [(author, number) in places for number in numbers if (author, number) in excused]
                    verdict.delivered += others.count(True)
                    verdict.excused += others.count(False)
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
