"""What happened in a simulated run, kept for a picture of it: what was sent, and what befell whom.

A world has a record or not; the run is the same. `network.py`, `simulated.py`, `disk.py` and `suite.py` tell
it; `frames.py` reads what was sent, `diagram.py` draws it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barker.sim.sockets import Socket

Statement = tuple[str, Sequence[tuple[object, ...]]]
"""SQL, and the rows that it is for."""


@dataclass(slots=True)
class Piece:
    """Bytes that one process sent to another at once. Times are in virtual seconds."""

    connection: int
    """Which one; both directions have the same number."""
    source: str
    target: str
    data: bytes
    sent: float
    number: int
    """Of all that is in the record: its place among what happened at one time."""
    came: float | None = None
    """When they were in the target's socket; None if they were lost."""
    read: float | None = None
    """When the target had read all of them; None if it died, or the connection broke, before."""


@dataclass(slots=True)
class Mark:
    """Something that befell one process, or that it did for itself."""

    at: float
    number: int
    """As a piece's."""
    name: str
    what: str
    """``start``, ``kill``, ``commit`` and so on; in two words for what begins and ends: ``full on``."""
    text: str = ""
    statements: Sequence[Statement] = ()
    """What was written, or was to be written."""


@dataclass(slots=True)
class _Way:
    """What is on its way to one end of a connection, oldest first."""

    connection: int
    sent: deque[Piece] = field(default_factory=deque)
    came: deque[Piece] = field(default_factory=deque)
    bytes_read: int = 0
    """Of the first that came."""


class Record:
    """All of a run, in order."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.marks: list[Mark] = []
        self._ways: dict[Socket, _Way] = {}
        self._connections = 0
        self._count = itertools.count()

    def mark(
        self, now: float, name: str, what: str, text: str = "", statements: Sequence[Statement] = ()
    ) -> None:
        """Something befell a process, or was written by it."""
        self.marks.append(Mark(now, next(self._count), name, what, text, statements))

    def sent(self, now: float, end: Socket, peer: Socket, data: bytes) -> None:
        """These bytes were sent by one end of a connection."""
        way = self._ways.get(peer)
        if way is None:
            self._connections += 1
            way = self._ways[peer] = _Way(self._connections)
            self._ways[end] = _Way(self._connections)
        piece = Piece(way.connection, end.owner.name, peer.owner.name, data, now, next(self._count))
        self.pieces.append(piece)
        way.sent.append(piece)

    def came(self, now: float, end: Socket) -> None:
        """What was sent first came to this end; nothing is told of a process's own pairs of sockets."""
        way = self._ways.get(end)
        if way is not None:
            piece = way.sent.popleft()
            piece.came = now
            way.came.append(piece)

    def read(self, now: float, end: Socket, size: int) -> None:
        """So many bytes were read at this end."""
        way = self._ways.get(end)
        if way is not None:
            way.bytes_read += size
            while way.came and len(way.came[0].data) <= way.bytes_read:
                piece = way.came.popleft()
                piece.read = now
                way.bytes_read -= len(piece.data)
