"""Users and who follows whom, in SQLite: what every bizlogic knows and `barker users` changes."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from barker.core.barks import is_user
from barker.core.errors import Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.store.errors import storage_errors
from barker.store.pages import records
from barker.store.salvage import finish, salvaging

FILE_NAME = "users.sqlite3"
"""The file in the data directory."""

SALVAGE = "end the suite; then 'barker users salvage', with the same --data, keeps what can be read"
"""What to do when it is damaged."""


class Users:
    """The users' file; several processes may have it open."""

    def __init__(self, path: Path, create: bool = False) -> None:
        """Open the file at `path`.

        :raises Mistake: when there is none and `create` is not given.
        :raises StorageError: when it cannot be opened.
        """
        self.path = path
        if not create and not path.exists():
            raise Mistake(
                f"there are no users: {path} is missing; make some with "
                f"'barker users make --data {path.parent}', or name another --data"
            )
        with storage_errors(path, SALVAGE):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY) WITHOUT ROWID")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS follows (follower TEXT NOT NULL, followee TEXT NOT NULL, "
                "PRIMARY KEY (followee, follower)) WITHOUT ROWID"
            )
        self._seen_version = self._data_version()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

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

    def graph(self) -> SocialGraph:
        """Everything, in memory."""
        names = {name: name for name in self.names()}
        follows = self._read("SELECT follower, followee FROM follows")
        # One string object for each name, however many follow it.
        return SocialGraph(names, ((names.get(a, a), names.get(b, b)) for a, b in follows))

    def changed(self) -> bool:
        """Whether another process has changed the file since this was last asked."""
        version = self._data_version()
        changed, self._seen_version = version != self._seen_version, version
        return changed

    def add(self, users: Iterable[str], follows: Iterable[tuple[str, str]]) -> None:
        """Add users and (follower, followee) pairs, in one transaction; who follows or is followed exists.

        :raises StorageError: when the file cannot be written; then nothing has changed.
        """
        pairs = [(a, b) for a, b in follows if a != b]
        names = {*users, *itertools.chain.from_iterable(pairs)}
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO users VALUES (?)", ((name,) for name in sorted(names))
            )
            self._db.executemany("INSERT OR IGNORE INTO follows VALUES (?, ?)", pairs)

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
            self._db.execute("DELETE FROM follows WHERE follower = ? AND followee = ?", (follower, followee))

    def _data_version(self) -> int:
        # SQLite's own count of the commits of others (PRAGMA data_version): nothing is read to ask.
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _read(self, statement: str) -> Iterator[Any]:
        with storage_errors(self.path, SALVAGE):
            yield from self._db.execute(statement)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with storage_errors(self.path, SALVAGE):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


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


def read_edges(path: Path, mutual: bool = False) -> Iterator[tuple[str, str]]:
    """The (follower, followee) pairs of an edge list: two names a line, ``%`` and ``#`` start a comment.

    With `mutual`, each line is a friendship: both follow each other.

    :raises Mistake: when the file cannot be read, or a line is not two users' names (which line).
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.partition("%")[0].partition("#")[0].replace(",", " ").split()
                if not fields:
                    continue
                # Further columns (weights, times) are common in such files, and no matter here.
                if len(fields) < 2 or not is_user(fields[0]) or not is_user(fields[1]):
                    raise Mistake(
                        f"{path}, line {number}: expected 'follower followee', got {line.strip()!r:.60}"
                    )
                yield fields[0], fields[1]
                if mutual:
                    yield fields[1], fields[0]
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} cannot be read as an edge list: {error}") from None
