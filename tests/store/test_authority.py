"""Who makes certificates: what is in them, for whom, and that nothing is overwritten."""

from __future__ import annotations

import contextlib
import ssl
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from barker.cli import main
from barker.core.access import CERTIFIED, OPERATOR, STRANGER, Identity, certified, service
from barker.core.errors import Mistake
from barker.store.authority import AUTHORITY_DAYS, Authority

NOW = time.time()
DAY = 86_400.0


def shown(folder: Path, file: Path) -> dict[str, Any]:
    """A certificate as a peer of the same authority sees it, read by `ssl`."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname = False
    ours.load_verify_locations(folder / "authority.pem")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(file)
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(to_us, to_them)
    server = theirs.wrap_bio(to_them, to_us, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert() or {}


def barker(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["certs", *map(str, arguments)])
    return done.exit_code, done.output


def test_init_makes_one_for_each_service_and_an_operators(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    status, output = barker("init", folder, "--host", "barker.example", "--host", "10.0.0.7", "--days", 30)
    assert status == 0
    files = {file.name for file in folder.iterdir()}
    services = {f"service-{name}.pem" for name in CERTIFIED}
    assert files == {"authority.key", "authority.pem", "operator.pem", *services}
    assert len(output.splitlines()) == len(services) + 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    for name in CERTIFIED:
        certificate = shown(folder, folder / f"service-{name}.pem")
        assert certified(certificate) == service(name)
        names = {text for kind, text in certificate["subjectAltName"] if kind != "URI"}
        assert names == {"localhost", "127.0.0.1", "0:0:0:0:0:0:0:1", "barker.example", "10.0.0.7"}
        left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
        assert 29 * DAY < left < 30 * DAY + 60


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    assert barker("init", tmp_path)[0] == 0
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    status, output = barker("init", tmp_path)
    assert status == 2
    assert output.startswith(f"barker: {tmp_path} has an authority already")
    assert output.count("\n") == 1
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_one_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    barker("init", tmp_path)
    (tmp_path / "authority.pem").unlink()
    assert barker("init", tmp_path)[0] == 0
    assert certified(shown(tmp_path, tmp_path / "service-inbox.pem")) == service("inbox")


def test_add_makes_one_for_a_person_or_a_service_of_ones_own(tmp_path: Path) -> None:
    barker("init", tmp_path)
    assert barker("add", tmp_path, "ark3")[0] == 0
    assert barker("add", tmp_path, "--service", "orders")[0] == 0
    orders = shown(tmp_path, tmp_path / "service-orders.pem")
    assert certified(orders) == service("orders")
    assert ("DNS", "localhost") in orders["subjectAltName"]
    # A person's and an operator's are good for no server.
    for file in ("person-ark3.pem", "operator.pem"):
        with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
            shown(tmp_path, tmp_path / file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a b"], "'a b' is no name of a user"),
        (["../ark3"], "is no name of a user"),
        (["--service", "orders/eu"], "is no address of a service"),
        ([], "name a user, or say --service"),
        (["ark3", "--service", "orders"], "one of both"),
        (["ark3", "--host", "a b"], "--host 'a b' is no name or address"),
    ],
)
def test_what_cannot_be_in_a_certificate_is_said(tmp_path: Path, arguments: list[str], says: str) -> None:
    barker("init", tmp_path)
    before = set(tmp_path.iterdir())
    status, output = barker("add", tmp_path, *arguments)
    assert status == 2
    assert says in output
    assert output.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_add_overwrites_nothing_and_needs_the_authority(tmp_path: Path) -> None:
    barker("init", tmp_path)
    barker("add", tmp_path, "ark3")
    status, output = barker("add", tmp_path, "ark3")
    assert status == 2
    assert "person-ark3.pem is there already" in output
    (tmp_path / "authority.key").unlink()
    status, output = barker("add", tmp_path, "rex")
    assert status == 2
    assert "authority.key: No such file or directory; it is where 'barker certs init' was run" in output
    (tmp_path / "authority.key").write_text("nonsense")
    assert "holds no key" in barker("add", tmp_path, "rex")[1]


def test_renew_makes_all_of_them_new_by_the_same_authority(tmp_path: Path) -> None:
    barker("init", tmp_path, "--host", "one.example")
    barker("add", tmp_path, "ark3")
    authority = (tmp_path / "authority.pem").read_bytes()
    before = {file: file.read_bytes() for file in tmp_path.glob("*-*.pem")}
    assert barker("renew", tmp_path, "--host", "two.example", "--days", 7)[0] == 0
    assert (tmp_path / "authority.pem").read_bytes() == authority
    assert all(file.read_bytes() != was for file, was in before.items())
    inbox = shown(tmp_path, tmp_path / "service-inbox.pem")
    assert certified(inbox) == service("inbox")
    names = [text for kind, text in inbox["subjectAltName"] if kind == "DNS"]
    assert names == ["localhost", "one.example", "two.example"]


def test_what_is_not_ours_is_named_and_left(tmp_path: Path) -> None:
    barker("init", tmp_path)
    other = tmp_path / "other.pem"
    other.write_bytes((tmp_path / "service-inbox.pem").read_bytes())
    status, output = barker("renew", tmp_path)
    assert status == 2
    assert f"{other} is none that 'barker certs' has made here" in output


def test_none_outlasts_its_authority(tmp_path: Path) -> None:
    Authority.make(tmp_path, [OPERATOR], [], 1, NOW)
    late = NOW + (AUTHORITY_DAYS - 1) * DAY
    issued = Authority(tmp_path).add(Identity("person", "ark3"), [], 30, late)
    assert issued.end.timestamp() == pytest.approx(NOW + AUTHORITY_DAYS * DAY, abs=2)
    with pytest.raises(Mistake, match="has expired"):
        Authority(tmp_path).add(Identity("person", "rex"), [], 30, late + 2 * DAY)


@pytest.mark.parametrize(
    ("names", "who"),
    [
        ([], STRANGER),
        ([("DNS", "barker:operator")], STRANGER),
        ([("URI", "https://barker.example")], STRANGER),
        ([("URI", "barker:operator")], OPERATOR),
        ([("URI", "barker:person:ark3"), ("DNS", "localhost")], Identity("person", "ark3")),
        ([("URI", "barker:person:ark3"), ("URI", "barker:operator")], STRANGER),
        ([("URI", "barker:king:ark3")], STRANGER),
    ],
)
def test_whose_a_certificate_is(names: list[tuple[str, str]], who: Identity) -> None:
    assert certified({"subjectAltName": tuple(names)}) == who
    assert certified({}) == certified(None) == STRANGER
