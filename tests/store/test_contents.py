"""What a journal holds, told from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from barker.core.errors import Mistake
from barker.store.contents import messages_in
from barker.store.journal import Post, QueueJournal, TimelineJournal
from barker.store.sqlite_pages import PAGE, log_of

OWNER = """
import sys
from pathlib import Path
from barker.store.journal import QueueJournal
journal = QueueJournal(Path(sys.argv[1]))
journal.commit([("outbox", b"woof")] * 3, [])
print("has it", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox-1.sqlite3"


@pytest.fixture
def owner(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has three messages in the journal, and has it open."""
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        yield process
        process.kill()


def files(path: Path) -> dict[str, bytes]:
    """What there is; an empty log, as SQLite makes it when it reads, is nothing."""
    return {file.name: data for file in path.parent.iterdir() if (data := file.read_bytes())}


def test_messages_are_counted_and_nothing_is_changed(path: Path) -> None:
    with closing(QueueJournal(path)) as journal:
        journal.commit([("outbox", b"a"), ("outbox", b"b"), ("outbox/dead-letters", b"c")], [])
    before = files(path)
    assert messages_in(path) == 3
    assert files(path) == before


def test_those_in_the_log_of_a_killed_owner_count(path: Path, owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait(5)
    before = files(path)
    assert len(before[log_of(path).name]) > PAGE
    assert messages_in(path) == 3
    assert files(path) == before


def test_timelines_count_by_their_messages_and_keys(path: Path) -> None:
    with closing(TimelineJournal(path)) as journal:
        journal.commit([Post("key", "rex", b"woof"), Post("other", "rex", b"woof")])
        journal.forget([1], keys_before=1)
    assert messages_in(path) == 2


def test_an_empty_one_has_none(path: Path) -> None:
    path.touch()
    assert messages_in(path) == 0
    QueueJournal(path).close()
    assert messages_in(path) == 0


def test_one_in_use_is_told_as_such(path: Path, owner: subprocess.Popen[str]) -> None:
    before = files(path)
    with pytest.raises(Mistake, match=r"outbox-1\.sqlite3 is in use by another process.*--data"):
        messages_in(path)
    assert files(path) == before


def test_one_that_is_not_there_cannot_be_told(path: Path) -> None:
    assert messages_in(path) is None


@pytest.mark.parametrize("at", [0, 16, 100, PAGE, PAGE + 8])
def test_damage_never_reads_as_nothing(path: Path, at: int) -> None:
    with closing(QueueJournal(path)) as journal:
        journal.commit([("outbox", bytes(100))] * 500, [])
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xee" * 60)
    assert messages_in(path) != 0


@pytest.mark.parametrize("size", [0, 10, PAGE - 1])
def test_one_cut_short_never_reads_as_nothing_while_its_log_is_there(
    path: Path, owner: subprocess.Popen[str], size: int
) -> None:
    owner.kill()
    owner.wait(5)
    with path.open("r+b") as file:
        file.truncate(size)
    before = files(path)
    assert messages_in(path) is None
    assert files(path) == before


def test_a_damaged_log_never_reads_as_nothing(
    tmp_path: Path, path: Path, owner: subprocess.Popen[str]
) -> None:
    # All that was written is in the log, and SQLite forgets all from its first frame that is not whole.
    owner.kill()
    owner.wait(5)
    whole = log_of(path).read_bytes()
    for at in range(32, len(whole), PAGE // 2):
        copy = tmp_path / str(at) / path.name
        copy.parent.mkdir()
        shutil.copy(path, copy)
        log_of(copy).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert messages_in(copy) != 0, at
