"""How much of a log is about one peer."""

from __future__ import annotations

import pytest

from barker.core.log_share import PEERS, SECONDS, LogShare, Peer


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.0.0.1:5672", "127.0.0.1"),
        ("::1:5672", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("None", "None"),
    ],
)
def test_a_peer_is_known_by_its_host(text: str, host: str) -> None:
    assert Peer(text).host == host


def test_so_many_lines_and_then_how_many_were_left_out() -> None:
    share = LogShare(3)
    assert share.left_out(10.0) == []
    assert [share.admit(Peer(f"127.0.0.1:{port}")) for port in range(5)] == [True] * 3 + [False] * 2
    assert share.admit(Peer("10.0.0.1:1"))
    assert share.left_out(10.0 + SECONDS / 2) == []
    [told] = share.left_out(10.0 + SECONDS)
    assert told == "127.0.0.1: 2 more lines about it, within a minute, were left out"
    assert share.admit(Peer("127.0.0.1:6"))
    assert share.left_out(10.0 + 3 * SECONDS) == []


def test_very_many_peers_are_one() -> None:
    share = LogShare(3)
    admitted = sum(share.admit(Peer(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}:1")) for n in range(50_000))
    assert admitted == PEERS + 3


def test_a_clock_that_is_set_back_keeps_nobody_out_for_long() -> None:
    share = LogShare(1)
    share.left_out(1_000_000.0)
    share.admit(Peer("10.0.0.1:1"))
    share.admit(Peer("10.0.0.1:1"))
    assert len(share.left_out(10.0)) == 1
