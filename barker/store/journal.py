"""Journals: what a manifold has accepted, on disk, in SQLite.

A journal collects what a turn of the reactor brings and writes it in one transaction
(:meth:`QueueJournal.commit`, "group commit"); only then is anything settled. In WAL mode with
``synchronous=NORMAL`` a commit survives the death of the process; ``FULL`` also that of the machine.

Each row has a checksum. A journal is looked through whenever it is opened: one that is damaged is set aside
as it is, and a new one goes on with every row that is still true (`sqlite_pages.py` reads them,
`salvage.py` swaps).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from barker.core.errors import Damaged, StorageError
from barker.core.old_keys import in_todays_form
from barker.core.work_queue import Entry, WorkQueue
from barker.store.salvage import finish, salvaging
from barker.store.sqlite_errors import START_AGAIN, storage_errors
from barker.store.sqlite_pages import HEADER, PAGE, Record, Value, frames, records

log = logging.getLogger(__name__)

VERSION = 4
"""The layout of these files (SQLite's user_version); 1 had no checksums, 2 others, 3 old forms of keys."""

NO_VERSION = 100
"""A file that claims this layout or a higher one does not come from a newer Barker, but from damage."""

SYNC = {"normal": "safe against the death of processes", "full": "safe against power loss too"}
"""How sure a commit is: SQLite's ``synchronous``."""

CACHE = 8 * 1024 * 1024
"""So many bytes of a journal stay in memory: what is forgotten soon is not read again for that."""

LOG_PAGES = 2_000
"""The write-ahead log is folded into the file at so many pages. Each time all wait for the disk; and who was
killed looks through what there is of it (80 ms a thousand) before it begins again."""

KEYS_AT_ONCE = 2_000
"""How many old keys are forgotten in one transaction."""

SALVAGED_AT_ONCE = 100
"""How many rows of a damaged journal are written in one transaction."""

MESSAGES = "sequence > 0"
"""Which rows are messages: the one at 0, if there is one, is the tally of the journal's owner."""

FOLLOWED, AGAIN = -1, -2
"""And those before that tell how far a stream was read, and how many messages came once more."""

_NO_INDEX = {sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}

KEPT = 0xFFFFFFFF
"""The part of a checksum that is of a row's first two columns; the part above it is of the others."""


def checksum(first: Value, second: Value, *others: Value) -> int:
    """What a row's last column says of the others, of which the last is the message: None or bytes.

    Of a message that is forgotten, but not its first two columns, the part above :data:`KEPT` is 0.
    """
    *head, data = others
    if not isinstance(data, bytes | None):
        raise TypeError("a message is bytes")
    kept = zlib.crc32(f"{first!r} {second!r}".encode())
    if data is None:
        return kept
    rest = 0
    for value in head:
        rest = zlib.crc32((value if isinstance(value, str) else repr(value)).encode(), rest)
    # 31 bits of it: SQLite's integers have a sign.
    return kept | zlib.crc32(data, rest) >> 1 << 32


def _checksum_of_layout_2(*values: Value) -> int:
    *head, data = values
    return zlib.crc32(data or b"", zlib.crc32(repr((head, data is None)).encode()))  # type: ignore[arg-type]


CHECKSUMS: dict[int, Callable[..., int]] = {2: _checksum_of_layout_2, 3: checksum, 4: checksum}
"""That of each layout that has them."""


class Journal:
    """A SQLite file that one process owns."""

    holds = ""
    schema = ""
    columns: tuple[str, ...] = ()
    """Those of its table, without the checksum."""
    renewal: tuple[str, ...] = ()
    """What makes rows of an older layout what they would be today, but for their checksums."""

    def __init__(self, path: Path, sync: str = "normal") -> None:
        """Open `path`, make it if it is not there; salvage what can be read if it is damaged.

        `sync`: one of :data:`SYNC`.

        :raises StorageError: when it cannot be opened, is in use, or is newer than this program.
        """
        self.path = path
        self._files = str(path), f"{path}-wal"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        aside = finish(path)
        if aside is not None:
            log.warning("%s was damaged: it is set aside as %s, and what was saved goes on", path, aside)
        try:
            self.check(path)
        except Damaged as damage:
            self._salvage(damage)
        with storage_errors(path):
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        try:
            self._prepare(sync)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, sync: str) -> None:
        with storage_errors(self.path):
            self._db.create_function("checksum_of", -1, checksum, deterministic=True)
            self._db.create_function("in_todays_form", 2, in_todays_form, deterministic=True)
            # One owner: a second process on the same file would deliver everything twice.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute(f"PRAGMA page_size={PAGE}")
            self._db.execute(f"PRAGMA cache_size={-CACHE // 1024}")  # SQLite's sign for KiB.
            self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={sync}")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            # Nothing is written to a journal that is as it should be: it can be read when the disk is full.
            if version != VERSION:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute(self.schema)
                if version == 1:
                    self._db.execute("ALTER TABLE messages ADD COLUMN checksum INTEGER")
                for statement in self._renewal if version else ():
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
                self._db.execute("COMMIT")
            # Takes the lock, whatever else has been done.
            self._db.execute("SELECT count(*) FROM sqlite_schema")

    @property
    def _renewal(self) -> tuple[str, ...]:
        return *self.renewal, f"UPDATE messages SET checksum = checksum_of({', '.join(self.columns)})"

    # Damage

    @classmethod
    def check(cls, path: Path) -> None:
        """Look through a journal that nobody has open, and change nothing.

        :raises Damaged: when not every row is as it was written, or the log is not.
        :raises StorageError: when it is in use, or newer than this program, or holds something else.
        """
        name = f"file:{quote(str(path.resolve()))}?mode=ro"
        with storage_errors(path):
            size = path.stat().st_size if path.exists() else 0
            if not size and not frames(path):
                if path.exists():
                    log.warning("%s is empty, and begun anew", path)
                return
            if size < PAGE:  # SQLite would throw the log of such a file away.
                raise Damaged(path, "it is cut short", START_AGAIN)
            # Read only: otherwise SQLite would fold the log into the file, however damaged they are.
            try:
                cls._check_rows(path, name)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) not in _NO_INDEX:
                    raise
                # A full disk has no room for SQLite's index of the log. What there is of it may only be read
                # now, so that SQLite makes another in memory.
                cls._check_rows(path, name + "&readonly_shm=1")
            finally:
                # SQLite leaves its index behind when it may only read; its owner needs none.
                path.with_name(path.name + "-shm").unlink(missing_ok=True)

    @classmethod
    def _check_rows(cls, path: Path, name: str) -> None:
        """Look through the rows of the file that SQLite is to open under that name."""
        with contextlib.closing(sqlite3.connect(name, uri=True, timeout=2.0)) as database:
            cls._check_database(path, database)

    @classmethod
    def _check_database(cls, path: Path, database: sqlite3.Connection) -> None:
        database.execute("BEGIN")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if VERSION < version < NO_VERSION:
            raise StorageError(
                f"{path} was written by a newer Barker (layout {version}, not {VERSION}): "
                "use that one, or another --data"
            )
        if not 0 <= version <= VERSION:
            raise Damaged(path, f"no Barker has a layout {version}", START_AGAIN)
        columns = [row[0] for row in database.execute("SELECT name FROM pragma_table_info('messages')")]
        for kind in (QueueJournal, TimelineJournal):
            if columns[: len(kind.columns)] == [*kind.columns] != [*cls.columns]:
                raise StorageError(
                    f"{path} is a journal of {kind.holds}, not of {cls.holds}: "
                    "start it as that (--history makes timelines), or name another --data"
                )
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(path, found.rpartition("\n")[2], START_AGAIN)
        wanted = [*cls.columns, *(["checksum"] if version in CHECKSUMS else [])] if version else []
        if columns != wanted:
            raise Damaged(path, "its table is another", START_AGAIN)
        if version in CHECKSUMS:
            database.create_function("checksum_of", -1, CHECKSUMS[version], deterministic=True)
            where = f"checksum IS NOT checksum_of({', '.join(cls.columns)})"
            wrong = database.execute(f"SELECT count(*) FROM messages WHERE {where}").fetchone()[0]
            if wrong:
                raise Damaged(path, f"messages that are not as they were written: {wrong}", START_AGAIN)
        with path.open("rb") as file:
            if file.read(len(HEADER)) != HEADER:
                raise Damaged(path, "its header is another", START_AGAIN)
        if not all(frame.whole for frame in frames(path)):
            raise Damaged(path, "a part of its log is not as it was written", START_AGAIN)

    def _salvage(self, damage: Damaged) -> None:
        """Set the file aside, and put in its place what can be read of it."""
        lost = 0
        insert = f"INSERT OR IGNORE INTO messages VALUES ({', '.join('?' * (len(self.columns) + 1))})"
        with contextlib.closing(type(self)(salvaging(self.path))) as saved:
            saved._write([("DELETE FROM messages", [()])])  # Of an attempt that did not come to its end.
            with storage_errors(self.path):
                found = records(self.path)
                while some := list(itertools.islice(found, SALVAGED_AT_ONCE)):
                    true = [row for row in some if row is not None and self._is_true(row, *CHECKSUMS)]
                    rows = [(*values, checksum(*values)) for *values, _ in true]
                    lost += len(some) - len(rows)
                    saved._write([(insert, rows)])
            # Whatever its layout was: where that stands in the file may be damaged, too.
            saved._write((statement, [()]) for statement in self._renewal)
            count = next(saved._read(f"SELECT count(*) FROM messages WHERE data NOTNULL AND {MESSAGES}"))[0]
        log.warning(
            "%s was damaged (%s): it is set aside as %s. Messages saved, which go on in order: %d; not "
            "readable: %d. Not known: what was on pages that are lost, and which of those saved were done "
            "with already (they may be sent again)",
            *(self.path, damage.why, finish(self.path, complete=True), count, lost),
        )

    def _is_true(self, row: Record, *layouts: int) -> bool:
        """Whether a row is one that was written, in one of these layouts."""
        if len(row) != len(self.columns) + 1:
            return False
        *values, check = row
        if not isinstance(values[-1], bytes | None):
            return False
        return any(check == CHECKSUMS[layout](*values) for layout in layouts)

    # What it is for

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._db.close()

    @property
    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        return sum(map(_size, self._files))

    def _write(self, statements: Iterable[tuple[str, Sequence[tuple[object, ...]]]]) -> None:
        """All of it in one transaction, or nothing."""
        with storage_errors(self.path):
            self._roll_back()  # One that failed, and then could not even be rolled back.
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for statement, rows in statements:
                    if rows:
                        self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _read(self, statement: str, *values: object) -> Generator[Any, None, None]:
        """The rows of a query, one by one; whoever stops before the last one ends the query."""
        with storage_errors(self.path), contextlib.closing(self._db.execute(statement, values)) as rows:
            yield from rows


class QueueJournal(Journal):
    """The messages of a manifold's queues that are not settled yet; and a number of its owner's, the tally.

    That is a row before all others, at an address that no queue has. So it is on the page that a commit
    which forgets the oldest messages writes anyway.
    """

    # One tree, in the order in which it is read again: by queue, then by sequence number.
    schema = """
        CREATE TABLE IF NOT EXISTS messages (
            queue TEXT NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL, checksum INTEGER,
            PRIMARY KEY (queue, sequence)) WITHOUT ROWID
    """
    holds = "queues"
    columns = ("queue", "sequence", "data")

    def __init__(self, path: Path, sync: str = "normal") -> None:
        """Open or make the journal at `path`; see :class:`Journal` for what is raised."""
        super().__init__(path, sync)
        self._next: int = (next(self._read("SELECT max(sequence) FROM messages"))[0] or 0) + 1
        found = next(self._read("SELECT data FROM messages WHERE queue = '' AND sequence = 0"), None)
        self.tally = int(found[0]) if found else 0
        """What it was when the journal was opened; 0 if there was none."""

    def commit(
        self, add: list[tuple[str, bytes]], remove: list[tuple[str, int]], tally: int | None = None
    ) -> list[Entry]:
        """Write messages (queue, data), forget settled ones (queue, sequence); the entries that were added.

        `tally`: it is this from now on.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = [Entry(self._next + at, data) for at, (_, data) in enumerate(add)]
        self._write(
            (
                (
                    "INSERT INTO messages VALUES (?, ?, ?, ?)",
                    [
                        (queue, entry.sequence, entry.data, checksum(queue, entry.sequence, entry.data))
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
                ("INSERT OR REPLACE INTO messages VALUES ('', 0, ?, ?)", _tally_row(tally)),
            )
        )
        self._next += len(entries)
        return entries

    def move(self, queue: str, queue_of: Callable[[bytes], str], count: int) -> int:
        """Put the first `count` messages of `queue` into other queues, each at its place in the order.

        How many there were to put. `queue_of` tells which queue a message is for.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = list(self.load(queue, 0, count))
        rows = [(queue_of(entry.data), *entry) for entry in entries]
        stretches = _ranges(entry.sequence for entry in entries)
        self._write(
            (
                (
                    "DELETE FROM messages WHERE queue = ? AND sequence BETWEEN ? AND ?",
                    [(queue, *stretch) for stretch in stretches],
                ),
                ("INSERT INTO messages VALUES (?, ?, ?, ?)", [(*row, checksum(*row)) for row in rows]),
            )
        )
        return len(entries)

    def work_queue(self) -> WorkQueue:
        """A queue with its head in memory, and the rest here."""
        return WorkQueue()

    def queues(self) -> dict[str, int]:
        """How many messages each queue has.

        :raises StorageError: when the file cannot be read.
        """
        return dict(self._read(f"SELECT queue, count(*) FROM messages WHERE {MESSAGES} GROUP BY queue"))

    def load(self, queue: str, after: int, count: int) -> Iterator[Entry]:
        """Up to `count` messages of `queue` behind sequence number `after`, in order, one by one.

        :raises StorageError: when the file cannot be read; Damaged when one is not as it was written.
        """
        rows = self._read(
            "SELECT sequence, data, checksum FROM messages "
            "WHERE queue = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            *(queue, after, count),
        )
        with contextlib.closing(rows):  # Before the file is, whoever keeps the error.
            for sequence, data, check in rows:
                if not self._is_true((queue, sequence, data, check), VERSION):
                    raise Damaged(
                        self.path, f"message {sequence} of {queue} is not as it was written", START_AGAIN
                    )
                yield Entry(sequence, data)


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
    """The messages that some timeline still holds, and the keys of those that came lately; and a tally.

    That is a number of its owner's, of all messages up to one: it is written when messages are forgotten, and
    those that came since are still there. Also how many came once more; and of what comes from a stream, how
    far that was read.
    """

    schema = """
        CREATE TABLE IF NOT EXISTS messages (
            sequence INTEGER PRIMARY KEY, key TEXT NOT NULL, users TEXT, data BLOB, checksum INTEGER)
    """
    holds = "timelines"
    columns = ("sequence", "key", "users", "data")
    renewal = ("UPDATE messages SET key = in_todays_form(key, users) WHERE key != ''",)

    def __init__(self, path: Path, sync: str = "normal") -> None:
        """Open or make the journal at `path`; see :class:`Journal` for what is raised."""
        super().__init__(path, sync)
        self.tally, self.tally_until = map(int, (self._noted(0) or "0 0").split(" "))
        """When the journal was opened: the tally, and the last message that it is of."""
        offset, _, stream = (self._noted(FOLLOWED) or "-1").partition(" ")
        self.offset = int(offset)
        """The place in the stream of the last message that was read; -1: of none."""
        self.stream: str = stream
        """Which stream that was, of all that had its name; empty: not known."""
        self.again = int(self._noted(AGAIN) or "0")
        """How many had come once more when the journal was opened."""
        last = next(self._read("SELECT max(sequence) FROM messages"))[0] or 0
        self._next: int = max(last, self.tally_until) + 1
        self._keys_since = 1
        """Of messages before this one, there are no keys left without the message."""

    def _noted(self, sequence: int) -> str:
        """What a row tells that is no message; empty if there is none."""
        found = next(self._read("SELECT users FROM messages WHERE sequence = ?", sequence), None)
        return str(found[0]) if found else ""

    def commit(
        self, posts: list[Post], offset: int | None = None, again: int | None = None
    ) -> list[TimelineEntry]:
        """Write messages; the entries they became.

        `offset`: so far the stream was read with them. `again`: so many have come once more, ever.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = [TimelineEntry(self._next + at, *post) for at, post in enumerate(posts)]
        notes = []
        if offset is not None:
            notes.append(TimelineEntry(FOLLOWED, "", f"{offset} {self.stream}".rstrip(), None))
        if again is not None:
            notes.append(TimelineEntry(AGAIN, "", f"{again}", None))
        statements = [("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", _rows(entries))]
        if notes:
            statements.append(("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)", _rows(notes)))
        self._write(statements)
        self._next += len(entries)
        self.offset = self.offset if offset is None else offset
        return entries

    def begin(self, stream: str) -> None:
        """What is committed from now on comes from another stream, of which nothing was read."""
        self.offset, self.stream = -1, stream

    def take(self, rows: Iterable[tuple[str, str | None, bytes | None]]) -> None:
        """Write rows of other journals: key, users and message; or a key alone.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        entries = [(self._next + at, *row) for at, row in enumerate(rows)]
        written = [(*entry, checksum(*entry)) for entry in entries]
        self._write([("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", written)])
        self._next += len(entries)

    def count(self) -> int:
        """How many messages there are, and keys of messages that are forgotten."""
        return int(next(self._read(f"SELECT count(*) FROM messages WHERE {MESSAGES}"))[0])

    def load(self) -> Iterator[TimelineEntry]:
        """Everything, in order.

        :raises StorageError: when the file cannot be read.
        """
        rows = self._read(
            f"SELECT sequence, key, users, data FROM messages WHERE {MESSAGES} ORDER BY sequence"
        )
        return (TimelineEntry(*row) for row in rows)

    def forget(self, gone: Iterable[int], keys_before: int, tally: int = 0) -> None:
        """Forget messages that no timeline holds, all but their keys; and keys older than that message.

        Of those, :data:`KEYS_AT_ONCE` at most: the others go with the next ones. `tally` is of all messages
        until now.

        :raises StorageError: when the disk would not take it; then nothing has changed.
        """
        old_keys = "SELECT sequence FROM messages WHERE data IS NULL AND sequence >= ? AND sequence < ?"
        some = self._read(
            f"{old_keys} ORDER BY sequence LIMIT ?", self._keys_since, keys_before, KEYS_AT_ONCE
        )
        keys = [sequence for (sequence,) in some]
        counted = TimelineEntry(0, "", f"{tally} {self._next - 1}", None)
        stretches = _ranges(gone)
        old = [(first, min(last, keys_before - 1)) for first, last in stretches if first < keys_before]
        others = [(max(first, keys_before), last) for first, last in stretches if last >= keys_before]
        self._write(
            (
                ("DELETE FROM messages WHERE sequence BETWEEN ? AND ?", old),
                ("DELETE FROM messages WHERE key = '' AND sequence BETWEEN ? AND ?", others),
                (
                    f"UPDATE messages SET users = NULL, data = NULL, checksum = checksum & {KEPT} "
                    "WHERE sequence BETWEEN ? AND ?",
                    others,
                ),
                ("DELETE FROM messages WHERE sequence BETWEEN ? AND ?", _ranges(keys)),
                ("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)", _rows([counted])),
            )
        )
        self._keys_since = keys[-1] + 1 if len(keys) == KEYS_AT_ONCE else max(self._keys_since, keys_before)


class CopyJournal(TimelineJournal):
    """A journal of timelines that are had from a stream, and can be had again."""

    def _salvage(self, damage: Damaged) -> None:
        """Set the file aside, and begin anew: with gaps, what is missing would come behind what is later."""
        with contextlib.closing(type(self)(salvaging(self.path))) as empty:
            empty._write([("DELETE FROM messages", [()])])
        aside = finish(self.path, complete=True)
        log.warning(
            "%s was damaged (%s): it is set aside as %s, and all is read again from the broker's stream",
            *(self.path, damage.why, aside),
        )


def _rows(entries: Iterable[TimelineEntry]) -> list[tuple[Any, ...]]:
    """Entries of a journal of timelines, each with its checksum."""
    return [(*entry, checksum(*entry)) for entry in entries]


def _tally_row(tally: int | None) -> list[tuple[bytes, int]]:
    """The last columns of the row that holds the tally of queues."""
    if tally is None:
        return []
    data = b"%d" % tally
    return [(data, checksum("", 0, data))]


def _size(file: str) -> int:
    """Bytes of a file; 0 of one that is not there."""
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as (first, last) of the stretches that they make."""
    stretches: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1] = stretches[-1][0], number
        else:
            stretches.append((number, number))
    return stretches
