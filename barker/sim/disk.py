"""The simulated disk: real SQLite files, before which stands what a disk can do to a process.

Full, failing, broken, read-only: nothing is written. Unreadable: nothing is read. Slow: a write takes its
time. A kill leaves the files as they are at that moment: what was committed is in them, what was not is not.
What befalls the files themselves is `damage.py`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import random
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from barker.core.work_queue import WorkQueue
from barker.sim.chance import PRODUCTION
from barker.sim.damage import Log, flip, held, log_at, lose_power
from barker.sim.record import Statement
from barker.store.journal import Journal, QueueJournal, TimelineJournal
from barker.store.social import SALVAGE, Users
from barker.store.sqlite_errors import storage_errors
from barker.store.userbase import News

ENDS = ("", "-wal")
"""What a journal consists of; SQLite makes its index of the log anew."""

LEAST_SECONDS, MOST_SECONDS = 0.01, 3.0
"""How long a write to a slow disk takes."""

Tell = Callable[[str, str, Sequence[Statement]], None]
"""Is told what became of a write, more of that in words, and what was to be written."""

J = TypeVar("J", bound="_Simulated")


class Disk:
    """What one process has of its disk."""

    def __init__(
        self,
        act: Callable[[], None],
        tell: Tell,
        chance: random.Random,
        allocate: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`act` is called before and after each write, `allocate` before it; both may raise.

        `tell` is told what became of it; `wait`, how long it takes.
        """
        self.act, self.tell, self._chance, self._allocate, self._wait = act, tell, chance, allocate, wait
        self.bounds, self.sync = PRODUCTION, "full"
        self.full = 0
        """How many faults say that there is no room now."""
        self.failures = 0
        """So many of the next writes fail."""
        self.broken = self.read_only = self.unreadable = self.slow = False
        self.misread = 0
        """How often something was to be read, and could not."""
        self.power_fails: Callable[[], None] | None = None
        """Is called within the next write, before it is synced, and may raise; None: there is power."""
        self.lost: set[tuple[str, int]] = set()
        """Barks that it has lost, as they were not synced."""
        self.doubtful: set[tuple[str, int]] = set()
        """Barks that it had when a bit flipped."""
        self.flips = 0
        """How many bits have flipped."""
        self._paths: dict[Path, None] = {}
        self._under_way: tuple[Path, Log] | None = None
        self._journals: list[Journal] = []  # Those that are open.
        self._users: list[Users] = []  # Several processes have the same file.

    # What is on it

    def open(self, kind: type[J], path: Path) -> J:
        """A journal of that kind, at `path`.

        :raises StorageError: when it cannot be opened.
        """
        self._paths[path] = None
        # Of a class of its own, as a journal that is damaged makes another of its class beside it.
        return type(kind.__name__, (kind,), {"disk": self})(path, self.sync)

    def open_users(self, path: Path) -> Users:
        """The users' file at `path`.

        :raises StorageError: when it cannot be opened.
        """
        users = _SimulatedUsers(path, self)
        self._users.append(users)
        return users

    def opened(self, journal: Journal) -> None:
        """It is open now."""
        self._journals.append(journal)

    def closed(self, journal: Journal) -> None:
        """It is closed, well."""
        self._journals.remove(journal)

    # What a process does with it

    def before_opening(self) -> None:
        """A file is about to be opened.

        :raises OSError: when that cannot be.
        """
        if self.read_only:
            raise OSError(errno.EROFS, "Read-only file system")
        if self.unreadable:
            raise OSError(errno.EIO, "Input/output error")

    def before_reading(self) -> None:
        """Something is about to be read of a file that is open.

        :raises sqlite3.OperationalError: when that cannot be, as SQLite says so.
        """
        if self.unreadable:
            self.misread += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error

    def before(self) -> None:
        """Something is about to be written.

        :raises OSError: when the disk does not take it.
        :raises MemoryError: when there is none.
        """
        self.act()
        self._allocate()
        if self.slow:
            ratio = MOST_SECONDS / LEAST_SECONDS
            self._wait(LEAST_SECONDS * math.exp(self._chance.random() * math.log(ratio)))
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error")
        if self.read_only:
            raise OSError(errno.EROFS, "Read-only file system")
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Within it, something is written to the journal at `path`."""
        before = log_at(path) if self.power_fails else None
        yield
        if self.power_fails and before is not None:
            self._under_way = path, before
            self.power_fails()
            self._under_way = None

    # What befalls it

    def begin(self) -> None:
        """A process has started here: what was broken was so for the one before it."""
        self.broken = False

    def vanish(self) -> None:
        """The process is dead: its files stay as they are now."""
        for journal in self._journals:
            _crash(journal)
        self._journals.clear()
        for users in self._users:
            users.close()
        self._users.clear()

    def lose_power(self) -> None:
        """The process is dead, and what was not synced is gone. Of the users' file all was."""
        under_way, self._under_way = self._under_way, None
        self.power_fails = None
        self.vanish()
        for path in self._paths:
            had = held(path) if self.sync == "normal" else {}
            log = under_way[1] if under_way and under_way[0] == path else None
            lose_power(path, self.sync, self._chance, log, self.bounds.log_pages)
            if had:
                left = held(path)
                self.lost |= {bark for row, bark in had.items() if row not in left}

    def flip(self) -> str:
        """A bit in a journal is another from now on: which, in words."""
        for path in self._paths:
            self.doubtful |= set(held(path).values())
            self.flips += 1
            return flip(path, self._chance)
        return ""


class _Simulated(Journal):
    """A journal on a simulated disk; :meth:`Disk.open` opens one."""

    disk: Disk

    def __init__(self, path: Path, sync: str = "normal") -> None:
        with storage_errors(path):
            self.disk.before_opening()
        super().__init__(path, sync)
        # Whoever opens a log that a kill has left reads all of it.
        self._db.execute(f"PRAGMA wal_autocheckpoint={self.disk.bounds.log_pages}")
        self.disk.opened(self)

    def close(self) -> None:
        """Close it well."""
        self.disk.closed(self)
        super().close()

    def _read(self, statement: str, *values: object) -> Generator[Any, None, None]:
        with storage_errors(self.path):
            self.disk.before_reading()
        yield from super()._read(statement, *values)

    def _write(self, statements: Iterable[Statement]) -> None:
        statements = list(statements)
        with storage_errors(self.path):
            try:
                self.disk.before()
            except OSError as error:
                self.disk.tell("failed", error.strerror or "", statements)
                raise
        with self.disk.writing(self.path):
            super()._write(statements)
        self.disk.tell("commit", "", statements)
        self.disk.act()


class SimulatedQueueJournal(_Simulated, QueueJournal):
    """That of queues."""

    def work_queue(self) -> WorkQueue:
        """A queue with as much of it in memory as was chosen."""
        return WorkQueue(self.disk.bounds.ready)


class SimulatedTimelineJournal(_Simulated, TimelineJournal):
    """That of timelines."""


class _SimulatedUsers(Users):
    """The users' file on a simulated disk."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk = disk
        with storage_errors(path, SALVAGE):
            disk.before_opening()
        super().__init__(path, patience=0)

    def news(self) -> News:
        """What is new; see :meth:`Users.news`."""
        with storage_errors(self.path, SALVAGE):
            self._disk.before_reading()
        return super().news()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with storage_errors(self.path, SALVAGE):
            self._disk.before()
        with super()._transaction():
            yield
        self._disk.act()


def _crash(journal: Journal) -> None:
    """Let go of a journal's files without a change to them: closing would fold the log into the file."""
    files = [journal.path.with_name(journal.path.name + end) for end in ENDS]
    kept = {file: file.with_name(f"kept-{file.name}") for file in files if file.exists()}
    for file, aside in kept.items():
        shutil.copyfile(file, aside)
    journal._db.close()
    for end in (*ENDS, "-shm"):
        journal.path.with_name(journal.path.name + end).unlink(missing_ok=True)
    for file, aside in kept.items():
        aside.rename(file)
