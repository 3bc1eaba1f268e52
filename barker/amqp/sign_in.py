"""Passwords that peers sign in with, looked at in a thread beside the reactor: each takes some 50 ms."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from barker.core.passwords import Passwords

log = logging.getLogger(__name__)

MOST_WAITING, MOST_OF_HOST = 64, 4
"""So many passwords wait to be looked at, at most, in all and of one host; more are told to come again."""

WRONG = "the name or the password is wrong"


class _Question(NamedTuple):
    host: str
    name: str
    password: str
    then: Callable[[str], None]


class SignIn:
    """Looks at one password after the other. Its thread is there while there is something to look at."""

    def __init__(self, passwords: Passwords, call_soon: Callable[[Callable[[], None]], None]) -> None:
        """`call_soon` has something called in the reactor's thread."""
        self._passwords, self._call_soon = passwords, call_soon
        self._waiting: deque[_Question] = deque()
        self._works = False

    @property
    def there(self) -> bool:
        """Whether people can sign in."""
        return self._passwords.there

    def knows(self, name: str) -> bool:
        """Whether `name` has a password."""
        return self._passwords.knows(name)

    def ask(self, host: str, name: str, password: str, then: Callable[[str], None]) -> None:
        """Have it looked at; `then` is told, in the reactor's thread, why it is refused: empty if it is not.

        `host` is where it comes from.
        """
        if len(self._waiting) >= MOST_WAITING or sum(of.host == host for of in self._waiting) >= MOST_OF_HOST:
            then("too many sign in at once; try again later")
            return
        self._waiting.append(_Question(host, name, password, then))
        if not self._works:
            self._begin()

    def _begin(self) -> None:
        self._works = True
        threading.Thread(target=self._look, args=(self._waiting[0],), daemon=True).start()

    def _look(self, question: _Question) -> None:
        try:
            refusal = "" if self._passwords.check(question.name, question.password) else WRONG
        except Exception as error:
            log.error("nobody can sign in: %s", error)
            refusal = "nobody can sign in now"
        self._call_soon(lambda: self._looked(refusal))

    def _looked(self, refusal: str) -> None:
        question = self._waiting.popleft()
        self._works = False
        if self._waiting:
            self._begin()
        question.then(refusal)
