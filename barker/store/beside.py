"""Where it is done what users are asked for: at once, or in a thread beside the reactor.

A file answers within milliseconds (:class:`Here`). A database may be slow, frozen or away, and nobody is to
wait for it who has barks to hand on (:class:`Beside`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar, runtime_checkable

from barker.core.backoff import Backoff
from barker.core.errors import Away
from barker.store.userbase import UserBase

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""So often it is asked what others have changed, besides when they say so: it may have been lost."""

FIRST_SECONDS, MOST_SECONDS = 0.05, 1.0
"""So long it rests after it was not reached, at first and at last."""

END_SECONDS = 0.5
"""So long who ends waits for what is under way."""

T = TypeVar("T")


@runtime_checkable
class Listening(UserBase, Protocol):
    """Users in a database that tells when others have changed something."""

    @property
    def file(self) -> int | None:
        """What can be waited for until others have; None without connection."""

    def heard(self) -> bool:
        """Whether others have since this was last asked."""


class Here:
    """Does it at once."""

    def __init__(self, users: UserBase) -> None:
        self._users = users

    def do(self, call: Callable[[], T], then: Callable[[Future[T]], None]) -> None:
        """Have `call` done, and tell `then` what came of it."""
        then(_done(call))

    def close(self) -> None:
        """Let go of the users."""
        self._users.close()


class Beside:
    """Does one after the other in a thread of its own, which also hears what others have changed.

    While the database is away, all that waits for it is told so, and after a rest it is tried again.
    """

    def __init__(
        self,
        users: Listening,
        call_soon: Callable[[Callable[[], None]], None],
        chance: Callable[[], float],
        on_news: Callable[[], None],
    ) -> None:
        """`call_soon` has something called in the reactor's thread: `on_news`, when there may be some.

        `chance` gives a number from 0 to 1.
        """
        self._users, self._call_soon, self._chance, self._on_news = users, call_soon, chance, on_news
        self._waiting: deque[tuple[Callable[[], Any], Callable[[Future[Any]], None]]] = deque()
        self._backoff = Backoff(FIRST_SECONDS, MOST_SECONDS)
        self._ended = threading.Event()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._thread = threading.Thread(target=self._run, name="users", daemon=True)
        self._thread.start()

    def do(self, call: Callable[[], T], then: Callable[[Future[T]], None]) -> None:
        """Have `call` done after all before it, and `then` told in the reactor's thread what came of it."""
        self._waiting.append((call, then))
        self._wake()

    def close(self) -> None:
        """Let go of the users, as soon as what is under way has come to its end."""
        self._ended.set()
        self._wake()
        self._thread.join(END_SECONDS)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_in, b"!")

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._turn()
            except Exception:
                log.exception("an error of ours; who asks for users is answered all the same")
                self._ended.wait(MOST_SECONDS)
        self._users.close()

    def _turn(self) -> None:
        if self._waiting:
            self._work()
        elif self._users.heard() or not self._wait():
            self._call_soon(self._on_news)

    def _wait(self) -> bool:
        """Wait until there is something to do, or others have said something; False if there is neither."""
        poll = select.poll()  # Not `select`: this process may have thousands of files.
        poll.register(self._wake_out, select.POLLIN)
        if self._users.file is not None:
            poll.register(self._users.file, select.POLLIN)
        found = poll.poll(LOOK_SECONDS * 1000)
        if (self._wake_out, select.POLLIN) in found:
            os.read(self._wake_out, 65536)
        return bool(found)

    def _work(self) -> None:
        call, then = self._waiting.popleft()
        done = _done(call)
        self._tell(then, done)
        if not isinstance(done.exception(), Away):
            self._backoff.reset()
            return
        for _ in range(len(self._waiting)):
            _, then = self._waiting.popleft()
            self._tell(then, done)
        self._ended.wait(self._backoff.next(self._chance))

    def _tell(self, then: Callable[[Future[Any]], None], done: Future[Any]) -> None:
        self._call_soon(lambda: then(done))


def _done(call: Callable[[], T]) -> Future[T]:
    """What came of it."""
    done: Future[T] = Future()
    try:
        done.set_result(call())
    except Exception as error:
        done.set_exception(error)
    return done
