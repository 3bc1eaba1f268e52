"""A journal of timelines as another one begins with it, that has the same users."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from barker.store.sqlite_errors import storage_errors


def snapshot(path: Path, other: Path) -> None:
    """Have all that the journal at `path` holds in one at `other`, and nothing else; nobody has either open.

    :raises StorageError: when the one cannot be read, or the other not be written.
    """
    unfinished = other.with_name(other.name + ".snapshot")
    with storage_errors(path):
        unfinished.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(unfinished)) as target,
        ):
            source.backup(target)
        for end in ("-wal", "-shm"):
            other.with_name(other.name + end).unlink(missing_ok=True)
        unfinished.replace(other)
