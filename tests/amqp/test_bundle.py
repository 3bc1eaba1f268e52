"""Bundles: several messages in one that a broker keeps."""

from __future__ import annotations

import pytest
from proton import Message, symbol, ulong

from barker.amqp import bundle
from barker.amqp.message import encode_bark
from barker.core.barks import Bark
from barker.core.errors import DecodeError

BARKS = [encode_bark(Bark(f"id-{number}", "rex", "woof", 1_700_000_000_000)) for number in range(3)]


def annotated(**annotations: object) -> bytes:
    """The bundle as a broker gives it: with a header of its own, and annotations."""
    theirs = Message(durable=True, delivery_count=1, annotations=dict(annotations))  # type: ignore[arg-type]
    theirs.annotations = {symbol(key.replace("_", "-")): each for key, each in annotations.items()}
    head = bytes(theirs.encode())
    return head[: head.rindex(b"\x00\x53\x73")] if b"\x00\x53\x73" in head else head


def test_there_and_back() -> None:
    packed = bundle.pack(BARKS)
    assert bundle.unpack(packed) == BARKS
    message = Message()
    message.decode(packed)
    assert message.durable


def test_what_a_broker_adds() -> None:
    came = annotated(x_stream_offset=ulong(1 << 40), x_exchange="", x_routing_key="barker-inbox")
    came += bundle.pack(BARKS)[7:]
    assert bundle.unpack(came) == BARKS
    assert repr(bundle.offset(came)) == str(1 << 40)


@pytest.mark.parametrize(
    "data",
    [
        BARKS[0],
        b"",
        b"\x00",
        b"\x00\x53",
        b"no message",
        bundle.pack(BARKS)[:-1],
        bundle.pack(BARKS)[:9],
        bytes(Message(body="text").encode()),
        b"\x00\x53\x70\xd0\xff\xff\xff\xff",
        b"\x00\x53\x75\xa0\x03abc",
    ],
)
def test_no_bundle(data: bytes) -> None:
    with pytest.raises(DecodeError):
        bundle.unpack(data)


@pytest.mark.parametrize(
    "data", [bundle.pack(BARKS), annotated(x_exchange=""), annotated(x_stream_offset="7"), b""]
)
def test_no_offset(data: bytes) -> None:
    with pytest.raises(DecodeError):
        bundle.offset(data)
