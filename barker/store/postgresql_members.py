"""Who is a user, for manifolds, where users are in PostgreSQL: all names, in memory, as they are made.

A manifold asks for each bark, and cannot wait for an answer; so who was made a moment ago may be unknown for
some milliseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from barker.core.errors import NoSuchUser, StorageError
from barker.store.beside import Beside
from barker.store.members import Roll
from barker.store.postgresql import PostgresUsers
from barker.store.userbase import News

log = logging.getLogger(__name__)


class PostgresMembers(Roll):
    """The names in one database. Until all are known, and while it is away, nobody is turned away."""

    def __init__(self, users: PostgresUsers) -> None:
        self._users = users
        self._names: set[str] = set()
        self._loaded = self._current = self._asking = False
        self._trouble = ""

    def begin(self, call_soon: Callable[[Callable[[], None]], None], chance: Callable[[], float]) -> None:
        """Learn the names, in a thread beside the reactor; as :class:`Beside` has it."""
        self._desk = Beside(self._users, call_soon, chance, self._look)
        self._look()

    def require(self, name: str) -> None:
        """See that there is such a user."""
        if name not in self._names and self._current:
            raise NoSuchUser(name)

    def _look(self) -> None:
        if not self._asking:
            self._asking = True
            if self._loaded:
                self._desk.do(self._users.news, self._on_news)
            else:
                self._desk.do(self._users.everybody, self._on_all)

    def _on_all(self, done: Future[set[str]]) -> None:
        if self._answered(done):
            self._names, self._loaded = done.result(), True

    def _on_news(self, done: Future[News]) -> None:
        if self._answered(done):
            news = done.result()
            self._names.update(change.user for change in news.changes)
            if not news.complete:
                self._loaded = False
                self._look()

    def _answered(self, done: Future[Any]) -> bool:
        """Whether there is an answer; what there is instead is said, once."""
        self._asking = False
        error = done.exception()
        if error is None:
            if self._trouble:
                log.warning("who is a user is known again")
            self._trouble, self._current = "", True
            return True
        if not isinstance(error, StorageError):
            raise error
        if not self._trouble:
            log.warning("whom they name cannot be checked: %s", error)
        self._trouble, self._current = str(error), False
        return False
