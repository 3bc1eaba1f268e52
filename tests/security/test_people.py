"""People without certificates: who signs in by a password over TLS, and what they may do then."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from proton import ConnectionException, Message, SSLDomain
from proton.utils import BlockingConnection, LinkDetached, SendException

from barker.store.accounts import FILE_NAME, Accounts
from tests.certified import certificates
from tests.harness import ROOT, Client, Process, Suite, wait_for

pytestmark = pytest.mark.system

PASSWORD = "woof, said the dog"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """All that a bark needs; ark3 has a password, and no certificate is shown by people here."""
    tls = certificates(tmp_path_factory.mktemp("tls"))
    Accounts(tls / FILE_NAME).add("ark3", PASSWORD)
    suite = Suite(tmp_path_factory.mktemp("suite"), tls)
    suite.users([("rex", "ark3")]).close()
    suite.outbox()
    suite.inbox()
    suite.bizlogic()
    with contextlib.closing(Client(suite.place)) as client:
        client.bark("ark3", "before")
        client.read("rex")
        wait_for(lambda: "before" in client.texts("rex"), "a bark comes over TLS")
    yield suite
    suite.end()


def barker(suite: Suite, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    """A command, whose password is on its standard input."""
    assert suite.tls is not None
    where = ["--tls", str(suite.tls)]
    if words[0] != "people":
        where += ["--directory", str(suite.place)]
    command = [sys.executable, "-m", "barker", *words, *where]
    return subprocess.run(
        command, input=f"{password}\n", capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )


def connected(suite: Suite, process: Process, user: str, password: str) -> BlockingConnection:
    """A stock client's connection, by SASL PLAIN."""
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(f"{suite.tls}/authority.pem")
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER)
    url = f"amqps://127.0.0.1:{process.port}"
    return BlockingConnection(
        url, timeout=10, ssl_domain=domain, user=user, password=password, allowed_mechs="PLAIN"
    )


def outbox(suite: Suite) -> Process:
    return suite.processes[1]


def bark(user: str, text: str) -> Message:
    return Message(
        id=f"{user}-{text}", subject="bark", creation_time=time.time(), properties={"user": user}, body=text
    )


def test_by_the_password_one_barks_follows_and_reads(whole: Suite) -> None:
    done = barker(whole, "bark", "--as", "ark3", "ark3", "from", "ark3")
    assert done.returncode == 0, done.stderr
    assert barker(whole, "follow", "--as", "ark3", "ark3", "rex").returncode == 0
    heard = barker(whole, "listen", "--as", "ark3", "rex", "--count", "2")
    assert "ark3: from ark3" in heard.stdout


@pytest.mark.parametrize("command", [("bark", "rex", "not me"), ("follow", "rex", "ark3")])
def test_nobody_speaks_as_another(whole: Suite, command: tuple[str, ...]) -> None:
    verb, *words = command
    done = barker(whole, verb, "--as", "ark3", *words)
    assert done.returncode == 2
    assert "person:ark3 may not bark or follow as rex" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "password"), [("ark3", "meow meow"), ("rex", PASSWORD)])
def test_with_another_password_one_gets_nowhere_and_is_told_at_once(
    whole: Suite, name: str, password: str
) -> None:
    before = outbox(whole).log
    done = barker(whole, "bark", "--as", name, name, "x", password=password)
    assert done.returncode == 2
    assert f"does not take this password for that of {name}" in done.stderr
    with pytest.raises(ConnectionException, match="Authentication failed"):
        connected(whole, outbox(whole), name, password)
    log = wait_for(lambda: outbox(whole).log.removeprefix(before), "a line says so")
    assert "the name or the password is wrong" in log
    assert PASSWORD not in log
    assert len(log.splitlines()) == 1


def test_without_a_password_or_without_tls_nobody_is_asked(whole: Suite) -> None:
    done = barker(whole, "bark", "--as", "ark3", "ark3", "x", password="")
    assert (done.returncode, done.stderr) == (2, "barker: nobody signs in without a password\n")
    plain = [sys.executable, "-m", "barker", "bark", "--as", "ark3", "ark3", "x", "--key", str(whole.key)]
    done = subprocess.run(plain, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 2
    assert "say --tls DIR" in done.stderr


def test_any_client_signs_in_by_plain(whole: Suite) -> None:
    with contextlib.closing(connected(whole, outbox(whole), "ark3", PASSWORD)) as connection:
        sender = connection.create_sender("outbox")
        sender.send(bark("ark3", "by another client"))
        with pytest.raises(SendException):
            sender.send(bark("rex", "not me"))


@pytest.mark.parametrize("address", ["outbox/dead-letters", "agents/x"])
def test_people_do_nothing_else(whole: Suite, address: str) -> None:
    with contextlib.closing(connected(whole, outbox(whole), "ark3", PASSWORD)) as connection:
        with pytest.raises(LinkDetached, match="people send to outbox, and read inbox/USER"):
            connection.create_receiver(address)
        with pytest.raises(LinkDetached, match="people send to outbox, and read inbox/USER"):
            connection.create_sender(address)


def test_who_has_lost_the_password_signs_in_no_more(whole: Suite) -> None:
    added = barker(whole, "people", "add", "rex", password="grr grr grr")
    assert (added.returncode, added.stdout) == (0, "rex may sign in\n")
    assert barker(whole, "people", "list").stdout.split() == ["ark3", "rex"]
    assert barker(whole, "bark", "--as", "rex", "rex", "grr", password="grr grr grr").returncode == 0
    assert barker(whole, "people", "remove", "rex").returncode == 0
    assert barker(whole, "bark", "--as", "rex", "rex", "grr", password="grr grr grr").returncode == 2


def test_no_password_is_in_a_command_line_a_log_or_the_file(whole: Suite) -> None:
    assert whole.tls is not None
    assert PASSWORD not in (whole.tls / FILE_NAME).read_text()
    for process in whole.processes:
        assert PASSWORD not in process.log
    refused = barker(whole, "people", "add", "ark3", password="short")
    assert refused.returncode == 2
    assert "a password has 8 to 256 characters" in refused.stderr


def test_many_wrong_passwords_hold_up_nobody(whole: Suite) -> None:
    with contextlib.ExitStack() as ends:
        ends.enter_context(contextlib.suppress(ConnectionException))
        client = ends.enter_context(contextlib.closing(Client(whole.place)))
        first = client.bark("rex", "first")
        wait_for(lambda: first.id in client.accepted, "a bark is accepted")
        for number in range(20):
            with contextlib.suppress(ConnectionException):
                connected(whole, outbox(whole), "ark3", f"guess {number}")
            bark = client.bark("rex", f"{number}")
            wait_for(lambda bark=bark: bark.id in client.accepted, "barks are accepted meanwhile")
