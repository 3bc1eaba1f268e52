"""SCRAM-SHA-256: the RFC's own exchange, and what is said to one that lies."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.errors import NotAuthentic
from barker.core.scram import ROUNDS, ScramClient, ScramServer, Verifier

# RFC 7677 §3
SECRET, CLIENT_NONCE = b"pencil", "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"


def exchange(client: ScramClient, server: ScramServer) -> None:
    """All four texts, each to the other side."""
    client.check(server.final(client.final(server.challenge(client.first()))))


def test_the_exchange_of_the_rfc() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    client = ScramClient("user", SECRET, CLIENT_NONCE)
    server = ScramServer(Verifier.of(SECRET, salt), SERVER_NONCE)
    assert client.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = server.challenge(client.first())
    assert challenge == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = client.final(challenge)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    outcome = server.final(final)
    assert outcome == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    client.check(outcome)
    assert server.name == "user"


@given(name=st.text("abc=,:é", min_size=1, max_size=20), secret=st.binary(min_size=1, max_size=40))
def test_who_has_the_secret_is_known_and_who_has_another_is_not(name: str, secret: bytes) -> None:
    verifier = Verifier.of(secret, b"some salt or other")
    server = ScramServer(verifier, "server")
    exchange(ScramClient(name, secret, "client"), server)
    assert server.name == name
    with pytest.raises(NotAuthentic, match="the key is another"):
        exchange(ScramClient(name, secret + b"x", "client"), ScramServer(verifier, "server"))


def test_a_server_without_the_secret_is_found_out() -> None:
    client = ScramClient("user", SECRET, "client")
    false = ScramServer(Verifier.of(b"pen", b"some salt or other"), "server")
    client.final(false.challenge(client.first()))
    for outcome in (b"v=AAAA", b"", b"v=?", b"e=other-error"):
        with pytest.raises(NotAuthentic):
            client.check(outcome)


def test_what_was_overheard_is_of_no_use() -> None:
    verifier = Verifier.of(SECRET, b"some salt or other")
    client, server = ScramClient("user", SECRET, "client"), ScramServer(verifier, "first")
    said = client.final(server.challenge(client.first()))
    later = ScramServer(verifier, "second")
    later.challenge(client.first())
    with pytest.raises(NotAuthentic, match="none to the challenge"):
        later.final(said)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=AAAA,i=4096",
        b"r=client,s=AAAA,i=4096",
        b"r=clientx,s=AAAA,i=1",
        b"r=clientx,s=AAAA,i=100000000",
        b"r=clientx,s=?,i=4096",
        b"\xff\xfe",
    ],
)
def test_a_challenge_that_is_none(challenge: bytes) -> None:
    client = ScramClient("user", SECRET, "client")
    client.first()
    with pytest.raises(NotAuthentic):
        client.final(challenge)


@pytest.mark.parametrize("first", [b"", b"n,a=other,n=user,r=x", b"y,,n=user,r=x", b"n,,r=x", b"n,,n=user"])
def test_a_beginning_that_is_none(first: bytes) -> None:
    with pytest.raises(NotAuthentic):
        ScramServer(Verifier.of(SECRET, b"salt"), "server").challenge(first)


@given(answer=st.binary(max_size=100))
def test_whatever_is_answered_is_no_proof(answer: bytes) -> None:
    server = ScramServer(VERIFIER, "server")
    server.challenge(b"n,,n=user,r=client")
    for text in (answer, b"c=biws,r=clientserver,p=" + answer):
        with pytest.raises(NotAuthentic):
            server.final(text)


VERIFIER = Verifier.of(SECRET, b"some salt or other", ROUNDS)
