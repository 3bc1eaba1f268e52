"""Proton's C interface: the list of what is called is exact, and every version of it does the same."""

from __future__ import annotations

import ast
import importlib.util
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import cproton_ffi
import pytest
from proton import Array, Data, Described, Message, symbol

from barker.amqp import _proton
from barker.amqp._proton import ACCEPTED, REJECTED, owned, read_id, read_map, utf8, write_map
from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.message import (
    annotations_in,
    decode_bark,
    decode_command,
    decode_map,
    encode_bark,
    encode_map,
    message_id,
)
from barker.core.barks import Bark
from barker.core.errors import DecodeError, NotAllowed, PeerError, Redirect
from tests.amqp.pair import Pair, Recorder
from tests.harness import ROOT

# The list of names


def called() -> set[str]:
    """Each X of a `lib.X` in Barker."""
    return {
        node.attr
        for path in (ROOT / "barker").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lib"
    }


def test_the_names_are_those_that_are_called() -> None:
    assert sorted(_proton._NAMES) == sorted(called()), "each once, none too many and none too few"


def imported_without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Import `_proton.py` anew, over a Proton without these names."""
    there = {name: getattr(cproton_ffi.lib, name) for name in _proton._NAMES if name not in names}
    monkeypatch.setattr(cproton_ffi, "lib", SimpleNamespace(**there))
    spec = importlib.util.spec_from_file_location("anew", _proton.__file__)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_a_proton_that_has_all_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    imported_without(monkeypatch)


def test_a_proton_that_lacks_names_is_told_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError) as told:
        imported_without(monkeypatch, "pn_link_flow", "PN_DELIVERY")
    assert str(told.value) == (
        "this python-qpid-proton lacks PN_DELIVERY, pn_link_flow: install the version in requirements.txt"
    )


# Strings that are no UTF-8. Up to 0.40 Proton raises over them; from 0.41 on it gives lone surrogates, as
# these tests have it do.

SURROGATES = [
    pytest.param("\udcff", id="alone"),
    pytest.param("wo\udcffof", id="in a text"),
    pytest.param("\ud83d", id="half a pair"),
    pytest.param(symbol("\udcff"), id="a symbol"),
    pytest.param({"\udcff": 1}, id="a key"),
    pytest.param({"key": "\udcff"}, id="a value"),
    pytest.param(["woof", ["\udcff"]], id="in lists"),
    pytest.param(Array(None, 0, "\udcff"), id="in an array"),
    pytest.param(Described(symbol("x"), "\udcff"), id="described"),
]


@pytest.mark.parametrize("value", SURROGATES)
def test_what_has_surrogates_is_not_owned(value: Any) -> None:
    with pytest.raises(UnicodeEncodeError):
        owned(value)


@pytest.mark.parametrize("text", ["", "woof", "wöof", "\U0001f436", "\0"])
def test_every_other_text_is(text: str) -> None:
    assert owned({text: [text]}) == {text: [text]}


@pytest.mark.parametrize("value", SURROGATES)
def test_a_map_with_surrogates_is_none(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_proton, "dat2obj", lambda data: {"product": "barker", "other": value})
    assert read_map(None) == {}


def test_an_id_with_surrogates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a footer, which Barker's own clients never write, so it is Proton that reads it.
    data = encode_bark(Bark("id-1", "rex", "woof", 1)) + b"\x00\x53\x78\xc1\x01\x00"
    assert message_id(data) == decode_bark(data).id == "id-1"
    monkeypatch.setattr(_proton, "msgid2py", lambda id: "\udcff")
    for decode in (message_id, decode_bark):
        with pytest.raises(DecodeError):
            decode(data)


@pytest.mark.parametrize("value", SURROGATES)
def test_a_body_with_surrogates_is_refused(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_map("reports", {})
    monkeypatch.setattr(Message, "_post_decode", lambda self: setattr(self, "body", value))
    for decode in (decode_map, decode_command):
        with pytest.raises(DecodeError):
            decode(data)


@pytest.mark.parametrize("value", SURROGATES)
def test_annotations_with_surrogates_are_refused(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Data, "get_object", lambda self: Described(0x71, {"x-opt-key": value}))
    with pytest.raises(DecodeError):
        annotations_in(b"\x00\x53\x71\xc1\x06\x02\xa3\x01a\x54\x07")


# What peers send


def a_map(*parts: bytes) -> bytes:
    """A map of keys and values that are encoded already (AMQP 1.0 §1.6.23)."""
    return b"\xc1" + bytes([1 + len(b"".join(parts)), len(parts)]) + b"".join(parts)


KEY, SEVEN = b"\xa3\x01k", b"\x54\x07"

HOSTILE = [
    pytest.param(a_map(b"\x45", SEVEN), {}, id="a list as key"),
    pytest.param(a_map(a_map(), SEVEN), {}, id="a map as key"),
    pytest.param(a_map(b"\x00" + KEY + b"\x45", SEVEN), {}, id="a described key"),
    pytest.param(a_map(b"\xe0\x03\x01\x54\x07", SEVEN), {}, id="an array as key"),
    pytest.param(a_map(b"\xa1\x01\xff", SEVEN), {}, id="a key that is no UTF-8"),
    pytest.param(a_map(KEY, b"\xa1\x02\xff\xfe"), {}, id="a value that is no UTF-8"),
    pytest.param(a_map(b"\x82\x7f\xf8\0\0\0\0\0\0", SEVEN), {"nan": 7}, id="no number as key"),
    pytest.param(a_map(b"\x40", SEVEN), {"None": 7}, id="null as key"),
    pytest.param(a_map(KEY), {"k": None}, id="a key without a value"),
    pytest.param(a_map(KEY, b"\xa0\x01x"), {"k": b"x"}, id="bytes"),
    pytest.param(a_map(KEY, b"\x00" + KEY + SEVEN), {"k": 7}, id="a described value"),
    pytest.param(a_map(KEY, b"\xe0\x04\x02\x54\x07\x08"), {"k": [7, 8]}, id="an array"),
    pytest.param(b"\xc0\x03\x01" + SEVEN, {}, id="a list for a map"),
    pytest.param(b"\xa1\x01x", {}, id="a text for a map"),
    pytest.param(b"\x40", {}, id="null"),
]


@pytest.mark.parametrize(("encoded", "read"), HOSTILE)
def test_a_peers_map_is_read_or_is_none(encoded: bytes, read: dict[str, Any]) -> None:
    data = Data()
    data.decode(encoded)
    assert read_map(data._data) == read


def test_a_map_that_is_nested_too_deep_is_none() -> None:
    data = Data()
    data.put_map()
    data.enter()
    data.put_symbol(symbol("key"))
    for _ in range(20_000):
        data.put_list()
        data.enter()
    assert read_map(data._data) == {}


def test_bytes_are_our_own_wherever_they_are() -> None:
    view = memoryview(b"x")
    for value in ([view], {"k": view}, Array(None, 0, view), Described(symbol("d"), view)):
        assert not any(isinstance(each, memoryview) for each in flattened(owned(value)))


def flattened(value: Any) -> list[Any]:
    """All that is in a value."""
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in flattened(part)]
    return [each for part in value for each in flattened(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("id", [None, "id-1", "wöof", 7, b"id-1", UUID(int=7)])
def test_ids_of_each_kind_are_read(id: Any) -> None:
    assert read_id(Message(id=id)._msg) == id


# What we write


def encoded(entries: dict[str, Any]) -> Data:
    """A map as a peer would have it."""
    data, read = Data(), Data()
    write_map(data._data, entries)
    read.decode(data.encode())
    return read


def test_a_map_of_each_size_arrives() -> None:
    for size in range(600):
        entries = {"key": "x" * size}
        assert read_map(encoded(entries)._data) == entries


@pytest.mark.parametrize("value", ["x", b"x", "", 7, -7, 1.5, True, None])
def test_a_plain_value_is_written(value: Any) -> None:
    assert read_map(encoded({"key": value})._data) == {"key": value}


@pytest.mark.parametrize("value", [[True], {"a": 1}, {1}, object()], ids=lambda value: type(value).__name__)
def test_any_other_is_left_out(value: Any) -> None:
    assert read_map(encoded({"key": value, "other": 1})._data) == {"other": 1}


def test_lists_in_a_link_property_crash_no_proton() -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    pair = Pair()
    pair.sender("x", deep=deep, other=["x" * 400, [1], [2]], last="x" * 2_000)
    assert pair.server_peer.links[0].properties == {"last": "x" * 2_000}
    assert pair.works()


LONE = "wo\ud83df"
"""A text that UTF-8 has no bytes for, as arguments of a command and JSON may be."""
SHOWN = "wo?f"


def test_a_lone_surrogate_is_written_as_a_question_mark() -> None:
    assert utf8(LONE) == b"wo?f"
    assert utf8("wöof\0\U0001f436") == "wöof\0\U0001f436".encode()
    assert read_map(encoded({LONE: LONE, "schlüssel": "wöof"})._data) == {SHOWN: SHOWN, "schl?ssel": "wöof"}


def test_a_lone_surrogate_in_a_container_id_costs_nothing() -> None:
    pair = Pair(container=LONE)
    pair.pump()
    assert pair.server.peer_container == SHOWN
    assert pair.works()


def test_a_lone_surrogate_in_a_host_name_costs_nothing() -> None:
    pair = Pair()
    pair.client = Connection(pair.client_peer, "client", server=False, hostname=LONE)
    assert pair.works()


def test_a_lone_surrogate_in_an_address_costs_nothing() -> None:
    pair = Pair()
    assert pair.sender(LONE)[2].address == SHOWN
    assert pair.receiver(LONE)[2].address == SHOWN
    assert pair.works()


def test_a_lone_surrogate_in_a_link_property_costs_nothing() -> None:
    pair = Pair()
    _, _, far, _ = pair.sender("x", **{LONE: LONE})
    assert far.properties == {SHOWN: SHOWN}
    assert pair.works()


class Ends(Recorder):
    """Remembers the whole condition, too."""

    def on_closed(self, link: Any, condition: Condition | None) -> None:
        super().on_closed(link, condition)
        self.condition = condition


ODD = Condition(f"x:{LONE}", LONE, {LONE: LONE})


def same(condition: Condition | None) -> bool:
    """Whether that is what came of :data:`ODD`."""
    assert condition is not None
    return (condition.name, condition.description, condition.info) == (f"x:{SHOWN}", SHOWN, {SHOWN: SHOWN})


def test_a_lone_surrogate_in_a_links_condition_costs_nothing() -> None:
    pair = Pair(lambda link: Ends())
    link, _, _, far_handler = pair.sender()
    link.close(ODD)
    pair.pump()
    assert same(far_handler.condition)
    assert pair.works()


def test_a_lone_surrogate_in_a_connections_condition_costs_nothing() -> None:
    pair = Pair()
    pair.pump()
    pair.server.close(ODD)
    pair.pump()
    pair.client.lost()
    assert same(pair.client_peer.lost[0])


def test_a_lone_surrogate_in_a_rejection_costs_nothing() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    for number in range(2):
        link.send(b"woof", number)
    pair.pump()
    far_handler.deliveries[0].reject(NotAllowed(LONE))
    far_handler.deliveries[1].accept()
    pair.pump()
    assert [(token, outcome, str(condition or "")) for token, outcome, condition in handler.outcomes] == [
        (0, REJECTED, f"amqp:not-allowed: {SHOWN}"),
        (1, ACCEPTED, ""),
    ]
    assert pair.works()


@pytest.mark.parametrize("error", [NotAllowed(LONE), Redirect(LONE, 5672, LONE)], ids=["no", "redirect"])
def test_a_lone_surrogate_in_a_refusal_costs_nothing(error: PeerError) -> None:
    def refuse(link: Any) -> LinkHandler:
        raise error

    pair = Pair()
    pair.server_peer.answer = refuse
    handler = Ends()
    pair.client.sender("x", handler)
    pair.pump()
    assert handler.condition is not None
    assert handler.condition.name == error.condition
    assert SHOWN in handler.condition.description
    assert handler.condition.info == {
        key: SHOWN if each == LONE else each for key, each in error.info.items()
    }
    pair.server_peer.answer = lambda link: Recorder()
    assert pair.works()
