"""Who is a user, for manifolds: they read the users' file (`social.py`), and write nothing to it.

It is asked for every bark. Users never cease to be, so who was found once is remembered; who was not is
looked for again each time, as somebody may have been made since.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from barker.core.barks import Bark, Follow
from barker.core.errors import NoSuchUser, StorageError
from barker.store.sqlite_errors import storage_errors

log = logging.getLogger(__name__)

REMEMBERED = 1_000_000
"""So many who were found are remembered."""


class Members:
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

    def checked(self, word: Bark | Follow) -> Bark | Follow:
        """The same, if whoever barks or follows exists, and who is followed.

        :raises NoSuchUser: when they do not.
        """
        self.require(word.user)
        if isinstance(word, Follow):
            self.require(word.other)
        return word

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
