"""Who may do what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from barker.core.access import (
    OPERATOR,
    PROOF,
    STRANGER,
    Credentials,
    Identity,
    check_receive,
    check_registration,
    check_send,
    identified,
    on_loopback,
    proof,
    service,
)
from barker.core.errors import Unauthorized

BIZLOGIC, OUTBOX, GATEWAY = service("bizlogic"), service("outbox"), service("gateway")
KEY = b"0123456789abcdef"
OURS = Credentials(service("directory"), KEY)


@pytest.mark.parametrize(
    ("who", "address"),
    [
        (BIZLOGIC, "inbox"),
        (BIZLOGIC, "inbox/ark3"),
        (BIZLOGIC, "inbox-2-of-4"),
        (OUTBOX, "bizlogic"),
        (GATEWAY, "launcher"),
        (OPERATOR, "inbox/ark3"),
        (OPERATOR, "launcher"),
        (OPERATOR, "outbox/dead-letters"),
        (STRANGER, "outbox"),
        (STRANGER, "orders/eu"),
        (STRANGER, "inboxes"),
        (service("orders"), "outbox"),
    ],
)
def test_they_may_send(who: Identity, address: str) -> None:
    check_send(who, address)


@pytest.mark.parametrize(
    ("who", "address"),
    [
        (STRANGER, "inbox/ark3"),
        (STRANGER, "inbox-2-of-4/ark3"),
        (OUTBOX, "inbox/ark3"),
        (service("inbox"), "inbox/ark3"),
        (BIZLOGIC, "bizlogic"),
        (STRANGER, "bizlogic"),
        (STRANGER, "launcher"),
        (OUTBOX, "launcher"),
        (STRANGER, "orders/dead-letters"),
        (service("orders"), "orders/dead-letters"),
        (BIZLOGIC, "inbox/x/dead-letters"),
    ],
)
def test_they_may_not_send(who: Identity, address: str) -> None:
    with pytest.raises(
        Unauthorized, match=f"a {who.kind} may not send to {address}: it takes the suite's key"
    ):
        check_send(who, address)


@pytest.mark.parametrize("address", ["inbox/ark3", "orders", "monitor", "agents/127.0.0.1-5672", "directory"])
def test_strangers_may_receive(address: str) -> None:
    check_receive(STRANGER, address)


@pytest.mark.parametrize("address", ["launcher", "launcher/logs", "outbox/dead-letters"])
def test_strangers_may_not_receive(address: str) -> None:
    with pytest.raises(Unauthorized, match="may not receive from"):
        check_receive(STRANGER, address)
    check_receive(OPERATOR, address)


def test_who_may_serve_an_address() -> None:
    check_registration(OUTBOX, "outbox")
    check_registration(service("orders/eu"), "orders/us")
    check_registration(OUTBOX, "agents/127.0.0.1-5800")
    check_registration(OPERATOR, "inbox")
    check_registration(service("inbox"), "inbox-2-of-4")
    for who in (STRANGER, OUTBOX, service("agents")):
        with pytest.raises(Unauthorized, match=f"a {who} may not serve inbox"):
            check_registration(who, "inbox")
    with pytest.raises(Unauthorized):
        check_registration(STRANGER, "agents/127.0.0.1-5800")


def test_a_proof_is_for_what_it_was_made_for() -> None:
    right = {PROOF: proof(KEY, "billing", "127.0.0.1", 5952)}
    assert identified(STRANGER, OURS, right, "billing", "127.0.0.1", 5952) == OPERATOR
    assert identified(STRANGER, OURS, right, "billing", "127.0.0.1", 5953) == STRANGER
    assert (
        identified(STRANGER, Credentials(OPERATOR, b"another key"), right, "billing", "127.0.0.1", 5952)
        == STRANGER
    )
    for wrong in ({}, {PROOF: ""}, {PROOF: "é"}, {PROOF: 7}, {PROOF: b"x"}):
        assert identified(STRANGER, OURS, wrong, "billing", "127.0.0.1", 5952) == STRANGER
        assert identified(BIZLOGIC, OURS, wrong, "x") == BIZLOGIC


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("operator", OPERATOR),
        ("service:inbox", service("inbox")),
        ("service:", STRANGER),
        ("service", STRANGER),
        ("operator:x", STRANGER),
        ("ark3", STRANGER),
        ("", STRANGER),
    ],
)
def test_who_somebody_says_it_is(text: str, who: Identity) -> None:
    assert Identity.parse(text) == who
    assert who == STRANGER or str(who) == text


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.7", False),
        ("localhost.example", False),
        ("127.1", False),
    ],
)
def test_who_is_reached_from_its_own_machine_only(host: str, alone: bool) -> None:
    assert on_loopback(host) == alone


PERSON = Identity("person", "ark3")


def test_people_bark_and_read_timelines_and_do_nothing_else() -> None:
    check_send(PERSON, "outbox")
    check_receive(PERSON, "inbox/ark3")
    check_receive(PERSON, "inbox-2-of-4/ark3")
    for address in (
        "inbox/ark3",
        "bizlogic",
        "launcher",
        "orders",
        "outbox/dead-letters",
        "outbox/eu",
        "monitor",
    ):
        with pytest.raises(Unauthorized, match="person:ark3 may not send to"):
            check_send(PERSON, address)
    for address in (
        "outbox",
        "inbox/dead-letters",
        "directory",
        "monitor",
        "agents/a-1",
        "launcher",
        "orders",
    ):
        with pytest.raises(Unauthorized, match="may not receive from"):
            check_receive(PERSON, address)
    with pytest.raises(Unauthorized, match="person:ark3 may not serve inbox"):
        check_registration(PERSON, "inbox")


def test_with_tls_nobody_is_an_operator_by_the_key() -> None:
    secured = Credentials(service("launcher"), b"", authority="authority.pem")
    assert identified(PERSON, secured, {PROOF: proof(b"", "launcher")}, "launcher") == PERSON
    assert (
        identified(PERSON, replace(secured, key=KEY), {PROOF: proof(KEY, "launcher")}, "launcher") == PERSON
    )
