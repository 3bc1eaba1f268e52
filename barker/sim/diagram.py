"""A recorded run as one page: a lane for each process, time downwards, what was sent as arrows.

This makes the page's data of the record; the page itself is `page/`, put together into one file that needs
neither a server nor a network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barker.amqp.message import message_id
from barker.core.errors import DecodeError, Mistake
from barker.sim.frames import Conversation, Frame, few
from barker.sim.plan import Plan
from barker.sim.record import Mark, Piece, Record
from barker.sim.simulation import Outcome

PAGE = Path(__file__).with_name("page")

SCRIPTS = ("run.js", "view.js", "words.js", "draw.js", "marks.js", "pointer.js", "main.js")
"""In the order in which they are loaded."""

_LANES = ("directory", "clients", "outbox", "bizlogic", "inbox")
"""From left to right: barks go to the right, but for what readers get."""

_TURNS = {"start": ("down", ""), **dict.fromkeys(("kill", "vanish", "power", "end"), ("frozen", "down"))}
"""What marks end, and what they begin, that do not say so themselves."""

_DIGITS = 7
"""Of a second: a tenth of a microsecond."""


def write_diagram(file: Path, plan: Plan, outcome: Outcome, record: Record) -> None:
    """Write the page of a run.

    :raises Mistake: when it cannot be written.
    """
    told = {"told": list(plan.told()), "wrong": outcome.wrong, "seconds": outcome.seconds}
    try:
        file.write_text(page({**told, **picture(record)}), encoding="utf-8")
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror or error}") from None


def page(run: dict[str, Any]) -> str:
    """The page with this run in it."""
    # What is in a script must not end it.
    parts = {"RUN": json.dumps(run, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")}
    parts["STYLE"] = (PAGE / "diagram.css").read_text(encoding="utf-8")
    parts["SCRIPT"] = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    before, *others = (PAGE / "diagram.html").read_text(encoding="utf-8").split("/*INSERT ")
    ends = (other.split("*/", 1) for other in others)
    return before + "".join(parts[name] + after for name, after in ends)


def picture(record: Record) -> dict[str, Any]:
    """What the page shows: lanes, arrows as columns, marks, stretches of lanes, and all barks."""
    names = {mark.name for mark in record.marks} | {piece.target for piece in record.pieces}
    lanes = sorted(names, key=_place)
    arrows = _Arrows(lanes)
    conversations: dict[int, Conversation] = {}
    for piece in record.pieces:
        conversation = conversations.setdefault(piece.connection, Conversation())
        for frame in conversation.feed(piece.source, piece.target, piece.data):
            arrows.add(frame, piece)
    journals: dict[object, str] = {}
    marks = []
    for mark in record.marks:
        text, barks = _written(mark, journals) if mark.statements else (mark.text, [])
        numbers = [arrows.bark(bark) for bark in barks]
        at, lane = round(mark.at, _DIGITS), lanes.index(mark.name)
        marks.append([mark.number, at, lane, mark.what, text, numbers])
    stretches = [(lanes.index(name), *stretch) for name in lanes for stretch in _stretches(record, name)]
    return {
        "lanes": lanes,
        "arrows": arrows.columns,
        "texts": list(arrows.texts),
        "barks": list(arrows.barks),
        "marks": marks,
        "stretches": stretches,
    }


class _Arrows:
    """Arrows in columns, which are small, with each text and each bark once."""

    def __init__(self, lanes: list[str]) -> None:
        self._lanes = {name: number for number, name in enumerate(lanes)}
        self.texts: dict[str, int] = {}
        self.barks: dict[str, int] = {}
        names = ("number", "sent", "came", "read", "from", "to", "kind", "text", "barks")
        self.columns: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, frame: Frame, piece: Piece) -> None:
        """A frame is an arrow, from when the piece was sent that it ends in."""
        text = "\n".join((frame.title, *frame.lines))
        row = {
            "number": piece.number,
            "sent": round(piece.sent, _DIGITS),
            "came": None if piece.came is None else round(piece.came, _DIGITS),
            "read": None if piece.read is None else round(piece.read, _DIGITS),
            "from": self._lanes[piece.source],
            "to": self._lanes[piece.target],
            "kind": frame.kind,
            "text": self.texts.setdefault(text, len(self.texts)),
            "barks": [self.bark(bark) for bark in frame.barks],
        }
        for name, value in row.items():
            self.columns[name].append(value)

    def bark(self, id: str) -> int:
        """A bark's number."""
        return self.barks.setdefault(id, len(self.barks))


def _place(name: str) -> tuple[int, str]:
    """Where a lane belongs."""
    kind = name.partition("-")[0]
    return (_LANES.index(kind) if kind in _LANES else len(_LANES), name)


def _written(mark: Mark, journals: dict[object, str]) -> tuple[str, list[str]]:
    """What a write was, in words, and the barks in it; `journals` has those in queues, by their numbers."""
    words, barks = [mark.text] if mark.text else [], []
    for sql, rows in mark.statements:
        verb, found = sql.partition(" ")[0].lower(), []
        for row in rows:
            if data := next((value for value in row if isinstance(value, bytes)), None):
                found.append(_bark(data))
                if isinstance(row[0], str) and mark.what == "commit":
                    journals[mark.name, row[0], row[1]] = found[-1]
            elif verb == "delete" and len(row) == 3:
                found += _taken(journals, mark, *row)
        found = [bark for bark in found if bark]
        if rows:
            words.append(f"{verb} {few(found) or f'{len(rows)} rows'}")
            barks += found
    return "\n".join(words), barks


def _taken(journals: dict[object, str], mark: Mark, queue: object, first: Any, last: Any) -> Iterator[str]:
    """The barks of a stretch of a queue."""
    for sequence in range(first, last + 1):
        yield journals.get((mark.name, queue, sequence), "")


def _bark(data: bytes) -> str:
    try:
        return message_id(data)
    except DecodeError:
        return ""


def _stretches(record: Record, name: str) -> Iterator[tuple[str, float, float | None]]:
    """When a process was down, frozen and so on: what, from, to; None for an end that never came."""
    begun: dict[str, float] = {"down": 0.0}
    for mark in record.marks:
        if mark.name != name:
            continue
        what = mark.what.removesuffix(" on").removesuffix(" off")
        turn = mark.what[len(what) + 1 :]
        ends, begins = _TURNS.get(what, (what if turn == "off" else "", what if turn == "on" else ""))
        if ends in begun:
            yield ends, begun.pop(ends), mark.at
        if begins:
            begun.setdefault(begins, mark.at)
    for what, since in begun.items():
        yield what, since, None
