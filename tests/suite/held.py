"""What is in the journals of a data folder, told without the partitions that it is in."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from barker.amqp.message import decode_bark
from barker.core.claims import Claim
from barker.core.partitions import Partition, addresses, number_of
from barker.store.journal import QueueJournal, TimelineJournal


class Held(NamedTuple):
    """All of it."""

    waiting: dict[str, dict[str, list[tuple[int, bytes]]]]
    """By outbox and author: what waits, in order, by number."""
    dead_letters: dict[str, list[tuple[int, bytes]]]
    tallies: dict[str, int]
    timelines: dict[str, list[bytes]]
    """By user: what is on the timeline, in order."""
    keys: set[str]
    delivered: int
    """The tallies of all inboxes together."""


def held(folder: Path, partitions: int, inboxes: int) -> Held:
    """What is there for so many partitions and inboxes; nothing may be there for others."""
    found = Held(defaultdict(lambda: defaultdict(list)), {}, {}, defaultdict(list), set(), 0)
    names = [f"outbox-{number}" for number in range(1, 1 + len(list(folder.glob("outbox-*.sqlite3"))))]
    for name in names:
        with closing(QueueJournal(folder / f"{name}.sqlite3")) as journal:
            queues = addresses("outbox", partitions)
            assert set(journal.queues()) <= {*queues, "outbox/dead-letters"}
            for number, queue in enumerate(queues):
                for entry in journal.load(queue, 0, 10_000):
                    author = decode_bark(entry.data).user
                    assert number_of(author, partitions) == number
                    found.waiting[name][author].append(tuple(entry))
            found.dead_letters[name] = [
                tuple(each) for each in journal.load("outbox/dead-letters", 0, 10_000)
            ]
            found.tallies[name] = journal.tally
    delivered = 0
    parts = [Partition(number, inboxes) for number in range(inboxes)]
    files = {
        folder / f"{part.address('inbox') if inboxes > 1 else 'inbox-1'}.sqlite3": part for part in parts
    }
    assert set(folder.glob("inbox-*.sqlite3")) == set(files)
    assert not list(folder.glob("*.new*")) + list(folder.glob("*.json*"))
    for file, part in files.items():
        with closing(TimelineJournal(file)) as timelines:
            delivered += timelines.tally
            for entry in timelines.load():
                if entry.key:
                    found.keys.add(Claim.parse(entry.key).key)
                for user in (entry.users or "").split():
                    assert part.holds(user)
                    assert entry.data is not None
                    found.timelines[user].append(entry.data)
    return found._replace(delivered=delivered)
