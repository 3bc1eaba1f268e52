"""An outbox's count of the barks that it has handed on, which outlasts its process; for `core/balance.py`.

The journal keeps it, as its tally: the commit that forgets what bizlogic has accepted writes it. Follows and
dead letters are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from barker.amqp.message import decode_bark
from barker.core.barks import Follow
from barker.core.gauges import AtSecond
from barker.core.work_queue import Entry, WorkQueue


class HandedOn:
    """The count of one outbox."""

    def __init__(self, before: int, work: WorkQueue, now: float) -> None:
        """`before`: what it was in the journal, whose messages `work` has. `now` is in seconds since 1970."""
        self._work = work
        self._before = self._count = before
        self._more = 0
        """What the next commit adds."""
        self._old = work.depth
        """Of what was there at the start: nobody knows what was sent in an earlier life."""
        self._first_new = 0
        self._counts = AtSecond(now, (before, self._old, self._old))

    def accepted(self, entry: Entry) -> None:
        """Bizlogic has accepted it."""
        follow = b"follow" in entry.data and isinstance(decode_bark(entry.data, any_time=True), Follow)
        self._more += not follow
        self.rejected(entry)

    def rejected(self, entry: Entry) -> None:
        """It waits no more, and is not handed on."""
        self._old -= not self._first_new or entry.sequence < self._first_new

    @property
    def tally(self) -> int | None:
        """What the next commit has to write; None if that is there already."""
        return self._count + self._more if self._more else None

    def committed(self, entries: Sequence[Entry]) -> None:
        """It was done, and wrote these entries."""
        self._count += self._more
        self._more = 0
        if entries and not self._first_new:
            self._first_new = entries[0].sequence

    def update(self, now: float, uncommitted: int) -> None:
        """At the end of a turn; so many are settled, and the journal does not know it yet."""
        held, tried = self._work.depth + uncommitted, self._work.tried + self._old + uncommitted
        self._counts.update(now, (self._count, held, min(held, tried)))

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
