"""Messages as bytes: barks to and from AMQP, and annotations without touching the bare message.

AMQP 1.0 §3.2: a message is a row of sections. What the sender wrote, the *bare message* (properties to
body), stays as it is from hop to hop; only what stands before it is a hop's own: header, delivery
annotations (for the next hop alone), message annotations. So a hop cuts the bytes in two, and decodes
nothing that it does not need.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from proton import Data, Message

from barker.amqp._proton import ffi, lib, owned, read_id
from barker.core.barks import Bark, Follow, checked
from barker.core.errors import DecodeError, PeerError

RECIPIENTS = "x-opt-recipients"
"""Delivery annotation, bizlogic to inbox: whose timelines, as one string of names with spaces between."""

KEY = "x-opt-key"
"""Delivery annotation, bizlogic to inbox: the same for the same bark (and part of it), to drop repeats."""

MISSED = "x-opt-missed"
"""Delivery annotation, inbox to reader: how many messages before this one the reader was too slow for."""

MENTIONS = "x-opt-mentions"
"""Message annotation, bizlogic to readers: who is mentioned and exists, as one string with spaces between."""

REASON = "x-opt-rejected"
"""Delivery annotation of a dead letter, at a broker a message annotation: why it was rejected."""

_HEADER, _DELIVERY_ANNOTATIONS, _MESSAGE_ANNOTATIONS = 0x70, 0x71, 0x72
_DURABLE_HEADER = b"\x00\x53\x70\xc0\x02\x01\x41"
_DURABLE_BARE = _DURABLE_HEADER + b"\x00\x53\x73"  # As barks of Barker's own clients begin.
_DURABLE_ANNOTATED = _DURABLE_HEADER + b"\x00\x53\x71\xd1"  # And as those of bizlogic do.


# Barks


def encode_bark(bark: Bark | Follow) -> bytes:
    """A bark or follow as a durable message."""
    if isinstance(bark, Bark):
        subject, body = "bark", bark.text
    else:
        subject, body = ("follow" if bark.wanted else "unfollow"), bark.other
    # Properties (AMQP 1.0 §3.2.4): the first ten fields, most of them null.
    properties = (
        _string(bark.id)
        + b"\x40\x40"
        + _string(subject)
        + b"\x40" * 5
        + struct.pack(">Bq", 0x83, bark.created)
    )
    return b"".join(
        (
            _DURABLE_HEADER,
            b"\x00\x53\x73\xd0",
            struct.pack(">II", len(properties) + 4, 10),
            properties,
            b"\x00\x53\x74",
            _map(_string("user") + _string(bark.user), 2),
            b"\x00\x53\x77",
            _string(body),
        )
    )


def decode_bark(data: bytes, any_time: bool = False) -> Bark | Follow:
    """The bark or follow that a message is; with `any_time`, made at any time (:func:`checked`).

    :raises DecodeError: when the bytes are no AMQP message.
    :raises InvalidField: when it breaks the rules of a bark.
    """
    try:
        plain = _plain_bark(data)
        if plain is not None:
            return checked(*plain, any_time)
        message = _decode(data)
        subject = lib.pn_message_get_subject(message)
        return checked(
            id=read_id(message),
            subject=None if subject == ffi.NULL else ffi.string(subject).decode(),
            created=lib.pn_message_get_creation_time(message),
            user=_user_property(lib.pn_message_properties(message)),
            body=_only_string(lib.pn_message_body(message)),
            any_time=any_time,
        )
    except UnicodeError:
        raise DecodeError("a string in it is not UTF-8") from None


def is_follow(data: bytes) -> bool:
    """Whether a message is a follow, or the end of one."""
    if b"follow" not in data:
        return False
    try:
        return isinstance(decode_bark(data, any_time=True), Follow)
    except PeerError:
        return False


_PLAIN = re.compile(
    rb"\x00\x53\x70\xc0\x02\x01\x41"
    rb"\x00\x53\x73\xd0(.{4})\0\0\0\x0a\xa1(.)(.{0,255}?)"
    rb"\x40\x40\xa1(.)(bark|follow|unfollow)\x40{5}\x83(.{8})"
    rb"\x00\x53\x74\xd1(.{4})\0\0\0\x02\xa1\x04user\xa1(.)([!-~]{0,255})"
    rb"\x00\x53\x77(\xa1.|\xb1.{4})(.*)",
    re.DOTALL,
)
"""A bark as :func:`encode_bark` writes it; what stands before an ``(.)`` and its like is a length."""


def _plain_bark(data: bytes) -> tuple[str, str, int, str, str] | None:
    """Id, subject, creation time, user and body of a bark that is written as :func:`encode_bark` does.

    None for all others: Proton can read those, in three times the time.
    """
    found = _PLAIN.fullmatch(data)
    if found is None:
        return None
    size, id_size, id, subject_size, subject, created, map_size, user_size, user, body_size, body = (
        found.groups()
    )
    # An id may look like what comes after it: only if all lengths are right it is read right.
    if (
        len(id) != id_size[0]
        or len(subject) != subject_size[0]
        or len(user) != user_size[0]
        or len(id) + len(subject) + 24 != int.from_bytes(size, "big")
        or len(user) + 12 != int.from_bytes(map_size, "big")
        or len(body) != int.from_bytes(body_size[1:], "big")
    ):
        return None
    return (
        id.decode(),
        subject.decode(),
        int.from_bytes(created, "big", signed=True),
        user.decode(),
        body.decode(),
    )


class _Scratch(threading.local):
    """A message to decode into: one for each thread, as each has its own loop."""

    def __init__(self) -> None:
        self.message = ffi.gc(lib.pn_message(), lib.pn_message_free)


_scratch = _Scratch()


def _decode(data: bytes) -> Any:
    """Proton's message of these bytes, until the next is decoded."""
    message = _scratch.message
    # Decoding alone leaves what the last message had and this one has not.
    lib.pn_message_clear(message)
    if lib.pn_message_decode(message, ffi.from_buffer(data), len(data)) != 0:
        raise DecodeError("this is no AMQP 1.0 message")
    return message


def _user_property(data: Any) -> str | None:
    lib.pn_data_rewind(data)
    if not lib.pn_data_next(data) or lib.pn_data_type(data) != lib.PN_MAP:
        return None
    count = lib.pn_data_get_map(data)
    lib.pn_data_enter(data)
    for _ in range(count // 2):
        lib.pn_data_next(data)
        key = _string_here(data)
        lib.pn_data_next(data)
        if key == "user":
            return _string_here(data)
    return None


def _only_string(data: Any) -> str | None:
    lib.pn_data_rewind(data)
    return _string_here(data) if lib.pn_data_next(data) else None


def _string_here(data: Any) -> str | None:
    if lib.pn_data_type(data) != lib.PN_STRING:
        return None
    found = lib.pn_data_get_string(data)
    return bytes(ffi.unpack(found.start, found.size)).decode() if found.size else ""


# Annotations


class Sections(NamedTuple):
    """A message cut where delivery annotations stand, or would stand."""

    header: bytes
    delivery_annotations: bytes
    rest: bytes
    """Message annotations, and the bare message."""


def cut(data: bytes) -> Sections:
    """Cut a message at its delivery annotations.

    :raises DecodeError: when the bytes are no row of AMQP sections.
    """
    if data.startswith(_DURABLE_BARE):
        return Sections(_DURABLE_HEADER, b"", data[len(_DURABLE_HEADER) :])
    if data.startswith(_DURABLE_ANNOTATED):
        begin = len(_DURABLE_ANNOTATED) + 4
        end = begin + int.from_bytes(data[begin - 4 : begin], "big")
        if end <= len(data):
            return Sections(_DURABLE_HEADER, data[len(_DURABLE_HEADER) : end], data[end:])
    start, code, end = 0, *_section(data, 0)
    if code == _HEADER:
        start, (code, end) = end, _section(data, end)
    if code == _DELIVERY_ANNOTATIONS:
        return Sections(data[:start], data[start:end], data[end:])
    return Sections(data[:start], b"", data[start:])


def with_delivery_annotations(data: bytes, annotations: dict[str, str | int]) -> bytes:
    """The message with these delivery annotations and no others; the bare message is the same bytes.

    :raises DecodeError: when the bytes are no row of AMQP sections.
    """
    header, _, rest = cut(data)
    pairs = b""
    for key, value in annotations.items():
        pairs += _symbol(key)
        pairs += _string(value) if isinstance(value, str) else struct.pack(">BQ", 0x80, value)
    return b"".join((header, b"\x00\x53\x71", _map(pairs, len(annotations) * 2), rest))


def with_mentions(data: bytes, names: Sequence[str]) -> bytes:
    """The message with the annotation :data:`MENTIONS`; as it is, if its sender has annotated it.

    So is one that Proton can read and :func:`cut` cannot: whoever adds what it needs finds that.
    """
    if not names:
        return data  # As of most barks: they are not taken apart for it.
    try:
        sections = cut(data)
        if _descriptor(sections.rest, 0)[0] == _MESSAGE_ANNOTATIONS:
            return data
    except (DecodeError, IndexError, struct.error):
        return data
    annotations = b"\x00\x53\x72" + _map(_symbol(MENTIONS) + _string(" ".join(names)), 2)
    return b"".join((sections.header, sections.delivery_annotations, annotations, sections.rest))


def with_message_annotation(data: bytes, key: str, value: str) -> bytes:
    """The message with one more annotation, which stays with it from hop to hop.

    :raises DecodeError: when the bytes are no row of AMQP sections.
    """
    sections = cut(data)
    pairs, count, rest = b"", 0, sections.rest
    try:
        code, start = _descriptor(rest, 0) if rest else (0, 0)
        if code == _MESSAGE_ANNOTATIONS:
            # A map with sizes of one byte, or of four (AMQP 1.0 §1.6.23).
            width = 1 if rest[start] == 0xC1 else 4
            head = start + 1 + width
            end = head + int.from_bytes(rest[start + 1 : head], "big")
            count = int.from_bytes(rest[head : head + width], "big")
            pairs, rest = rest[head + width : end], rest[end:]
    except (IndexError, struct.error):
        raise DecodeError("the message ends in the middle of a section") from None
    annotations = b"\x00\x53\x72" + _map(pairs + _symbol(key) + _string(value), count + 2)
    return b"".join((sections.header, sections.delivery_annotations, annotations, rest))


def annotations_in(section: bytes) -> dict[str, Any]:
    """What a delivery annotations section says; empty for no section.

    :raises DecodeError: when it cannot be decoded.
    """
    if not section:
        return {}
    strings = _strings_in(section)
    if strings is not None:
        return strings
    data = Data()
    try:
        data.decode(section)
        data.rewind()
        data.next()
        described: Any = data.get_object()
        return {str(key): each for key, each in owned(described.value).items()}
    except Exception as error:
        # Proton raises whatever its C code and Python's own types do on hostile bytes.
        raise DecodeError(f"the delivery annotations cannot be decoded: {error}") from None


def _strings_in(section: bytes) -> dict[str, Any] | None:
    """What annotations say that are written as :func:`with_delivery_annotations` does, if all are strings.

    None for all others: Proton can read those, in four times the time.
    """
    try:
        if section[:4] != b"\x00\x53\x71\xd1":
            return None
        count = int.from_bytes(section[8:12], "big")
        found, at = {}, 12
        for _ in range(count // 2):
            if section[at] != 0xA3:
                return None
            start = at + 2
            at = start + section[at + 1]
            key = section[start:at].decode("ascii")
            if section[at] == 0xA1:
                start, size = at + 2, section[at + 1]
            elif section[at] == 0xB1:
                start, size = at + 5, int.from_bytes(section[at + 1 : at + 5], "big")
            else:
                return None
            at = start + size
            found[key] = section[start:at].decode()
    except (IndexError, UnicodeDecodeError):
        return None
    return found if at == len(section) and count == 2 * len(found) else None


def message_id(data: bytes) -> str:
    """The message-id, if it is a string, else an empty one.

    :raises DecodeError: when the bytes are no AMQP message.
    """
    message = _decode(data)
    try:
        found = read_id(message)
    except UnicodeError:
        raise DecodeError("the message-id is not UTF-8") from None
    return found if isinstance(found, str) else ""


def check_sections(data: bytes) -> None:
    """See that these bytes are a row of AMQP's sections, each whole; what is in them is not looked at.

    :raises DecodeError: when they are not: then a consumer could not read them.
    """
    at, size = 0, len(data)
    try:
        while at < size:
            # As nearly all write it: the descriptor is a small number.
            if data[at] == 0 and data[at + 1] == 0x53 and 0x70 <= data[at + 2] <= 0x78:
                at += 3
            else:
                code, at = _descriptor(data, at)
                if not 0x70 <= code <= 0x78:
                    raise DecodeError("a section is none of a message's (AMQP 1.0 §3.2)")
            # AMQP 1.0 §1.2: the upper half of a constructor says how the size of its value is told.
            width = data[at] >> 4
            if width in _SIZED_1:
                at += 2 + data[at + 1]
            elif width in _SIZED_4:
                at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
            elif width in _FIXED:
                at += 1 + _FIXED[width]
            else:
                _decode(data)  # Such as a body that is itself a described value.
                return
    except (IndexError, struct.error):
        at = size + 1
    if at != size or not size:
        raise DecodeError("the message ends in the middle of a section")


_SIZED_1 = frozenset((0xA, 0xC, 0xE))
_SIZED_4 = frozenset((0xB, 0xD, 0xF))
_FIXED = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


# Maps, for what services tell each other


def encode_map(subject: str, body: Any) -> bytes:
    """A message with an AmqpValue of maps, lists and scalars."""
    return bytes(Message(subject=subject, body=body).encode())


def decode_map(data: bytes) -> tuple[str, Any]:
    """Subject and body of a message from another service.

    :raises DecodeError: when the bytes are no AMQP message.
    """
    return _fields(data)


def _fields(data: bytes) -> tuple[str, Any]:
    """Subject and body, as Python's own values."""
    message = Message()
    try:
        message.decode(data)
        return owned(message.subject) or "", owned(message.body)
    except Exception as error:
        # As above: whatever Proton raises, these bytes are the peer's fault.
        raise DecodeError(f"this is no AMQP 1.0 message: {error}") from None


def encode_command(verb: str, arguments: dict[str, Any]) -> bytes:
    """A command to the launcher."""
    return bytes(Message(subject=verb, body=arguments).encode())


def decode_command(data: bytes) -> tuple[str, dict[str, Any]]:
    """A command's verb and arguments.

    :raises DecodeError: when the bytes are no AMQP message.
    """
    verb, body = _fields(data)
    return verb, body if isinstance(body, dict) else {}


# AMQP's types, as far as they are written here (AMQP 1.0 §1.6)


def _string(text: str) -> bytes:
    encoded = text.encode()
    size = len(encoded)
    return (b"\xa1%c" % size if size < 256 else b"\xb1" + size.to_bytes(4, "big")) + encoded


@lru_cache(maxsize=64)  # They are few, and our own.
def _symbol(text: str) -> bytes:
    return struct.pack("BB", 0xA3, len(text)) + text.encode("ascii")


def _map(pairs: bytes, count: int) -> bytes:
    return struct.pack(">BII", 0xD1, len(pairs) + 4, count) + pairs


def _section(data: bytes, start: int) -> tuple[int, int]:
    """Which section starts here, and where it ends; (0, start) at the end of the message."""
    if start == len(data):
        return 0, start
    try:
        code, value = _descriptor(data, start)
        if code not in (_HEADER, _DELIVERY_ANNOTATIONS):
            # Only what stands before the bare message is ever skipped.
            return code, len(data)
        kind = data[value]
        if kind == 0x45:
            end = value + 1
        elif kind in (0xC0, 0xC1):
            end = value + 2 + data[value + 1]
        elif kind in (0xD0, 0xD1):
            end = value + 5 + struct.unpack_from(">I", data, value + 1)[0]
        else:
            raise DecodeError("a header or annotations section is neither a list nor a map")
    except (IndexError, struct.error):
        raise DecodeError("the message ends in the middle of a section") from None
    if end > len(data):
        raise DecodeError("the message ends in the middle of a section")
    return code, end


def _descriptor(data: bytes, start: int) -> tuple[int, int]:
    """Which section starts here (a number), and where its value does.

    :raises DecodeError: when none does; IndexError or struct.error when the message ends before.
    """
    if data[start] != 0:
        raise DecodeError("a message is a row of described sections (AMQP 1.0 §3.2)")
    if data[start + 1] == 0x53:
        return data[start + 2], start + 3
    if data[start + 1] == 0x80:
        return struct.unpack_from(">Q", data, start + 2)[0], start + 10
    if data[start + 1] == 0xA3:
        end = start + 3 + data[start + 2]
        return _SECTION_NAMES.get(data[start + 3 : end], 0), end
    raise DecodeError("a section has a descriptor that is neither a number nor a symbol")


_SECTION_NAMES = {
    b"amqp:header:list": _HEADER,
    b"amqp:delivery-annotations:map": _DELIVERY_ANNOTATIONS,
    b"amqp:message-annotations:map": _MESSAGE_ANNOTATIONS,
    b"amqp:properties:list": 0x73,
    b"amqp:application-properties:map": 0x74,
    b"amqp:data:binary": 0x75,
    b"amqp:amqp-sequence:list": 0x76,
    b"amqp:amqp-value:*": 0x77,
    b"amqp:footer:map": 0x78,
}
