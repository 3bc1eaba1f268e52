"""What was sent on one AMQP connection, frame by frame, in words for people.

Only for looking at: it follows both directions as far as it has to, to say which barks a transfer carries and
a disposition settles. What it cannot read is so many bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proton import Array, Data, Described

from barker.amqp import batch
from barker.amqp.message import RECIPIENTS, annotations_in, cut, message_id
from barker.core.errors import DecodeError

# AMQP 1.0 §2.7 and §5.3.3: each performative's fields, in order; those that are worth no line are a dash.
_FRAMES = {
    0x10: ("open", "container host max-frame channels idle-ms"),
    0x11: ("begin", "remote-channel"),
    0x12: (
        "attach",
        "name handle role sender-settles receiver-settles source target - - first max-size - - properties",
    ),
    0x13: ("flow", "next-in window-in next-out window-out handle delivery-count credit - drain"),
    0x14: ("transfer", "handle delivery tag format settled more - state resume aborted"),
    0x15: ("disposition", "role first last settled state"),
    0x16: ("detach", "handle closed error"),
    0x17: ("end", "error"),
    0x18: ("close", "error"),
    0x40: ("SASL mechanisms", "mechanisms"),
    0x41: ("SASL init", "mechanism - host"),
    0x42: ("SASL challenge", ""),
    0x43: ("SASL response", ""),
    0x44: ("SASL outcome", "code"),
}

_NAMES = {0x23: "received", 0x24: "accepted", 0x25: "rejected", 0x26: "released"}
_NAMES |= {0x27: "modified", 0x28: "source", 0x29: "target"}

_ERROR = 0x1D

_BARK = re.compile(r"[^:\s]+:\d+")
"""A bark's id."""

LARGEST = 1 << 20
"""A frame that says it has more bytes is none."""


@dataclass(slots=True)
class Frame:
    """One of them."""

    kind: str
    """``transfer``, ``heartbeat`` and so on; ``bytes`` for what is no frame."""
    title: str
    """What it says, in one line."""
    lines: list[str] = field(default_factory=list)
    """And in more."""
    barks: list[str] = field(default_factory=list)
    """The ids of those that it carries or settles."""


class _Session(NamedTuple):
    """One direction of a session: a channel of those that one process sends on."""

    source: str
    channel: int


@dataclass(slots=True)
class _Way:
    """One direction of a session, as far as it has been seen."""

    links: dict[int, str] = field(default_factory=dict)
    """What each handle is a link to or from."""
    unsettled: dict[int, list[str]] = field(default_factory=dict)
    """The barks of each delivery."""
    unfinished: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """For each handle, the delivery that has begun, and what came of it."""


class Conversation:
    """One connection. Feed it what both ends send, in order."""

    def __init__(self) -> None:
        self._rest: dict[str, bytes] = {}
        self._ways: dict[_Session, _Way] = {}
        self._other: dict[_Session, _Session] = {}
        self._links: dict[str, str] = {}

    def feed(self, source: str, target: str, data: bytes) -> list[Frame]:
        """The frames that end in these bytes from `source` to `target`."""
        data = self._rest.pop(source, b"") + data
        frames = []
        while len(data) >= 8:
            if data[:4] == b"AMQP":
                frames.append(Frame("header", f"header: AMQP {'SASL' if data[4] == 3 else '1.0'}"))
                data = data[8:]
                continue
            size, offset = int.from_bytes(data[:4], "big"), data[4] * 4
            if not 8 <= offset <= size <= LARGEST:
                return [*frames, Frame("bytes", f"{len(data)} bytes that are no frame")]
            if len(data) < size:
                break
            channel, body = int.from_bytes(data[6:8], "big"), data[offset:size]
            try:
                frames.append(self._frame(source, target, channel, body))
            except Exception as error:
                # Proton raises whatever its C code and Python's own types do on hostile values.
                frames.append(Frame("bytes", f"a frame of {size} bytes that cannot be read", [str(error)]))
            data = data[size:]
        if data:
            self._rest[source] = data
        return frames

    def _frame(self, source: str, target: str, channel: int, body: bytes) -> Frame:
        if not body:
            return Frame("heartbeat", "heartbeat")
        decoded = Data()
        payload = body[decoded.decode(body) :]
        decoded.rewind()
        decoded.next()
        described: Any = decoded.get_object()
        kind, names = _FRAMES[int(described.descriptor)]
        fields = dict(zip(names.split(), described.value, strict=False))
        frame = Frame(kind, kind, list(_lines(fields)))
        session = _Session(source, channel)
        way = self._ways.setdefault(session, _Way())
        match kind:
            case "begin" if fields["remote-channel"] is not None:
                other = _Session(target, fields["remote-channel"])
                self._other[session], self._other[other] = other, session
            case "attach":
                _attach(frame, fields, way, self._links)
            case "detach":
                frame.title = f"detach {way.links.pop(fields['handle'], '')}"
            case "flow" if fields.get("handle") is not None:
                link = way.links.get(fields["handle"], "")
                frame.title = f"flow: credit {_told(fields.get('credit'))} {link}"
            case "transfer":
                _transfer(frame, fields, payload, way)
            case "disposition":
                # A receiver's is about what came the other way (§2.7.6).
                about = self._other.get(session) if fields["role"] else session
                _disposition(frame, fields, self._ways.get(about, _Way()) if about else _Way())
        if fields.get("error") is not None:
            frame.title += f": {_told(fields['error'])}"
        return frame


def _attach(frame: Frame, fields: dict[str, Any], way: _Way, links: dict[str, str]) -> None:
    target, source = (_address(fields.get(name)) for name in ("target", "source"))
    if target or source:
        links[fields["name"]] = f"to {target}" if target else f"from {source}"
    # Who refuses a link has no terminus for it (§2.6.3): it is what the other has called it.
    way.links[fields["handle"]] = link = links.get(fields["name"], "")
    frame.title = f"attach as {'receiver' if fields['role'] else 'sender'} {link}"


def _transfer(frame: Frame, fields: dict[str, Any], payload: bytes, way: _Way) -> None:
    handle = fields["handle"]
    # Of a delivery of several frames, only the first has to have its number (§2.7.5).
    begun, before = way.unfinished.pop(handle, (-1, b""))
    delivery, data = int(fields["delivery"] if fields["delivery"] is not None else begun), before + payload
    frame.title, link = f"transfer {delivery}", way.links.get(handle, "")
    if fields.get("aborted"):
        frame.title += f" {link}, aborted"
    elif fields.get("more"):
        way.unfinished[handle] = delivery, data
        frame.title += f" {link}, {len(payload)} bytes and more to come"
    else:
        messages = list(_messages(data))
        frame.barks = [bark for bark, _ in messages if bark]
        what = few(frame.barks) or f"{len(data)} bytes"
        frame.title += f" {link}: {what}"
        frame.lines += [f"{bark or 'a message'}{recipients}" for bark, recipients in messages]
        if not fields.get("settled"):
            way.unsettled[delivery] = frame.barks


def _disposition(frame: Frame, fields: dict[str, Any], about: _Way) -> None:
    first = int(fields["first"])
    last = int(fields["last"]) if fields.get("last") is not None else first
    for delivery in range(first, last + 1):
        barks = about.unsettled.get(delivery, [])
        frame.barks += barks
        if fields.get("settled"):
            about.unsettled.pop(delivery, None)
    outcome = _told(fields.get("state")) or "settled"
    frame.title = f"{outcome} {first}" + (f" to {last}" if last != first else "")
    if frame.barks:
        frame.title += f": {few(frame.barks)}"
        frame.lines += frame.barks


def _messages(data: bytes) -> Iterator[tuple[str, str]]:
    """Each message's bark, if it is one, and whom it is for, if it says so."""
    try:
        messages = batch.unpack(data)
    except DecodeError:
        messages = [data]
    for message in messages:
        try:
            id = message_id(message)
            recipients = annotations_in(cut(message).delivery_annotations).get(RECIPIENTS, "")
        except DecodeError:
            id = recipients = ""
        yield id if _BARK.fullmatch(id) else "", f" for {recipients}" if recipients else ""


def few(barks: list[str]) -> str:
    """The first barks of a list, and how many more there are."""
    more = f" and {len(barks) - 2} more" if len(barks) > 2 else ""
    return ", ".join(barks[:2]) + more


def _address(terminus: Any) -> str:
    fields = terminus.value if isinstance(terminus, Described) else None
    return str(fields[0]) if isinstance(fields, list) and fields and fields[0] is not None else ""


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if name == "role":
            value = "receiver" if value else "sender"
        elif name in ("source", "target"):
            value = _address(value)
        if name != "-" and (told := _told(value)):
            yield f"{name}: {told}"


def _told(value: Any) -> str:
    """A value in words; empty for null."""
    if value is None:
        return ""
    if isinstance(value, Described):
        code = value.descriptor
        if code == _ERROR:
            return _told(value.value)
        name = _NAMES.get(int(code), hex(int(code))) if isinstance(code, int) else str(code)
        told = _told(value.value)
        return f"{name} ({told})" if told else name
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex(" ", 4)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_told(each)}" for key, each in value.items())
    if isinstance(value, Array):
        value = value.elements
    if isinstance(value, list):
        return ", ".join(filter(None, map(_told, value)))
    # Proton's own numbers tell their type, too.
    return str(int(value)) if isinstance(value, int) else str(value)
