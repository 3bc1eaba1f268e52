"""Users and who follows whom, wherever they are kept.

That is a file (`social.py`), or a PostgreSQL database (`postgresql.py`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from barker.core.barks import Follow, is_user
from barker.core.graph import SocialGraph
from barker.core.postgresql_url import PostgresUrl

log = logging.getLogger(__name__)

Where = Path | PostgresUrl
"""The file, or the database, that users are kept in."""

CHANGES = 100_000
"""So many of the last changes are kept, for those who have read it before."""

MANY = 10_000
"""So many at once are written in one go, which is ten times faster; then everything is loaded anew."""

WORDS = 100_000
"""So many of the last words of outboxes are known again."""

ROWS = 2_000
"""Rows that are read at a time while everything is loaded: some milliseconds."""

BAD_ROWS = 10
"""So many rows that are no users' are said each, when everything is loaded."""


class Change(NamedTuple):
    """One change of who exists and who follows whom."""

    user: str
    other: str | None
    """Whom `user` follows from now on, or no longer; None: `user` exists from now on."""
    wanted: bool


class News(NamedTuple):
    """What was changed since it was last asked."""

    changes: list[Change]
    complete: bool
    """Whether that is all; if not, so much has changed that everything is to be loaded anew."""


class UserBase(Protocol):
    """Users and who follows whom. Several processes have the same.

    Each change has a number, so that a process that has all in memory reads what is new, and no more. Each
    word of an outbox (:meth:`apply`) is remembered: it changes something once, however often and to whomever
    it is sent. What cannot be read or written is a StorageError; then nothing has changed.
    """

    @property
    def place(self) -> str:
        """Where they are, for people: no password is in it."""

    @property
    def present(self) -> bool:
        """Whether they are still the ones that were opened: what is written to removed ones is lost."""

    @property
    def id(self) -> str:
        """What tells these users from others, and copies of them from others' copies."""

    @property
    def data(self) -> str:
        """What tells these users from others, and where they are; in :attr:`Route.data`."""

    def close(self) -> None:
        """Let go of them."""

    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """All users, in the order of their names."""

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Each user with how many they follow and how many follow them."""

    def star(self) -> str:
        """The user to begin with: the kennel's star, or else whom most follow; empty when there is nobody."""

    def graph(self) -> SocialGraph:
        """Everything, in memory."""

    def load(self) -> Iterator[SocialGraph | None]:
        """Everything, in memory, at last: before that None, each time some rows are read.

        What is no name of a user is left out, and said. :meth:`news` goes on from there.
        """

    def news(self) -> News:
        """What this process or another has changed since this, or :meth:`load`, was last asked."""

    def words(self) -> Iterator[bytes]:
        """The :func:`digest` of each of the last words of outboxes, in the order in which they were done."""

    def add(self, users: Iterable[str], follows: Iterable[tuple[str, str]]) -> None:
        """Add users and (follower, followee) pairs, in one transaction; who follows or is followed exists."""

    def follow(self, follower: str, followee: str) -> None:
        """`follower` follows `followee` from now on."""

    def unfollow(self, follower: str, followee: str) -> None:
        """`follower` no longer follows `followee`."""

    def apply(self, words: Sequence[Follow]) -> list[bool]:
        """Do what users have said, in that order; of each, whether the user whom it names exists.

        A word that was done before is not done again, be it by another process: what an outbox sends twice,
        or what is still in the hands of a process that was frozen, changes nothing that was changed since.
        The last :data:`WORDS` words are known.
        """

    def remember(self, words: Iterable[bytes]) -> None:
        """These words were done elsewhere, in that order."""

    def become(self, id: str) -> None:
        """These users, of whom there are none yet, are a copy of those with that id."""


class BadRows:
    """Rows that name what cannot be a user: they are left out, and said."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._count = 0

    def note(self, table: str, row: object) -> None:
        """One more; the first ones are said each."""
        self._count += 1
        if self._count <= BAD_ROWS:
            log.warning("%s: a row of %s is left out, as it names no user: %.100r", self._place, table, row)

    def tell(self) -> None:
        """How many there are, if they were not all said."""
        if self._count > BAD_ROWS:
            log.warning("%s: %d rows are left out, as they name no user", self._place, self._count)


def filling(
    graph: SocialGraph,
    users: Iterable[Sequence[Sequence[Any]]],
    follows: Iterable[Sequence[Sequence[Any]]],
    bad: BadRows,
) -> Iterator[None]:
    """Put rows of (name) and then of (follower, followee) into a graph, a slice each time it is asked.

    What names no user goes to `bad`.
    """
    # One string object for each name, however many follow it.
    names: dict[Any, str] = {}
    for rows in users:
        for (name,) in rows:
            if is_user(name):
                names[name] = name
                graph.add(name)
            else:
                bad.note("users", name)
        yield None
    for rows in follows:
        for row in rows:
            follower, followee = map(names.get, row)
            if follower is None or followee is None:
                if not all(map(is_user, row)):
                    bad.note("follows", row)
                    continue
                follower, followee = (names.setdefault(name, name) for name in row)
            graph.follow(follower, followee)
        yield None


def digest(word: Follow) -> bytes:
    """What makes a word the same when it comes again."""
    return hashlib.blake2b(repr(tuple(word)).encode(), digest_size=16).digest()


def open_users(where: Where, create: bool = False, patience: float = 5.0) -> UserBase:
    """The users in that file, or that database. `patience`: so many seconds it waits for others who write.

    :raises Mistake: when there are none and `create` is not given.
    :raises StorageError: when they cannot be opened.
    """
    if isinstance(where, PostgresUrl):
        from barker.environment import extra  # With psycopg: for those who need it.

        with extra("scale"):
            from barker.store.postgresql import PostgresUsers
        return PostgresUsers(where, patience).opened(create)
    from barker.store.social import Users

    return Users(where, create, patience)
