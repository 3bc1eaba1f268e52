"""Batches: several messages in one transfer, between services that both know of them.

A transfer costs both ends about as much for one message as for a hundred. So whoever has many ready sends
them together, and whoever has one sends it at once: a batch is what is ready now, nothing waits to be in one.

A batch is itself a message, whose body has one data section (AMQP 1.0 §3.2.6) for each message. Two services
agree on it by a property of the link (§2.7.3) that both have; on it every transfer is a batch, be it of one.
(A capability of the target would not do: many peers just give back the terminus that they were asked for.)
Its messages are settled one by one, and their outcomes are those of the delivery: `accepted` when all are,
`released` when all are, else `rejected`, and the error's info says what became of those not accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from barker.core.errors import DecodeError

PROPERTY = "barker:batch"
"""The property of a link's both ends; and the condition of a batch of which not all was accepted."""

MESSAGES = 100
"""The most messages of one transfer."""

BYTES = 60_000
"""The most bytes of a transfer of more than one message: it fits into one frame."""

HEAD_BYTES = 8
"""Bytes before each message of a transfer, besides its own."""

_SECTION = struct.Struct(">4sI")
_DATA = b"\x00\x53\x75\xb0"  # Described by 0x75, a binary with a length of four bytes.


def pack(messages: Sequence[bytes]) -> bytes:
    """The batch of these messages."""
    pieces: list[bytes] = []
    for message in messages:
        pieces += _SECTION.pack(_DATA, len(message)), message
    return b"".join(pieces)


def unpack(batch: bytes) -> list[bytes]:
    """The messages of a batch.

    :raises DecodeError: when it is none.
    """
    messages, at, size = [], 0, len(batch)
    while at < size:
        if size - at < HEAD_BYTES:
            raise DecodeError("a batch ends in the middle of a section")
        section, length = _SECTION.unpack_from(batch, at)
        at += HEAD_BYTES + length
        if section != _DATA or at > size:
            raise DecodeError("a batch is a row of data sections, each a binary of four bytes' length")
        messages.append(batch[at - length : at])
        if len(messages) > MESSAGES:
            break
    if not 1 <= len(messages) <= MESSAGES:
        raise DecodeError(f"a batch has 1 to {MESSAGES} messages")
    return messages
