"""SQLite's errors as ours: they name the file and say what a person can do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from barker.core.errors import Damaged, StorageError

_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    # Our statements are right. If one fails, the tables are others than we made, or values are no text.
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    # A bad spot on the disk.
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}

START_AGAIN = "start again, and what can be read of it is kept"


@contextlib.contextmanager
def storage_errors(path: Path, remedy: str = START_AGAIN) -> Iterator[None]:
    """Within it, what SQLite or the system raises about `path` becomes a StorageError.

    `remedy`: what to do when the file is damaged.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _told(path, error, remedy) from error


def _told(path: Path, error: sqlite3.Error | OSError, remedy: str) -> StorageError:
    """What went wrong with `path`, and what a person can do."""
    text = str(error)
    # SQLite's own code; Python raises some errors of its own, as for a text that is not UTF-8.
    name = getattr(error, "sqlite_errorname", text)
    code = getattr(error, "sqlite_errorcode", 0)
    if "locked" in text:
        return StorageError(f"{path} is in use by another process: end that one, or choose another --data")
    if "full" in text or "No space" in text or name == "SQLITE_IOERR_SHMSIZE":
        return StorageError(f"the disk of {path} is full: make room; nothing is accepted until then")
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return StorageError(
            f"{path} cannot be written ({text}): give this user the right to, or choose another --data"
        )
    if not _DAMAGE.isdisjoint({code, code & 0xFF}) or "UTF-8" in text:
        return Damaged(path, text, remedy)
    if "disk I/O" in text:
        return StorageError(f"{path}: the disk fails ({name}): the system's log may tell more (dmesg)")
    return StorageError(f"{path}: {text}")
