"""Barker over TLS, over real sockets: who gets in with which certificate, and who gets nowhere."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from proton import SSL, Message, SSLDomain
from proton.utils import BlockingConnection, LinkDetached

from barker.amqp.agent import register
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.links import Network, PeerHandler, Place, receiver_from, sender_to
from barker.amqp.reactor import Reactor
from barker.core.access import OPERATOR, service
from barker.core.errors import Redirect
from barker.core.routing import Route
from barker.store.authority import Authority
from barker.store.first_users import make_users
from barker.store.social import FILE_NAME
from tests.certified import ARK3, DAY, certificates, credentials
from tests.harness import ROOT, Client, Launched, Process, Suite, free_port, wait_for
from tests.security.test_strangers import Attempts, Thief

pytestmark = pytest.mark.system

SERVED = ["directory", "outbox", "inbox", "bizlogic", "monitor"]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tls: Path) -> Iterator[Suite]:
    """All that a bark needs, and more; no test here breaks it."""
    suite = Suite(tmp_path_factory.mktemp("suite"), tls)
    suite.users([("rex", "ark3")]).close()
    suite.outbox("--open-seconds", "1")
    suite.inbox()
    suite.bizlogic()
    suite.start("monitor")
    with contextlib.closing(Client(suite.place)) as client:
        bark = client.bark("ark3", "before")
        client.read("rex")
        wait_for(lambda: "before" in client.texts("rex"), "a bark comes over TLS")
        assert bark.id in client.accepted
    yield suite
    suite.end()


@pytest.fixture(params=range(len(SERVED)), ids=SERVED)
def process(whole: Suite, request: pytest.FixtureRequest) -> Process:
    """Each kind of service."""
    return whole.processes[request.param]


def context(tls: Path, own: Path | None) -> ssl.SSLContext:
    """What a client speaks TLS with that shows a certificate, or none."""
    made = ssl.create_default_context(cafile=str(tls / "authority.pem"))
    if own is not None:
        made.load_cert_chain(own)
    return made


def said(process: Process, data: bytes, speak: ssl.SSLContext | None) -> bytes:
    """What a service answers to these bytes before it ends the connection."""
    answer = b""
    with contextlib.ExitStack() as ends:
        raw: Any = ends.enter_context(socket.create_connection(("127.0.0.1", process.port or 0), 10))
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            if speak is not None:
                raw = ends.enter_context(speak.wrap_socket(raw, server_hostname="127.0.0.1"))
            raw.sendall(data)
            while more := raw.recv(65536):
                answer += more
    return answer


def told(process: Process, before: str) -> list[str]:
    """The lines of connections that have ended since."""
    return [line for line in process.log.removeprefix(before).splitlines() if "not-authentic" in line]


def turned_away(process: Process, why: str, come: Callable[[], object]) -> None:
    """See that who comes so gets one line in the log, with his name and why, and the process lives on."""
    before = process.log
    come()
    wait_for(lambda: why in process.log.removeprefix(before), f"the log says: {why}")
    lines = told(process, before)
    assert len(lines) == 1, lines
    assert re.search(r" 127\.0\.0\.1:\d+: connection ended: barker:not-authentic: ", lines[0])
    assert "Traceback" not in process.log
    assert process.popen.poll() is None


SASL, AMQP = b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"


@pytest.mark.parametrize("data", [SASL, AMQP, b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64])
def test_who_speaks_no_tls_gets_nowhere(process: Process, data: bytes) -> None:
    def come() -> None:
        assert said(process, data, None) in (b"AMQP\x02\x01\x00\x00", b"")

    turned_away(process, "the peer does not speak TLS", come)


@pytest.mark.parametrize("data", [SASL, AMQP])
def test_who_shows_no_certificate_gets_nowhere(tls: Path, process: Process, data: bytes) -> None:
    def come() -> None:
        answer = said(process, data, context(tls, None))
        assert b"\x00\x53\x10" not in answer  # No open (AMQP 1.0 §2.7.1).
        assert b"ANONYMOUS" not in answer

    turned_away(process, "the peer shows no certificate that names", come)


def test_who_is_of_a_foreign_authority_gets_nowhere(tls: Path, foreign: Path, process: Process) -> None:
    turned_away(
        process,
        "the peer's certificate is not taken: ",
        lambda: said(process, SASL, context(tls, foreign / "operator.pem")),
    )


def test_whose_certificate_has_expired_gets_nowhere(tls: Path, process: Process, tmp_path: Path) -> None:
    late = tmp_path / "late"
    late.mkdir()
    for name in ("authority.key", "authority.pem"):
        (late / name).write_bytes((tls / name).read_bytes())
    Authority(late).add(OPERATOR, (), 1, time.time() - 3 * DAY)
    turned_away(
        process,
        "the peer's certificate is not taken: certificate has expired",
        lambda: said(process, SASL, context(tls, late / "operator.pem")),
    )


def test_who_says_another_name_than_his_certificates_gets_nowhere(tls: Path, process: Process) -> None:
    init = bytes.fromhex("0053 41 c0 15 02 a3 08") + b"EXTERNAL" + b"\xa0\x08operator"
    frame = (8 + len(init)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + init
    turned_away(
        process,
        "a person:ark3 may only say by EXTERNAL who it is",
        lambda: said(process, SASL + frame, context(tls, tls / ARK3.file_name)),
    )


def test_a_handshake_that_never_ends_is_ended(whole: Suite) -> None:
    outbox = whole.processes[1]
    before = outbox.log
    with socket.create_connection(("127.0.0.1", outbox.port or 0), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00")  # The beginning of a record, and no more of it.
        assert raw.recv(4096) == b""
    wait_for(lambda: "within 1 s" in outbox.log.removeprefix(before), "the log says why")
    whole.state(outbox)


def test_old_versions_of_tls_are_not_spoken(tls: Path, process: Process) -> None:
    old = context(tls, tls / "operator.pem")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    turned_away(process, "TLS fails: ", lambda: said(process, SASL, old))


def test_tls_at_a_plain_port_is_told(tls: Path, tmp_path: Path) -> None:
    with contextlib.ExitStack() as ends:
        plain = Suite(tmp_path)
        ends.callback(plain.end)
        plain.state(plain.directory)
        why = "the peer speaks TLS, and this does not: it takes --tls DIR"
        turned_away(plain.directory, why, lambda: said(plain.directory, b"", context(tls, None)))
        command = [sys.executable, "-m", "barker", "routes", "--directory", plain.place, "--tls", str(tls)]
        routes = Process(tmp_path / "routes.log", command)
        ends.callback(routes.end)
        said_so = f"-- {plain.place}: the peer does not speak TLS ({tls / 'operator.pem'}); trying again"
        wait_for(lambda: said_so in routes.log, "the command says so")


def test_a_command_without_tls_is_told_what_it_takes(whole: Suite, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "barker", "bark", "ark3", "hello", *["--directory", whole.place]]
    with contextlib.ExitStack() as ends:
        bark = Process(tmp_path / "bark.log", command)
        ends.callback(bark.end)
        why = f"-- {whole.place}: the peer speaks TLS, and this does not: it takes --tls DIR"
        wait_for(lambda: why in bark.log, "the command says so")
        assert "nobody at" not in bark.log


# What each may do


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of barker, once it has ended."""
    line = [sys.executable, "-m", "barker", *words]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)


@pytest.fixture
def person(whole: Suite, tls: Path) -> Iterator[Attempts]:
    with contextlib.closing(Attempts(whole, credentials(tls, ARK3))) as attempts:
        yield attempts


@pytest.mark.parametrize("address", ["inbox", "outbox", "orders", "agents/x"])
def test_a_person_registers_nothing(person: Attempts, address: str) -> None:
    route = Route(address, "127.0.0.1", free_port(), "ordered", 1.0).to_map()
    condition = person.refusal(address, lambda hears: sender_to(person.network, "directory", hears, route))
    assert condition.name == "amqp:unauthorized-access"


@pytest.mark.parametrize("address", ["inbox/rex", "bizlogic", "outbox/dead-letters", "launcher", "orders"])
def test_a_person_sends_nothing_to(person: Attempts, address: str) -> None:
    condition = person.refusal(address, lambda hears: sender_to(person.network, address, hears))
    assert f"person:ark3 may not send to {address}" in condition.description


@pytest.mark.parametrize("address", ["directory", "monitor", "outbox", "outbox/dead-letters", "launcher"])
def test_a_person_reads_nothing_from(person: Attempts, address: str) -> None:
    condition = person.refusal(address, lambda hears: receiver_from(person.network, address, hears))
    assert f"person:ark3 may not receive from {address}" in condition.description


def test_a_person_barks_and_reads_timelines(whole: Suite, tls: Path) -> None:
    command = [sys.executable, "-m", "barker", "bark", "ark3", "from a person", "--directory", whole.place]
    mine = ["--tls", str(tls), "--certificate", str(tls / ARK3.file_name)]
    done = subprocess.run(
        [*command, *mine], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("accepted by the outbox at ")
    with contextlib.closing(Client(whole.place, credentials=credentials(tls, ARK3))) as client:
        client.read("rex")
        wait_for(lambda: "from a person" in client.texts("rex"), "it is on the timeline")


def test_a_command_of_a_person_that_may_not_says_so(whole: Suite, tls: Path) -> None:
    mine = ["--directory", whole.place, "--tls", str(tls), "--certificate", str(tls / ARK3.file_name)]
    done = command("routes", *mine)
    assert done.returncode == 2
    assert done.stderr.startswith("barker: person:ark3 may not receive from directory")
    assert "--certificate FILE" in done.stderr


@pytest.mark.parametrize("address", ["inbox", "directory", "launcher", "billing"])
def test_a_service_registers_no_other_address(whole: Suite, tls: Path, address: str) -> None:
    with contextlib.closing(Attempts(whole, credentials(tls, service("orders")))) as attempts:
        route = Route(address, "127.0.0.1", free_port()).to_map()
        condition = attempts.refusal(
            address, lambda hears: sender_to(attempts.network, "directory", hears, route)
        )
    assert f"a service:orders may not serve {address}" in condition.description


@pytest.mark.parametrize("name", ["orders", "outbox", "autobark", "gateway"])
def test_a_service_gives_nothing_to_the_inbox_but_bizlogic_does(whole: Suite, tls: Path, name: str) -> None:
    with contextlib.closing(Attempts(whole, credentials(tls, service(name)))) as attempts:
        condition = attempts.refusal("inbox", lambda hears: sender_to(attempts.network, "inbox/rex", hears))
    assert condition.name == "amqp:unauthorized-access"


def test_somebodys_own_service_serves_its_own_address(whole: Suite) -> None:
    orders = whole.start("manifold", "orders")
    with contextlib.closing(Client(whole.place)) as client:
        client.send_raw("orders", b"\x00\x53\x77\xa1\x01x")
        wait_for(lambda: client.accepted, "it takes what is sent")
        messages = client.receive_raw("orders")
        wait_for(lambda: messages, "and gives it")
    orders.end()


def test_an_operator_does_all_of_it(whole: Suite) -> None:
    assert "inbox " in command("routes", *whole.places).stdout
    assert "outbox " in command("queues", *whole.places).stdout


# Who is dialled


def test_who_shows_another_services_certificate_gets_nothing(whole: Suite, tls: Path) -> None:
    """As when a service of somebody's own is at the port of one that has died, or the directory names it."""
    thief, reactor = Thief(), Reactor("thief", credentials=credentials(tls, service("orders")))
    listener = reactor.listen("127.0.0.1", 0, thief)
    thread = threading.Thread(target=reactor.run, daemon=True)
    thread.start()
    place = Place("127.0.0.1", listener.port)
    with contextlib.ExitStack() as ends:
        ends.callback(thread.join, 10)
        ends.callback(reactor.call_from_thread, reactor.stop)
        named = ends.enter_context(contextlib.closing(Attempts(whole, credentials(tls, OPERATOR))))
        route = Route("billing", place.host, place.port)
        named.reactor.call_from_thread(lambda: register(named.network, route))
        with contextlib.closing(Doubting(whole, tls)) as client:
            client.look_for("billing", Place.parse(whole.place))
            wait_for(lambda: "a service:orders may not serve billing" in client.doubts, "it is not believed")
            # Nor is it believed to be the directory, or at its own word to be the inbox.
            client.look_for("inbox/rex", place)
            wait_for(lambda: "a service:orders may not serve inbox/rex" in client.doubts, "nor here")
            client.look_for("orders", place)
            wait_for(lambda: "orders" in client.found, "it is what it may be")
            assert client.found == {"orders"}
    assert thief.taken == []


def test_a_directory_that_shows_another_services_certificate_sends_nobody_on(whole: Suite, tls: Path) -> None:
    class Sends(ConnectionHandler):
        def on_attach(self, link: Any) -> LinkHandler:
            raise Redirect("127.0.0.1", whole.processes[2].port or 0, link.address)

    reactor = Reactor("false", credentials=credentials(tls, service("outbox")))
    listener = reactor.listen("127.0.0.1", 0, Sends())
    thread = threading.Thread(target=reactor.run, daemon=True)
    thread.start()
    with contextlib.ExitStack() as ends:
        ends.callback(thread.join, 10)
        ends.callback(reactor.call_from_thread, reactor.stop)
        client = ends.enter_context(contextlib.closing(Doubting(whole, tls)))
        client.look_for("inbox/rex", Place("127.0.0.1", listener.port))
        wait_for(lambda: "a service:outbox may not serve directory" in client.doubts, "it is not believed")
        assert not client.found


class Doubting(Attempts):
    """An operator, who notes whom it finds, and whom it does not believe."""

    def __init__(self, whole: Suite, tls: Path) -> None:
        super().__init__(whole, credentials(tls, OPERATOR))
        self.doubts: set[str] = set()
        self.found: set[str] = set()

    def look_for(self, address: str, at: Place) -> None:
        """A link to `address`, asked for there."""
        client = self

        class Notes(Network):
            def on_search(self, address: str, why: Condition | None, peer: str) -> None:
                client.doubts.add(why.description if why is not None else "")

            def on_found(self, address: str) -> None:
                client.found.add(address)

        def attach() -> None:
            receiver_from(Notes(self.reactor, at), address, PeerHandler())

        self.reactor.call_from_thread(attach)


@pytest.mark.skipif(not SSL.present(), reason="Proton comes without TLS here")
def test_another_librarys_client_barks_and_is_known_by_its_certificate(whole: Suite, tls: Path) -> None:
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(str(tls / "authority.pem"))
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    mine = str(tls / ARK3.file_name)
    domain.set_credentials(mine, mine, None)
    # By its name: Proton finds no addresses in a certificate.
    url = f"amqps://localhost:{whole.processes[1].port}"
    with contextlib.closing(
        BlockingConnection(url, 10, ssl_domain=domain, allowed_mechs="EXTERNAL")
    ) as connection:
        bark = Message("by Proton", id="proton-1", subject="bark", properties={"user": "ark3"})
        bark.creation_time = time.time()
        connection.create_sender("outbox").send(bark)
        with pytest.raises(LinkDetached, match="person:ark3 may not send to bizlogic"):
            connection.create_sender("bizlogic")


# A whole suite


def test_a_launched_suite_and_every_command_of_it(tmp_path: Path, tls: Path) -> None:
    with contextlib.ExitStack() as ends:
        suite = Launched(tmp_path, "launch.py", "--tls", str(tls), "--users", "5", "--monitoring")
        ends.callback(suite.end)
        suite.wait_until_ready()
        assert f"BARKER_TLS={tls}" in suite.output
        gateway = f"https://127.0.0.1:{5673 + suite.offset}"
        assert f"Open {gateway}/" in suite.output
        where = ["--directory", suite.directory, "--tls", str(tls)]
        launched = [*where, "--session", str(suite.session)]
        done = command("bark", "ark3", "to all", *where)
        assert done.stdout.startswith("accepted by the outbox"), done.stderr
        listen = Process(tmp_path / "listen.log", [sys.executable, "-m", "barker", "listen", "ark3", *where])
        ends.callback(listen.end)
        wait_for(lambda: "to all" in listen.log, "the timeline is shown")
        assert "bizlogic-" in command("ps", *launched).stdout
        active = f"bizlogic-{5680 + suite.offset}"
        assert command("kill", active, *launched).returncode == 0
        assert command("start", active, *launched).returncode == 0
        assert command("rate", "5", *launched).returncode == 0
        top = Process(tmp_path / "top.log", [sys.executable, "-m", "barker", "top", "--json", *where])
        ends.callback(top.end)
        wait_for(lambda: '"type": "inbox"' in top.log or '"type": "manifold"' in top.log, "top shows it")
        # Its pages, and what they speak.
        pages = ssl.create_default_context(cafile=str(tls / "authority.pem"))
        with urlopen(f"{gateway}/healthz", context=pages, timeout=10) as health:
            assert health.read() == b"ok\n"
        suite.end()
        assert "Traceback" not in suite.output


# Renewal


def test_certificates_are_renewed_while_all_runs(tmp_path: Path) -> None:
    with contextlib.ExitStack() as ends:
        folder = certificates(tmp_path / "tls")
        suite = Suite(tmp_path, folder)
        ends.callback(suite.end)
        gateway = suite.start("gateway")
        wait_for(lambda: "gateway serves https://" in gateway.log, "the gateway listens")
        suite.state(suite.directory)

        def serials() -> list[str]:
            return [serial(folder, process) for process in (suite.directory, gateway)]

        first = serials()
        assert serials() == first
        Authority(folder).renew((), 1, time.time())
        wait_for(lambda: not set(serials()) & set(first), "the new ones are shown")
        suite.state(suite.directory)
        # One that cannot be read is told, and the one before is shown.
        second, file = serials(), folder / "service-directory.pem"
        file.write_text("nonsense")
        kept = f"{file} is no certificate with its key"
        wait_for(lambda: serials() == second and kept in suite.directory.log, "the log tells")
        assert serials() == second
        assert suite.directory.log.count(kept) == 1


def serial(folder: Path, process: Process) -> str:
    """The number of the certificate that is shown at a port."""
    with (
        socket.create_connection(("127.0.0.1", process.port or 0), timeout=10) as raw,
        context(folder, None).wrap_socket(raw, server_hostname="127.0.0.1") as spoken,
    ):
        return str((spoken.getpeercert() or {})["serialNumber"])


@pytest.mark.parametrize("program", ["directory", "manifold", "bizlogic", "monitor", "gateway", "autobark"])
def test_a_program_whose_certificate_is_not_there_says_so(tmp_path: Path, program: str) -> None:
    command = [sys.executable, "-m", f"barker.{program}", *(["inbox"] if program == "manifold" else [])]
    command += ["--tls", str(tmp_path)] + ([] if program == "directory" else ["--directory", "127.0.0.1:9"])
    if program in ("manifold", "bizlogic", "autobark"):
        make_users(tmp_path / "data" / FILE_NAME, 3).close()
        command += ["--data", str(tmp_path / "data")]
    command += ["--key", str(tmp_path / "key")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    name = "inbox" if program == "manifold" else program
    file = tmp_path / f"service-{name}.pem"
    assert done.returncode == 2
    assert done.stderr == f"barker: {file}: No such file or directory; 'barker certs' makes it\n"
