"""Which journals in the data folder a suite goes on with.

What its manifolds have accepted stays in journals. A later suite goes on with them whatever they are called,
and wherever it listens: :func:`take_over` finds them by what they hold.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import replace
from pathlib import Path

from barker.core.errors import Mistake, StorageError
from barker.core.partitions import Partition, count_in
from barker.store.contents import messages_in, queues_in
from barker.store.snapshot import snapshot
from barker.store.sqlite_errors import storage_errors
from barker.store.sqlite_pages import log_of
from barker.store.swap import finish
from barker.suite.shape import MOST, Shape, journal_name


def take_over(shape: Shape) -> tuple[Shape, list[str]]:
    """The shape with the journals that are in its data folder, and what is to be told of them, in lines.

    Each outbox's journal that holds messages gets an outbox, however few were wanted. Each inbox goes on with
    its partition's journal. At which ports they were when they were written makes no difference.

    :raises Mistake: when a journal is in use, or made for another number of inboxes or of partitions.
    """
    finished = finish(shape.data)
    inboxes, lines = _inbox_journals(shape)
    if finished:
        lines.append("the timelines were being divided anew, and that is done now")
    holding = sorted(
        int(name.rpartition("-")[2]) for name in outbox_journals(shape.data) if holds(shape.data, name)
    )
    if shape.broker is not None and holding:
        raise Mistake(
            f"{journal_file(shape.data, f'outbox-{holding[0]}')} holds barks, which go to no broker: start "
            "without --broker until they are delivered, or name another --data"
        )
    for number in holding:
        _check_partitions(shape, f"outbox-{number}")
    wanted = max(shape.outboxes, min(len(holding), MOST["outbox"]))
    if wanted > shape.outboxes:
        lines.append(
            f"{wanted} outboxes, not {shape.outboxes}: so many journals in {shape.data} hold messages"
        )
    lines += [
        f"outbox-{number}.sqlite3 holds messages that have to wait: start again when the others are empty"
        for number in holding[wanted:]
    ]
    fresh = (number for number in itertools.count(1) if number not in holding)
    taken = holding[:wanted]
    taken += itertools.islice(fresh, wanted - len(taken))
    names = tuple(f"outbox-{number}" for number in sorted(taken))
    return replace(shape, outboxes=wanted, journals=names, inbox_journals=inboxes), lines


def _inbox_journals(shape: Shape) -> tuple[tuple[str, ...], list[str]]:
    """Each inbox's journal; and what is to be told of those that are nobody's."""
    found = inbox_journals(shape.data)
    for name, part in found.items():
        if part.count != shape.inboxes:
            raise Mistake(
                f"{journal_file(shape.data, name)} has the timelines of {part.count} inbox(es), not of "
                f"{shape.inboxes}: start with --inboxes {part.count}, name another --data, or have them "
                f"divided anew: barker repartition --data {shape.data} --inboxes {shape.inboxes}"
            )
    chosen: dict[int, str] = {}
    lines = []
    for place in range(shape.inboxes):
        mine = holding_of(shape.data, found, Partition(place, shape.inboxes))
        numbers = range(place, shape.inboxes * shape.copies, shape.inboxes)
        fresh = [name for number in numbers if (name := journal_name("inbox", shape, number)) not in mine]
        taken = [mine.pop() for _ in numbers if mine]
        chosen |= zip(numbers, [*taken, *fresh], strict=False)
        if taken:
            _give(shape.data, taken[0], fresh[: len(numbers) - len(taken)])
        lines += [
            f"{name}.sqlite3 has timelines, too, that are not shown: {taken[0]}.sqlite3 is newer"
            for name in mine
        ]
    return tuple(chosen[number] for number in sorted(chosen)), lines


def _give(data: Path, name: str, others: list[str]) -> None:
    """Have copies of an inbox that begin anew begin with what that one has; or with the broker's stream."""
    for other in others:
        with contextlib.suppress(StorageError):
            snapshot(journal_file(data, name), journal_file(data, other))


def inbox_journals(data: Path) -> dict[str, Partition]:
    """All inboxes' journals in a data folder, each with the partition of the users that it is for."""
    found = {}
    for name in _journals(data, "inbox-N|inbox-N-of-N(?:-N)?"):
        part = re.match(r"inbox-(\d+)-of-(\d+)", name)
        found[name] = Partition(int(part[1]) - 1, int(part[2])) if part else Partition(0, 1)
    return found


def holding_of(data: Path, found: dict[str, Partition], partition: Partition) -> list[str]:
    """Which of these inboxes' journals hold something of a partition, the newest last.

    :raises Mistake: when another process has one open.
    """
    mine = [name for name, part in found.items() if part == partition and holds(data, name)]
    return sorted(mine, key=lambda name: _written(data, name))


def outbox_journals(data: Path) -> list[str]:
    """All outboxes' journals in a data folder."""
    return _journals(data, "outbox-N")


def _check_partitions(shape: Shape, name: str) -> None:
    """See that what an outbox's journal holds waits for so many partitions of authors."""
    for queue in queues_in(journal_file(shape.data, name)):
        count = count_in(queue, "outbox")
        if count not in (0, shape.partitions):
            raise Mistake(
                f"{journal_file(shape.data, name)} has barks that wait for {count} partition(s) of authors, "
                f"not for {shape.partitions}: start with --partitions {count}, name another --data, or have "
                f"them divided anew: barker repartition --data {shape.data} --partitions {shape.partitions}"
            )


def _journals(data: Path, names: str) -> list[str]:
    """The journals in a data folder with such names (N: a number); also those that are being salvaged."""
    names = names.replace("N", "(?:0|[1-9][0-9]{0,8})")
    whole = re.compile(rf"({names})\.sqlite3(?:-wal|\.salvaged)?")
    with storage_errors(data):
        files = list(data.iterdir()) if data.exists() else []
    return sorted({found[1] for file in files if (found := whole.fullmatch(file.name))})


def holds(data: Path, name: str) -> bool:
    """Whether a journal has messages, or may have."""
    return messages_in(journal_file(data, name)) != 0


def journal_file(data: Path, name: str) -> Path:
    return data / f"{name}.sqlite3"


def _written(data: Path, name: str) -> float:
    """When a journal was last written to. (An empty log is one that SQLite made to read.)"""
    stats = [
        file.stat() for file in (journal_file(data, name), log_of(journal_file(data, name))) if file.exists()
    ]
    return max((stat.st_mtime for stat in stats if stat.st_size), default=0.0)
