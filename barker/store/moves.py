"""Moves rows between queues, and between journals of timelines, when there are to be other partitions.

Which row goes where is `core/partitions.py` and `core/claims.py`; new journals take the place of old ones by
`swap.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from barker.core.claims import Division, Row, may_come_again
from barker.core.fan_out import names_author
from barker.core.partitions import Partition, addresses, count_in, number_of
from barker.core.timelines import Seen
from barker.store.journal import QueueJournal, TimelineEntry, TimelineJournal

AT_ONCE = 1_000
"""So many rows go into one transaction."""

RECENT = 50_000
"""Of the newest so many rows of an inbox each may come again, whatever outboxes here hold: there may be
others elsewhere. A bizlogic that is full has 4,000 on their way to an inbox (`core/capacity.py`)."""

Written = tuple[str, str | None, bytes | None]
"""A row of timelines as it is written: key, users, message."""


def move_queues(journal: QueueJournal, address: str, count: int, author_of: Callable[[bytes], str]) -> int:
    """Put what waits for any number of partitions into the queues of `count`; how many messages that is.

    `address`: the manifold's. `author_of` tells whose a message is. Each keeps its place in the order. It may
    be cut off at any moment, and done again.

    :raises StorageError: when the file cannot be read or written.
    """
    queues = addresses(address, count)

    def queue_of(data: bytes) -> str:
        return queues[number_of(author_of(data), len(queues))]

    moved = 0
    for queue in journal.queues():
        if count_in(queue, address) not in (0, count):
            while some := journal.move(queue, queue_of, AT_ONCE):
                moved += some
    return moved


def divide_timelines(
    sources: Sequence[tuple[Partition, TimelineJournal]],
    files: Sequence[Path],
    waiting: Callable[[str], bool],
) -> int:
    """Write what these inboxes have into new journals, one for each partition; how many messages that is.

    `sources`: each journal, with the partition of the users that it has. `files`: the new ones, which are not
    there. `waiting` tells whether outboxes still hold ``author/id``; also of some others it may say so.

    :raises StorageError: when a file cannot be read or written.
    """
    count = len(files)
    divisions = {partition: Division(partition, count) for partition, _ in sources}
    with ExitStack() as stack:
        targets = [_Target(stack.enter_context(closing(TimelineJournal(file)))) for file in files]
        messages = own = 0
        for partition, journal, entry, left in _merged(sources):
            messages += entry.data is not None
            if entry.data is not None and entry.sequence > journal.tally_until:
                own += names_author(entry.key, entry.users)
            row = Row(entry.key, entry.users or "")
            under_way = bool(entry.key) and may_come_again(entry.key, _any if left < RECENT else waiting)
            for number, (key, users) in divisions[partition].rows(row, under_way):
                targets[number].put(key, users, entry.data)
        # It is a sum over all inboxes: which has how much of it makes no difference.
        tally = own + sum(journal.tally for _, journal in sources)
        for number, target in enumerate(targets):
            target.finish(0 if number else tally)
    return messages


class _Target:
    """A new journal."""

    def __init__(self, journal: TimelineJournal) -> None:
        self._journal = journal
        self._rows: list[Written] = []
        self._keys = Seen()  # As many as an inbox remembers, by default.

    def put(self, key: str, users: str, data: bytes | None) -> None:
        """One row more; of a key that several inboxes had without its message, one is enough."""
        alone = not users or data is None
        if alone and key in self._keys:
            return
        if key:
            self._keys.add(key)
        self._rows.append((key, None, None) if alone else (key, users, data))
        if len(self._rows) >= AT_ONCE:
            self._write()

    def finish(self, tally: int) -> None:
        """All rows are there."""
        self._write()
        self._journal.forget((), 0, tally)

    def _write(self) -> None:
        self._journal.take(self._rows)
        self._rows.clear()


def _any(bark: str) -> bool:
    """Whether an outbox may hold a bark, of which that is not known."""
    return True


def _merged(
    sources: Sequence[tuple[Partition, TimelineJournal]],
) -> Iterator[tuple[Partition, TimelineJournal, TimelineEntry, int]]:
    """The rows of all, each one's in order, with how many follow; one's spread evenly over the others'.

    So the newest of each are among the newest of all: keys are forgotten from the other end.
    """

    def rows(
        at: int, partition: Partition, journal: TimelineJournal
    ) -> Iterator[tuple[float, int, Partition, TimelineJournal, TimelineEntry, int]]:
        count = journal.count()
        for number, entry in enumerate(journal.load(), 1):
            yield number / count, at, partition, journal, entry, count - number

    streams = (rows(at, *source) for at, source in enumerate(sources))
    for _, _, partition, journal, entry, left in heapq.merge(*streams, key=lambda row: row[:2]):
        yield partition, journal, entry, left
