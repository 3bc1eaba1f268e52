"""No journal: queues that are in memory only, and gone with their process."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from barker.core.work_queue import Entry, WorkQueue


class QueueMemory:
    """In place of a :class:`~barker.store.journal.QueueJournal`: it numbers messages, and keeps none."""

    size = 0
    """Bytes on disk."""
    tally = 0
    """There is none of an earlier life."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def work_queue(self) -> WorkQueue:
        """A queue of which nothing waits on disk."""
        return WorkQueue.in_memory()

    def commit(
        self, add: list[tuple[str, bytes]], remove: list[tuple[str, int]], tally: int | None = None
    ) -> list[Entry]:
        """Number messages (queue, data)."""
        return [Entry(next(self._numbers), data) for _, data in add]

    def queues(self) -> dict[str, int]:
        """There are none of an earlier life."""
        return {}

    def load(self, queue: str, after: int, count: int) -> Iterable[Entry]:
        """Nothing waits."""
        return ()

    def close(self) -> None:
        """There is nothing to close."""
