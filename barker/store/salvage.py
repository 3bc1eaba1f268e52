"""A damaged file is set aside whole, and one with what could be read takes its place.

It may be cut off at any moment: as long as FILE.salvaging is being filled, FILE is untouched; once that is
FILE.salvaged, :func:`finish` brings the change to its end, if need be at the next start.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from barker.store.sqlite_errors import storage_errors

log = logging.getLogger(__name__)


def salvaging(path: Path) -> Path:
    """The file to put in what can be read of `path`; once it is complete and closed, call :func:`finish`."""
    return path.with_name(path.name + ".salvaging")


def finish(path: Path, complete: bool = False) -> Path | None:
    """Set `path` aside if there is a salvaged file for its place; under which name, or None if there is none.

    `complete`: what is in :func:`salvaging` is all.

    :raises StorageError: when files cannot be renamed there.
    """
    salvaged = path.with_name(path.name + ".salvaged")
    with storage_errors(path):
        if complete:
            salvaging(path).replace(salvaged)
        if not salvaged.exists():
            return None
        aside = _aside(path, salvaged.stat().st_mtime)
        # The file itself last: as long as it is there, so is the name for what belongs to it.
        for end in ("-wal", "-shm", ""):
            file = path.with_name(path.name + end)
            if file.exists():
                file.rename(aside.with_name(aside.name + end))
        salvaged.replace(path)
    return aside


def _aside(path: Path, at: float) -> Path:
    """A name that no other set-aside file has."""
    while True:
        aside = path.with_name(f"{path.name}.damaged-{datetime.fromtimestamp(at):%Y%m%dT%H%M%S}")
        if not aside.exists():
            return aside
        at += 1
