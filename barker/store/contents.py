"""What a journal holds, told without opening it for writing: it may be damaged, or somebody else's."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from barker.core.errors import Mistake
from barker.store.journal import MESSAGES, QueueJournal, TimelineJournal
from barker.store.sqlite_errors import storage_errors
from barker.store.sqlite_pages import PAGE, frames, log_of


def messages_in(path: Path) -> int | None:
    """How many messages (or keys of messages) the journal at `path` has; None when that cannot be told.

    Then it is damaged, or not readable, or of another layout: whoever opens it will say. It takes as long as
    reading the file does.

    :raises Mistake: when another process has it open.
    """
    try:
        size = path.stat().st_size
        if size < PAGE:  # SQLite would throw the log of such a file away.
            return None if size or (log_of(path).exists() and log_of(path).stat().st_size) else 0
        return _count(path)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise Mistake(
                f"{path} is in use by another process: this is the data of a suite that runs. End that one, "
                "or name another --data"
            ) from None
        return None
    except OSError:
        return None


def queues_in(path: Path) -> list[str]:
    """Which queues have messages in the journal at `path`; none when that cannot be told, as above."""
    found = [""]
    try:
        with contextlib.closing(sqlite3.connect(_read_only(path), uri=True, timeout=2.0)) as database:
            # One after the other: the rows of each, of which there may be millions, are passed over.
            while found[-1] is not None:
                found += database.execute(
                    "SELECT min(queue) FROM messages WHERE queue > ?", found[-1:]
                ).fetchone()
    except sqlite3.Error:
        return []
    return found[1:-1]


def look_through(path: Path) -> int:
    """Look through a journal of either kind, and change nothing; how many messages (or keys) it has.

    It takes as long as reading the file does.

    :raises Damaged: when it is not as it was written.
    :raises StorageError: when it is in use, or newer than this program.
    """
    with storage_errors(path):
        empty = path.stat().st_size < PAGE
        kind = QueueJournal if empty or "queue" in _columns(path) else TimelineJournal
    kind.check(path)
    return messages_in(path) or 0


def _columns(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(_read_only(path), uri=True, timeout=0)) as database:
        return [row[0] for row in database.execute("SELECT name FROM pragma_table_info('messages')")]


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path.resolve()))}?mode=ro"


def _count(path: Path) -> int | None:
    index = path.with_name(path.name + "-shm")
    ours = not index.exists()
    with contextlib.closing(sqlite3.connect(_read_only(path), uri=True, timeout=2.0)) as database:
        count = int(database.execute(f"SELECT count(*) FROM messages WHERE {MESSAGES}").fetchone()[0])
        # What is damaged may look empty.
        whole = count > 0 or database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    if ours:  # SQLite leaves its index of the log behind when it may only read; its owner needs none.
        index.unlink(missing_ok=True)
    return count if whole and (count or all(frame.whole for frame in frames(path))) else None
