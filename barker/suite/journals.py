"""Which journals in the data folder a suite goes on with.

What its manifolds have accepted stays in journals. A later suite goes on with them whatever they are called,
and wherever it listens: :func:`take_over` finds them by what they hold.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

from barker.core.errors import Mistake
from barker.store.contents import messages_in
from barker.store.sqlite_errors import storage_errors
from barker.store.sqlite_pages import log_of
from barker.suite.shape import MOST, Shape, journal_name


def take_over(shape: Shape) -> tuple[Shape, list[str]]:
    """The shape with the journals that are in its data folder, and what is to be told of them, in lines.

    Each outbox's journal that holds messages gets an outbox, however few were wanted. Each inbox goes on with
    its partition's journal. At which ports they were when they were written makes no difference.

    :raises Mistake: when a journal is in use, or the timelines are those of another number of inboxes.
    """
    inboxes, lines = _inbox_journals(shape)
    outboxes = _journals(shape.data, "outbox-N")
    holding = sorted(int(name.rpartition("-")[2]) for name in outboxes if _holds(shape.data, name))
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
    found = _journals(shape.data, "inbox-N|inbox-N-of-N(?:-N)?")
    parts = {name: re.match(r"inbox-(\d+)-of-(\d+)", name) for name in found}
    for name, part in parts.items():
        count = int(part[2]) if part else 1
        if count != shape.inboxes:
            raise Mistake(
                f"{_file(shape.data, name)} has the timelines of {count} inbox(es), not of {shape.inboxes}: "
                f"start with --inboxes {count}, or name another --data"
            )
    chosen, lines = [], []
    for number in range(shape.inboxes):
        mine = [name for name, part in parts.items() if (int(part[1]) - 1 if part else 0) == number]
        mine = [name for name in mine if _holds(shape.data, name)]
        mine.sort(key=lambda name: _written(shape.data, name))
        chosen.append(mine.pop() if mine else journal_name("inbox", shape, number))
        lines += [
            f"{name}.sqlite3 has timelines, too, that are not shown: {chosen[-1]}.sqlite3 is newer"
            for name in mine
        ]
    return tuple(chosen), lines


def _journals(data: Path, names: str) -> list[str]:
    """The journals in a data folder with such names (N: a number); also those that are being salvaged."""
    names = names.replace("N", "(?:0|[1-9][0-9]{0,8})")
    whole = re.compile(rf"({names})\.sqlite3(?:-wal|\.salvaged)?")
    with storage_errors(data):
        files = list(data.iterdir()) if data.exists() else []
    return sorted({found[1] for file in files if (found := whole.fullmatch(file.name))})


def _holds(data: Path, name: str) -> bool:
    """Whether a journal has messages, or may have."""
    return messages_in(_file(data, name)) != 0


def _file(data: Path, name: str) -> Path:
    return data / f"{name}.sqlite3"


def _written(data: Path, name: str) -> float:
    """When a journal was last written to. (An empty log is one that SQLite made to read.)"""
    stats = [file.stat() for file in (_file(data, name), log_of(_file(data, name))) if file.exists()]
    return max((stat.st_mtime for stat in stats if stat.st_size), default=0.0)
