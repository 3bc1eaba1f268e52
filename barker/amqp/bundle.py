"""Bundles: several messages in one that a broker keeps, who knows nothing of batches (`batch.py`).

A bundle is an AMQP message, durable, whose body has one data section for each message in it; whoever takes
it from the broker takes it apart again. So a broker keeps, replicates and hands on a hundred barks for the
cost of one. All of a bundle has one outcome.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from barker.amqp import batch
from barker.amqp.message import annotations_in
from barker.core.errors import DecodeError

OFFSET = "x-stream-offset"
"""The message annotation by which RabbitMQ tells a message's place in its stream."""

# A header that says that it is durable: whether one without a header is taken as such depends on the broker.
_HEADER = b"\x00\x53\x70\xc0\x02\x01\x41"
_ANNOTATIONS, _DATA = 0x72, 0x75


def pack(messages: Sequence[bytes]) -> bytes:
    """The bundle of these messages."""
    return _HEADER + batch.pack(messages)


def unpack(data: bytes) -> list[bytes]:
    """The messages of a bundle.

    :raises DecodeError: when it is none, such as a bark that somebody has put there by itself.
    """
    return batch.unpack(data[_find(data, _DATA)[0] :])


def offset(data: bytes) -> int:
    """Which place the broker says that a message has in its stream.

    :raises DecodeError: when it says none.
    """
    start, end = _find(data, _ANNOTATIONS)
    found = annotations_in(data[start:end]).get(OFFSET)
    if not isinstance(found, int) or found < 0:
        raise DecodeError(f"a message of a stream has the annotation {OFFSET}; this one has not")
    return int(found)  # Of whichever of AMQP's types it is.


def _find(data: bytes, wanted: int) -> tuple[int, int]:
    """From where to where the first section of that kind is; its value is a list, a map or binary."""
    at = 0
    try:
        while at < len(data):
            if data[at] != 0 or data[at + 1] != 0x53:
                break
            code, width, end = data[at + 2], data[at + 3] >> 4, at + 4
            if width in (0xA, 0xC):
                end += 1 + data[end]
            elif width in (0xB, 0xD):
                end += 4 + int(struct.unpack_from(">I", data, end)[0])
            elif width != 0x4:
                break
            if code == wanted:
                return at, end
            if code > wanted:
                break
            at = end
    except (IndexError, struct.error):
        pass
    raise DecodeError("this is no bundle of messages: those have a body of data sections, one for each")
