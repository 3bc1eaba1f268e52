"""Who is a user, for manifolds: they read the users' file (`social.py`), and write nothing to it.

For users in PostgreSQL it is `postgresql_members.py`.

It is asked for every bark. Users never cease to be, so who was found once is remembered; who was not is
looked for again each time, as somebody may have been made since.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from barker.core.barks import Bark, Follow
from barker.core.errors import NoSuchUser, StorageError
from barker.core.postgresql_url import PostgresUrl
from barker.store.sqlite_errors import storage_errors
from barker.store.userbase import Where

log = logging.getLogger(__name__)

REMEMBERED = 1_000_000
"""So many who were found are remembered."""


class Roll:
    """Who is a user."""

    def begin(self, call_soon: Callable[[Callable[[], None]], None], chance: Callable[[], float]) -> None:
        """The reactor begins; `call_soon` has something called in it, `chance` is from 0 to 1."""

    def require(self, name: str) -> None:
        """See that there is such a user.

        :raises NoSuchUser: when there is none.
        """
        raise NotImplementedError

    def checked(self, word: Bark | Follow) -> Bark | Follow:
        """The same, if whoever barks or follows exists, and who is followed.

        :raises NoSuchUser: when they do not.
        """
        self.require(word.user)
        if isinstance(word, Follow):
            self.require(word.other)
        return word


class Members(Roll):
    """The names in one users' file. While it cannot be read, nobody is turned away for want of a name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[str] = set()
        self._db: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._trouble = ""

    def require(self, name: str) -> None:
        """See that there is such a user.

        :raises NoSuchUser: when there is none.
        """
        if name in self._known:
            return
        try:
            found = self._look_up(name)
        except StorageError as error:
            if str(error) != self._trouble:
                log.warning("whom it names cannot be checked: %s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        if not found:
            raise NoSuchUser(name)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(name)

    def _look_up(self, name: str) -> bool:
        with storage_errors(self._path):
            found = self._path.stat()
            if self._db is None or self._opened != (found.st_dev, found.st_ino):
                self._open()
                self._opened = found.st_dev, found.st_ino
            assert self._db is not None
            return bool(self._db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone())

    def _open(self) -> None:
        """Open the file; another one, if it was replaced."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._known.clear()
        self._db = None
        # Nothing else is done meanwhile: it does not wait for others who write.
        self._db = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=0
        )


def members_in(where: Where) -> Roll:
    """Who is a user, by that file or database."""
    if isinstance(where, PostgresUrl):
        from barker.environment import extra  # With psycopg: for those who need it.

        with extra("scale"):
            from barker.store.postgresql import PostgresUsers
            from barker.store.postgresql_members import PostgresMembers
        return PostgresMembers(PostgresUsers(where))
    return Members(where)
