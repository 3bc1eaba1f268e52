"""What users have said of whom they follow, what was accepted of it, and what became of it, without I/O.

It is judged by the order in which things were done: what an outbox has accepted of a user is done once, in
the order in which it was said, and changes what it changes when it is done in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from barker.core.barks import Follow
from barker.core.ledger import Ledger, Verdict

Change = tuple[str, str, bool]
"""Who follows whom from now on, or no longer."""

_FILE = "the users' file"


class FollowLedger:
    """What was said and what was accepted."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._numbers: dict[Follow, tuple[str, int]] = {}

    @property
    def accepted(self) -> int:
        """How many follows and unfollows were accepted."""
        return self._ledger.accepted

    def say(self, word: Follow) -> None:
        """A user says this now."""
        self._numbers[word] = word.user, self._ledger.next(word.user)

    def offer(self, word: Follow, outbox: str) -> None:
        """It is sent to that outbox, which may keep it and never say so."""
        self._ledger.offer(*self._numbers[word], outbox)

    def accept(self, word: Follow, outbox: str) -> None:
        """That outbox has accepted it."""
        self._ledger.accept(*self._numbers[word], outbox)

    def judge(self, done: Sequence[Follow], changes: Sequence[Change]) -> Verdict:
        """Compare what was accepted with what was done, in that order, and with what that has changed.

        Nobody follows anybody before.
        """
        users = set(self._ledger.sent)
        verdict = self._ledger.judge({_FILE: [self._numbers[word] for word in done]}, {_FILE: users})
        for place, (found, due) in enumerate(_pairs(changes, list(changed_by(done)))):
            if found != due:
                verdict.strange += 1
                verdict.wrong(f"change {place} of who follows whom is {found}, and should be {due}")
                break
        return verdict


def changed_by(words: Iterable[Follow]) -> Iterator[Change]:
    """What these change when they are done in that order, and nobody follows anybody before."""
    follows: set[tuple[str, str]] = set()
    for word in words:
        pair = word.user, word.other
        if word.wanted != (pair in follows):
            (follows.add if word.wanted else follows.remove)(pair)
            yield *pair, word.wanted


def misled(
    changes: Iterable[Change], barks: Mapping[str, str], timelines: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, bool]]:
    """Which barks stand where they should not, or do not where they should: (reader, author, missing).

    `barks`: the id of one bark of each author, made after all these changes; `timelines`: the ids that each
    of these users has read.
    """
    follows: set[tuple[str, str]] = set()
    for user, other, wanted in changes:
        (follows.add if wanted else follows.discard)((user, other))
    for reader, seen in timelines.items():
        for author, bark in barks.items():
            due = author == reader or (reader, author) in follows
            if seen.count(bark) != due:
                yield reader, author, due and bark not in seen


def _pairs(found: Sequence[Change], due: Sequence[Change]) -> Iterator[tuple[Change | None, Change | None]]:
    """Both, side by side; None where one has ended."""
    for place in range(max(len(found), len(due))):
        yield (
            found[place] if place < len(found) else None,
            due[place] if place < len(due) else None,
        )
