"""Passwords at the door: SASL PLAIN behind TLS, and the thread that looks at them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from barker.amqp.sasl import GATEWAY, CertifiedClient, CertifiedServer, Sasl, SaslClient
from barker.amqp.sign_in import MOST_OF_HOST, MOST_WAITING, WRONG, SignIn
from barker.core.access import OPERATOR, STRANGER, Credentials, Identity, service
from barker.core.errors import NotAuthentic
from tests.amqp.test_sasl import nonce, speak
from tests.harness import wait_for

ARK3 = Identity("person", "ark3")


def person(password: str) -> Credentials:
    return Credentials(ARK3, b"", authority="authority.pem", password=password)


class Desk:
    """Is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.then: list[Callable[[str], None]] = []

    def __call__(self, name: str, password: str, then: Callable[[str], None]) -> None:
        self.asked.append((name, password))
        self.then.append(then)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_who_has_the_password_is_that_person(size: int) -> None:
    desk, told = Desk(), []
    client, server = CertifiedClient(person("woof woof")), CertifiedServer(desk)
    server.on_answer = told.append
    speak(client, server, size)
    assert desk.asked == [("ark3", "woof woof")]
    assert not server.done
    desk.then[0]("")
    assert told == [None]
    assert server.identity == ARK3
    speak(client, server, size)
    assert client.done


def test_who_has_not_is_nobody_and_is_told_so() -> None:
    desk, told = Desk(), []
    client, server = CertifiedClient(person("meow")), CertifiedServer(desk)
    server.on_answer = told.append
    speak(client, server)
    desk.then[0](WRONG)
    assert [str(error) for error in told] == [WRONG]
    assert server.identity == STRANGER
    assert not server.done
    with pytest.raises(NotAuthentic, match="does not take this password for that of ark3"):
        speak(client, server)


def test_while_it_is_looked_at_nothing_more_is_taken() -> None:
    desk = Desk()
    client, server = CertifiedClient(person("woof woof")), CertifiedServer(desk)
    speak(client, server)
    with pytest.raises(NotAuthentic, match="not due"):
        server.receive(bytes.fromhex("0000001002010000005341c003 0140 4040".replace(" ", "")))
    assert len(desk.asked) == 1


def test_where_nobody_has_a_password_none_is_asked_for() -> None:
    client, server = CertifiedClient(person("woof woof")), CertifiedServer()
    with pytest.raises(NotAuthentic, match="no certificate"):
        speak(client, server)
    server = CertifiedServer()
    server.certificate = OPERATOR
    with pytest.raises(NotAuthentic, match="by EXTERNAL"):
        speak(CertifiedClient(person("woof woof")), server)


def test_nobody_gets_in_as_a_stranger() -> None:
    with pytest.raises(NotAuthentic, match="by PLAIN"):
        speak(SaslClient(None, nonce), CertifiedServer(Desk()))


@pytest.mark.parametrize(
    "first", [b"", b"\0\0", b"rex\0ark3\0woof woof", b"ark3", b"\xff\xff", b"operator\0ark3\0woof woof"]
)
def test_one_signs_in_as_oneself(first: bytes) -> None:
    desk = Desk()
    client, server = CertifiedClient(person("woof woof")), CertifiedServer(desk)
    client._choose = lambda offered: Sasl.send(client, 0x41, "PLAIN", first)  # type: ignore[method-assign]
    with pytest.raises(NotAuthentic):
        speak(client, server)
    assert desk.asked == []


@pytest.mark.parametrize(
    ("certificate", "wanted", "who"),
    [
        (GATEWAY, ARK3, ARK3),
        (GATEWAY, None, GATEWAY),
        (OPERATOR, None, OPERATOR),
        (OPERATOR, OPERATOR, OPERATOR),
    ],
)
def test_the_gateway_speaks_for_people(certificate: Identity, wanted: Identity | None, who: Identity) -> None:
    server = CertifiedServer()
    server.certificate = certificate
    speak(CertifiedClient(Credentials(certificate, b"", authority="x"), wanted), server)
    assert server.identity == who


@pytest.mark.parametrize(
    ("certificate", "wanted"),
    [
        (service("inbox"), ARK3),
        (ARK3, OPERATOR),
        (GATEWAY, OPERATOR),
        (GATEWAY, service("inbox")),
        (OPERATOR, ARK3),
    ],
)
def test_nobody_else_speaks_for_anybody(certificate: Identity, wanted: Identity) -> None:
    server = CertifiedServer()
    server.certificate = certificate
    with pytest.raises(NotAuthentic, match="and be that"):
        speak(CertifiedClient(Credentials(certificate, b"", authority="x"), wanted), server)
    assert server.identity == STRANGER


# The thread


class Slow:
    """Takes as long as it is let, and knows one password."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.most = self.now = 0

    there = True

    def check(self, name: str, password: str) -> bool:
        self.now += 1
        self.most = max(self.most, self.now)
        assert self.go.wait(30)
        self.now -= 1
        if name == "broken":
            raise OSError("the file is gone")
        return password == "woof woof"


def test_one_after_the_other_is_looked_at_and_so_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    slow, calls, told = Slow(), [], []

    def ask(host: str, name: str, password: str) -> None:
        sign_in.ask(host, name, password, lambda why: told.append((host, name, why)))

    sign_in = SignIn(slow, calls.append)
    for number in range(MOST_OF_HOST + 1):
        ask("one", f"user{number}", "woof woof")
    assert told == [("one", f"user{MOST_OF_HOST}", "too many sign in at once; try again later")]
    told.clear()
    ask("two", "ark3", "meow")
    ask("two", "broken", "woof woof")
    for number in range(MOST_WAITING):
        ask(f"host{number}", "ark3", "woof woof")
    assert len(told) == MOST_OF_HOST + 2, "as many too many"
    told.clear()
    slow.go.set()
    for _ in range(MOST_WAITING):
        wait_for(lambda: calls, "it is looked at")
        calls.pop()()
    assert slow.most == 1
    assert [why for host, _, why in told if host == "one"] == [""] * MOST_OF_HOST
    assert [why for host, _, why in told if host == "two"] == [WRONG, "nobody can sign in now"]
    assert len(told) == MOST_WAITING
    assert "the file is gone" in caplog.text
