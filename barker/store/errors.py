"""SQLite's errors as ours: they name the file and say what a person can do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from barker.core.errors import StorageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Within it, what SQLite or the system raises about `path` becomes a StorageError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageError(_advice(path, error)) from error


def _advice(path: Path, error: Exception) -> str:
    """What went wrong with `path`, and what a person can do."""
    text = str(error)
    if "locked" in text:
        return f"{path} is in use by another process: end that one, or choose another --data"
    if "full" in text or "No space" in text:
        return f"the disk of {path} is full: make room; nothing is accepted until then"
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return f"{path} cannot be written ({text}): give this user the right to, or choose another --data"
    if "malformed" in text or "not a database" in text:
        return f"{path} is damaged ({text}): move it away to start afresh; keep it to rescue what it holds"
    return f"{path}: {text}"
