"""SQLite's errors as ours: they name the file and say what a person can do."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from barker.core.errors import Damaged, InUse, StorageError

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

_FULL = {errno.ENOSPC, errno.EDQUOT}

_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}

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
    """What went wrong with `path`, and what a person can do.

    By codes alone: an error's text has names and values in it, in which any word may stand.
    """
    # SQLite's code, whose low byte is its kind; 0 for what Python or the system raises without SQLite.
    code = getattr(error, "sqlite_errorcode", 0)
    number = error.errno if isinstance(error, OSError) else 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return InUse(f"{path} is in use by another process: end that one, or choose another --data")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return _not_allowed(path, error)
    if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE or number in _FULL:
        return StorageError(f"the disk of {path} is full: make room; nothing is accepted until then")
    if number in _NOT_ALLOWED:
        return _not_allowed(path, error)
    # A text that is not UTF-8 is the one OperationalError that Python raises without asking SQLite.
    not_text = isinstance(error, sqlite3.OperationalError) and not code
    if not_text or not _DAMAGE.isdisjoint({code, code & 0xFF}):
        return Damaged(path, str(error), remedy)
    if code == sqlite3.SQLITE_IOERR_WRITE or number == errno.EFBIG:
        return StorageError(
            f"{path}: the disk does not take what is written: a quota or limit may be reached (quota, "
            "ulimit -f), or the disk fails (dmesg); nothing is accepted until it does"
        )
    if code & 0xFF == sqlite3.SQLITE_IOERR or number == errno.EIO:
        name = getattr(error, "sqlite_errorname", "EIO")
        return StorageError(f"{path}: the disk fails ({name}): the system's log may tell more (dmesg)")
    return StorageError(f"{path}: {error}")


def _not_allowed(path: Path, error: sqlite3.Error | OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written ({error}): give this user the right to, or choose another --data"
    )
