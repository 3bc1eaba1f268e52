"""TLS in front of SASL and AMQP: two sides in memory; and certificates that are looked at again."""

from __future__ import annotations

import dataclasses
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barker.amqp.certificates import LOOK_SECONDS, Certificates
from barker.amqp.connection import Connection
from barker.amqp.sasl import CertifiedClient, CertifiedServer, SaslClient, SaslServer
from barker.amqp.tls import Tls
from barker.core.access import OPERATOR, Credentials, Identity, service
from barker.core.errors import Mistake, NotAuthentic
from barker.store.authority import Authority
from tests.amqp.pair import Peer, Recorder
from tests.certified import ARK3, DAY, certificates, credentials, replace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("foreign"))


def nothing(connection: Connection) -> None:
    """What is to be sent is looked for anyway."""


def of(folder: Path, who: Identity) -> Certificates:
    return Certificates(credentials(folder, who), time.monotonic)


class Ends:
    """Who dials and who is dialled, and what stands between each and its socket."""

    def __init__(
        self, dials: Certificates, dialled: Certificates, hostname: str = "127.0.0.1", size: int = 1 << 20
    ) -> None:
        self.size, self.handler = size, Recorder()
        self.client_peer, self.server_peer = Peer(lambda link: Recorder()), Peer(lambda link: self.handler)
        self.client = Connection(
            self.client_peer,
            "client",
            server=False,
            hostname=hostname,
            sasl=CertifiedClient(Credentials(OPERATOR, b"", authority="x")),
        )
        self.server = Connection(self.server_peer, "server", server=True, sasl=CertifiedServer())
        self.from_client: Any = dials.secure(self.client, nothing)
        self.from_server: Any = dialled.secure(self.server, nothing)

    def pump(self) -> None:
        """Carry bytes until there are no more, or a side has ended."""
        for _ in range(100_000):
            carried = self.carry(self.from_client, self.from_server)
            carried |= self.carry(self.from_server, self.from_client)
            if not carried:
                return
        pytest.fail("the two never stop talking")

    def carry(self, source: Any, target: Any) -> bool:
        output = source.output()
        if not output:
            return False
        data = bytes(output[: self.size])
        source.sent(len(data))
        target.receive(data)
        return True

    def why(self) -> tuple[str, str]:
        """Pump; why each of the two has ended, as its handler is told."""
        self.pump()
        for connection in (self.client, self.server):
            connection.lost()
        lost = (*self.client_peer.lost, *self.server_peer.lost)
        return str(lost[0]), str(lost[1])


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("who", [service("outbox"), OPERATOR, ARK3])
def test_both_know_each_other_and_what_is_sent_comes(folder: Path, who: Identity, size: int) -> None:
    ends = Ends(of(folder, who), of(folder, service("inbox")), size=size)
    ends.pump()
    assert ends.server.identity == who
    assert ends.client.identity == service("inbox")
    assert ends.client.proved
    link = ends.client.sender("x", Recorder())
    ends.pump()
    large = bytes(range(256)) * (1 if size == 1 else 2_000)
    link.send(large, "token")
    ends.pump()
    assert ends.handler.messages == [large]
    assert large[:64] not in bytes(ends.from_client.output() or b"")


def test_nothing_is_in_the_clear(folder: Path) -> None:
    ends = Ends(of(folder, OPERATOR), of(folder, service("inbox")))
    said = bytearray()
    carry = ends.carry

    def listening(source: Any, target: Any) -> bool:
        said.extend(source.output() or b"")
        return carry(source, target)

    ends.carry = listening  # type: ignore[method-assign]
    ends.pump()
    link = ends.client.sender("a-secret-address", Recorder())
    ends.pump()
    link.send(b"a secret", "token")
    ends.pump()
    assert ends.handler.messages == [b"a secret"]
    for secret in (b"a-secret-address", b"a secret", b"EXTERNAL", b"barker:operator"):
        assert secret not in said


def test_who_closes_says_goodbye_and_so_does_tls(folder: Path) -> None:
    ends = Ends(of(folder, OPERATOR), of(folder, service("inbox")))
    ends.pump()
    ends.client.close()
    ends.pump()
    assert not ends.server.live
    assert ends.from_client.output() is None
    assert ends.from_server.output() is None


@pytest.mark.parametrize("hostname", ["10.0.0.7", "barker.example"])
def test_a_certificate_for_another_host_is_not_taken(folder: Path, hostname: str) -> None:
    client, server = Ends(of(folder, OPERATOR), of(folder, service("inbox")), hostname).why()
    assert f"mismatch, certificate is not valid for '{hostname}'" in client
    assert "barker:not-authentic" in server


@pytest.mark.parametrize("hostname", ["", ".example"])
def test_who_has_no_name_is_not_dialled(folder: Path, hostname: str) -> None:
    with pytest.raises(NotAuthentic, match="is no name of a host"):
        Ends(of(folder, OPERATOR), of(folder, service("inbox")), hostname)


def test_one_of_a_foreign_authority_is_not_taken(folder: Path, foreign: Path) -> None:
    ours = dataclasses.replace(
        credentials(foreign, OPERATOR), authority=credentials(folder, OPERATOR).authority
    )
    client, server = Ends(Certificates(ours, time.monotonic), of(folder, service("inbox"))).why()
    assert "the peer's certificate is not taken: unable to get local issuer certificate" in server
    assert "the peer takes no TLS with this: unknown ca" in client
    client, server = Ends(of(folder, OPERATOR), of(foreign, service("inbox"))).why()
    assert "the peer's certificate is not taken: self-signed certificate in certificate chain" in client
    assert "unknown ca" in server


def test_one_that_has_expired_is_not_taken(folder: Path, tmp_path: Path) -> None:
    late = certificates(tmp_path / "late", time.time() - 3 * DAY)
    Authority(late).add(service("fresh"), (), 1, time.time())
    client, server = Ends(of(late, OPERATOR), of(late, service("fresh"))).why()
    assert "the peer's certificate is not taken: certificate has expired" in server
    assert "the peer takes no TLS with this: certificate expired" in client
    client, _ = Ends(of(late, service("fresh")), of(late, service("inbox"))).why()
    assert "certificate has expired" in client


def test_who_is_no_server_is_not_taken_for_one(folder: Path) -> None:
    for who in (OPERATOR, ARK3):
        client, _ = Ends(of(folder, service("outbox")), of(folder, who)).why()
        assert "purpose" in client


def test_who_shows_none_gets_nowhere(folder: Path) -> None:
    certified = of(folder, service("inbox"))
    ends = Ends(of(folder, OPERATOR), certified)
    bare = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    ends.from_client = Tls(ends.client, bare, nothing)
    client, server = ends.why()
    assert "the peer shows no certificate that names a service, an operator or a person" in server
    assert "the peer does not take this certificate" in client
    assert ends.server.identity.kind == "stranger"
    assert not ends.server_peer.connected


def test_who_shows_one_that_names_nobody_gets_nowhere(folder: Path, tmp_path: Path) -> None:
    other = certificates(tmp_path / "tls")
    Authority(other).add(Identity("king", "ark3"), (), 1, time.time())
    _, server = Ends(of(other, Identity("king", "ark3")), of(other, service("inbox"))).why()
    assert "the peer shows no certificate that names" in server


@pytest.mark.parametrize(
    "data", [b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_who_speaks_no_tls_is_told_so(folder: Path, data: bytes) -> None:
    ends = Ends(of(folder, OPERATOR), of(folder, service("inbox")))
    assert not ends.from_server.receive(data)
    assert bytes(ends.from_server.output()) == b"AMQP\x02\x01\x00\x00"
    ends.from_server.sent(8)
    assert ends.from_server.output() is None
    ends.server.lost()
    assert "the peer does not speak TLS" in str(ends.server_peer.lost[0])


def test_bytes_that_are_not_due_end_it(folder: Path) -> None:
    ends = Ends(of(folder, OPERATOR), of(folder, service("inbox")))
    assert not ends.from_server.receive(b"\x16\x03\x01\x00\x05hello")
    while output := ends.from_server.output():
        ends.from_server.sent(len(output))
    ends.server.lost()
    assert "TLS fails" in str(ends.server_peer.lost[0])


@pytest.mark.parametrize(
    "sasl", [lambda: SaslClient(None, lambda: "n"), lambda: SaslServer(None, lambda: "n")]
)
@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x03\x00\x02\x02\x46", b"\x16"])
def test_tls_where_there_is_none_is_told(sasl: Callable[[], Any], data: bytes) -> None:
    with pytest.raises(NotAuthentic, match="the peer speaks TLS, and this does not: it takes --tls DIR"):
        sasl().receive(data)


# SASL behind TLS


def known(who: Identity) -> CertifiedServer:
    server = CertifiedServer()
    server.certificate = who
    return server


SASL, AMQP = b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"


def init(mechanism: bytes, response: bytes | None) -> bytes:
    """A sasl-init (AMQP 1.0 §5.3.3.2)."""
    said = b"\x40" if response is None else b"\xa0" + bytes([len(response)]) + response
    fields = b"\xa3" + bytes([len(mechanism)]) + mechanism + said
    body = b"\x00\x53\x41\xc0" + bytes([len(fields) + 1, 2]) + fields
    return (8 + len(body)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + body


@pytest.mark.parametrize("name", [None, b"", b"ark3", b"person:ark3"])
def test_external_is_who_the_certificate_names(name: bytes | None) -> None:
    server = known(ARK3)
    assert server.receive(SASL + init(b"EXTERNAL", name) + AMQP) == AMQP
    assert server.identity == ARK3


@pytest.mark.parametrize(
    ("mechanism", "name"),
    [(b"EXTERNAL", b"rex"), (b"EXTERNAL", b"operator"), (b"ANONYMOUS", b""), (b"PLAIN", b"\0ark3\0x")],
)
def test_nobody_is_anybody_else(mechanism: bytes, name: bytes) -> None:
    server = known(ARK3)
    with pytest.raises(NotAuthentic, match=r"by EXTERNAL who it is|is no way to show here"):
        server.receive(SASL + init(mechanism, name))
    assert server.identity.kind == "stranger"


def test_who_has_a_certificate_may_leave_sasl_out() -> None:
    server = known(ARK3)
    assert server.receive(AMQP) == AMQP
    assert server.identity == ARK3
    with pytest.raises(NotAuthentic, match="shows no certificate"):
        CertifiedServer().receive(AMQP)


# Files


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_new_certificate_is_shown_to_who_dials_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder, clock = certificates(tmp_path / "tls"), Clock()
    inbox = Certificates(credentials(folder, service("inbox")), clock)
    first = inbox.contexts
    Authority(folder).renew((), 1, time.time())
    assert inbox.contexts is first  # It is looked at once a second.
    clock.now += LOOK_SECONDS
    second = inbox.contexts
    assert second is not first
    assert "service-inbox.pem has changed" in caplog.text
    ends = Ends(of(folder, OPERATOR), inbox)
    ends.pump()
    assert ends.client.identity == service("inbox")


def test_one_that_cannot_be_read_is_told_once_and_the_old_one_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, clock = certificates(tmp_path / "tls"), Clock()
    inbox = Certificates(credentials(folder, service("inbox")), clock)
    first, file = inbox.contexts, folder / "service-inbox.pem"
    good = tmp_path / "good"
    good.write_bytes(file.read_bytes())
    replace(file, folder / "authority.pem")
    file.chmod(0o600)
    for _ in range(3):
        clock.now += LOOK_SECONDS
        assert inbox.contexts is first
    assert caplog.text.count("is no certificate with its key") == 1
    assert caplog.text.count("the certificate from before is shown") == 1
    file.unlink()
    clock.now += LOOK_SECONDS
    assert inbox.contexts is first
    assert "No such file or directory" in caplog.text
    replace(file, good)
    file.chmod(0o600)
    clock.now += LOOK_SECONDS
    assert inbox.contexts is not first


def test_what_cannot_be_read_at_the_start_is_named(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")

    def why() -> str:
        with pytest.raises(Mistake) as raised:
            of(folder, service("inbox"))
        return str(raised.value)

    file, authority = folder / "service-inbox.pem", folder / "authority.pem"
    file.chmod(0o640)
    assert why() == f"{file} can be read by others than its owner (mode 640): chmod 600 {file}"
    file.chmod(0o600)
    good = authority.read_bytes()
    authority.write_text("nonsense")
    assert why().startswith(f"{authority} is no authority's certificate: ")
    authority.write_bytes(good)
    file.write_text("nonsense")
    assert why().startswith(f"{file} is no certificate with its key: ")
    file.unlink()
    assert why() == f"{file}: No such file or directory; 'barker certs' makes it"
