"""The simulated disk: real SQLite files, before which stands what a disk can do to a process.

Full, or failing: nothing is written. A kill leaves the files as they are at that moment: what was committed
is in them, what was not is not.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from barker.core.work_queue import WorkQueue
from barker.sim.chance import Chosen
from barker.sim.record import Statement
from barker.store.journal import Journal, QueueJournal, TimelineJournal
from barker.store.social import Users
from barker.store.sqlite_errors import storage_errors

ENDS = ("", "-wal")
"""What a journal consists of; SQLite makes its index of the log anew."""


Tell = Callable[[str, str, Sequence[Statement]], None]
"""Is told what became of a write, more of that in words, and what was to be written."""


class Disk:
    """What one process has of its disk."""

    def __init__(self, act: Callable[[], None], tell: Tell) -> None:
        """`act` is called before and after each write, and may raise; `tell` is told what became of it."""
        self.act, self.tell = act, tell
        self.full = 0
        """How many faults say that there is no room now."""
        self.failures = 0
        """So many of the next writes fail."""
        self.journals: list[Journal] = []
        """Those that are open."""
        self.users: list[Users] = []
        """Users' files that are open; several processes have the same one."""

    def before(self) -> None:
        """Something is about to be written.

        :raises OSError: when the disk does not take it.
        """
        self.act()
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error")
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def vanish(self) -> None:
        """The process is dead: its files stay as they are now."""
        for journal in self.journals:
            _crash(journal)
        self.journals.clear()
        for users in self.users:
            users.close()
        self.users.clear()


class _Simulated(Journal):
    """A journal on a simulated disk."""

    def __init__(self, path: Path, disk: Disk, bounds: Chosen) -> None:
        self.disk, self.bounds = disk, bounds
        super().__init__(path)
        # Whoever opens a log that a kill has left reads all of it.
        self._db.execute(f"PRAGMA wal_autocheckpoint={bounds.log_pages}")
        disk.journals.append(self)

    def close(self) -> None:
        """Close it well."""
        self.disk.journals.remove(self)
        super().close()

    def _write(self, statements: Iterable[Statement]) -> None:
        statements = list(statements)
        with storage_errors(self.path):
            try:
                self.disk.before()
            except OSError as error:
                self.disk.tell("failed", error.strerror or "", statements)
                raise
        super()._write(statements)
        self.disk.tell("commit", "", statements)
        self.disk.act()


class SimulatedQueueJournal(_Simulated, QueueJournal):
    """That of queues."""

    def work_queue(self) -> WorkQueue:
        """A queue with as much of it in memory as was chosen."""
        return WorkQueue(self.bounds.ready)


class SimulatedTimelineJournal(_Simulated, TimelineJournal):
    """That of timelines."""


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
