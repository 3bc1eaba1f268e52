"""SASL in front of AMQP: two sides in memory, each fed what the other says, however it is cut."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.amqp.sasl import HEADER, CertifiedServer, ForeignClient, Sasl, SaslClient, SaslServer
from barker.core.access import OPERATOR, STRANGER, Credentials, service
from barker.core.errors import NotAuthentic

AMQP = b"AMQP\x00\x01\x00\x00"
OUTBOX = Credentials(service("outbox"), b"k" * 32)
COUNT = itertools.count()


def nonce() -> str:
    return f"nonce{next(COUNT)}"


def speak(client: Sasl, server: Sasl, size: int = 1 << 16) -> None:
    """Until neither has anything to say; `size` bytes at a time."""
    while client.output or server.output:
        for one, other in ((client, server), (server, client)):
            piece = bytes(one.output[:size])
            del one.output[:size]
            if piece:
                assert other.receive(piece) == b""


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("who", [OUTBOX, Credentials(OPERATOR, OUTBOX.key)])
def test_both_know_each_other(who: Credentials, size: int) -> None:
    client, server = SaslClient(who, nonce), SaslServer(OUTBOX.verifier(), nonce)
    speak(client, server, size)
    assert client.done
    assert server.done
    assert client.proved
    assert server.identity == who.identity


def test_without_credentials_one_is_a_stranger() -> None:
    client, server = SaslClient(None, nonce), SaslServer(OUTBOX.verifier(), nonce)
    speak(client, server)
    assert server.done
    assert server.identity == STRANGER
    assert not client.proved


def test_a_service_without_a_key_proves_nothing() -> None:
    client, server = SaslClient(OUTBOX, nonce), SaslServer(None, nonce)
    speak(client, server)
    assert client.done
    assert not client.proved
    assert server.identity == STRANGER


def test_another_key_is_refused_by_both() -> None:
    client = SaslClient(Credentials(OPERATOR, b"another key of 32 bytes, or so"), nonce)
    server = SaslServer(OUTBOX.verifier(), nonce)
    with pytest.raises(NotAuthentic, match="the key is another"):
        speak(client, server)
    assert server.identity == STRANGER
    assert not server.done
    with pytest.raises(NotAuthentic, match="the peer does not know the key that was shown"):
        client.receive(bytes(server.output))
    assert not client.done


def test_who_speaks_amqp_at_once_is_a_stranger() -> None:
    server = SaslServer(OUTBOX.verifier(), nonce)
    assert server.receive(AMQP[:4]) == b""
    assert server.receive(AMQP[4:] + b"more") == AMQP + b"more"
    assert server.done
    assert server.identity == STRANGER
    assert server.output == b""


def test_what_comes_behind_is_amqps() -> None:
    server = SaslServer(None, nonce)
    client = SaslClient(None, nonce)
    client.receive(HEADER)
    server.receive(bytes(client.output))
    client.output.clear()
    client.receive(bytes(server.output)[len(HEADER) :])
    assert server.receive(bytes(client.output) + AMQP) == AMQP


def test_a_peer_that_speaks_no_sasl_is_left() -> None:
    with pytest.raises(NotAuthentic, match="does not speak SASL"):
        SaslClient(OUTBOX, nonce).receive(AMQP)


def frame(body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + body


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x01\x02\x01\x00\x00",
        b"\x7f\xff\xff\xff\x02\x01\x00\x00",
        b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x00\x00\x00",
        frame(b""),
        frame(b"\x00\x53\x41\x40"),
        frame(b"\x00\x53\x41\xc0\x04\x01\xa3\x01A"),
        frame(b"\x00\x53\x43\xc0\x05\x01\xa0\x02ab"),
        frame(b"\x00\xa3\x01x\x45"),
        frame(b"\xff" * 20),
    ],
)
def test_what_is_none_of_sasl_ends_it(data: bytes) -> None:
    server = SaslServer(OUTBOX.verifier(), nonce)
    server.receive(HEADER)
    with pytest.raises(NotAuthentic):
        server.receive(data)
    assert not server.done


@settings(max_examples=300)
@given(data=st.binary(max_size=200), framed=st.booleans(), dialled=st.booleans())
def test_whatever_comes_ends_it_or_is_waited_for(data: bytes, framed: bool, dialled: bool) -> None:
    side: Sasl = SaslClient(OUTBOX, nonce) if dialled else SaslServer(VERIFIER, nonce)
    side.receive(HEADER)
    with contextlib.suppress(NotAuthentic):
        side.receive(frame(data) if framed else data)
    assert side.identity == STRANGER
    assert not side.proved


VERIFIER = OUTBOX.verifier()


def test_a_foreign_server_is_shown_a_password() -> None:
    asked: list[tuple[str, str]] = []

    def ask(name: str, password: str, then: Callable[[str], None]) -> None:
        asked.append((name, password))
        then("" if password == "geheim" else "that is not the password")

    client, server = ForeignClient("rex", "geheim"), CertifiedServer(ask)
    speak(client, server)
    assert (client.done, server.done, asked) == (True, True, [("rex", "geheim")])
    assert not client.proved
    client, server = ForeignClient("rex", "falsch"), CertifiedServer(ask)
    with pytest.raises(NotAuthentic, match="the password of its user rex"):
        speak(client, server)
    client, server = ForeignClient("", ""), CertifiedServer(ask)
    with pytest.raises(NotAuthentic, match="it takes PLAIN, and this shows ANONYMOUS"):
        speak(client, server)


def test_a_foreign_server_lets_a_stranger_in() -> None:
    client, server = ForeignClient("", ""), SaslServer(None, nonce)
    speak(client, server)
    assert (client.done, server.done) == (True, True)
    with pytest.raises(NotAuthentic, match="it takes ANONYMOUS, and this shows PLAIN"):
        speak(ForeignClient("rex", "geheim"), SaslServer(None, nonce))
