"""Users and who follows whom, in PostgreSQL: for bizlogics on several hosts.

The same as `social.py` beside it is for a file. One connection, which is made anew when it was lost: what
needs it then says that PostgreSQL is away, or does it with the new one. How it is kept is
`postgresql_layout.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

from barker.core.barks import Follow, is_user
from barker.core.errors import Away, InUse, Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.core.kennel import STAR
from barker.core.postgresql_url import PostgresUrl
from barker.store import userbase
from barker.store.postgresql_layout import CHANNEL, LAYOUTS, LOCK
from barker.store.userbase import BadRows, Change, News, digest, filling

# What it could not do is said here, in our words.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

CONNECT_SECONDS = 3
"""So long it may take to connect."""

ANSWER_SECONDS, PATIENT_SECONDS = 5, 60
"""So long a statement of a service may take, and one of a person who waits for it."""

LOCK_SECONDS = 2
"""So long at least it is waited for others who write."""

WAIT_SECONDS = 0.1
"""So often it is looked whether there is an answer within that time."""

AT_ONCE = 5_000
"""So many users, or follows, are sent in one statement."""

_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "barker",
    # A host that is cut off says no goodbye.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What the URL may say otherwise."""


_STANDBY = errors.ReadOnlySqlTransaction
"""What a standby says to who would change something."""

_NEWEST = "SELECT change, extract(epoch FROM pg_postmaster_start_time())::float8 FROM barker.state"
"""The number of the newest change, and since when the server runs."""


class _Connection(psycopg.Connection[Any]):
    """A connection that waits for no answer longer than it may, be the server frozen."""

    answer_seconds = float(ANSWER_SECONDS)

    def wait(self, gen: PQGen[Any], *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer; see :meth:`psycopg.Connection.wait`."""
        return super().wait(_bounded(gen, self.answer_seconds), WAIT_SECONDS, **kwargs)


def _bounded(gen: PQGen[Any], seconds: float) -> PQGen[Any]:
    """The same, until there is no sign of an answer for so long."""
    looks = 0
    try:
        state = next(gen)
        while True:
            ready = yield state
            looks = 0 if ready else looks + 1
            if looks * WAIT_SECONDS > seconds:
                raise psycopg.OperationalError(f"no answer for {seconds:g} s")
            state = gen.send(ready)
    except StopIteration as end:
        return end.value


class PostgresUsers:
    """The users in one database; see :class:`barker.store.userbase.UserBase`."""

    present = True

    def __init__(self, url: PostgresUrl, patience: float = 0.0) -> None:
        """Nothing is asked yet. `patience`: so many seconds it waits for others who write.

        Who has none is a service, and answers may not take long either.
        """
        self.place = str(url)
        self._url = url
        self._answer_seconds = PATIENT_SECONDS if patience else ANSWER_SECONDS
        self._db: _Connection | None = None
        self._id = ""
        self._seen: tuple[int, float] = 0, 0.0
        """The newest change that is known, and when the server began that told it."""
        self._lock_seconds = max(LOCK_SECONDS, patience)

    def opened(self, create: bool = False) -> PostgresUsers:
        """The same, connected. `create`: make what users are kept in, where there is nothing.

        :raises Mistake: when there are no users in that database and `create` is not given.
        :raises StorageError: when it cannot be opened.
        """
        try:
            with self._session(create):
                self.news()
        except NoUsers as error:
            raise Mistake(str(error)) from None
        return self

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def data(self) -> str:
        """What tells these users from others, and where they are; in :attr:`Route.data`."""
        # A copy has the same id as the file that it was made of, and is something else all the same.
        return f"{self._id}@postgresql {self.place}"

    @property
    def id(self) -> str:
        """What tells these users from others, and copies of them from others' copies."""
        return self._id

    # What is said without being asked

    @property
    def file(self) -> int | None:
        """What can be waited for (`select`) until others have changed something; None without connection."""
        return self._db.fileno() if self._db is not None else None

    def heard(self) -> bool:
        """Whether others have changed something since this was last asked, or that cannot be told."""
        if self._db is None:
            return False
        try:
            with self._session() as db:
                own = db.info.backend_pid
                others = [notice for notice in db.notifies(timeout=0) if notice.pid != own]
                return bool(others)
        except StorageError:
            self.close()
            return True

    # Reading

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM barker.users")[0][0])

    def names(self) -> list[str]:
        """All users, in the order of their names."""
        return [name for (name,) in self._rows("SELECT name FROM barker.users ORDER BY name")]

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Each user with how many they follow and how many follow them."""
        yield from self._rows(
            "SELECT name, coalesce(follows, 0), coalesce(followers, 0) FROM barker.users "
            "LEFT JOIN (SELECT follower, count(*) AS follows FROM barker.follows GROUP BY 1) AS ones "
            "ON follower = name "
            "LEFT JOIN (SELECT followee, count(*) AS followers FROM barker.follows GROUP BY 1) AS others "
            "ON followee = name ORDER BY name"
        )

    def star(self) -> str:
        """The user to begin with: the kennel's star, or else whom most follow; empty when there is nobody."""
        if self._rows("SELECT FROM barker.users WHERE name = %s", STAR):
            return STAR
        known = "SELECT followee FROM barker.follows GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        some = "SELECT name FROM barker.users ORDER BY name LIMIT 1"
        return next((row[0] for row in itertools.chain(self._rows(known), self._rows(some))), "")

    def changes(self) -> Iterator[Change]:
        """The last changes, in order: :data:`CHANGES` of them at most."""
        rows = self._rows("SELECT who, whom, wanted FROM barker.changes ORDER BY sequence")
        for user, other, wanted in rows:
            if user is not None:
                yield Change(user, other, wanted)

    def words(self) -> Iterator[bytes]:
        """The digest of each of the last words of outboxes, in the order in which they were done."""
        yield from (word for (word,) in self._rows("SELECT word FROM barker.words ORDER BY sequence"))

    # Everything, and what is new

    def graph(self) -> SocialGraph:
        """Everything, in memory."""
        *_, graph = self.load()
        assert graph is not None
        return graph

    def load(self) -> Iterator[SocialGraph | None]:
        """Everything, in memory, at last; see :meth:`UserBase.load`. A connection of its own reads it."""
        bad = BadRows(self.place)
        graph = SocialGraph()
        with self._snapshot() as (db, seen):
            users = _slices(db, "SELECT name FROM barker.users ORDER BY name")
            follows = _slices(db, "SELECT follower, followee FROM barker.follows")
            yield from filling(graph, users, follows, bad)
        bad.tell()
        self._seen = seen
        yield graph

    def everybody(self) -> set[str]:
        """All users' names; :meth:`news` goes on from there."""
        names: set[str] = set()
        with self._snapshot() as (db, seen):
            for rows in _slices(db, "SELECT name FROM barker.users"):
                names.update(name for (name,) in rows)
        self._seen = seen
        return names

    def news(self) -> News:
        """What this process or another has changed since this, or :meth:`load`, was last asked."""
        since, server = self._seen
        rows = self._rows(
            f"SELECT newest.*, sequence, who, whom, wanted FROM ({_NEWEST}) AS newest "
            "LEFT JOIN barker.changes ON sequence > %s ORDER BY sequence",
            since,
        )
        self._seen = seen = rows[0][:2]
        new = [row[3:] for row in rows if row[2] is not None]
        # Another server, or one that was restored, may have other changes under the same numbers.
        complete = (since + len(new), server) == seen
        bad = BadRows(self.place)
        changes = []
        for user, other, wanted in new:
            if user is None:
                complete = False
            elif is_user(user) and (other is None or is_user(other)):
                changes.append(Change(user, other, wanted))
            else:
                bad.note("changes", (user, other))
        bad.tell()
        return News(changes, complete)

    # Changes

    def add(self, users: Iterable[str], follows: Iterable[tuple[str, str]]) -> None:
        """Add users and (follower, followee) pairs, in one transaction; who follows or is followed exists."""
        pairs = [(a, b) for a, b in follows if a != b]
        names = sorted({*users, *itertools.chain.from_iterable(pairs)})
        one_by_one = len(names) + len(pairs) <= userbase.MANY
        with self._session() as db, db.transaction():
            for at in range(0, max(len(names), len(pairs), 1), AT_ONCE):
                self._add(db, names[at : at + AT_ONCE], pairs[at : at + AT_ONCE], one_by_one)

    def follow(self, follower: str, followee: str) -> None:
        """`follower` follows `followee` from now on."""
        self.add((follower,), [(follower, followee)])

    def unfollow(self, follower: str, followee: str) -> None:
        """`follower` no longer follows `followee`."""
        with self._session() as db:
            db.execute("SELECT barker.unfollow(%s, %s, %s)", (follower, followee, userbase.CHANGES))

    def apply(self, words: Sequence[Follow]) -> list[bool]:
        """Do what users have said, in that order; see :meth:`UserBase.apply`."""
        if not words:
            return []
        said = [digest(word) for word in words], [word.user for word in words], [word.other for word in words]
        values = *said, [word.wanted for word in words], userbase.CHANGES, userbase.WORDS
        return list(self._rows("SELECT barker.apply(%s, %s, %s, %s, %s, %s)", *values)[0][0])

    def remember(self, words: Iterable[bytes]) -> None:
        """These words were done elsewhere, in that order."""
        left = list(words)
        with self._session() as db, db.transaction():
            for at in range(0, len(left), AT_ONCE):
                db.execute("SELECT barker.remember(%s, %s)", (left[at : at + AT_ONCE], userbase.WORDS))

    def become(self, id: str) -> None:
        """These users, of whom there are none yet, are a copy of those with that id."""
        with self._session() as db:
            db.execute("UPDATE barker.state SET id = %s", (id,))
        self._id = id

    @staticmethod
    def _add(db: _Connection, names: list[str], pairs: list[tuple[str, str]], one_by_one: bool) -> None:
        values = names, [a for a, _ in pairs], [b for _, b in pairs], one_by_one, userbase.CHANGES
        db.execute("SELECT barker.add(%s::text[], %s::text[], %s::text[], %s, %s)", values)

    # The connection

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._session() as db:
            return db.execute(statement, values or None).fetchall()

    @contextlib.contextmanager
    def _session(self, create: bool = False) -> Iterator[_Connection]:
        """The connection. What it raises becomes a StorageError, and one that is of no more use is closed."""
        try:
            yield self._db or self._begin(create)
        except psycopg.Error as error:
            silent = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
            # With several hosts in the URL, the next connection may be to the one that takes changes.
            if self._db is None or self._db.closed or silent or isinstance(error, _STANDBY):
                self.close()
            raise self._told(error) from None

    def _begin(self, create: bool) -> _Connection:
        """The connection, made anew; of these users."""
        with contextlib.ExitStack() as broken:
            db = broken.enter_context(contextlib.closing(self._connect()))
            self._look(db, create)
            db.execute(f"LISTEN {CHANNEL}")
            broken.pop_all()
        self._db = db
        return db

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[_Connection, tuple[int, float]]]:
        """A connection of its own that sees all as it is now; and what will have been seen then."""
        with self._session():  # It is there, and of these users.
            pass
        try:
            with contextlib.closing(self._connect()) as db, db.transaction():
                db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                seen = db.execute(_NEWEST).fetchone()
                assert seen is not None
                yield db, seen
        except psycopg.Error as error:
            raise self._told(error) from None

    def _connect(self) -> _Connection:
        """A new connection.

        :raises psycopg.Error: when there can be none.
        """
        try:
            given = psycopg.conninfo.conninfo_to_dict(self._url.secret)
        except psycopg.Error:
            # What it says has parts of the URL in it, of which one may be the password.
            raise Mistake(f"{self.place} is no PostgreSQL URL: an option in it is wrong") from None
        limits = {
            "statement_timeout": self._answer_seconds,
            "lock_timeout": self._lock_seconds,
            # Of who is frozen while others wait.
            "idle_in_transaction_session_timeout": 2 * self._answer_seconds,
        }
        options = psycopg.conninfo.make_conninfo("", **{**_DEFAULTS, **given, "client_encoding": "utf8"})
        db = _Connection.connect(options, autocommit=True, prepare_threshold=None)
        try:
            db.answer_seconds = self._answer_seconds + 1
            for name, seconds in limits.items():
                db.execute("SELECT set_config(%s, %s, false)", (name, str(int(seconds * 1000))))
            db.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
        except BaseException:
            db.close()
            raise
        return db

    def _look(self, db: _Connection, create: bool) -> None:
        """See that users are there, and the same as before, in a layout that is known; make or upgrade it.

        :raises StorageError: when it cannot be.
        """
        layout, id = self._state(db)
        if layout == 0 and not create:
            raise NoUsers(
                f"there are no users in {self.place}: make some with 'barker users make --users "
                f"{self.place}', or copy them there with 'barker users copy'"
            )
        if layout < len(LAYOUTS):
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                layout, _ = self._state(db)  # Another may have done it meanwhile.
                for upgrade in LAYOUTS[layout:]:
                    db.execute(upgrade)
                if layout == 0:
                    own = os.urandom(4).hex()
                    db.execute("INSERT INTO barker.state (layout, id) VALUES (%s, %s)", (len(LAYOUTS), own))
                elif layout < len(LAYOUTS):
                    db.execute("UPDATE barker.state SET layout = %s", (len(LAYOUTS),))
            layout, id = self._state(db)
        if layout > len(LAYOUTS):
            raise StorageError(
                f"{self.place} has the layout {layout}, of a newer Barker; this one knows {len(LAYOUTS)}: "
                "take the newer one here, too"
            )
        if self._id and self._id != id:
            raise StorageError(
                f"{self.place} has other users than before: follows wait until those are there again; "
                "or end the suite and start it with these"
            )
        self._id = id

    @staticmethod
    def _state(db: _Connection) -> tuple[int, str]:
        """The layout, 0 for none; and the id."""
        # Not `to_regclass`: it remembers, as long as a transaction lasts, what was not there at its begin.
        there = "SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'barker' AND tablename = 'state'"
        if not db.execute(there).rowcount:
            return 0, ""
        return db.execute("SELECT layout, id FROM barker.state").fetchone() or (0, "")

    def _told(self, error: psycopg.Error) -> StorageError:
        """What went wrong, and what a person can do."""
        why = " ".join((error.diag.message_primary or str(error)).split())
        if self._url.password:
            why = why.replace(self._url.password, "***")
        match error:
            case errors.LockNotAvailable() | errors.QueryCanceled():
                return InUse(f"{self.place} is in use: somebody writes much, or waits within a transaction")
            case _STANDBY():
                return Away(f"{self.place} is a standby, which takes no changes: name the primary, too")
            case errors.DiskFull():
                return StorageError(f"the disk of {self.place} is full: make room; follows wait until then")
            case errors.InsufficientPrivilege():
                return StorageError(f"{self.place}: {why}: give that role the right to")
            case errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName():
                return StorageError(f"{self.place} has no users any more: {why}")
            case psycopg.OperationalError():
                return Away(f"PostgreSQL is away: {self.place}: {why:.300}")
        return StorageError(f"{self.place}: {why:.300}")


class NoUsers(StorageError):
    """A database in which nobody has made users."""


def _slices(db: _Connection, statement: str) -> Iterator[list[Any]]:
    """The rows of a statement, some at a time, as they come from the server."""
    with db.cursor("rows") as cursor:
        cursor.execute(statement)
        yield from iter(lambda: cursor.fetchmany(userbase.ROWS), [])
