"""What --advertise may say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.advertised import Advertised, host_alone, reached
from barker.core.errors import Mistake


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.7", "10.0.0.7", None),
        ("10.0.0.7:5680", "10.0.0.7", 5680),
        ("barker.example", "barker.example", None),
        ("barker.example.:65535", "barker.example.", 65535),
        ("node_1-a:1", "node_1-a", 1),
        ("fd00::7", "fd00::7", None),
        ("[fd00::7]", "fd00::7", None),
        ("[fd00::7]:5680", "fd00::7", 5680),
    ],
)
def test_a_host_and_perhaps_a_port(text: str, host: str, port: int | None) -> None:
    advertised = Advertised.parse(text)
    assert advertised == Advertised(host, port)
    assert Advertised.parse(str(advertised)) == advertised


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":5680", "10.0.0.7:", "10.0.0.7:0", "10.0.0.7:65536", "10.0.0.7:x", "10.0.0.7:\u0665"),
        *("[fd00::7]5680", "[fd00::7", "fd00::7]:1", "[]:1", "ho st", "http://host", "host/", "a..b", ".a"),
        *("a:1:2", "10.0.0", "10.0.0.7.8", "1234", "a" * 201, "host\n", "hóst", "-:-", "10.0.0.7, 10.0.0.8"),
    ],
)
def test_nothing_else(text: str) -> None:
    with pytest.raises(Mistake) as told:
        Advertised.parse(text)
    assert str(told.value).endswith("is no HOST or HOST:PORT; write it as 10.0.0.7 or 10.0.0.7:5680")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "0.0.0.0:5680", "[::]:5680"])
def test_every_address_is_none_to_dial(text: str) -> None:
    with pytest.raises(Mistake, match="is every address of a machine: name the one that others are to dial"):
        Advertised.parse(text)


@given(st.text())
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(Mistake):
        advertised = Advertised.parse(text)
        assert Advertised.parse(str(advertised)) == advertised


def test_what_is_not_advertised_is_where_it_listens() -> None:
    assert reached("0.0.0.0", 5680, None) == ("0.0.0.0", 5680)
    assert reached("0.0.0.0", 5680, Advertised("a")) == ("a", 5680)
    assert reached("0.0.0.0", 5680, Advertised("a", 1)) == ("a", 1)


def test_who_has_several_ports_advertises_none() -> None:
    assert (host_alone(None, ""), host_alone(Advertised("a"), "")) == ("", "a")
    with pytest.raises(Mistake, match=r"--advertise \[::1\]:1: it has several; name the host alone"):
        host_alone(Advertised("::1", 1), "it has several")
