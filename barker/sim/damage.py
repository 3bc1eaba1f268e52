"""What befalls the files of a journal, whoever runs: a bit that flips, power that fails. And what they hold.

How SQLite syncs (https://www.sqlite.org/pragma.html#pragma_synchronous): with FULL its log at each commit,
with NORMAL only when it folds the log into the file. That it does after a commit with which the log has
:data:`CHECKPOINT` pages, and the next write begins the log again. So with NORMAL all of a log that is shorter
may be missing after a power loss, and with FULL the write that was under way.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import NamedTuple

from barker.amqp.message import message_id
from barker.core.errors import DecodeError
from barker.store.sqlite_pages import PAGE, log_of, records

CHECKPOINT = 1_000
"""SQLite's wal_autocheckpoint, in pages, if nothing else is said."""

SECTOR = 512
"""So many bytes a disk writes wholly or not at all, in any order until it is told to sync."""

_HEADER, _FRAME_HEAD = 32, 24


class Log(NamedTuple):
    """A write-ahead log at one moment."""

    header: bytes
    pages: int
    end: int
    """Where its last transaction ends."""


def log_at(path: Path) -> Log:
    """The log of the journal at `path`, as it is now."""
    log = log_of(path)
    data = log.read_bytes() if log.exists() else b""
    header, salt, pages, end = data[:_HEADER], data[16:24], 0, _HEADER
    # Only its heads: whether what follows one is whole is for who opens it, and takes long.
    for number, at in enumerate(range(_HEADER, len(data) - PAGE, _FRAME_HEAD + PAGE), 1):
        _, size = struct.unpack_from(">II", data, at)
        if data[at + 8 : at + 16] != salt:
            break  # Of an earlier round.
        if size:
            pages, end = number, at + _FRAME_HEAD + PAGE
    return Log(header, pages, end)


def lose_power(
    path: Path, sync: str, chance: random.Random, before: Log | None = None, checkpoint: int = CHECKPOINT
) -> None:
    """Power fails: of what is not synced, each sector may be on the disk or not.

    `sync`: one of `store/journal.py`'s. `before`: the log before the write that is under way, if one is.
    `checkpoint`: with so many pages the log is folded into the file.
    """
    now = log_at(path)
    if now.pages >= checkpoint:
        return
    begin = now.end
    if sync == "normal":
        begin = _HEADER
    elif before is not None:
        begin = before.end if before.header == now.header else _HEADER
    if begin == now.end:
        return
    data = bytearray(log_of(path).read_bytes())
    share = chance.choice((0.0, 0.1, 0.5, 0.9))
    kept_until = chance.choice((begin, chance.randint(begin, now.end)))
    for at in range(kept_until - kept_until % SECTOR, now.end, SECTOR):
        if chance.random() >= share:
            first, end = max(at, kept_until), min(at + SECTOR, now.end)
            data[first:end] = bytes(end - first)
    log_of(path).write_bytes(data)


def flip(path: Path, chance: random.Random) -> str:
    """A bit of a journal is another from now on; which, in words. Nothing if it has no files."""
    files = [file for file in (path, log_of(path)) if file.exists() and file.stat().st_size]
    if not files:
        return ""
    file = chance.choice(files)
    at = chance.randrange(file.stat().st_size * 8)
    with file.open("r+b") as opened:
        opened.seek(at // 8)
        (byte,) = opened.read(1)
        opened.seek(at // 8)
        opened.write(bytes((byte ^ 1 << at % 8,)))
    return f"bit {at % 8} of byte {at // 8} of {file.name}"


def held(path: Path) -> dict[tuple[object, ...], tuple[str, int]]:
    """The barks in the journal at `path`, (author, number) each, as far as it can be read.

    By how their rows begin: an inbox may have several of a bark, each a part of its fan-out.
    """
    found: dict[tuple[object, ...], tuple[str, int]] = {}
    for row in records(path):
        data = row[-2] if row and len(row) > 1 else None
        if row and isinstance(data, bytes):
            try:
                author, _, number = message_id(data).partition(":")
                found[tuple(row[:2])] = author, int(number)
            except (DecodeError, ValueError):
                continue  # Damaged before.
    return found
