"""A damaged journal: what is true of it goes on, and it is itself still there."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from barker.core.errors import Damaged, StorageError
from barker.store.journal import NO_VERSION, VERSION, Journal, Post, QueueJournal, TimelineJournal
from barker.store.social import Users, salvage
from barker.store.sqlite_pages import PAGE
from tests.seed import seeded

NAME = "j.sqlite3"


def lines(journal: Journal) -> list[tuple[object, ...]]:
    """All that a journal gives its manifold, in the order of its queues or timelines."""
    if isinstance(journal, QueueJournal):
        return [(queue, *entry) for queue in journal.queues() for entry in journal.load(queue, 0, 10**6)]
    assert isinstance(journal, TimelineJournal)
    return list(journal.load())


def files(folder: Path) -> dict[str, bytes]:
    """The journal and what belongs to it, by how their names end."""
    return {end: file.read_bytes() for end in ("", "-wal") if (file := folder / (NAME + end)).exists()}


Lines = list[tuple[object, ...]]


def fill_queues(journal: Journal) -> Lines:
    """Short and long messages of several queues, of which many are settled; all that was ever accepted."""
    assert isinstance(journal, QueueJournal)
    chance = seeded()
    accepted: Lines = []
    settled: list[tuple[str, int]] = []
    for _ in range(40):
        queues = [chance.choice(["a", "b", "a/dead-letters"]) for _ in range(chance.randrange(1, 30))]
        sizes = [chance.choice([0, 20, 300, 300, 300, 1_100, 9_000]) for _ in queues]
        add = [(queue, chance.randbytes(size)) for queue, size in zip(queues, sizes, strict=True)]
        added = journal.commit(add, settled)
        accepted += [(queue, *entry) for queue, entry in zip(queues, added, strict=True)]
        places = [(queue, entry.sequence) for queue, entry in zip(queues, added, strict=True)]
        settled = places[: chance.randrange(len(places) + 1)]
    return accepted


def fill_timelines(journal: Journal) -> Lines:
    """Messages of timelines, of which many are forgotten; all ever accepted, and what forgetting leaves."""
    assert isinstance(journal, TimelineJournal)
    chance = seeded()
    accepted: Lines = []
    held: set[int] = set()
    for _ in range(30):
        posts = [
            Post(f"key {chance.random()}", "rex spot " * chance.randrange(1, 300), chance.randbytes(300))
            for _ in range(chance.randrange(1, 20))
        ]
        for entry in journal.commit(posts):
            accepted += [entry, entry._replace(users=None, data=None)]  # type: ignore[arg-type]
            held |= {entry.sequence} if chance.random() < 0.7 else set()
        if chance.random() < 0.2:
            stored = {entry.sequence for entry in journal.load() if entry.data is not None}
            journal.forget(stored - held, max(held) - 40)
    return accepted


class Sample(NamedTuple):
    files: dict[str, bytes]
    accepted: Lines
    """Everything, ever."""
    kept: Lines
    """What is in it."""


@cache
def sample(kind: type[Journal], closed: bool) -> Sample:
    """A journal's files, after it was closed or as a kill leaves them, and what is in it."""
    with tempfile.TemporaryDirectory() as folder, closing(kind(Path(folder) / NAME)) as journal:
        # So that something is in the file, and something in the log.
        journal._db.execute("PRAGMA wal_autocheckpoint=60")
        accepted = (fill_queues if kind is QueueJournal else fill_timelines)(journal)
        kept = lines(journal)
        if closed:
            journal.close()
        return Sample(files(Path(folder)), accepted, kept)


def damage(
    folder: Path, kind: type[Journal], closed: bool, spoil: Callable[[str, bytearray], None]
) -> Sample:
    """A journal in `folder` whose files' bytes `spoil` has had."""
    whole = sample(kind, closed)
    for end, data in whole.files.items():
        spoilt = bytearray(data)
        spoil(end, spoilt)
        (folder / (NAME + end)).write_bytes(spoilt)
    return whole


def aside(folder: Path) -> dict[str, bytes]:
    found = [file for file in folder.iterdir() if ".damaged-" in file.name and not file.name.endswith("-shm")]
    return {file.name.partition("-wal")[1]: file.read_bytes() for file in found}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["", "-wal"]),
        st.sampled_from(["flip", "byte", "cut", "stretch"]),
        st.floats(0, 1, exclude_max=True) | st.integers(0, 100),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


@given(st.sampled_from([QueueJournal, TimelineJournal]), st.booleans(), CHANGES)
@example(QueueJournal, True, [("", "stretch", 4, 10)])  # A page with a row that has no columns.
@settings(max_examples=100)
def test_whatever_bytes_change_what_is_salvaged_was_accepted_and_the_original_is_still_there(
    kind: type[Journal], closed: bool, changes: list[tuple[str, str, float, int]]
) -> None:
    def spoil(end: str, data: bytearray) -> None:
        for which, how, where, value in changes:
            at = where if isinstance(where, int) else int(where * len(data))
            if which != end or at >= len(data):
                continue
            if how == "flip":
                data[at] ^= 1 << value % 8
            elif how == "byte":
                data[at] = value
            elif how == "stretch":
                data[at : at + 3 * PAGE] = bytes([value]) * len(data[at : at + 3 * PAGE])
            else:
                del data[at:]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = damage(folder, kind, closed, spoil)
        before = files(folder)
        try:
            journal = kind(folder / NAME)
        except StorageError:
            # The one place where damage cannot be told from a file that is well: that of the layout.
            assert VERSION < int.from_bytes(before[""][60:64], "big") < NO_VERSION
            return
        with closing(journal):
            found = lines(journal)
        accepted = set(whole.accepted)
        assert all(line in accepted for line in found)
        places = [line[: len(line) - len(kind.columns) + 2] for line in found]
        assert places == sorted(set(places))
        if aside(folder):
            assert aside(folder).items() >= before.items()
        with closing(kind(folder / NAME)) as journal:
            assert lines(journal) == found, "the next start finds it well"


@pytest.mark.parametrize("kind", [QueueJournal, TimelineJournal])
def test_a_spoilt_page_costs_what_was_on_it_and_no_more(tmp_path: Path, kind: type[Journal]) -> None:
    count = len(sample(kind, True).files[""]) // PAGE
    lost = 0
    for number in range(count):

        def spoil(end: str, data: bytearray, number: int = number) -> None:
            data[number * PAGE : (number + 1) * PAGE] = b"\xff" * PAGE

        folder = tmp_path / str(number)
        folder.mkdir()
        kept = damage(folder, kind, True, spoil).kept
        with closing(kind(folder / NAME)) as journal:
            found = lines(journal)
        assert len(set(kept) - set(found)) < 60
        lost += len(set(kept) - set(found))
        if number == 0:
            assert set(found) >= set(kept)
    assert lost < 2 * len(kept)


@pytest.mark.parametrize("kind", [QueueJournal, TimelineJournal])
def test_a_spoilt_log_costs_no_more_than_the_page_in_it(tmp_path: Path, kind: type[Journal]) -> None:
    """SQLite alone would forget all transactions behind it, without a word."""

    def spoil(end: str, data: bytearray) -> None:
        if end == "-wal":
            data[32 + 24 + 2_000] ^= 1  # In the page of the first frame.

    kept = damage(tmp_path, kind, False, spoil).kept
    with closing(kind(tmp_path / NAME)) as journal:
        assert len(set(kept) - set(lines(journal))) < 60
    assert aside(tmp_path)


def spoil_one(end: str, data: bytearray) -> None:
    """A bit of the last message that is kept and lies on one page, wherever a copy of it is."""
    *_, text = [text for *_, text in sample(QueueJournal, True).kept if len(text) == 300]  # type: ignore[arg-type]
    at = -1
    while (at := data.find(text, at + 1)) >= 0:  # type: ignore[arg-type]
        data[at + 150] ^= 1


def test_it_is_told_what_is_set_aside_and_what_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(tmp_path, QueueJournal, True, spoil_one)
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        assert f"Messages saved, which go on in order: {len(lines(journal))};" in caplog.text
    name = min(file for file in tmp_path.iterdir() if ".damaged-" in file.name)
    assert f"is set aside as {name}." in caplog.text


def test_garbage_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"this is no database\n" * 1_000)
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        assert lines(journal) == []
        journal.commit([("a", b"1")], [])
    assert aside(tmp_path)[""] == b"this is no database\n" * 1_000


def mostly_settled(path: Path) -> tuple[bytearray, int]:
    """A journal with the last 300 messages of 2,000; its bytes, and where its list of free pages begins."""
    with closing(QueueJournal(path)) as journal:
        journal._db.execute("PRAGMA secure_delete=OFF")  # Else nothing is left on free pages.
        journal.commit([("a", b"%d " % at * 50) for at in range(1, 2_001)], [])
        journal.commit([], [("a", sequence) for sequence in range(1, 1_701)])
    data = bytearray(path.read_bytes())
    return data, (int.from_bytes(data[32:36], "big") - 1) * PAGE


def test_what_was_settled_does_not_come_back_from_free_pages(tmp_path: Path) -> None:
    data, _ = mostly_settled(tmp_path / NAME)
    assert b"500 500 500" in data
    data[data.index(b"1900 1900")] ^= 1
    (tmp_path / NAME).write_bytes(data)
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        assert [line[1] for line in lines(journal)] == [*range(1_701, 1_900), *range(1_901, 2_001)]


def test_a_page_that_the_list_of_free_ones_claims_wrongly_is_kept(tmp_path: Path) -> None:
    data, trunk = mostly_settled(tmp_path / NAME)
    page = data.index(b"1900 1900") // PAGE + 1
    data[trunk + 8 : trunk + 12] = page.to_bytes(4, "big")
    (tmp_path / NAME).write_bytes(data)
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        assert [line[1] for line in lines(journal)][-300:] == [*range(1_701, 2_001)]
    assert aside(tmp_path)[""] == data


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_salvage_that_is_cut_off_is_brought_to_its_end_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    class Died(BaseException):
        pass

    def count_down(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def dying(file: Path, to: Path) -> Path:
            nonlocal step
            step -= 1
            if step < 0:
                raise Died
            return rename(file, to)

        return dying

    kept = damage(tmp_path, QueueJournal, True, spoil_one).kept
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", count_down(Path.rename))
        patch.setattr(Path, "replace", count_down(Path.replace))
        with pytest.raises(Died):
            QueueJournal(tmp_path / NAME)
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        assert len(set(kept) - set(lines(journal))) == 1
    assert aside(tmp_path).items() >= before.items()
    assert not [file for file in tmp_path.iterdir() if ".salvag" in file.name]


def test_what_is_damaged_while_it_is_open_is_not_read_as_if_it_were_well(tmp_path: Path) -> None:
    path = tmp_path / NAME
    QueueJournal(path).close()
    with closing(QueueJournal(path)) as journal:
        journal.commit([("a", b"%d" % at * 100) for at in range(1_000, 2_000)], [])
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        journal._db.execute("PRAGMA cache_size=0")
        with path.open("r+b") as file:
            at = file.read().index(b"1500" * 10)
            file.seek(at)
            file.write(b"1501")
        assert len(list(journal.load("a", 0, 100))) == 100
        with pytest.raises(Damaged, match="start again"):
            list(journal.load("a", 0, 1_000))


# Users


def test_users_are_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite3"
    names = [f"dog{at}" for at in range(2_000)]
    with closing(Users(path, create=True)) as users:
        users.add(names, itertools.pairwise(names))
    whole = bytearray(path.read_bytes())
    whole[: PAGE * 2] = b"\xff" * PAGE * 2  # The file's header, and the root of a tree.
    path.write_bytes(whole)
    with pytest.raises(StorageError, match="barker users salvage"):
        Users(path)
    assert salvage(path).read_bytes() == whole
    with closing(Users(path)) as users:
        assert set(users.names()) <= set(names)
        graph = users.graph()
        follows = {(follower, name) for name in users.names() for follower in graph.followers(name)}
        assert follows <= set(itertools.pairwise(names))
        assert len(follows) > 1_900


def test_users_are_not_salvaged_while_they_are_in_use(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite3"
    command = "from barker.store.social import Users; import pathlib, sys; users = Users("
    command += "pathlib.Path(sys.argv[1]), create=True); users.add(['rex'], []); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", command, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StorageError, match="in use"):
            salvage(path)
        other.kill()
    assert path.exists()
    salvage(path)
    with closing(Users(path)) as users:
        assert users.names() == ["rex"]


def test_what_a_bit_in_the_log_beside_its_pages_costs_is_said_and_little(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        for _ in range(6):
            journal.commit([("a", bytes(300))], [])
        whole = files(tmp_path)
    last = len(whole["-wal"]) - PAGE - 24
    # But for the size of the file in the last frame, which alone says that a transaction ends.
    places = [*range(32), *range(last, last + 4), *range(last + 8, last + 24)]
    chance = seeded()
    for at, bit in [(3, 0), *((at, chance.randrange(8)) for at in places)]:
        folder = tmp_path / f"{at}-{bit}"
        folder.mkdir(exist_ok=True)
        log = bytearray(whole["-wal"])
        log[at] ^= 1 << bit
        (folder / NAME).write_bytes(whole[""])
        (folder / (NAME + "-wal")).write_bytes(log)
        with closing(QueueJournal(folder / NAME)) as journal:
            found = len(lines(journal))
        assert found == 6 or (found == 5 and aside(folder)), (at, bit)


def test_what_an_earlier_round_has_left_behind_in_the_log_is_no_damage(tmp_path: Path) -> None:
    with closing(QueueJournal(tmp_path / NAME)) as journal:
        journal._db.execute("PRAGMA wal_autocheckpoint=8")
        for number in range(30):
            journal.commit([("a", bytes(20))], [])
            folder = tmp_path / str(number)
            folder.mkdir()
            for end, data in files(tmp_path).items():
                (folder / (NAME + end)).write_bytes(data)
            with closing(QueueJournal(folder / NAME)) as after:
                assert len(lines(after)) == number + 1
            assert not aside(folder), number


@pytest.mark.parametrize("kind", [QueueJournal, TimelineJournal])
def test_a_write_that_a_power_loss_has_torn_takes_nothing_that_was_there_before(
    tmp_path: Path, kind: type[Journal]
) -> None:
    """Its last page may be on the disk and others not, when rows have just moved from one to the next."""
    torn = 0
    with closing(kind(tmp_path / NAME)) as journal:
        for number in range(40):
            before, began = lines(journal), len(files(tmp_path).get("-wal", b"")) or 32
            if isinstance(journal, QueueJournal):
                journal.commit([("a" if number % 2 else "b", bytes(300))], [])
            elif isinstance(journal, TimelineJournal):
                journal.commit([Post(f"key {number}", "rex", bytes(300))])
            whole = files(tmp_path)
            frames = range(began, len(whole["-wal"]), 24 + PAGE)
            for at in frames[:-1]:
                folder = tmp_path / f"{number}-{at}"
                folder.mkdir()
                (folder / NAME).write_bytes(whole[""])
                log = whole["-wal"]
                log = log[: at + 24] + bytes(PAGE) + log[at + 24 + PAGE :]
                (folder / (NAME + "-wal")).write_bytes(log)
                with closing(kind(folder / NAME)) as after:
                    assert set(before) <= set(lines(after)), number
                torn += 1
    assert torn > 3
