"""Journals: what a manifold has accepted, on disk, in SQLite.

A journal collects what a turn of the reactor brings and writes it in one transaction
(:meth:`QueueJournal.commit`, "group commit"); only then is anything settled. In WAL mode with
``synchronous=NORMAL`` a commit survives the death of the process; ``FULL`` also that of the machine.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from barker.core.errors import StorageError
from barker.core.work_queue import Entry
from barker.store.errors import storage_errors

VERSION = 1
"""The layout of these files (SQLite's user_version)."""


class Journal:
    """A SQLite file that one process owns."""

    schema = ""

    def __init__(self, path: Path) -> None:
        """Open `path`, make it if it is not there.

        :raises StorageError: when it cannot be opened, is in use, or is newer than this program.
        """
        self.path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with storage_errors(self.path):
            # One owner: a second process on the same file would deliver everything twice.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StorageError(
                    f"{self.path} was written by a newer Barker (layout {version}, not {VERSION}): "
                    "use that one, or another --data"
                )
            self._db.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, self.schema.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._db.close()

    @property
    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _write(self, statements: Iterable[tuple[str, Sequence[tuple[object, ...]]]]) -> None:
        """All of it in one transaction, or nothing."""
        with storage_errors(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for statement, rows in statements:
                    if rows:
                        self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, statement: str, *values: object) -> Iterator[Any]:
        """The rows of a query, one by one."""
        with storage_errors(self.path):
            yield from self._db.execute(statement, values)


class QueueJournal(Journal):
    """The messages of a manifold's queues that are not settled yet."""

    # One tree, in the order in which it is read again: by queue, then by sequence number.
    schema = """
        CREATE TABLE IF NOT EXISTS messages (
            queue TEXT NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL,
            PRIMARY KEY (queue, sequence)) WITHOUT ROWID
    """

    def __init__(self, path: Path) -> None:
        """Open or make the journal at `path`; see :class:`Journal` for what is raised."""
        super().__init__(path)
        self._next: int = (next(self._read("SELECT max(sequence) FROM messages"))[0] or 0) + 1

    def commit(self, add: list[tuple[str, bytes]], remove: list[tuple[str, int]]) -> list[Entry]:
        """Write messages (queue, data), forget settled ones (queue, sequence); the entries that were added.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = [Entry(self._next + at, data) for at, (_, data) in enumerate(add)]
        self._write(
            (
                (
                    "INSERT INTO messages VALUES (?, ?, ?)",
                    [
                        (queue, entry.sequence, entry.data)
                        for entry, (queue, _) in zip(entries, add, strict=True)
                    ],
                ),
                (
                    "DELETE FROM messages WHERE queue = ? AND sequence BETWEEN ? AND ?",
                    [
                        (queue, *stretch)
                        for queue, gone in itertools.groupby(sorted(remove), key=lambda pair: pair[0])
                        for stretch in _ranges(sequence for _, sequence in gone)
                    ],
                ),
            )
        )
        self._next += len(entries)
        return entries

    def queues(self) -> dict[str, int]:
        """How many messages each queue has.

        :raises StorageError: when the file cannot be read.
        """
        return dict(self._read("SELECT queue, count(*) FROM messages GROUP BY queue"))

    def load(self, queue: str, after: int, count: int) -> Iterator[Entry]:
        """Up to `count` messages of `queue` behind sequence number `after`, in order, one by one.

        :raises StorageError: when the file cannot be read.
        """
        rows = self._read(
            "SELECT sequence, data FROM messages WHERE queue = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            *(queue, after, count),
        )
        return (Entry(*row) for row in rows)


class Post(NamedTuple):
    """A message on its way to timelines, not yet in the journal."""

    key: str
    """What makes it the same message when it comes again; empty: it is never the same."""
    users: str
    """Whose timelines, separated by spaces."""
    data: bytes


class TimelineEntry(NamedTuple):
    """A message in the journal."""

    sequence: int
    key: str
    users: str
    data: bytes | None
    """The message; None when no timeline holds it any more and only its key is remembered."""


class TimelineJournal(Journal):
    """The messages that some timeline still holds, and the keys of those that came lately."""

    schema = """
        CREATE TABLE IF NOT EXISTS messages (
            sequence INTEGER PRIMARY KEY, key TEXT NOT NULL, users TEXT, data BLOB)
    """

    def __init__(self, path: Path) -> None:
        """Open or make the journal at `path`; see :class:`Journal` for what is raised."""
        super().__init__(path)
        self._next: int = (next(self._read("SELECT max(sequence) FROM messages"))[0] or 0) + 1

    def commit(self, posts: list[Post]) -> list[TimelineEntry]:
        """Write messages; the entries they became.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = [TimelineEntry(self._next + at, *post) for at, post in enumerate(posts)]
        self._write((("INSERT INTO messages VALUES (?, ?, ?, ?)", list(entries)),))
        self._next += len(entries)
        return entries

    def load(self) -> Iterator[TimelineEntry]:
        """Everything, in order.

        :raises StorageError: when the file cannot be read.
        """
        rows = self._read("SELECT sequence, key, users, data FROM messages ORDER BY sequence")
        return (TimelineEntry(*row) for row in rows)

    def sweep(self, held: set[int], remember: int) -> int:
        """Forget the messages that no timeline holds; keep the last `remember` keys. How many went.

        :raises StorageError: when the disk would not take it.
        """
        stored = [row[0] for row in self._read("SELECT sequence FROM messages WHERE data NOTNULL")]
        unheld = [sequence for sequence in stored if sequence not in held]
        oldest_key = next(
            self._read(
                "SELECT sequence FROM messages WHERE key != '' ORDER BY sequence DESC LIMIT 1 OFFSET ?",
                remember - 1,
            ),
            (0,),
        )
        self._write(
            (
                (
                    "UPDATE messages SET data = NULL, users = NULL WHERE sequence BETWEEN ? AND ?",
                    _ranges(unheld),
                ),
                ("DELETE FROM messages WHERE data IS NULL AND (key = '' OR sequence < ?)", [oldest_key]),
            )
        )
        return len(unheld)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as (first, last) of the stretches that they make."""
    stretches: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1] = stretches[-1][0], number
        else:
            stretches.append((number, number))
    return stretches
