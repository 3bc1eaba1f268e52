"""Whom the gateway lets in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.access import OPERATOR, STRANGER, Identity, pages_cookie, pages_key, proof
from barker.core.admission import Admission
from barker.core.advertised import Advertised
from barker.core.errors import Mistake

HOME = "127.0.0.1:5673"


KEY = pages_key(b"0" * 32)
COOKIE = pages_cookie(KEY)


NOW = 1_000_000.0


def refusal_of(
    origin: str | None,
    key: str = "",
    cookies: Sequence[str] = (),
    open_to_all: bool = True,
    host: str = HOME,
    also: tuple[str, ...] = (),
) -> str:
    gateway = admission(*also)
    return gateway.refusal(host, origin, gateway.who(origin, key, cookies, NOW), open_to_all)


def admission(*also: str, host: str = "127.0.0.1", port: int = 5673) -> Admission:
    return Admission(host, port, KEY, also)


@pytest.mark.parametrize(
    ("host", "port", "also", "named", "welcome"),
    [
        ("127.0.0.1", 5673, (), "127.0.0.1:5673", True),
        ("127.0.0.1", 5673, (), "LocalHost:5673", True),
        ("127.0.0.1", 5673, (), "[::1]:5673", True),
        ("::1", 5673, (), "[::1]:5673", True),
        ("10.0.0.7", 5673, (), "10.0.0.7:5673", True),
        ("127.0.0.1", 80, (), "localhost", True),
        ("127.0.0.1", 80, (), "localhost:80", True),
        ("0.0.0.0", 5673, ("Barker.example",), "barker.example:5673", True),
        ("0.0.0.0", 5673, ("barker.example",), "barker.example", True),
        ("0.0.0.0", 5673, ("barker.example:8443",), "barker.example:8443", True),
        ("0.0.0.0", 5673, ("fe80::1",), "[fe80::1]:5673", True),
        ("127.0.0.1", 5673, (), None, False),
        ("127.0.0.1", 5673, (), "", False),
        ("127.0.0.1", 5673, (), "localhost", False),
        ("127.0.0.1", 5673, (), "localhost:80", False),
        ("127.0.0.1", 5673, (), "localhost.:5673", False),
        ("127.0.0.1", 5673, (), "evil.example:5673", False),
        ("127.0.0.1", 5673, (), "127.0.0.1:5673@evil.example", False),
        ("127.0.0.1", 5673, (), "127.0.0.1:5673, evil.example", False),
        ("0.0.0.0", 5673, (), "10.0.0.7:5673", False),
        ("0.0.0.0", 5673, ("barker.example",), "barker.example:80", False),
        ("0.0.0.0", 5673, ("barker.example:8443",), "barker.example:5673", False),
    ],
)
def test_a_request_is_for_a_host_that_the_gateway_goes_by(
    host: str, port: int, also: tuple[str, ...], named: str | None, welcome: bool
) -> None:
    refusal = admission(*also, host=host, port=port).refusal(named, None, STRANGER)
    assert bool(refusal) is not welcome
    assert welcome or "--allow-host" in refusal


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        (f"http://{HOME}", True),
        ("http://localhost:5673", True),
        ("https://barker.example", True),
        ("http://barker.example:5673", True),
        ("", False),
        ("http://", False),
        ("http://127.0.0.1:1", False),
        ("http://127.0.0.1", False),
        (HOME, False),
        (f"ftp://{HOME}", False),
        (f"http://{HOME}.evil.example", False),
        (f"http://{HOME}/", False),
        (f"https://evil.example/{HOME}", False),
        ("http://barker.example:8000", False),
        (f"http://evil.example http://{HOME}", False),
        ("chrome-extension://abc", False),
        ("NULL", False),
    ],
)
def test_a_page_is_one_of_the_gateways_own(origin: str | None, welcome: bool) -> None:
    for key in (KEY, ""):
        refusal = refusal_of(origin, key, also=("barker.example",))
        assert bool(refusal) is not welcome
        assert welcome or f"open http://{HOME}/" in refusal
    assert admission("barker.example").is_ours(origin) is (welcome and origin is not None)


@pytest.mark.parametrize("port", [None, 80])
def test_it_goes_by_the_name_that_is_advertised(port: int | None) -> None:
    gateway = Admission("0.0.0.0", 5673, KEY, (), Advertised("barker.example", port))
    assert gateway.home == f"barker.example:{port or 5673}"
    for host in (gateway.home, HOME, *(["barker.example"] if port else [])):
        assert gateway.refusal(host, f"http://{host}", OPERATOR) == ""
    assert gateway.refusal("barker.example:1", None, OPERATOR) != ""


def test_a_host_that_is_not_ours_is_refused_whatever_the_origin() -> None:
    for origin in (None, "null", "http://evil.example:5673", f"http://{HOME}"):
        assert refusal_of(origin, KEY, [COOKIE], host="evil.example:5673")


WRONG = ("", KEY.upper(), f"{KEY} ", KEY[:-1], "sécret", "secret\udcff", pages_key(b"another suite's"))


@pytest.mark.parametrize("origin", ["null", "file://"])
def test_a_page_from_the_disk_shows_the_key_whatever_it_asks_for(origin: str) -> None:
    for open_to_all in (True, False):
        assert refusal_of(origin, KEY, open_to_all=open_to_all) == ""
        for key in (*WRONG, COOKIE):
            refusal = refusal_of(origin, key, [COOKIE], open_to_all)
            assert "a page from the disk needs the pages' key" in refusal


@pytest.mark.parametrize("origin", [None, f"http://{HOME}"])
def test_what_is_not_open_to_all_takes_the_key_or_a_page_of_ours_with_its_cookie(origin: str | None) -> None:
    assert refusal_of(origin) == ""
    assert refusal_of(origin, KEY, open_to_all=False) == ""
    for key in (*WRONG, COOKIE):
        refusal = refusal_of(origin, key, [KEY, pages_cookie("another")], open_to_all=False)
        assert "this takes the pages' key: open the link" in refusal
    with_cookie = refusal_of(origin, "", ["", COOKIE], open_to_all=False)
    assert bool(with_cookie) is (origin is None)


def test_the_key_the_cookie_and_the_proofs_of_links_are_not_the_same() -> None:
    assert len({KEY, COOKIE, proof(b"0" * 32, "cookie"), proof(b"0" * 32, "launcher")}) == 4


OURS = f"http://{HOME}"


def test_a_person_is_known_by_a_cookie_until_it_ends() -> None:
    for name in ("ark3", "a.b-c_d", "0"):
        cookie = admission().cookie_of(name, NOW + 10)
        who = [admission().who(OURS, "", ["x", cookie], now) for now in (NOW, NOW + 9.9, NOW + 10, NOW + 1e9)]
        assert who == [Identity("person", name)] * 2 + [STRANGER] * 2
        assert admission().refusal(HOME, OURS, who[0], open_to_all=False) == ""
        assert admission().who("http://evil.example", "", [cookie], NOW) == STRANGER
        assert admission().who(None, "", [cookie], NOW) == STRANGER
        assert Admission("127.0.0.1", 5673, pages_key(b"another")).who(OURS, "", [cookie], NOW) == STRANGER


@given(st.text(max_size=120))
def test_a_cookie_that_is_changed_is_nobodys(text: str) -> None:
    name, end, proved = admission().cookie_of("ark3", NOW + 10).split("~")
    for cookie in (text, f"rex~{end}~{proved}", f"{name}~{end}0~{proved}", f"{text}~{end}~{proved}"):
        if text != name:
            assert admission().who(OURS, "", [cookie], NOW) == STRANGER
    assert admission().who(OURS, text, [], NOW) == STRANGER
    assert admission().who(OURS, "", [COOKIE], NOW) == admission().who(None, KEY, [], NOW) == OPERATOR


def test_what_it_says_of_a_strange_header_is_one_short_line() -> None:
    for text in ("x" * 10_000, "evil\x1b[2J\nexample"):
        for refusal in (refusal_of(None, host=text), refusal_of(text)):
            assert len(refusal) < 300
            assert refusal.isprintable()


@pytest.mark.parametrize(
    "name", ["", "*", "http://barker.example", "barker.example/", "a b", "x:", "x:123456"]
)
def test_a_name_that_is_none_is_a_mistake(name: str) -> None:
    with pytest.raises(Mistake, match="no NAME or NAME:PORT"):
        admission(name)
