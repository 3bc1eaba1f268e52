"""What a manifold has accepted outlives its process, and nothing else does."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.core.errors import Damaged, StorageError
from barker.core.work_queue import Entry
from barker.store.contents import messages_in
from barker.store.journal import (
    CHECKSUMS,
    VERSION,
    CopyJournal,
    Journal,
    Post,
    QueueJournal,
    TimelineEntry,
    TimelineJournal,
)

Kind = type[QueueJournal] | type[TimelineJournal]
BOTH = pytest.mark.parametrize("kind", [QueueJournal, TimelineJournal])


def everything(journal: QueueJournal) -> dict[str, list[Entry]]:
    return {queue: list(journal.load(queue, 0, 1_000_000)) for queue in journal.queues()}


# Queues


def test_a_commit_gives_each_message_its_place_in_the_order(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        assert journal.commit([("a", b"1"), ("b", b"2"), ("a", b"3")], []) == [
            Entry(1, b"1"),
            Entry(2, b"2"),
            Entry(3, b"3"),
        ]
        assert journal.commit([("b", b"4")], []) == [Entry(4, b"4")]
        assert journal.queues() == {"a": 2, "b": 2}
        assert everything(journal) == {"a": [(1, b"1"), (3, b"3")], "b": [(2, b"2"), (4, b"4")]}


def test_loading_goes_on_behind_a_sequence_number_and_stops_at_a_count(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([(queue, b"%d" % at) for at in range(10) for queue in ("a", "b")], [])
        first = list(journal.load("a", 0, 3))
        assert [entry.data for entry in first] == [b"0", b"1", b"2"]
        then = list(journal.load("a", first[-1].sequence, 100))
        assert [entry.data for entry in then] == [b"%d" % at for at in range(3, 10)]
        assert list(journal.load("a", then[-1].sequence, 100)) == []
        assert list(journal.load("nobody's", 0, 100)) == []


def test_what_is_removed_does_not_come_again(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"%d" % at) for at in range(1, 11)] + [("b", b"11")], [])
        journal.commit([("a", b"12")], [("a", 7), ("a", 2), ("a", 3), ("b", 11), ("a", 7)])
    with closing(QueueJournal(path)) as journal:
        assert journal.queues() == {"a": 8}
        assert [entry.sequence for entry in list(journal.load("a", 0, 100))] == [1, 4, 5, 6, 8, 9, 10, 12]
        journal.commit([], [("a", sequence) for sequence in range(1, 13)])
        assert journal.queues() == {}


def test_removing_from_one_queue_leaves_the_others_alone(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([("a", b"1"), ("b", b"2"), ("a", b"3")], [])
        journal.commit([], [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 2)])
        assert everything(journal) == {"b": [(2, b"2")]}


def test_an_empty_commit_changes_nothing(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        assert journal.commit([], []) == []
        assert journal.commit([("a", b"1")], []) == [Entry(1, b"1")]


@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)), b"x" * 5_000_000], ids=len)
def test_messages_are_opaque_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a/\N{DOG FACE}", data)], [])
    with closing(QueueJournal(path)) as journal:
        assert list(journal.load("a/\N{DOG FACE}", 0, 1)) == [(1, data)]


def test_sequence_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"1"), ("b", b"2"), ("a", b"3")], [("a", 1)])
    with closing(QueueJournal(path)) as journal:
        assert journal.commit([("a", b"4")], []) == [Entry(4, b"4")]


BATCHES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(["a", "b", "a/dead-letters"]), st.binary(max_size=8)), max_size=6),
        st.sets(st.integers(1, 30), max_size=10),
        st.booleans(),
    ),
    max_size=8,
)


@given(BATCHES)
@settings(max_examples=25)
def test_any_commits_and_removals_load_again_as_they_were(
    batches: list[tuple[list[tuple[str, bytes]], set[int], bool]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        journal = QueueJournal(Path(directory) / "j.sqlite3")
        kept: dict[tuple[str, int], bytes] = {}
        for add, done, reopened in batches:
            remove = [place for place in kept if place[1] in done]
            added = journal.commit(add, remove)
            assert [entry.data for entry in added] == [data for _, data in add]
            for place in remove:
                del kept[place]
            assert all(entry.sequence > sequence for entry in added for _, sequence in kept)
            for entry, (queue, _) in zip(added, add, strict=True):
                kept[queue, entry.sequence] = entry.data
            if reopened:
                journal.close()
                journal = QueueJournal(journal.path)
            found = everything(journal)
            assert {queue: len(entries) for queue, entries in found.items()} == journal.queues()
            assert found == {
                queue: [Entry(sequence, kept[queue, sequence]) for _, sequence in places]
                for queue, places in itertools.groupby(sorted(kept), key=lambda place: place[0])
            }
        journal.close()


# Timelines


def test_timeline_messages_load_in_order_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        assert journal.commit([Post("k1", "rex spot", b"1"), Post("", "ark3", b"")]) == [
            TimelineEntry(1, "k1", "rex spot", b"1"),
            TimelineEntry(2, "", "ark3", b""),
        ]
        journal.commit([Post("k1", "rex", b"3")])
        assert journal.commit([]) == []
    with closing(TimelineJournal(path)) as journal:
        assert list(journal.load()) == [
            (1, "k1", "rex spot", b"1"),
            (2, "", "ark3", b""),
            (3, "k1", "rex", b"3"),
        ]
        assert journal.commit([Post("k4", "rex", b"4")])[0].sequence == 4


def test_what_is_forgotten_leaves_its_key_unless_that_is_old(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        journal.commit([Post(f"k{at}", "rex", b"%d" % at) for at in range(1, 11)])
        journal.forget([1, 3, 4, 5, 6, 7, 8, 10], keys_before=7)
        kept = [
            (2, "k2", "rex", b"2"),
            (7, "k7", None, None),
            (8, "k8", None, None),
            (9, "k9", "rex", b"9"),
            (10, "k10", None, None),
        ]
        assert list(journal.load()) == kept
        assert journal.commit([Post("k11", "rex", b"11")])[0].sequence == 11
    with closing(TimelineJournal(path)) as journal:
        assert list(journal.load()) == [*kept, (11, "k11", "rex", b"11")]


def test_a_message_without_a_key_leaves_nothing(tmp_path: Path) -> None:
    with closing(TimelineJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([Post("k1", "rex", b"1"), Post("", "rex", b"2"), Post("", "rex", b"3")])
        journal.forget([1, 2], keys_before=0)
        assert list(journal.load()) == [(1, "k1", None, None), (3, "", "rex", b"3")]


def test_when_everything_is_forgotten_the_sequence_goes_on(tmp_path: Path) -> None:
    with closing(TimelineJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([Post("k", "rex", b"1")] * 3)
        journal.forget([1, 2, 3], keys_before=3)
        assert list(journal.load()) == [(3, "k", None, None)]
        assert journal.commit([Post("k", "rex", b"4")])[0].sequence == 4


def test_old_keys_go_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.store.journal.KEYS_AT_ONCE", 3)
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        journal.commit([Post(f"k{at}", "rex", b"%d" % at) for at in range(1, 11)])
        journal.forget([1, 3, 4, 5, 6, 7, 8], keys_before=0)
    with closing(TimelineJournal(path)) as journal:
        for left in [5, 6, 7, 8], [8], []:
            journal.forget([], keys_before=9)
            assert [entry.sequence for entry in journal.load() if entry.data is None] == left
        assert [entry.sequence for entry in journal.load()] == [2, 9, 10], "these are held"


@given(st.integers(0, 30), st.lists(st.tuples(st.sets(st.integers(1, 30)), st.integers(0, 10)), max_size=4))
@settings(max_examples=40)
def test_what_is_held_stays_and_what_is_forgotten_leaves_its_key(
    count: int, steps: list[tuple[set[int], int]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        journal = TimelineJournal(Path(directory) / "j.sqlite3")
        journal.commit([Post(f"k{at}", "rex", b"%d" % at) for at in range(1, count + 1)])
        held, keys_before = set(range(1, count + 1)), 0
        for gone, further in steps:
            keys_before += further
            journal.forget(gone & held, keys_before)
            held -= gone
        journal.close()
        journal = TimelineJournal(journal.path)
        found = list(journal.load())
        journal.close()
    assert {entry.sequence for entry in found if entry.data is not None} == held
    assert all(entry.data in (None, b"%d" % entry.sequence) for entry in found)
    assert {entry.sequence for entry in found} == held | set(range(max(1, keys_before), count + 1))


# An older layout


def test_a_journal_without_checksums_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE messages (queue TEXT NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL, "
            "PRIMARY KEY (queue, sequence)) WITHOUT ROWID"
        )
        database.executemany("INSERT INTO messages VALUES ('a', ?, ?)", [(at, b"%d" % at) for at in (3, 5)])
        database.execute("PRAGMA user_version=1")
    for _ in range(2):
        with closing(QueueJournal(path)) as journal:
            assert everything(journal) == {"a": [(3, b"3"), (5, b"5")]}


@BOTH
@pytest.mark.parametrize("spoil", [False, True])
def test_a_journal_with_the_checksums_of_layout_2_gets_those_of_today(
    tmp_path: Path, kind: Kind, spoil: bool
) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(kind(path)) as journal:
        if isinstance(journal, QueueJournal):
            journal.commit([("a", b"%d" % at) for at in range(20)], [])
        else:
            journal.commit([Post(f"k{at}", "rex spot", b"%d" % at) for at in range(20)])
            journal.forget([3, 4], 0)
        columns = ", ".join(journal.columns)
        journal._db.create_function("old", -1, CHECKSUMS[2])
        journal._db.execute(f"UPDATE messages SET checksum = old({columns})")
        if spoil:
            journal._db.execute("UPDATE messages SET checksum = checksum + 1 WHERE sequence = 7")
        journal._db.execute("PRAGMA user_version=2")
    for _ in range(2):
        with closing(kind(path)) as journal:
            found = (
                [entry for _, entries in everything(journal).items() for entry in entries]
                if isinstance(journal, QueueJournal)
                else list(journal.load())
            )
            assert len(found) == 20 - spoil
            wrong = journal._db.execute(
                f"SELECT count(*) FROM messages WHERE checksum IS NOT checksum_of({columns})"
            )
            assert wrong.fetchone() == (0,)
    assert len(list(tmp_path.glob("*.damaged-*"))) > 0 if spoil else not list(tmp_path.glob("*.damaged-*"))


# Death


CHILD = """
import os, sys
from pathlib import Path
from barker.store.journal import QueueJournal

journal = QueueJournal(Path(sys.argv[1]))
journal.commit([("a", b"%d" % at) for at in range(1, 1001)], [])
journal.commit([("b", b"x" * 100_000)], [("a", at) for at in range(1, 501)])
journal._db.execute("BEGIN IMMEDIATE")
journal._db.execute("INSERT INTO messages VALUES ('never committed', 5000, 'x', 0)")
print("committed", flush=True)
if sys.argv[2] == "exit":
    os._exit(3)
sys.stdin.read()
"""


@pytest.mark.parametrize("death", ["exit", "kill"])
def test_what_was_committed_survives_the_death_of_the_process(tmp_path: Path, death: str) -> None:
    path = tmp_path / "j.sqlite3"
    command = [sys.executable, "-c", CHILD, str(path), death]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "committed\n"
        if death == "kill":
            child.kill()
        assert child.wait(10) == (3 if death == "exit" else -signal.SIGKILL)
    with closing(QueueJournal(path)) as journal:
        assert journal.queues() == {"a": 500, "b": 1}
        assert list(journal.load("a", 0, 1_000)) == [Entry(at, b"%d" % at) for at in range(501, 1001)]
        assert list(journal.load("b", 0, 1)) == [(1001, b"x" * 100_000)]
        assert journal.commit([("a", b"next")], [])[0].sequence == 1002


def test_a_journal_that_is_not_closed_is_whole_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    journal = QueueJournal(path)
    journal.commit([("a", b"1")], [])
    copy = tmp_path / "copy.sqlite3"
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    journal.close()
    with closing(QueueJournal(copy)) as found:
        assert everything(found) == {"a": [(1, b"1")]}


# What can go wrong


def test_a_second_opener_is_told_that_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"1")], [])
        with pytest.raises(StorageError, match="in use") as caught:
            QueueJournal(path)
        assert str(path) in str(caught.value)
        assert journal.commit([("a", b"2")], []) == [Entry(2, b"2")], "the first goes on"


@BOTH
def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "j.sqlite3"
    kind(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer") as caught:
        kind(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_was_refused_is_not_kept_locked(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    QueueJournal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(StorageError, match="newer") as caught:
        QueueJournal(path)
    with closing(sqlite3.connect(path, timeout=0)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION + 1,), str(caught.value)


def a_journal_of_timelines(path: Path) -> None:
    with closing(TimelineJournal(path)) as journal:
        journal.commit([Post("key", "rex", b"1")])


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [a_journal_of_timelines, a_directory])
def test_a_file_that_is_no_queue_journal_is_named(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "j.sqlite3"
    spoil(path)
    with pytest.raises(StorageError) as caught, closing(QueueJournal(path)) as journal:
        everything(journal)
    assert str(path) in str(caught.value)


def test_a_journal_of_queues_is_no_journal_of_timelines(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as queues:
        queues.commit([("a", b"1")], [])
    with pytest.raises(StorageError) as caught, closing(TimelineJournal(path)) as journal:
        list(journal.load())
    assert str(path) in str(caught.value)


def test_a_directory_is_made_when_it_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "and deep" / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"1")], [])
    assert path.exists()


def test_a_file_where_the_directory_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageError, match=r"data/j\.sqlite3"):
        QueueJournal(tmp_path / "data" / "j.sqlite3")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written") as caught:
        QueueJournal(tmp_path / "j.sqlite3")
    assert str(tmp_path) in str(caught.value)
    tmp_path.chmod(0o700)


def fill(journal: Journal) -> None:
    """From now on, the disk is full."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")


def make_room(journal: Journal) -> None:
    journal._db.execute("PRAGMA max_page_count=1000000")


def test_a_commit_to_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"1"), ("a", b"2")], [])
        fill(journal)
        for _ in range(2):
            with pytest.raises(StorageError, match="full") as caught:
                journal.commit([("b", b"small"), ("a", b"x" * 1_000_000)], [("a", 1)])
            assert str(path) in str(caught.value)
            assert everything(journal) == {"a": [(1, b"1"), (2, b"2")]}
        make_room(journal)
        assert journal.commit([("a", b"3")], [("a", 1)]) == [Entry(3, b"3")]
    with closing(QueueJournal(path)) as journal:
        assert everything(journal) == {"a": [(2, b"2"), (3, b"3")]}


def test_a_timeline_commit_to_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        journal.commit([Post("k1", "rex", b"1")])
        fill(journal)
        with pytest.raises(StorageError, match="full"):
            journal.commit([Post("k2", "rex", b"small"), Post("k3", "rex", b"x" * 1_000_000)])
        assert list(journal.load()) == [(1, "k1", "rex", b"1")]
        make_room(journal)
        assert journal.commit([Post("k2", "rex", b"2")])[0].sequence == 2


def test_a_commit_that_fails_for_any_reason_leaves_the_journal_in_order(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        with pytest.raises(UnicodeEncodeError):
            journal.commit([("a", b"1"), ("\ud800", b"no text that SQLite takes")], [])
        assert journal.queues() == {}
        assert journal.commit([("a", b"1")], []) == [Entry(1, b"1")]


NO_MEMORY = """
import sys
from pathlib import Path
from barker.store.journal import QueueJournal

journal = QueueJournal(Path(sys.argv[1]))
journal.commit([("a", b"1")], [])
journal._db.execute("PRAGMA hard_heap_limit=4000000")
try:
    journal.commit([("a", b"2"), ("a", bytes(8_000_000))], [("a", 1)])
except MemoryError:
    print("no memory", journal._db.in_transaction)
print(journal.commit([("a", b"3")], []), [entry.data for entry in journal.load("a", 0, 9)])
"""


def test_a_commit_that_finds_no_memory_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_MEMORY, str(tmp_path / "j.sqlite3")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "no memory False\n[Entry(sequence=2, data=b'3')] [b'1', b'3']\n"


def test_what_a_commit_left_behind_is_no_part_of_the_next(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        journal._db.execute("BEGIN")
        journal._db.execute("INSERT INTO messages VALUES ('never committed', 5000, 'x', 0)")
        assert journal.commit([("a", b"1")], []) == [Entry(1, b"1")]
        assert everything(journal) == {"a": [(1, b"1")]}


def nothing_is_read(journal: Journal) -> bool:
    """Whether the log can be begun anew: not while somebody reads in it."""
    try:
        return bool(journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    except sqlite3.OperationalError:
        return False


def test_reading_that_stops_midway_leaves_nothing_open(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([("a", b"%d" % at) for at in range(10)], [])
        rows = journal.load("a", 0, 10)
        assert next(rows).data == b"0"
        journal.commit([("a", b"10")], [("a", 1)])
        assert not nothing_is_read(journal)
        del rows
        assert nothing_is_read(journal)
        journal._db.execute("UPDATE messages SET data = 'another' WHERE sequence = 5")
        with pytest.raises(Damaged) as caught:
            list(journal.load("a", 0, 10))
        assert nothing_is_read(journal), f"although somebody still has {caught}"


def test_a_timeline_journal_that_is_read_halfway_goes_on(tmp_path: Path) -> None:
    with closing(TimelineJournal(tmp_path / "j.sqlite3")) as journal:
        journal.commit([Post("", "rex", b"%d" % at) for at in range(10)])
        rows = iter(journal.load())
        next(rows)
        fill(journal)
        with pytest.raises(StorageError, match="full"):
            journal.commit([Post("", "rex", b"x" * 1_000_000)])
        make_room(journal)
        del rows
        assert nothing_is_read(journal)
        assert journal.commit([Post("", "rex", b"10")])[0].sequence == 11


@pytest.mark.parametrize(("sync", "level"), [("normal", 1), ("full", 2)])
def test_sync_is_how_sure_a_commit_is(tmp_path: Path, sync: str, level: int) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3", sync)) as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (level,)


def test_size_counts_what_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"x" * 500_000)], [])
        assert 500_000 < journal.size < 1_100_000
        files = [file for file in tmp_path.iterdir() if not file.name.endswith("-shm")]
        assert journal.size == sum(file.stat().st_size for file in files)


def test_a_long_run_of_commits_does_not_grow_the_write_ahead_log_without_end(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / "j.sqlite3")) as journal:
        settled: list[Entry] = []
        for _ in range(200):
            settled = journal.commit(
                [("a", b"x" * 10_000)] * 10, [("a", entry.sequence) for entry in settled]
            )
        assert journal.queues() == {"a": 10}
        assert journal.size < 12_000_000, "20 MB went through it"


FULL = """
import resource, sys
from pathlib import Path
from barker.core.errors import Damaged, StorageError
from barker.store import journal

kind, path = getattr(journal, sys.argv[1]), Path(sys.argv[2])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
made = kind(path)
queues = kind is journal.QueueJournal
new = ([("a", b"new")], []) if queues else ([journal.Post("", "a", b"new")],)
try:
    made.commit(*new)
except StorageError as error:
    print(error)
print([tuple(entry) for entry in (made.load("a", 0, 10) if queues else made.load())])
made.close()
made = kind(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
made.commit(*new)
made.close()
"""


@BOTH
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere SIGXFSZ may not be ignored")
def test_a_journal_is_opened_and_read_when_nothing_can_be_written(
    tmp_path: Path, kind: Kind, closed: bool
) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(kind(path)) as journal:
        if isinstance(journal, QueueJournal):
            journal.commit([("a", b"old")], [])
        else:
            journal.commit([Post("", "a", b"old")])
        if closed:
            journal.close()
        else:  # As a kill leaves it: all is in the log.
            found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    if not closed:
        for name, data in found.items():
            (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", FULL, kind.__name__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{path}: the disk does not take what is written" in done.stdout
    assert "b'old'" in done.stdout
    assert "b'new'" not in done.stdout
    with closing(kind(path)) as journal:
        data = [
            entry.data
            for entry in (journal.load("a", 0, 9) if isinstance(journal, QueueJournal) else journal.load())
        ]
    assert data == [b"old", b"new"]


def test_the_tally_of_queues_lasts_with_what_it_was_written_with(tmp_path: Path) -> None:
    path = tmp_path / "tally.sqlite3"
    with closing(QueueJournal(path)) as journal:
        assert journal.tally == 0
        journal.commit([("a", b"1"), ("a", b"2")], [])
        journal.commit([], [("a", 1)], 7)
        journal.commit([("a", b"3")], [])
        with pytest.raises(UnicodeEncodeError):
            journal.commit([("\ud800", b"no text that SQLite takes")], [], 8)
    assert messages_in(path) == 2
    with closing(QueueJournal(path)) as journal:
        assert journal.tally == 7
        assert journal.queues() == {"a": 2}, "it is no message"
        journal.commit([], [("a", 2), ("a", 3)], 10**12)
    assert messages_in(path) == 0
    with closing(QueueJournal(path)) as journal:
        assert (journal.tally, journal.queues()) == (10**12, {})


def test_the_tally_of_timelines_is_of_the_messages_until_one_was_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "tally.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        assert (journal.tally, journal.tally_until) == (0, 0)
        posts = [Post(f"key{number}", "rex", b"woof") for number in range(4)]
        journal.commit(posts[:3])
        journal.forget([1], 1, 40)
        journal.commit(posts[3:])
    with closing(TimelineJournal(path)) as journal:
        assert (journal.tally, journal.tally_until) == (40, 3)
        assert [entry.sequence for entry in journal.load()] == [1, 2, 3, 4], "it is no message"
        journal.forget([2, 3, 4], 5, 41)
    assert messages_in(path) == 0
    with closing(TimelineJournal(path)) as journal:
        assert [*journal.load()] == []
        (entry,) = journal.commit(posts[:1])
        assert (journal.tally, entry.sequence) == (41, 5), "those that come are told from those it is of"


@BOTH
def test_a_tally_is_saved_with_the_messages_of_a_damaged_journal(
    tmp_path: Path, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tally.sqlite3"
    with closing(kind(path)) as journal:
        if isinstance(journal, QueueJournal):
            journal.commit([("a", b"1"), ("a", b"2")], [], 7)
        else:
            journal.commit([Post("a", "rex", b"1"), Post("b", "rex", b"2")])
            journal.forget([], 1, 7)
    path.write_bytes(path.read_bytes().replace(b"SQLite format 3", b"SQLite format 4"))
    with closing(kind(path)) as journal:
        assert journal.tally == 7
    assert "Messages saved, which go on in order: 2;" in caplog.text


def test_how_far_a_stream_was_read_is_written_with_what_came(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        assert journal.offset == -1
        journal.commit([Post("", "rex", b"one")], 41)
        journal.commit([], 42)
        journal.commit([Post("", "rex", b"two")])
    with closing(TimelineJournal(path)) as journal:
        assert journal.offset == 42
        assert [(entry.sequence, entry.data) for entry in journal.load()] == [(1, b"one"), (2, b"two")]
        journal.forget([1, 2], 3, 7)
    with closing(TimelineJournal(path)) as journal:
        assert (journal.offset, journal.tally) == (42, 7)


def test_how_many_came_again_is_written_with_what_came(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        assert journal.again == 0
        journal.commit([Post("", "rex", b"one")], again=3)
        journal.commit([], again=4)
        journal.commit([Post("", "rex", b"two")])
        journal.forget([1], 2, 7)
    with closing(TimelineJournal(path)) as journal:
        assert (journal.again, journal.tally, journal.offset) == (4, 7, -1)
        assert [entry.data for entry in journal.load()] == [b"two"]


def test_which_stream_was_read_is_written_with_how_far_it_was(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(TimelineJournal(path)) as journal:
        journal.commit([], 42)
        assert journal.stream == ""
        journal.begin("one")
        assert (journal.offset, journal.stream) == (-1, "one")
    with closing(TimelineJournal(path)) as journal:
        assert (journal.offset, journal.stream) == (42, "")
        journal.begin("one")
        journal.commit([], 3)
        journal.begin("two")
    with closing(TimelineJournal(path)) as journal:
        assert (journal.offset, journal.stream) == (3, "one")


def test_a_journal_that_is_a_copy_begins_anew_when_it_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.sqlite3"
    with closing(CopyJournal(path)) as journal:
        journal.commit([Post("", "rex", b"one")], 41)
    with path.open("r+b") as file:
        file.write(bytes(200))
    with closing(CopyJournal(path)) as journal:
        assert journal.offset == -1
        assert list(journal.load()) == []
        journal.commit([Post("", "rex", b"again")], 0)
    assert "all is read again from the broker's stream" in caplog.text
    assert len(list(tmp_path.glob("j.sqlite3.damaged-*"))) == 1
    with closing(CopyJournal(path)) as journal:
        assert [entry.data for entry in journal.load()] == [b"again"]
