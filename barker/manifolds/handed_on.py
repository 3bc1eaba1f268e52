"""An outbox's count of the barks that it has handed on, which outlasts its process; for `core/balance.py`.

The journal keeps one number (its tally): how many barks were taken, ever, but for dead letters and follows
that are done. Those that are in the journal are not handed on yet; so all others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from barker.amqp.message import decode_bark
from barker.core.barks import Follow
from barker.core.gauges import AtSecond
from barker.core.work_queue import Entry, WorkQueue
from barker.store.journal import QueueJournal
from barker.store.memory import QueueMemory


class HandedOn:
    """The count of one outbox."""

    def __init__(self, journal: QueueJournal | QueueMemory, work: WorkQueue, now: float) -> None:
        """`work` has what is in the journal; `now` in seconds since 1970, as everywhere here."""
        self._journal, self._work = journal, work
        self._taken = max(journal.tally, work.depth)
        self._before = self._taken - work.depth
        self._aside = 0
        """What is to be subtracted with the next commit."""
        self._old = work.depth
        """Of what was there at the start: nobody knows what was sent in an earlier life."""
        self._first_new = 0
        self._counts = AtSecond(now, (self._before, self._old, self._old))

    def accepted(self, entry: Entry) -> None:
        """Bizlogic has accepted it."""
        self._aside += b"follow" in entry.data and isinstance(decode_bark(entry.data, any_time=True), Follow)
        self._done(entry)

    def rejected(self, entry: Entry) -> None:
        """It will be a dead letter."""
        self._aside += 1
        self._done(entry)

    def _done(self, entry: Entry) -> None:
        self._old -= not self._first_new or entry.sequence < self._first_new

    def note(self, arrivals: int) -> None:
        """A commit follows, with so many that came."""
        self._journal.note(self._taken + arrivals - self._aside)

    def committed(self, arrivals: int, entries: Sequence[Entry]) -> None:
        """It was done, and wrote these entries."""
        self._taken += arrivals - self._aside
        self._aside = 0
        if entries and not self._first_new:
            self._first_new = entries[0].sequence

    def update(self, now: float, uncommitted: int) -> None:
        """At the end of a turn; so many are settled, and the journal does not know it yet."""
        held, tried = self._work.depth + uncommitted, self._work.tried + self._old + uncommitted
        self._counts.update(now, (self._taken - held, held, min(held, tried)))

    def state(self, now: float) -> dict[str, Any]:
        """What it was when this second began: barks handed on; held, and of these, those sent before."""
        second, (handed_on, held, tried) = self._counts.at(now)
        return {
            "counted_at": second,
            "handed_on": handed_on,
            "handed_on_before": self._before,
            "held": held,
            "held_tried": tried,
        }
