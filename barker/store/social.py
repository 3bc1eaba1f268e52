"""Users and who follows whom, in SQLite: what every bizlogic knows and `barker users` changes.

`postgresql.py` beside it is the same for several hosts; what both are is `userbase.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from barker.core.barks import Follow, is_user
from barker.core.errors import Damaged, Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.core.kennel import STAR
from barker.store.salvage import finish, salvaging
from barker.store.sqlite_errors import storage_errors
from barker.store.sqlite_pages import records
from barker.store.userbase import CHANGES, MANY, ROWS, WORDS, BadRows, Change, News, digest, filling

FILE_NAME = "users.sqlite3"
"""The file in the data directory."""

SALVAGE = "end the suite; then 'barker users salvage', with the same --data, keeps what can be read"
"""What to do when it is damaged."""

_TABLES = (
    "users (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "follows (follower TEXT NOT NULL, followee TEXT NOT NULL, PRIMARY KEY (followee, follower)) "
    "WITHOUT ROWID",
    # Not in the files of an older Barker. A user alone is one who exists now; nobody at all: load all anew.
    "changes (sequence INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT, other TEXT, wanted INTEGER NOT NULL)",
    "words (sequence INTEGER PRIMARY KEY AUTOINCREMENT, word BLOB NOT NULL UNIQUE)",
    "identity (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL)",
)


class Users:
    """The users' file; several processes may have it open. See :class:`barker.store.userbase.UserBase`.

    Each change is also a row of `changes`, so that a process that has all in memory reads what is new, and
    no more. Each word of an outbox (:meth:`apply`) is remembered in `words`: it changes something once,
    however often and to whomever it is sent.
    """

    def __init__(self, path: Path, create: bool = False, patience: float = 5.0) -> None:
        """Open the file at `path`. `patience`: so many seconds it waits for others who write.

        :raises Mistake: when there is none and `create` is not given.
        :raises StorageError: when it cannot be opened.
        """
        self.path, self.place = path, str(path)
        if not create and not path.exists():
            raise Mistake(
                f"there are no users: {path} is missing; make some with "
                f"'barker users make --data {path.parent}', or name another --data"
            )
        with storage_errors(path, SALVAGE):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._connect()
            self._db.execute("PRAGMA journal_mode=WAL")
            for table in _TABLES:
                self._db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            self._id = self._own_id()
            self._db.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
            self._file = self._identity()
            self._seen, *self._others = self._now(self._db)
            self._read_on = False  # Whether there may be news though nobody else has written.

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def present(self) -> bool:
        """Whether the file is still the one that was opened: what is written to a removed one is lost."""
        return self._identity() == self._file

    @property
    def id(self) -> str:
        """What tells these users from others, and copies of them from others' copies."""
        return self._id

    @property
    def data(self) -> str:
        """What tells these users from others, and where they are; in :attr:`Route.data`."""
        return f"{self._id} {os.uname().nodename}:{self.path.resolve()}"

    def __len__(self) -> int:
        return int(next(self._read("SELECT count(*) FROM users"))[0])

    def names(self) -> list[str]:
        """All users, in the order of their names."""
        return [row[0] for row in self._read("SELECT name FROM users ORDER BY name")]

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Each user with how many they follow and how many follow them."""
        yield from self._read(
            "SELECT name, (SELECT count(*) FROM follows WHERE follower = name), "
            "(SELECT count(*) FROM follows WHERE followee = name) FROM users ORDER BY name"
        )

    def star(self) -> str:
        """The user to begin with: the kennel's star, or else whom most follow; empty when there is nobody."""
        if any(self._read("SELECT 1 FROM users WHERE name = ?", STAR)):
            return STAR
        known = self._read("SELECT followee FROM follows GROUP BY followee ORDER BY count(*) DESC LIMIT 1")
        some = self._read("SELECT name FROM users LIMIT 1")
        return next((row[0] for row in itertools.chain(known, some)), "")

    # Everything, and what is new

    def graph(self) -> SocialGraph:
        """Everything, in memory.

        :raises StorageError: when the file cannot be read.
        """
        *_, graph = self.load()
        assert graph is not None
        return graph

    def load(self) -> Iterator[SocialGraph | None]:
        """Everything, in memory, at last: before that None, each time some rows are read.

        What is no name of a user is left out, and said. :meth:`news` goes on from there.

        :raises StorageError: when the file cannot be read.
        """
        with storage_errors(self.path, SALVAGE), contextlib.closing(self._connect()) as db:
            db.execute("BEGIN")
            seen, _, _ = self._now(db)
            bad = BadRows(self.place)
            graph = SocialGraph()
            users = _slices(db.execute("SELECT name FROM users ORDER BY name"))
            follows = _slices(db.execute("SELECT follower, followee FROM follows"))
            yield from filling(graph, users, follows, bad)
            bad.tell()
        self._seen, self._read_on = seen, True
        yield graph

    def news(self) -> News:
        """What this process or another has changed since this, or :meth:`load`, was last asked.

        :raises StorageError: when the file cannot be read; the next time tells all.
        """
        with storage_errors(self.path, SALVAGE):
            if not self._read_on and _commits_of_others(self._db) == self._others[1]:
                return News([], True)  # As nearly always, and it costs a fifth.
            self._db.execute("BEGIN")
            try:
                rows = self._db.execute(
                    "SELECT sequence, user, other, wanted FROM changes WHERE sequence > ? ORDER BY sequence",
                    (self._seen,),
                ).fetchall()
                newest, *others = self._now(self._db)
            finally:
                self._db.execute("COMMIT")
        # Those who know nothing of `changes` write none: an older Barker, or a person with a tool.
        unknown = not rows and others[0] == self._others[0] and others[1] != self._others[1]
        complete = len(rows) == newest - self._seen and not unknown
        bad = BadRows(self.place)
        changes = []
        for _, user, other, wanted in rows:
            if user is None:
                complete = False
            elif is_user(user) and (other is None or is_user(other)):
                changes.append(Change(user, other, bool(wanted)))
            else:
                bad.note("changes", (user, other))
        bad.tell()
        self._seen, self._others, self._read_on = newest, others, False
        return News(changes, complete)

    # What was done

    def changes(self) -> Iterator[Change]:
        """The last changes, in order: :data:`CHANGES` of them at most.

        :raises StorageError: when the file cannot be read.
        """
        for user, other, wanted in self._read("SELECT user, other, wanted FROM changes ORDER BY sequence"):
            if user is not None:
                yield Change(user, other, bool(wanted))

    def words(self) -> Iterator[bytes]:
        """The :func:`digest` of each of the last words of outboxes, in the order in which they were done.

        :raises StorageError: when the file cannot be read.
        """
        yield from (row[0] for row in self._read("SELECT word FROM words ORDER BY sequence"))

    # Changes

    def add(self, users: Iterable[str], follows: Iterable[tuple[str, str]]) -> None:
        """Add users and (follower, followee) pairs, in one transaction; who follows or is followed exists.

        :raises StorageError: when the file cannot be written; then nothing has changed.
        """
        pairs = [(a, b) for a, b in follows if a != b]
        names = {*users, *itertools.chain.from_iterable(pairs)}
        with self._transaction():
            if len(names) + len(pairs) > MANY:
                self._add_many(sorted(names), pairs)
                return
            for name in sorted(names):
                self._add_user(name)
            for follower, followee in pairs:
                self._follow(follower, followee)

    def follow(self, follower: str, followee: str) -> None:
        """`follower` follows `followee` from now on.

        :raises StorageError: when the file cannot be written.
        """
        self.add((follower,), [(follower, followee)])

    def unfollow(self, follower: str, followee: str) -> None:
        """`follower` no longer follows `followee`.

        :raises StorageError: when the file cannot be written.
        """
        with self._transaction():
            self._unfollow(follower, followee)

    def apply(self, words: Sequence[Follow]) -> list[bool]:
        """Do what users have said, in that order; of each, whether the user whom it names exists.

        A word that was done before is not done again, be it by another process: what an outbox sends twice,
        or what is still in the hands of a process that was frozen, changes nothing that was changed since.
        The last :data:`WORDS` words are known.

        :raises StorageError: when the file cannot be written; then nothing has changed.
        """
        found: list[bool] = []
        with self._transaction():
            for word in words:
                exists = self._db.execute("SELECT 1 FROM users WHERE name = ?", (word.other,)).fetchone()
                found.append(exists is not None)
                if not exists or not self._insert("words (word)", (digest(word),)):
                    continue
                if word.wanted:
                    self._add_user(word.user)
                    self._follow(word.user, word.other)
                else:
                    self._unfollow(word.user, word.other)
            self._trim("words", WORDS)
        return found

    def remember(self, words: Iterable[bytes]) -> None:
        """These words were done elsewhere, in that order.

        :raises StorageError: when the file cannot be written; then nothing has changed.
        """
        with self._transaction():
            for word in words:
                self._insert("words (word)", (word,))
            self._trim("words", WORDS)

    def become(self, id: str) -> None:
        """These users, of whom there are none yet, are a copy of those with that id.

        :raises StorageError: when the file cannot be written; then nothing has changed.
        """
        with self._transaction():
            self._db.execute("UPDATE identity SET id = ?", (id,))
        self._id = id

    def _add_many(self, names: list[str], pairs: list[tuple[str, str]]) -> None:
        """So many that it is not noted which are new, only that all is to be loaded anew."""
        before = self._db.total_changes
        self._db.executemany("INSERT OR IGNORE INTO users VALUES (?)", ((name,) for name in names))
        self._db.executemany("INSERT OR IGNORE INTO follows VALUES (?, ?)", pairs)
        if self._db.total_changes > before:
            self._db.execute("INSERT INTO changes (wanted) VALUES (0)")

    def _add_user(self, name: str) -> None:
        if self._insert("users", (name,)):
            self._note(name, None, True)

    def _follow(self, follower: str, followee: str) -> None:
        if follower != followee and self._insert("follows", (follower, followee)):
            self._note(follower, followee, True)

    def _unfollow(self, follower: str, followee: str) -> None:
        gone = "DELETE FROM follows WHERE follower = ? AND followee = ?"
        if self._db.execute(gone, (follower, followee)).rowcount:
            self._note(follower, followee, False)

    def _insert(self, table: str, values: tuple[object, ...]) -> bool:
        """Whether it was not there before."""
        places = ", ".join("?" * len(values))
        return self._db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", values).rowcount > 0

    def _note(self, user: str, other: str | None, wanted: bool) -> None:
        self._db.execute("INSERT INTO changes (user, other, wanted) VALUES (?, ?, ?)", (user, other, wanted))

    def _trim(self, table: str, most: int) -> None:
        newest = f"(SELECT max(sequence) FROM {table})"
        self._db.execute(f"DELETE FROM {table} WHERE sequence <= {newest} - ?", (most,))

    # The file

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        # Bytes that are no text are told apart from names, row by row; Python would refuse to read on.
        db.text_factory = lambda text: text.decode("utf-8", "replace")
        return db

    def _own_id(self) -> str:
        """What the file has for an id, made when it was made."""
        found = self._db.execute("SELECT id FROM identity").fetchone()
        if found is None:
            self._db.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (os.urandom(4).hex(),))
            found = self._db.execute("SELECT id FROM identity").fetchone()
        return str(found[0])

    def _identity(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            found = self.path.stat()
            return found.st_dev, found.st_ino
        return None

    @staticmethod
    def _now(db: sqlite3.Connection) -> tuple[int, int, int]:
        """The newest change and word, and :func:`_commits_of_others`."""
        newest = dict(db.execute("SELECT name, seq FROM sqlite_sequence"))
        return int(newest.get("changes", 0)), int(newest.get("words", 0)), _commits_of_others(db)

    def _read(self, statement: str, *values: object) -> Iterator[Any]:
        with storage_errors(self.path, SALVAGE):
            yield from self._db.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with storage_errors(self.path, SALVAGE):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._trim("changes", CHANGES)
                self._db.execute("COMMIT")
                self._read_on = True
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _slices(cursor: sqlite3.Cursor) -> Iterator[list[Any]]:
    return iter(lambda: cursor.fetchmany(ROWS), [])


def _commits_of_others(db: sqlite3.Connection) -> int:
    """SQLite's count of them (PRAGMA data_version)."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def look_through(path: Path) -> int:
    """Look through a users' file, which may be in use, and change nothing; how many users it has.

    It takes as long as reading the file does.

    :raises Damaged: when SQLite finds its pages or its tables wrong.
    :raises StorageError: when it cannot be read.
    """
    with storage_errors(path, SALVAGE):
        name = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(name, uri=True, timeout=0)) as db:
            # SQLite 3.40's quick_check takes a sound table for a damaged one if its key's columns are not in
            # the order of its columns.
            found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise Damaged(path, str(found).rpartition("\n")[2], SALVAGE)
            return int(db.execute("SELECT count(*) FROM users").fetchone()[0])


def salvage(path: Path) -> Path:
    """Set a damaged users' file aside, and put in its place what can be read of it; its name from now on.

    :raises Mistake: when there is none.
    :raises StorageError: when some process has it open, or the disk does not take what is saved.
    """
    if not path.exists():
        raise Mistake(f"{path} is missing: there is nothing to salvage")
    with storage_errors(path), path.open("r+b") as file:
        try:
            # Where SQLite locks (https://www.sqlite.org/fileformat2.html#the_lock_byte_page): PENDING_BYTE
            # and what follows it. Whoever has the file open shares that stretch.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 512, 0x40000000)
        except OSError:
            raise StorageError(f"{path} is in use by another process: end the suite first") from None
        salvaging(path).unlink(missing_ok=True)  # Of an attempt that did not come to its end.
        with contextlib.closing(Users(salvaging(path), create=True)) as saved:
            rows = [[str(name) for name in row] for row in records(path) if row and all(map(is_user, row))]
            # A follow is stored as (followee, follower).
            follows = [(row[1], row[0]) for row in rows if len(row) == 2]
            saved.add((row[0] for row in rows if len(row) == 1), follows)
    aside = finish(path, complete=True)
    assert aside is not None
    return aside
