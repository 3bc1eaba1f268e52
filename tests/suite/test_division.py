"""Other numbers of partitions and inboxes: nothing is lost, twice or out of order, whenever it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.amqp.message import encode_bark
from barker.core.barks import Bark
from barker.core.errors import InUse, Mistake
from barker.core.fan_out import part_key
from barker.core.partitions import Partition, number_of
from barker.store.journal import Post, QueueJournal, TimelineJournal
from barker.store.swap import beside, unfinished
from barker.suite.division import repartition
from barker.suite.journals import take_over
from barker.suite.shape import Shape
from tests.harness import ROOT
from tests.suite.held import held

MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where files are that are written again and again: whether they are on a disk makes no difference here."""

AUTHORS = [f"dog{number}" for number in range(6)]

USERS = [*AUTHORS, *(f"cat{number}" for number in range(6))]


def bark(author: str, number: int) -> bytes:
    return encode_bark(Bark(f"{author}-{number}", author, str(number), 1))


def fill_outbox(folder: Path, number: int, authors: list[str], dead: int = 0, tally: int = 0) -> None:
    """An outbox in which each of these barks once, in turn."""
    with closing(QueueJournal(folder / f"outbox-{number}.sqlite3")) as journal:
        journal.commit([("outbox", bark(author, at)) for at, author in enumerate(authors)], [], tally)
        journal.commit([("outbox/dead-letters", bark(f"bad{at}", at)) for at in range(dead)], [])


def fill_inboxes(folder: Path, count: int, barks: list[tuple[str, set[str]]], forgotten: int = 0) -> None:
    """Inboxes to which these barks, each of an author and for its readers, have come."""
    for number in range(count):
        part = Partition(number, count)
        name = part.address("inbox") if count > 1 else "inbox-1"
        posts = []
        for at, (author, readers) in enumerate(barks):
            names = [user for user in [author, *sorted(readers - {author})] if part.holds(user)]
            if names:
                posts.append(
                    Post(part_key(author, f"{author}-{at}", "0/1"), " ".join(names), bark(author, at))
                )
        with closing(TimelineJournal(folder / f"{name}.sqlite3")) as journal:
            entries = journal.commit(posts)
            journal.forget([entry.sequence for entry in entries[:forgotten]], 0, 10 * (number + 1))
            journal.commit([Post(f"{user}\nalone\n", user, b"to one") for user in USERS if part.holds(user)])


BARKS = st.lists(st.tuples(st.sampled_from(AUTHORS), st.sets(st.sampled_from(USERS))), max_size=15)

NUMBERS = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@given(st.lists(st.lists(st.sampled_from(AUTHORS), max_size=20), min_size=1, max_size=3), NUMBERS)
@settings(max_examples=15)
def test_what_waits_keeps_its_place_in_its_authors_order(
    outboxes: list[list[str]], numbers: list[int]
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        for number, authors in enumerate(outboxes, 1):
            fill_outbox(folder, number, authors, dead=2, tally=7)
        before = held(folder, 1, 0)
        for count in numbers:
            repartition(folder, count, None)
            assert held(folder, count, 0) == before


@given(BARKS, NUMBERS, st.integers(1, 4), st.sampled_from([0, 5, 1_000]))
@settings(max_examples=15)
def test_timelines_and_keys_are_the_same_however_they_are_divided(
    barks: list[tuple[str, set[str]]], numbers: list[int], first: int, recent: int
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("barker.store.moves.RECENT", recent)
        folder = Path(name)
        fill_inboxes(folder, first, barks, forgotten=3)
        before = held(folder, 1, first)
        for count in numbers:
            repartition(folder, None, count)
            after = held(folder, 1, count)
            assert after.timelines == before.timelines
            assert after.keys == before.keys
            assert after.delivered == before.delivered
        with closing(TimelineJournal(next(iter(folder.glob("inbox-1*.sqlite3"))))) as journal:
            claimed = any("@" in entry.key for entry in journal.load())
            assert recent or not claimed, "nothing is under way"


@pytest.fixture
def full() -> Iterator[Path]:
    """The data of a suite with barks on three inboxes' timelines, some of which wait in outboxes still."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name) / "data"
        folder.mkdir()
        _fill(folder)
        yield folder


def _fill(folder: Path) -> None:
    authors = [AUTHORS[at % 6] for at in range(12)]
    fill_inboxes(folder, 3, [(author, {"cat0", "cat1", "cat3", "dog1"}) for author in authors], forgotten=2)
    fill_outbox(folder, 1, authors, dead=1, tally=5)
    fill_outbox(folder, 2, [AUTHORS[0]])


@pytest.mark.parametrize(("partitions", "inboxes"), [(3, 2), (1, 1), (2, 4)])
def test_whenever_it_is_killed_it_can_be_done_again(full: Path, partitions: int, inboxes: int) -> None:
    command = [sys.executable, "-m", "tests.suite.cut_off", str(full), str(partitions), str(inboxes)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) > 15
    assert set(lines) == {"ok"}


def test_a_launcher_finishes_what_was_begun(full: Path) -> None:
    before = held(full, 1, 3)
    repartition(full, 1, 2)
    (full / "inbox-1-of-2.sqlite3").rename(beside(full / "inbox-1-of-2.sqlite3"))
    (full / "repartition.json").write_text(
        '{"new": ["inbox-1-of-2.sqlite3"], "old": ["inbox-3-of-3.sqlite3"], "unused": []}'
    )
    (full / "inbox-3-of-3.sqlite3").write_bytes(b"an old one")
    assert unfinished(full)
    _, lines = take_over(Shape(data=full, inboxes=2))
    assert lines == ["the timelines were being divided anew, and that is done now"]
    assert held(full, 1, 2).timelines == before.timelines


def test_other_numbers_are_refused_with_the_command_that_changes_them(full: Path) -> None:
    command = rf"barker repartition --data {full} --"
    with pytest.raises(Mistake, match=f"timelines of 3 inbox.*not of 1: .*{command}inboxes 1"):
        take_over(Shape(data=full))
    told = r"outbox-1.sqlite3 has barks that wait for 1 partition\(s\) of authors, not for 4: "
    with pytest.raises(Mistake, match=rf"{told}.*{command}partitions 4"):
        take_over(Shape(data=full, inboxes=3, partitions=4))
    repartition(full, 4, 1)
    take_over(Shape(data=full, partitions=4))
    with pytest.raises(Mistake, match=r"wait for 4 partition\(s\) of authors, not for 1: "):
        take_over(Shape(data=full))


def test_what_is_in_use_is_refused_and_nothing_has_changed(full: Path) -> None:
    before = held(full, 1, 3)
    with (
        closing(QueueJournal(full / "outbox-2.sqlite3")),
        pytest.raises(InUse, match="in use by another process"),
    ):
        repartition(full, 2, 2)
    with (
        closing(TimelineJournal(full / "inbox-2-of-3.sqlite3")),
        pytest.raises(Mistake, match="a suite that runs"),
    ):
        repartition(full, None, 2)
    assert held(full, 1, 3) == before


def test_a_folder_without_journals_is_told(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="there are no journals"):
        repartition(tmp_path / "nowhere", 2, 2)


def test_timelines_of_two_numbers_of_inboxes_are_refused(full: Path) -> None:
    fill_inboxes(full, 1, [("dog1", {"cat1"})])
    with pytest.raises(Mistake, match="timelines of 1 and of 3 inboxes: put those"):
        repartition(full, None, 2)


def test_journals_that_hold_nothing_are_in_nobodys_way(tmp_path: Path) -> None:
    fill_inboxes(tmp_path, 2, [("dog1", {"cat1"})])
    for name in ("inbox-1", "inbox-2-of-3"):
        TimelineJournal(tmp_path / f"{name}.sqlite3").close()
    assert repartition(tmp_path, None, 2) == [
        "there is nothing to divide: no timelines but those of 2 inbox(es)"
    ]
    take_over(Shape(data=tmp_path, inboxes=2))
    TimelineJournal(tmp_path / "inbox-1.sqlite3").close()
    repartition(tmp_path, None, 1)
    take_over(Shape(data=tmp_path))


def test_older_timelines_that_are_not_shown_are_set_aside(tmp_path: Path) -> None:
    fill_inboxes(tmp_path, 1, [("dog1", {"cat1"})])
    os.utime(tmp_path / "inbox-1.sqlite3", (1e9, 1e9))
    with closing(TimelineJournal(tmp_path / "inbox-5820.sqlite3")) as journal:
        journal.commit([Post("", "cat2", b"newer")])
    _, told = repartition(tmp_path, None, 2)
    assert told == "inbox-1.sqlite3 had timelines, too, that were not shown: it is inbox-1.sqlite3.unused now"
    take_over(Shape(data=tmp_path, inboxes=2))
    with closing(TimelineJournal(tmp_path / "inbox-1.sqlite3.unused")) as journal:
        assert next(entry.users for entry in journal.load()) == "dog1 cat1"
    part = Partition(number_of("cat2", 2), 2)
    with closing(TimelineJournal(tmp_path / f"{part.address('inbox')}.sqlite3")) as journal:
        assert [entry.data for entry in journal.load()] == [b"newer"]
