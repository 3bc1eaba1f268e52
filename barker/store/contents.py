"""What a journal holds, told without opening it for writing: it may be damaged, or somebody else's."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from barker.core.errors import Mistake
from barker.store.journal import MESSAGES
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


def _count(path: Path) -> int | None:
    index = path.with_name(path.name + "-shm")
    ours = not index.exists()
    name = f"file:{quote(str(path.resolve()))}?mode=ro"
    with contextlib.closing(sqlite3.connect(name, uri=True, timeout=2.0)) as database:
        count = int(database.execute(f"SELECT count(*) FROM messages WHERE {MESSAGES}").fetchone()[0])
        # What is damaged may look empty.
        whole = count > 0 or database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    if ours:  # SQLite leaves its index of the log behind when it may only read; its owner needs none.
        index.unlink(missing_ok=True)
    return count if whole and (count or all(frame.whole for frame in frames(path))) else None
