"""New journals take the place of old ones, all at once: also when that is cut off at any moment.

New ones are filled beside the old, at :func:`beside`. When all are complete, a plan is written that names
both: from then on the new ones are the true ones, and :func:`finish` does what the plan says, at the next
start if need be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from barker.core.errors import Damaged, StorageError
from barker.store.sqlite_errors import storage_errors
from barker.store.sqlite_pages import frames, log_of

PLAN = "repartition.json"
"""The plan's file, in the folder of the journals."""

_NEW = ".new"
_UNUSED = ".unused"


def beside(path: Path) -> Path:
    """Where the journal is filled that is to be at `path`."""
    return path.with_name(path.name + _NEW)


def begin(folder: Path) -> None:
    """Remove what an attempt has left that did not come to its plan.

    :raises StorageError: when that cannot be.
    """
    with storage_errors(folder):
        for file in folder.glob(f"*.sqlite3{_NEW}*"):
            file.unlink()


def commit(folder: Path, new: Iterable[Path], old: Iterable[Path], unused: Iterable[Path]) -> None:
    """Have the new journals, which are complete and closed, take the place of the old ones.

    These are deleted. `unused`: journals that are only set aside.

    :raises StorageError: when the disk fails.
    """
    plan = {
        key: [path.name for path in paths] for key, paths in (("new", new), ("old", old), ("unused", unused))
    }
    for name in plan["new"]:
        file = beside(folder / name)
        if (folder / name).exists():
            raise StorageError(f"{folder / name} is there already: it would be overwritten")
        if frames(file):
            raise StorageError(f"{file} is not complete: the disk may be full; nothing has changed")
    with storage_errors(folder):
        for name in plan["new"]:
            _sync(beside(folder / name))
        draft = folder / f"{PLAN}.draft"
        with draft.open("w", encoding="utf-8") as out:
            json.dump(plan, out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(folder / PLAN)
        _sync(folder)
    finish(folder)


def unfinished(folder: Path) -> bool:
    """Whether there is a plan that is not done."""
    return (folder / PLAN).exists()


def finish(folder: Path) -> bool:
    """Do what is left of a plan, if there is one; whether there was.

    :raises StorageError: when files cannot be renamed there.
    """
    file = folder / PLAN
    with storage_errors(file):
        if not file.exists():
            return False
        try:
            plan = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise Damaged(file, "it is no plan", f"the timelines are in *{_NEW} beside it") from None
        for path in (folder / name for name in plan["new"]):
            if beside(path).exists() and path.exists():
                raise StorageError(
                    f"{path} would be overwritten by {beside(path)}: set it aside, and try again"
                )
            if beside(path).exists():
                beside(path).replace(path)
            for left in _beside_database(
                beside(path)
            ):  # They are empty: whoever has looked through it left them.
                left.unlink(missing_ok=True)
        remove(folder / name for name in plan["old"])
        for path in (folder / name for name in plan["unused"]):
            # The file itself last: as long as it is there, so is the name for what belongs to it.
            for each in (*_beside_database(path), path):
                if each.exists():
                    each.rename(each.with_name(each.name.replace(path.name, path.name + _UNUSED, 1)))
        _sync(folder)  # Else the plan might be gone before what it says is done.
        file.unlink()
        _sync(folder)
    return True


def remove(paths: Iterable[Path]) -> None:
    """Delete these journals, with what SQLite has beside them.

    :raises StorageError: when that cannot be.
    """
    for path in paths:
        with storage_errors(path):
            for file in (*_beside_database(path), path):
                file.unlink(missing_ok=True)


def _beside_database(path: Path) -> tuple[Path, Path]:
    """SQLite's log and its index."""
    return log_of(path), path.with_name(path.name + "-shm")


def _sync(path: Path) -> None:
    """What is in a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
