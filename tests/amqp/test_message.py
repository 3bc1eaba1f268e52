"""Messages as bytes: what others make is understood, what is broken is refused, what passes is unchanged."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from proton import AnnotationDict, Data, Message, byte, int32, symbol, timestamp, ulong

from barker.amqp.message import (
    KEY,
    MISSED,
    RECIPIENTS,
    _plain_bark,
    annotations_in,
    check_sections,
    cut,
    decode_bark,
    decode_command,
    decode_map,
    encode_bark,
    encode_command,
    encode_map,
    message_id,
    with_delivery_annotations,
    with_mentions,
    with_message_annotation,
)
from barker.core.barks import LAST_TIME, MAX_TEXT, Bark, Follow, _is_seen
from barker.core.errors import DecodeError, InvalidField, PeerError

BARK = Bark("id-1", "rex", "woof @spot", 1700000000123)


def message(**changes: Any) -> Message:
    """A bark as any AMQP client would make it, with changes."""
    parts = {
        "id": "id-1",
        "subject": "bark",
        "creation_time": 1700000000.123,
        "properties": {"user": "rex"},
        "body": "woof @spot",
    }
    return Message(**(parts | changes))


def encoded(made: Message) -> bytes:
    return bytes(made.encode())


def decoded(data: bytes) -> Message:
    made = Message()
    made.decode(data)
    return made


# Barks

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_TEXT).filter(
    lambda text: any(map(_is_seen, text))
)
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
TIMES = st.integers(1, LAST_TIME)
BARKS = st.builds(Bark, id=IDS, user=NAMES, text=TEXTS, created=TIMES)
FOLLOWS = st.builds(Follow, id=IDS, user=NAMES, other=NAMES, created=TIMES, wanted=st.booleans()).filter(
    lambda follow: follow.user != follow.other
)


@given(BARKS | FOLLOWS)
@example(Bark("x" * 256, "x" * 32, "\N{DOG FACE}" * MAX_TEXT, 1))
@example(Bark("\0", "-", "-\0", 1))
def test_a_bark_is_the_same_after_coding(bark: Bark | Follow) -> None:
    assert decode_bark(encode_bark(bark)) == bark


@given(BARKS | FOLLOWS)
@settings(max_examples=200)
def test_barks_of_our_own_are_read_without_proton(bark: Bark | Follow) -> None:
    # A longer id, of letters of several bytes, is encoded otherwise, and left to Proton.
    assume(len(bark.id.encode()) < 256)
    assert _plain_bark(encode_bark(bark)) is not None


@given(BARKS | FOLLOWS, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
@settings(max_examples=400)
def test_what_is_read_without_proton_is_what_proton_reads(
    bark: Bark | Follow, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(encode_bark(bark))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        plain = _plain_bark(bytes(data))
    except UnicodeDecodeError:
        return
    if plain is not None:
        made = decoded(bytes(data))
        assert plain[:2] == (made.id, made.subject)
        assert plain[3:] == (made.properties["user"], made.body)
        assert abs(plain[2] / 1000 - made.creation_time) < max(1e-3, abs(plain[2]) * 1e-15)


@given(BARKS)
@settings(max_examples=50)
def test_proton_reads_the_barks_that_are_written_here(bark: Bark) -> None:
    made = decoded(encode_bark(bark))
    assert (made.id, made.subject, made.body) == (bark.id, "bark", bark.text)
    assert made.properties == {"user": bark.user}
    assert made.durable
    assert made.inferred is False


def test_proton_reads_time_and_follows_that_are_written_here() -> None:
    made = decoded(encode_bark(Follow("id-1", "rex", "spot", 1700000000123, wanted=True)))
    assert (made.subject, made.body, made.creation_time) == ("follow", "spot", 1700000000.123)
    assert decoded(encode_bark(Follow("id-1", "rex", "spot", 1, wanted=False))).subject == "unfollow"


@given(TEXTS)
@settings(max_examples=50)
def test_barks_that_proton_writes_are_read(text: str) -> None:
    made = message(body=text, user_id=b"rex", address="outbox", reply_to="x" * 300, priority=9, ttl=5.0)
    made.annotations = {symbol("x-opt-trace"): 7}
    made.properties = {"before": [1, {"a": None}], "user": "rex", "after": UUID(int=7)}
    assert decode_bark(encoded(made)) == Bark("id-1", "rex", text, 1700000000123)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"id": None}, "message-id", id="no id"),
        pytest.param({"id": ""}, "message-id", id="empty id"),
        pytest.param({"id": "x" * 257}, "message-id", id="id too long"),
        pytest.param({"id": ulong(7)}, "message-id", id="id a number"),
        pytest.param({"id": UUID(int=7)}, "message-id", id="id a UUID"),
        pytest.param({"id": b"id-1"}, "message-id", id="id in bytes"),
        pytest.param({"creation_time": 0}, "creation-time", id="no creation time"),
        pytest.param({"subject": None}, "subject", id="no subject"),
        pytest.param({"subject": ""}, "subject", id="empty subject"),
        pytest.param({"subject": "barks"}, "'barks'", id="unknown subject"),
        pytest.param({"properties": None}, "user", id="no application properties"),
        pytest.param({"properties": {}}, "user", id="empty application properties"),
        pytest.param({"properties": {"User": "rex"}}, "user", id="property of another name"),
        pytest.param({"properties": {"other": "user"}}, "user", id="user a value"),
        pytest.param({"properties": {"x": {"user": "rex"}}}, "user", id="user deeper inside"),
        pytest.param({"properties": {"user": None}}, "user", id="user null"),
        pytest.param({"properties": {"user": ""}}, "user", id="user empty"),
        pytest.param({"properties": {"user": "r x"}}, "'r x'", id="user no name"),
        pytest.param({"properties": {"user": b"rex"}}, "user", id="user in bytes"),
        pytest.param({"properties": {"user": symbol("rex")}}, "user", id="user a symbol"),
        pytest.param({"properties": {"user": ["rex"]}}, "user", id="user a list"),
        pytest.param({"properties": {"user": int32(7)}}, "user", id="user a number"),
        pytest.param({"body": None}, "body", id="no body"),
        pytest.param({"body": b"woof"}, "body", id="body in bytes"),
        pytest.param({"body": b"woof", "inferred": True}, "body", id="body a data section"),
        pytest.param({"body": ["woof"], "inferred": True}, "body", id="body a sequence"),
        pytest.param({"body": ["woof"]}, "body", id="body a list"),
        pytest.param({"body": {"woof": "woof"}}, "body", id="body a map"),
        pytest.param({"body": 7}, "body", id="body a number"),
        pytest.param({"body": symbol("woof")}, "body", id="body a symbol"),
        pytest.param({"body": ""}, "has 0", id="empty text"),
        pytest.param({"body": "x" * 281}, "has 281", id="text too long"),
        pytest.param({"body": "x" * 1_000_000}, "has 1000000", id="text much too long"),
        pytest.param({"subject": "follow", "body": "no name"}, "user to follow", id="follow of no name"),
        pytest.param({"subject": "unfollow", "body": "rex"}, "themselves", id="unfollow of oneself"),
    ],
)
def test_a_broken_rule_is_an_invalid_field_that_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode_bark(encoded(message(**changes)))
    assert named in caught.value.description


def bent(old: bytes, new: bytes) -> bytes:
    """A bark with other bytes at one place."""
    data = encode_bark(BARK)
    assert data.count(old) == 1
    return data.replace(old, new)


NOT_UTF8 = [
    pytest.param(bent(b"id-1", b"\xff\xfe\xfd\xfc"), id="id"),
    pytest.param(bent(b"\xa1\x04bark", b"\xa1\x04b\xffrk"), id="subject"),
    pytest.param(bent(b"user", b"us\xffr"), id="property name"),
    pytest.param(bent(b"rex", b"r\xffx"), id="user"),
    pytest.param(bent(b"woof", b"wo\xedf"), id="body"),
    pytest.param(bent(b"woof", b"\xed\xa0\x80f"), id="body with a surrogate"),
]


@pytest.mark.parametrize("data", NOT_UTF8)
def test_a_string_that_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        decode_bark(data)


NO_MESSAGES = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"hello", id="text"),
    pytest.param(b"\0", id="a zero"),
    pytest.param(b"\0" * 100, id="zeros"),
    pytest.param(b"\xff" * 100, id="ones"),
    pytest.param(b"\x00\x53\x77", id="a section without a value"),
    pytest.param(b"\x00\x53\x73\xd0\xff\xff\xff\xff\xff\xff\xff\xff", id="a list longer than the message"),
    pytest.param(b"\x00\x53\x77\xb1\xff\xff\xff\xffx", id="a string longer than the message"),
    pytest.param(encode_bark(BARK)[:-1], id="cut short"),
    pytest.param(b"AMQP\x00\x01\x00\x00", id="a protocol header"),
]


@pytest.mark.parametrize("data", NO_MESSAGES)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises((DecodeError, InvalidField)):
        decode_bark(data)


@given(st.data())
@settings(max_examples=50)
def test_a_bark_that_is_cut_short_anywhere_is_refused(data: st.DataObject) -> None:
    whole = encode_bark(BARK)
    decode_bark(whole)
    with pytest.raises((DecodeError, InvalidField)):
        decode_bark(whole[: data.draw(st.integers(0, len(whole) - 1))])


SECTIONS = encode_bark(BARK)
PROPERTIES, APPLICATION, BODY = (SECTIONS.index(bytes((0, 0x53, code))) for code in (0x73, 0x74, 0x77))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(SECTIONS[:PROPERTIES], id="only a header"),
        pytest.param(SECTIONS[:APPLICATION], id="no user and no body"),
        pytest.param(SECTIONS[:BODY], id="no body"),
        pytest.param(SECTIONS[:APPLICATION] + SECTIONS[BODY:], id="no user"),
        pytest.param(SECTIONS[:PROPERTIES] + SECTIONS[APPLICATION:], id="no properties"),
        pytest.param(SECTIONS[BODY:], id="only a body"),
        pytest.param(b"hello", id="no message"),
    ],
)
def test_nothing_of_one_message_is_taken_for_the_next(data: bytes) -> None:
    assert decode_bark(encode_bark(BARK)) == BARK
    with pytest.raises((DecodeError, InvalidField)):
        decode_bark(data)


# Ids


@pytest.mark.parametrize(
    ("id_given", "found"),
    [
        ("id-1", "id-1"),
        ("x" * 300, "x" * 300),
        ("", ""),
        (None, ""),
        (ulong(7), ""),
        (UUID(int=7), ""),
        (b"id-1", ""),
    ],
)
def test_only_a_string_is_a_message_id(id_given: Any, found: str) -> None:
    message_id(encode_bark(BARK))
    assert message_id(encoded(Message(id=id_given, body=[1, 2]))) == found


def test_a_message_without_properties_has_no_id_of_the_message_before() -> None:
    assert message_id(encode_bark(BARK)) == "id-1"
    assert message_id(encoded(Message(body="woof"))) == ""


def test_an_id_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(DecodeError):
        message_id(bent(b"id-1", b"\xff\xfe\xfd\xfc"))


# Delivery annotations

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.binary(max_size=300),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.uuids(),
    st.integers(-128, 127).map(byte),
    st.integers(0, 2**40).map(timestamp),
    st.from_regex(r"[a-z-]{1,20}", fullmatch=True).map(symbol),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
SHORT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
SYMBOLS = st.from_regex(r"x-opt-[a-z]{1,12}", fullmatch=True).map(symbol)
ANNOTATIONS = st.dictionaries(SYMBOLS, VALUES, max_size=3).map(AnnotationDict)
SECONDS = st.integers(0, 2**31).map(float)
MESSAGES = st.fixed_dictionaries(
    {"body": VALUES},
    optional={
        "inferred": st.booleans(),
        "durable": st.booleans(),
        "priority": st.integers(0, 255),
        "ttl": st.integers(1, 10_000).map(float),
        "first_acquirer": st.booleans(),
        "delivery_count": st.integers(0, 2**32 - 1),
        "id": SHORT | st.uuids() | st.binary(max_size=10) | st.integers(0, 2**64 - 1).map(ulong),
        "user_id": st.binary(max_size=20),
        "address": SHORT,
        "subject": SHORT,
        "reply_to": SHORT,
        "correlation_id": SHORT | st.uuids(),
        "content_type": SYMBOLS,
        "content_encoding": SYMBOLS,
        "expiry_time": SECONDS,
        "creation_time": SECONDS,
        "group_id": SHORT,
        "group_sequence": st.integers(0, 2**31 - 1),
        "reply_to_group_id": SHORT,
        "properties": st.dictionaries(SHORT, SCALARS, max_size=4),
        "instructions": ANNOTATIONS,
        "annotations": ANNOTATIONS,
    },
).map(lambda parts: Message(**parts))
ADDED = st.dictionaries(
    st.sampled_from([RECIPIENTS, KEY, MISSED]),
    SHORT | st.integers(0, 2**64 - 1) | st.text("ab ", min_size=256, max_size=300),
    max_size=3,
)


@given(MESSAGES, ADDED)
def test_new_delivery_annotations_leave_header_and_bare_message_alone(
    made: Message, added: dict[str, str | int]
) -> None:
    before = encoded(made)
    after = with_delivery_annotations(before, added)
    made.instructions = None
    without = encoded(made)
    header, annotations, rest = cut(after)
    assert header + rest == without, "nothing else has changed"
    assert header == b"" or header[:3] == b"\x00\x53\x70"
    assert rest[:3] not in (b"\x00\x53\x70", b"\x00\x53\x71")
    assert (cut(before).header, cut(before).rest) == (header, rest)
    assert annotations_in(annotations) == added
    assert dict(decoded(after).instructions or {}) == {symbol(key): value for key, value in added.items()}


def test_a_bark_that_only_proton_can_take_apart_is_annotated_with_no_mentions() -> None:
    # The header's descriptor is a small signed number, which AMQP has for no section (§3.2).
    data = encode_bark(Bark("id-1", "rex", "Hi @ann", 1)).replace(b"\x00\x53\x70", b"\x00\x54\x70", 1)
    assert decode_bark(data).id == "id-1"
    with pytest.raises(DecodeError):
        cut(data)
    assert with_mentions(data, ["ann"]) == data


@given(MESSAGES, ADDED)
@settings(max_examples=50)
def test_mentions_are_annotated_and_nothing_else_changes(made: Message, added: dict[str, str | int]) -> None:
    made.annotations = None
    before = with_delivery_annotations(encoded(made), added)
    after = with_mentions(before, ["rex", "spot"])
    assert dict(decoded(after).annotations or {}) == {symbol("x-opt-mentions"): "rex spot"}
    assert cut(after).rest.endswith(cut(before).rest)
    assert cut(after)[:2] == cut(before)[:2]
    assert with_mentions(before, []) == before
    assert with_mentions(after, ["other"]) == after, "what a sender has annotated stays"


@given(MESSAGES)
@settings(max_examples=50)
def test_what_is_cut_makes_the_whole_again(made: Message) -> None:
    data = encoded(made)
    sections = cut(data)
    assert b"".join(sections) == data
    assert plain(annotations_in(sections.delivery_annotations)) == (made.instructions or {})


def plain(value: Any) -> Any:
    """A value with bytes for Proton's views of bytes."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return bytes(value) if isinstance(value, memoryview) else value


def test_annotations_take_the_place_of_earlier_ones() -> None:
    once = with_delivery_annotations(encode_bark(BARK), {KEY: "one", MISSED: 3})
    twice = with_delivery_annotations(once, {MISSED: 4})
    assert annotations_in(cut(twice).delivery_annotations) == {MISSED: 4}
    assert with_delivery_annotations(once, {MISSED: 4}) == twice
    assert decode_bark(twice) == BARK


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 257, 65_535, 65_536, 1_000_000])
def test_recipients_of_any_length_are_carried(size: int) -> None:
    names = ("rex " * (size // 4 + 1))[:size]
    data = with_delivery_annotations(encode_bark(BARK), {RECIPIENTS: names, KEY: "k"})
    assert annotations_in(cut(data).delivery_annotations) == {RECIPIENTS: names, KEY: "k"}
    assert dict(decoded(data).instructions) == {symbol(RECIPIENTS): names, symbol(KEY): "k"}
    assert decode_bark(data) == BARK


def test_no_section_is_no_annotations() -> None:
    assert annotations_in(b"") == {}
    assert cut(b"") == (b"", b"", b"")


BARE = b"\x00\x53\x77\xa1\x04woof"
HEADERS = [
    pytest.param(b"", id="none"),
    pytest.param(b"\x00\x53\x70\x45", id="an empty list"),
    pytest.param(b"\x00\x53\x70\xc0\x02\x01\x41", id="list8"),
    pytest.param(b"\x00\x53\x70\xd0\x00\x00\x00\x05\x00\x00\x00\x01\x41", id="list32"),
    pytest.param(b"\x00\x80" + struct.pack(">Q", 0x70) + b"\xc0\x02\x01\x41", id="ulong"),
    pytest.param(b"\x00\xa3\x10amqp:header:list\xc0\x02\x01\x41", id="symbol"),
]
EARLIER = [
    pytest.param(b"", id="none"),
    pytest.param(b"\x00\x53\x71\xc1\x01\x00", id="an empty map8"),
    pytest.param(b"\x00\x53\x71\xc1\x06\x02\xa3\x01k\x54\x07", id="map8"),
    pytest.param(b"\x00\x53\x71\xd1\x00\x00\x00\x09\x00\x00\x00\x02\xa3\x01k\x54\x07", id="map32"),
    pytest.param(b"\x00\x80" + struct.pack(">Q", 0x71) + b"\xc1\x01\x00", id="ulong"),
    pytest.param(b"\x00\xa3\x1damqp:delivery-annotations:map\xc1\x01\x00", id="symbol"),
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("earlier", EARLIER)
def test_every_encoding_of_a_section_is_known(header: bytes, earlier: bytes) -> None:
    assert cut(header + earlier + BARE) == (header, earlier, BARE)
    data = with_delivery_annotations(header + earlier + BARE, {MISSED: 3})
    assert data.startswith(header)
    assert data.endswith(BARE)
    assert dict(decoded(data).instructions) == {symbol(MISSED): 3}
    assert decoded(data).body == "woof"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello", id="text"),
        pytest.param(b"\x00", id="the end after a zero"),
        pytest.param(b"\x00\x53", id="the end before the code"),
        pytest.param(b"\x00\x53\x70", id="the end before the header"),
        pytest.param(b"\x00\x53\x70\xc0", id="the end before the size"),
        pytest.param(b"\x00\x53\x70\xd0\x00\x00", id="the end in the size"),
        pytest.param(b"\x00\x53\x70\xc0\x09\x01\x41", id="the end in the header"),
        pytest.param(b"\x00\x53\x71\xd1\xff\xff\xff\xff" + b"x" * 100, id="annotations too long"),
        pytest.param(b"\x00\x80\x00\x00", id="the end in a descriptor"),
        pytest.param(b"\x00\xa3", id="the end before a symbol"),
        pytest.param(b"\x00\xa1\x01x\x45", id="a string for a descriptor"),
        pytest.param(b"\x00\x53\x70\x40" + BARE, id="a header that is null"),
        pytest.param(b"\x00\x53\x71\xa1\x01x" + BARE, id="annotations that are a string"),
        pytest.param(b"\x00\x53\x70\x45hello", id="text after the header"),
    ],
)
def test_what_is_no_row_of_sections_cannot_be_cut(data: bytes) -> None:
    with pytest.raises(DecodeError):
        cut(data)
    with pytest.raises(DecodeError):
        with_delivery_annotations(data, {MISSED: 1})


def nested(levels: int) -> bytes:
    """Delivery annotations of a list in a list in a list …"""
    value, size = [b"\x45"], 1
    for _ in range(levels):
        value.append(b"\xd0" + struct.pack(">II", size + 4, 1))
        size += 9
    pairs = b"\xa3\x01k" + b"".join(reversed(value))
    return b"\x00\x53\x71\xd1" + struct.pack(">II", len(pairs) + 4, 2) + pairs


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(b"hello", id="text"),
        pytest.param(b"\x00", id="a zero"),
        pytest.param(b"\x00\x53\x71\x45", id="a list"),
        pytest.param(b"\x00\x53\x71\xc1\x06\x02\xa1\x01\xff\x54\x07", id="a key that is not UTF-8"),
        pytest.param(b"\x00\x53\x71\xc1\x05\x02\x45\x54\x07\x40", id="a key that is a list"),
        pytest.param(nested(10_000), id="10,000 lists in each other"),
        pytest.param(nested(100_000), id="100,000 lists in each other"),
    ],
)
def test_annotations_that_cannot_be_decoded_are_refused(section: bytes) -> None:
    with pytest.raises(DecodeError):
        annotations_in(section)


# Maps and commands


@pytest.mark.parametrize(
    "body",
    [
        {"address": "inbox", "port": 5820, "since": 1700000000.5, "up": True, "none": None},
        [{"a": [1, 2, {"b": "c"}]}, "text"],
        "text",
        None,
        {},
        {"x" * 300: "y" * 100_000},
    ],
    ids=repr,
)
def test_a_map_is_the_same_after_coding(body: object) -> None:
    assert decode_map(encode_map("state", body)) == ("state", body)


def test_a_message_without_a_subject_has_an_empty_one() -> None:
    assert decode_map(encoded(Message(body={"a": 1}))) == ("", {"a": 1})


def test_a_command_is_the_same_after_coding() -> None:
    data = encode_command("stop", {"name": "bizlogic-1", "pid": 7})
    assert decode_command(data) == ("stop", {"name": "bizlogic-1", "pid": 7})


def test_what_a_command_lacks_is_empty() -> None:
    assert decode_command(encoded(Message())) == ("", {})
    assert decode_command(encoded(Message(body=["no", "map"], properties={"other": 1}))) == ("", {})


@pytest.mark.parametrize("decode", [decode_map, decode_command])
def test_a_subject_that_is_not_utf_8_is_refused(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(DecodeError):
        decode(bent(b"\xa1\x04bark", b"\xa1\x04b\xffrk"))


def test_bytes_that_were_decoded_stay_what_they_were() -> None:
    # Proton gives views into its own memory, which is freed with the decoder.
    value = bytes(range(200))
    annotated = encoded(Message(instructions={symbol("k"): value}))
    annotations = annotations_in(cut(annotated).delivery_annotations)
    _, body = decode_map(encode_map("state", {"k": value, "l": [value]}))
    _, arguments = decode_command(encode_command("stop", {"k": value}))
    for _ in range(50):
        decode_map(encode_map("other", {"k": b"x" * 200}))
    assert plain(annotations) == {"k": value}
    assert plain(body) == {"k": value, "l": [value]}
    assert plain(arguments) == {"k": value}


# Hostile bytes

DECODERS: list[Callable[[bytes], object]] = [
    decode_bark,
    cut,
    annotations_in,
    lambda data: with_delivery_annotations(data, {MISSED: 7}),
    message_id,
    decode_map,
    decode_command,
    lambda data: annotations_in(cut(data).delivery_annotations),
]


def read_in_every_way(data: bytes) -> None:
    for decode in DECODERS:
        with contextlib.suppress(PeerError):
            decode(data)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_a_message_or_a_peers_error(data: bytes) -> None:
    read_in_every_way(data)
    for code in (0x70, 0x71, 0x73, 0x74, 0x77):
        read_in_every_way(bytes((0, 0x53, code)) + data)


Mutation = tuple[str, int, bytes]
MUTATION = st.tuples(
    st.sampled_from(["set", "drop", "insert", "repeat"]), st.integers(0, 10_000), st.binary(max_size=3)
)
MUTATIONS = st.lists(MUTATION, min_size=1, max_size=6)


def mutated(data: bytes, mutations: list[Mutation]) -> bytes:
    found = bytearray(data)
    for what, place, by in mutations:
        at = place % (len(found) + 1)
        if what == "set":
            found[at : at + len(by)] = by
        elif what == "drop":
            del found[at : at + 1 + len(by)]
        elif what == "insert":
            found[at:at] = by
        else:
            found[at:at] = found[at : at + 20]
    return bytes(found)


RICH = encoded(
    message(
        durable=True,
        instructions={symbol(RECIPIENTS): "rex spot", symbol("x-opt-list"): [1, "two", {"three": 3.0}]},
        annotations={symbol("x-opt-trace"): UUID(int=7)},
        properties={"user": "rex", "none": None, "time": timestamp(7), "bytes": b"\0\1"},
        correlation_id=UUID(int=9),
        reply_to="x" * 300,
    )
)


@given(st.sampled_from([RICH, encode_bark(BARK), encode_map("state", {"a": [1, {"b": b"c"}]})]), MUTATIONS)
@settings(max_examples=500)
@example(RICH, [("set", RICH.index(b"bark"), b"\xff")])
@example(RICH, [("set", RICH.index(b"id-1"), b"\xff")])
def test_a_mutated_message_is_a_message_or_a_peers_error(data: bytes, mutations: list[Mutation]) -> None:
    read_in_every_way(mutated(data, mutations))


@pytest.mark.parametrize("levels", [500, 5_000, 100_000])
def test_lists_in_lists_are_a_message_or_a_peers_error(levels: int) -> None:
    section = nested(levels)
    read_in_every_way(section + BARE)
    read_in_every_way(b"\x00\x53\x77" + section[section.index(b"k") + 1 :])


def test_proton_itself_is_still_in_order_after_all_that() -> None:
    data = Data()
    data.put_object({"a": 1})
    assert decode_bark(encode_bark(BARK)) == BARK
    assert decoded(RICH).body == "woof @spot"


# Whether a message is one at all

WHOLE = [
    encode_bark(Bark("an id", "rex", "woof", 1)),
    Message(body="a string").encode(),
    Message(body=b"x" * 300, properties={"a": 1}, annotations={symbol("b"): [1, 2]}).encode(),
    Message(body=True).encode(),
    Message(body=None).encode(),
    b"\x00\x53\x75\xa0\x01a\x00\x53\x75\xa0\x01b",
    b"\x00\x53\x76\xc0\x03\x02\x54\x01\x00\x53\x78\xc1\x01\x00",
    b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x77\x41",
]


@pytest.mark.parametrize("data", WHOLE)
def test_a_row_of_whole_sections_is_a_message(data: bytes) -> None:
    check_sections(bytes(data))


@pytest.mark.parametrize(
    "data", [b"", b"abc", b"\x00", b"\x00\x53", b"\x00\x53\x77", b"\x00\x53\x99\x41", bytes(50)]
)
def test_what_is_no_row_of_sections_is_no_message(data: bytes) -> None:
    with pytest.raises(DecodeError, match="section"):
        check_sections(data)


@given(st.sampled_from(WHOLE), st.data())
def test_a_message_that_is_cut_within_a_section_is_none(data: bytes, draw: st.DataObject) -> None:
    with pytest.raises(DecodeError):
        check_sections(bytes(data)[:-1])
    # Cut between sections it is one, if a poor one.
    with contextlib.suppress(DecodeError):
        check_sections(bytes(data)[: draw.draw(st.integers(0, len(data) - 1))])


@given(st.binary(max_size=60))
def test_whatever_bytes_come_they_are_a_message_or_refused(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        check_sections(data)
        assert data[0] == 0


@pytest.mark.parametrize("there", [{}, {"x-opt-old": "yes"}, {f"x-opt-{at}": "y" * 50 for at in range(20)}])
def test_an_annotation_is_added_to_those_that_are_there(there: dict[str, str]) -> None:
    message = Message(id="id", body="woof", durable=True)
    message.annotations = {symbol(key): value for key, value in there.items()} or None
    after = with_message_annotation(bytes(message.encode()), "x-opt-new", "é" * 300)
    read = Message()
    read.decode(after)
    assert {str(key): value for key, value in read.annotations.items()} == there | {"x-opt-new": "é" * 300}
    assert (read.id, read.body, read.durable) == ("id", "woof", True)


@pytest.mark.parametrize("data", [b"no message", b"\x00\x53\x72", b"\x00"])
def test_no_annotation_is_added_to_what_is_no_message(data: bytes) -> None:
    with pytest.raises(DecodeError):
        with_message_annotation(data, "x-opt-new", "yes")
