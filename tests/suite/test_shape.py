"""What a suite is made of, and which journals it goes on with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.broker import Broker
from barker.core.errors import InvalidField, Mistake
from barker.store.journal import Post, QueueJournal, TimelineJournal
from barker.suite.journals import take_over
from barker.suite.shape import MOST, Program, Shape, another, plan


def fill(data: Path, *names: str) -> None:
    """Have these journals hold something."""
    for name in names:
        if name.startswith("outbox"):
            with closing(QueueJournal(data / f"{name}.sqlite3")) as queues:
                queues.commit([("outbox", b"woof")], [])
        else:
            with closing(TimelineJournal(data / f"{name}.sqlite3")) as timelines:
                timelines.commit([Post("", "rex", b"woof")])


def journals(programs: Iterable[Program], kind: str) -> dict[int, str]:
    """Each one's journal by its port; as its command line says, too."""
    found = {program.port: program for program in programs if program.kind == kind}
    for program in found.values():
        at = program.arguments.index("--journal")
        assert program.arguments[at + 1] == program.journal
    return {port: program.journal for port, program in found.items() if port is not None}


NEW = {5800: "outbox-1", 5801: "outbox-2", 5802: "outbox-3"}


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize(
    ("holding", "outboxes", "expected"),
    [
        ((), 3, ["outbox-1", "outbox-2", "outbox-3"]),
        (("outbox-1", "outbox-2", "outbox-3"), 3, ["outbox-1", "outbox-2", "outbox-3"]),
        (("outbox-1", "outbox-2", "outbox-3"), 1, ["outbox-1", "outbox-2", "outbox-3"]),
        (("outbox-2",), 1, ["outbox-2"]),
        (("outbox-4",), 3, ["outbox-1", "outbox-2", "outbox-4"]),
        (("outbox-5800", "outbox-5801"), 3, ["outbox-1", "outbox-5800", "outbox-5801"]),
        (("outbox-5800", "outbox-6800", "outbox-1"), 2, ["outbox-1", "outbox-5800", "outbox-6800"]),
        (("orders-5900", "outbox-a", "outbox-1-of-2"), 1, ["outbox-1"]),
    ],
)
def test_every_outbox_journal_that_holds_something_gets_an_outbox(
    tmp_path: Path, holding: tuple[str, ...], outboxes: int, expected: list[str], offset: int
) -> None:
    for name in holding:
        with closing(QueueJournal(tmp_path / f"{name}.sqlite3")) as queues:
            queues.commit([("outbox", b"woof")], [])
    QueueJournal(tmp_path / "outbox-9000.sqlite3").close()  # It has nothing.
    shape, lines = take_over(Shape(data=tmp_path, outboxes=outboxes, port_offset=offset))
    ports = range(5800 + offset, 5800 + offset + len(expected))
    assert journals(plan(shape), "outbox") == dict(zip(ports, expected, strict=True))
    more = len(expected) > outboxes
    assert [f"{len(expected)} outboxes, not {outboxes}" in line for line in lines] == [True] * more


def test_a_damaged_journal_gets_an_outbox(tmp_path: Path) -> None:
    fill(tmp_path, "outbox-7")
    with (tmp_path / "outbox-7.sqlite3").open("r+b") as file:
        file.write(bytes(200))
    (tmp_path / "outbox-8.sqlite3.salvaged").write_bytes(b"its file is set aside already")
    shape, _ = take_over(Shape(data=tmp_path, outboxes=1))
    assert shape.journals == ("outbox-7", "outbox-8")


def test_more_than_there_are_ports_for_wait_and_are_told(tmp_path: Path) -> None:
    fill(tmp_path, *(f"outbox-{number}" for number in range(5800, 5823)))
    shape, lines = take_over(Shape(data=tmp_path))
    assert shape.outboxes == 20
    assert shape.journals == tuple(f"outbox-{number}" for number in range(5800, 5820))
    assert [line.split()[0] for line in lines[1:]] == [f"outbox-{n}.sqlite3" for n in (5820, 5821, 5822)]


@pytest.mark.parametrize(
    ("holding", "inboxes", "expected"),
    [
        ((), 1, {5820: "inbox-1"}),
        (("inbox-5820",), 1, {5820: "inbox-5820"}),
        (("inbox-17820",), 1, {5820: "inbox-17820"}),
        ((), 2, {5820: "inbox-1-of-2", 5821: "inbox-2-of-2"}),
        (("inbox-2-of-2-6821",), 2, {5820: "inbox-1-of-2", 5821: "inbox-2-of-2-6821"}),
        (("inbox-1-of-2", "inbox-2-of-2"), 2, {5820: "inbox-1-of-2", 5821: "inbox-2-of-2"}),
    ],
)
def test_an_inbox_goes_on_with_its_timelines_wherever_it_was(
    tmp_path: Path, holding: tuple[str, ...], inboxes: int, expected: dict[int, str]
) -> None:
    fill(tmp_path, *holding)
    shape, lines = take_over(Shape(data=tmp_path, inboxes=inboxes))
    assert journals(plan(shape), "inbox") == expected
    assert lines == []


def test_of_several_it_is_the_newest_and_the_others_are_told(tmp_path: Path) -> None:
    fill(tmp_path, "inbox-5820", "inbox-6820")
    TimelineJournal(tmp_path / "inbox-7820.sqlite3").close()  # Newer, but it has nothing.
    os.utime(tmp_path / "inbox-6820.sqlite3", (1e9, 1e9))
    shape, lines = take_over(Shape(data=tmp_path))
    assert shape.inbox_journals == ("inbox-5820",)
    assert lines == ["inbox-6820.sqlite3 has timelines, too, that are not shown: inbox-5820.sqlite3 is newer"]


@pytest.mark.parametrize(
    ("name", "inboxes", "count"),
    [("inbox-5820", 2, 1), ("inbox-1", 4, 1), ("inbox-2-of-4-5821", 2, 4), ("inbox-2-of-4", 1, 4)],
)
def test_timelines_of_another_number_of_inboxes_are_refused(
    tmp_path: Path, name: str, inboxes: int, count: int
) -> None:
    fill(tmp_path, name)
    with pytest.raises(Mistake, match=rf"{name}.sqlite3 has .* {count} inbox\(es\), not of {inboxes}: .*"):
        take_over(Shape(data=tmp_path, inboxes=inboxes))


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    shape, lines = take_over(Shape(data=tmp_path / "new"))
    assert journals(plan(shape), "outbox") == NEW
    assert not lines
    assert not (tmp_path / "new").exists()


@given(st.sets(st.integers(1, 30), max_size=20), st.lists(st.sampled_from(sorted(MOST)), max_size=30))
def test_no_two_that_were_added_share_a_name_a_port_or_a_journal(held: set[int], kinds: list[str]) -> None:
    names = tuple(f"outbox-{number}" for number in sorted(held))
    shape = Shape(outboxes=max(1, len(names)), journals=names)
    programs = plan(shape)
    for kind in kinds:
        if sum(program.kind == kind for program in programs) == MOST[kind]:
            with pytest.raises(InvalidField, match=f"{MOST[kind]} of {kind} already"):
                another(kind, shape, programs)
        else:
            programs.append(another(kind, shape, programs))
    for values in (
        [program.name for program in programs],
        [program.port for program in programs if program.port is not None],
        [program.journal for program in programs if program.journal],
    ):
        assert len(values) == len(set(values))


def test_timelines_keep_as_many_barks_as_the_shape_says() -> None:
    for inbox in (program for program in plan(Shape(inboxes=2, history=7)) if program.kind == "inbox"):
        at = inbox.arguments.index("--history")
        assert inbox.arguments[at + 1] == "7"


def test_every_service_of_a_suite_is_given_all_directories() -> None:
    programs = plan(Shape(host="0.0.0.0", advertised="10.0.0.7", directories=2, port_offset=1_000))
    ports = [program.port for program in programs if program.port is not None]
    assert len(set(ports)) == len(ports)
    assert 6674 not in ports, "the launcher's own"
    assert [program.port for program in programs if program.kind == "directory"] == [6672, 6675]
    for program in programs:
        given = dict(itertools.pairwise(program.arguments))
        assert given["--directory"] == "10.0.0.7:6672,10.0.0.7:6675"
        assert (given["--host"], given["--advertise"]) == ("0.0.0.0", "10.0.0.7")


def test_a_single_directory_is_told_of_no_other() -> None:
    (directory,) = [program for program in plan(Shape()) if program.kind == "directory"]
    assert "--directory" not in directory.arguments
    assert "--advertise" not in directory.arguments


def test_each_partition_of_authors_has_bizlogics_of_its_own_that_are_told_apart() -> None:
    programs = plan(Shape(partitions=3, bizlogics=2))
    bizlogics = [program for program in programs if program.kind == "bizlogic"]
    told = [(program.name, *program.arguments[-2:], program.stage) for program in bizlogics]
    parts = [f"{number}-of-3" for number in (1, 2, 3)] * 2
    assert told == [
        (f"bizlogic-{part}-{5680 + at}", "--partition", part.replace("-of-", "/"), at // 3)
        for at, part in enumerate(parts)
    ]
    assert [program.arguments[-2:] for program in programs if program.kind == "outbox"] == [
        ("--partitions", "3")
    ] * 3
    one_more = another("bizlogic", Shape(partitions=3), programs)
    assert one_more.name == "bizlogic-1-of-3-5686"


def test_without_partitions_everything_is_called_as_ever() -> None:
    for program in plan(Shape()):
        assert "--partition" not in program.arguments
        assert "--partitions" not in program.arguments
        assert program.port is None or program.name == f"{program.kind}-{program.port}"


def test_more_bizlogics_than_there_are_ports_for_are_refused() -> None:
    with pytest.raises(Mistake, match="--partitions 20 of --bizlogics 6 each: there may be 100"):
        plan(Shape(partitions=20, bizlogics=6))


BROKER = Broker.parse("amqp://guest:secret@127.0.0.1:5692")


def test_with_a_broker(tmp_path: Path) -> None:
    """Outboxes have no journals, each part of the users has its copies; nobody sees the password."""
    shape, lines = take_over(
        Shape(data=tmp_path, broker=BROKER, inboxes=2, copies=2, partitions=2, monitoring=True)
    )
    programs = plan(shape)
    assert lines == []
    assert not any("secret" in word for program in programs for word in program.arguments)
    assert "secret" not in repr(programs)
    brokered = {program.kind for program in programs if program.variables}
    assert brokered == {"inbox", "outbox", "bizlogic", "monitor"}
    outbox = next(program for program in programs if program.kind == "outbox")
    assert outbox.variables == (("BARKER_BROKER", "amqp://guest:secret@127.0.0.1:5692"),)
    assert "--push" not in outbox.arguments
    assert "--journal" not in outbox.arguments
    assert journals(programs, "inbox") == {
        5820: "inbox-1-of-2",
        5821: "inbox-2-of-2",
        5822: "inbox-1-of-2-2",
        5823: "inbox-2-of-2-2",
    }
    parts = [
        program.arguments[program.arguments.index("--partition") + 1]
        for program in programs
        if program.kind == "inbox"
    ]
    assert parts == ["1/2", "2/2", "1/2", "2/2"]


def test_a_copy_of_an_inbox_that_has_no_journal_begins_with_what_the_other_has(tmp_path: Path) -> None:
    fill(tmp_path, "inbox-1")
    (tmp_path / "inbox-2.sqlite3").touch()
    shape, _ = take_over(Shape(data=tmp_path, broker=BROKER, copies=3))
    assert shape.inbox_journals == ("inbox-1", "inbox-2", "inbox-3")
    for name in shape.inbox_journals:
        with closing(TimelineJournal(tmp_path / f"{name}.sqlite3")) as timelines:
            assert [entry.data for entry in timelines.load()] == [b"woof"]
            if name == "inbox-3":
                timelines.commit([Post("", "rex", b"wuff")], 7)
    again, lines = take_over(Shape(data=tmp_path, broker=BROKER, copies=2))
    assert set(again.inbox_journals) == {"inbox-3", "inbox-2"}
    assert lines == ["inbox-1.sqlite3 has timelines, too, that are not shown: inbox-3.sqlite3 is newer"]


def test_barks_that_wait_in_journals_go_to_no_broker(tmp_path: Path) -> None:
    fill(tmp_path, "outbox-2")
    with pytest.raises(Mistake, match=r"outbox-2\.sqlite3 holds barks, which go to no broker"):
        take_over(Shape(data=tmp_path, broker=BROKER))


def test_copies_follow_a_broker(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="--broker URL"):
        plan(Shape(data=tmp_path, copies=2))
