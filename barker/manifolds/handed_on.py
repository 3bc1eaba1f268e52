"""An outbox's count of the barks that it has handed on, which outlasts its process; for `core/balance.py`.

The journal keeps it, as its tally: the commit that forgets what bizlogic has accepted writes it. Follows and
dead letters are not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from barker.amqp.message import is_follow
from barker.core.gauges import AtSecond
from barker.core.work_queue import Entry, WorkQueue


class HandedOn:
    """The count of one outbox."""

    def __init__(self, before: int, work: Sequence[WorkQueue], now: float) -> None:
        """`before`: what it was in the journal, whose messages `work` has; `now`, in seconds since 1970."""
        self._work = work
        self._before = self._count = before
        self._more = self._others = 0
        """What the next commit adds; and what else it forgets."""
        self._old = sum(queue.depth for queue in work)
        """Of what was there at the start: nobody knows what was sent in an earlier life."""
        self._first_new = sys.maxsize
        self._at_second = AtSecond(self._look, now)

    def accepted(self, entry: Entry) -> None:
        """Bizlogic has accepted it; the next commit forgets it."""
        if is_follow(entry.data):
            self._others += 1
        else:
            self._more += 1
        if entry.sequence < self._first_new:
            self._old -= 1

    def rejected(self, entry: Entry) -> None:
        """The next commit makes it a dead letter."""
        self._others += 1
        if entry.sequence < self._first_new:
            self._old -= 1

    @property
    def tally(self) -> int | None:
        """What the next commit has to write; None if that is there already."""
        return self._count + self._more if self._more else None

    def committed(self, entries: Sequence[Entry]) -> None:
        """It was done, and wrote these entries."""
        self._count += self._more
        self._more = self._others = 0
        if entries:
            self._first_new = min(self._first_new, entries[0].sequence)

    def turn(self, now: float) -> None:
        """A turn ends at `now`, in seconds since 1970, in which things change."""
        self._at_second.at(now)

    def state(self, now: float) -> dict[str, Any]:
        """What was so when this second began: barks handed on; held, and of these, those sent before."""
        second, (handed_on, held, tried) = self._at_second.at(now)
        return {
            "counted_at": second,
            "handed_on": handed_on,
            "handed_on_before": self._before,
            "held": held,
            "held_tried": tried,
        }

    def _look(self) -> tuple[int, int, int]:
        uncommitted = self._more + self._others
        held = sum(queue.depth for queue in self._work) + uncommitted
        tried = sum(queue.tried for queue in self._work)
        return self._count, held, min(held, tried + self._old + uncommitted)
