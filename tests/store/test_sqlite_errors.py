"""Whatever goes wrong with a file, a person reads what it is and what to do, whatever the file is called."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from barker.core.errors import Damaged, StorageError
from barker.store.sqlite_errors import storage_errors

NAMES = ["full", "locked", "readonly", "unable to open", "No space", "UTF-8", "disk I-O"]
"""Words that tell what is wrong, where they do not stand for it."""


def database(path: Path) -> sqlite3.Connection:
    made = sqlite3.connect(path, isolation_level=None, timeout=0)
    made.execute("CREATE TABLE IF NOT EXISTS messages (data TEXT)")
    return made


def full(path: Path) -> None:
    with closing(database(path)) as made:
        made.execute("PRAGMA max_page_count=2")
        made.execute("INSERT INTO messages VALUES (zeroblob(100000))")


def in_use(path: Path) -> None:
    with closing(database(path)) as made, closing(database(path)) as other:
        made.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


def read_only(path: Path) -> None:
    database(path).close()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as made:
        made.execute("DELETE FROM messages")


def a_directory(path: Path) -> None:
    path.mkdir()
    database(path)


def not_text(path: Path) -> None:
    with closing(database(path)) as made:
        made.execute("INSERT INTO messages VALUES (CAST(? AS TEXT))", (b"full, locked, readonly \xff",))
        made.execute("SELECT data FROM messages").fetchall()


def no_database(path: Path) -> None:
    path.write_bytes(b"full, locked, readonly" * 100)
    database(path)


def another_table(path: Path) -> None:
    with closing(database(path)) as made:
        made.execute("SELECT full, locked, readonly FROM messages")


def system(number: int) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return fail


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fails", "says", "damaged"),
    [
        pytest.param(full, "is full: make room", False, id="full"),
        pytest.param(in_use, "is in use by another process", False, id="in use"),
        pytest.param(read_only, "cannot be written", False, id="read only"),
        pytest.param(a_directory, "cannot be written", False, id="a directory"),
        pytest.param(not_text, "is damaged", True, id="not text"),
        pytest.param(no_database, "is damaged", True, id="no database"),
        pytest.param(another_table, "is damaged", True, id="another table"),
        pytest.param(system(errno.ENOSPC), "is full: make room", False, id="ENOSPC"),
        pytest.param(system(errno.EDQUOT), "is full: make room", False, id="EDQUOT"),
        pytest.param(system(errno.EACCES), "cannot be written", False, id="EACCES"),
        pytest.param(system(errno.EROFS), "cannot be written", False, id="EROFS"),
        pytest.param(system(errno.EIO), r"the disk fails \(EIO\)", False, id="EIO"),
        pytest.param(system(errno.EFBIG), "a quota or limit may be reached", False, id="EFBIG"),
        pytest.param(system(errno.ENOTDIR), "Not a directory", False, id="ENOTDIR"),
    ],
)
def test_what_is_wrong_is_told_by_its_code(
    tmp_path: Path, name: str, fails: Callable[[Path], None], says: str, damaged: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / f"{name}.sqlite3"
    with pytest.raises(StorageError, match=says) as caught, storage_errors(path):
        fails(path)
    assert isinstance(caught.value, Damaged) is damaged
    assert str(path) in str(caught.value)


def test_what_is_right_raises_nothing(tmp_path: Path) -> None:
    with storage_errors(tmp_path / "full.sqlite3"):
        database(tmp_path / "full.sqlite3").close()
