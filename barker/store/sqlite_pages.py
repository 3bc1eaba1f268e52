"""What a damaged SQLite file still holds, read page by page, without SQLite.

SQLite finds rows from the root of a tree downwards, so that one bad page costs all below it. Here each page
is looked at for itself, and what is not whole is passed over. Whether a row is true its reader has to know,
by a checksum in it. The format: https://www.sqlite.org/fileformat2.html, whose sections are named below.
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = 4096
"""Bytes of a page, in all of Barker's files."""

HEADER = b"SQLite format 3\0" + struct.pack(">H", PAGE)
"""How each of them begins (§1.3)."""

Value = int | str | bytes | None

Record = tuple[Value, ...]
"""A row's values; an INTEGER PRIMARY KEY stands first."""

_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # Serial types of integers, and their bytes (§2.1).


class Frame(NamedTuple):
    """One page in a write-ahead log (§4.1)."""

    page: int
    ends: bool
    """Whether a transaction ends with it."""
    whole: bool
    at: int
    """Where in the log its page begins."""


def log_of(path: Path) -> Path:
    """The write-ahead log that belongs to a file."""
    return path.with_name(path.name + "-wal")


def frames(path: Path) -> list[Frame]:
    """The frames of `path`'s write-ahead log, up to the end of its last transaction.

    SQLite forgets all from the first that is not whole, without a word. Here, what comes behind is given too.

    :raises OSError: when the log cannot be read.
    """
    if not log_of(path).exists():
        return []
    found: list[Frame] = []
    with log_of(path).open("rb") as log:
        header, head = log.read(32), log.read(24)
        if len(head) < 24:
            return []
        order = ">" if header[3:4] == b"\x83" else "<"
        before = header[24:]
        sound = before == _checksum(order, bytes(8), header[:24])
        if (
            not sound
        ):  # Nor may be what it says of the order; SQLite has that of its machine, which is this one.
            order = ">" if sys.byteorder == "big" else "<"
        # A log is written again from its start: frames of an earlier round have another salt.
        salt, ours = header[16:24] if sound else head[8:16], True
        while len(data := log.read(PAGE)) == PAGE:
            page, size = struct.unpack_from(">II", head)
            follows = sound and head[16:] == _checksum(order, before, head[:8] + data)
            salted = head[8:16] == salt
            # The salt is in no checksum: one that is another in a frame that follows ours is damaged.
            ours = salted or (ours and follows)
            found.append(Frame(page, ours and size != 0, salted and follows, log.tell() - PAGE))
            before, sound = head[16:], True
            head = log.read(24)
    return _complete(found)


def _complete(found: list[Frame]) -> list[Frame]:
    """Frames up to the end of the last transaction."""
    last = max((number for number, frame in enumerate(found, 1) if frame.ends), default=0)
    return found[:last]


def _checksum(order: str, before: bytes, data: bytes) -> bytes:
    """The log's running checksum (§4.2), over words in that byte order."""
    first, second = struct.unpack(">II", before)
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return struct.pack(">II", first, second)


def records(path: Path) -> Iterator[Record | None]:
    """Every row in the file and its write-ahead log that can be read, in no order; None for one that cannot.

    When a part of the log is damaged there are rows twice, the newer first: with the pages behind it, and as
    they were before it. Rows may have moved from a page that is whole to one that is not; above all in the
    last transaction, when power failed in the middle of it.

    :raises OSError: when none of it can be read.
    """
    found = frames(path)
    before = list(itertools.takewhile(lambda frame: frame.whole, found))
    for log in [found] if len(before) == len(found) else [found, _complete(before)]:
        with _Pages(path, log) as pages:
            unused = pages.unused()
            for number in range(2, pages.count + 1):  # The first page tells what tables there are.
                if number not in unused:
                    yield from _rows(pages, pages[number])


class _Pages:
    """The pages of a file, the newest of each: from its write-ahead log, or else from the file."""

    def __init__(self, path: Path, log: list[Frame]) -> None:
        """`log`: the frames that count, but for those that are not whole."""
        self._in_log = {frame.page: frame.at for frame in log if frame.whole}
        self._log = log_of(path).open("rb") if self._in_log else io.BytesIO()
        self._file = path.open("rb") if path.exists() else io.BytesIO()
        self.count = max(self._file.seek(0, io.SEEK_END) // PAGE, 0, *self._in_log)

    def __enter__(self) -> _Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._log.close()

    def __getitem__(self, number: int) -> bytes:
        """The page of that number, from 1; empty if there is none or it cannot be read."""
        file, at = self._file, (number - 1) * PAGE
        if number in self._in_log:
            file, at = self._log, self._in_log[number]
        try:
            file.seek(max(at, 0))
            data = file.read(PAGE)
        except OSError:  # A bad spot on the disk.
            return b""
        return data if number > 0 and len(data) == PAGE else b""

    def unused(self) -> set[int]:
        """Pages whose rows were deleted: those on the list of free ones (§1.5) that no tree has."""
        free: set[int] = set()
        trunk = struct.unpack_from(">I", self[1], 32)[0] if self[1] else 0
        while trunk and trunk not in free and self[trunk]:
            following, count, *leaves = struct.unpack(f">{PAGE // 4}I", self[trunk])
            leaves = leaves[:count]
            if max(following, *leaves, 0) > self.count:
                break  # This is something else.
            free |= {trunk, *leaves}
            trunk = following
        used: set[int] = set()
        for number in set(range(2, self.count + 1)) - free if free else ():
            page = self[number]
            if page[:1] in (b"\x02", b"\x05"):
                used.update(struct.unpack_from(">I", page, at)[0] for at in (8, *_cells(page)))
        return free - used


def _cells(page: bytes) -> list[int]:
    """Where in a page its cells begin (§1.6); for those of an interior page, at their left child's number."""
    start = 12 if page[0] in (_INDEX_INTERIOR, _TABLE_INTERIOR) else 8
    count = min(struct.unpack_from(">H", page, 3)[0], (PAGE - start) // 2)
    return [at for at in struct.unpack_from(f">{count}H", page, start) if at <= PAGE - 4]


def _rows(pages: _Pages, page: bytes) -> Iterator[Record | None]:
    """The rows in one page."""
    kind = page[0] if page else 0
    if kind not in (_INDEX_LEAF, _INDEX_INTERIOR, _TABLE_LEAF):
        return
    for at in _cells(page):
        try:
            size, at = _varint(page, at + (4 if kind == _INDEX_INTERIOR else 0))
            if kind == _TABLE_LEAF:
                key, at = _varint(page, at)
                yield key, *_values(_payload(pages, page, at, size, PAGE - 35))[1:]
            else:
                yield tuple(_values(_payload(pages, page, at, size, (PAGE - 12) * 64 // 255 - 23)))
        except (IndexError, ValueError, struct.error):
            yield None


def _payload(pages: _Pages, page: bytes, at: int, size: int, most: int) -> bytes:
    """The `size` bytes of a row that begin in `page`, of which that may hold `most`; the rest overflows."""
    if size <= most:
        return page[at : at + size]
    if size > pages.count * PAGE:
        raise ValueError("longer than the file")
    least = (PAGE - 12) * 32 // 255 - 23
    here = least + (size - least) % (PAGE - 4)
    here = here if here <= most else least
    chain = [page[at : at + here]]
    following = struct.unpack_from(">I", page, at + here)[0]
    for _ in range(-(-(size - here) // (PAGE - 4))):
        page = pages[following]
        following = struct.unpack_from(">I", page)[0]
        chain.append(page[4:])
    return b"".join(chain)[:size]


def _values(payload: bytes) -> list[Value]:
    """The values of a row (§2.1)."""
    values: list[Value] = []
    end, at = _varint(payload, 0)
    place = end
    while at < end:
        kind, at = _varint(payload, at)
        if kind >= 12:
            size = (kind - 12) // 2
            data = payload[place : place + size]
            values.append(data.decode() if kind % 2 else data)
        else:
            size = _INTEGERS.get(kind, 0)
            data = payload[place : place + size]
            if kind in (7, 10, 11):
                raise ValueError("a kind of value that Barker does not store")
            values.append(
                None if kind == 0 else int.from_bytes(data, "big", signed=True) if size else kind - 8
            )
        if len(data) < size:
            raise ValueError("the row is cut short")
        place += size
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An integer of 1 to 9 bytes (§1.6), and where the next thing begins."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1
