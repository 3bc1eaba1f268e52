"""What others write is data: in logs, on terminals and in errors nothing of it does anything."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from barker.amqp.agent import register
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import encode_map
from barker.amqp.system import new_id, now
from barker.core.barks import Bark
from barker.core.routing import Route
from tests.harness import ROOT, Client, Suite, wait_for
from tests.security.raw import Attacker, attach, detach, message, transfer

pytestmark = pytest.mark.system

HOSTILE = "\x1b]0;mine\x07\x1b[2J\n2026-01-01 00:00:00,000 ERROR   all is lost\r\x9b31m\u202e\u2066\u200b"

DOES_SOMETHING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("suite"))
    suite.users([("rex", "ann")]).close()
    for process in (suite.inbox(), suite.outbox(), suite.bizlogic(), suite.start("monitor")):
        suite.wait_for_state(process)
    yield suite
    suite.end()


def check(text: str) -> None:
    """See that nothing in it does anything, and that nobody wrote a line of their own."""
    assert DOES_SOMETHING.findall(text) == []
    assert not any(line.startswith("2026-01-01 00:00:00,000") for line in text.splitlines())


def run(suite: Suite, *command: str) -> str:
    """What a command prints, in which nothing does anything."""
    whole_command = [sys.executable, "-m", "barker", *command, *suite.places]
    done = subprocess.run(whole_command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    check(done.stdout + done.stderr)
    return done.stdout


def test_logs_of_what_peers_call_themselves_and_ask_for(whole: Suite) -> None:
    process = whole.start("manifold", "orders")
    whole.wait_for_state(process)
    for service in (process, whole.directory):
        with Attacker(service) as attacker:
            attacker.send(attach(0, "elsewhere/" + HOSTILE, name=HOSTILE))
            attacker.send(attach(1, "orders", name="1" + HOSTILE))
            attacker.send(transfer(1, 0, b"no message" + message(HOSTILE)))
            attacker.send(detach(1, error=(HOSTILE, HOSTILE)))
            attacker.read()
        with Attacker(service, container=HOSTILE) as attacker:
            attacker.send(b"\x00\x00\x00\x08\x02\x00\x00\x07" + HOSTILE.encode())
            attacker.read()
        wait_for(lambda service=service: "\\x1b]0;mine" in service.log, "it says something about it")
        check(service.log)


def test_the_reason_of_who_rejects(whole: Suite) -> None:
    """A dead letter has its reason in the log, and on the terminal of who looks at it."""
    process = whole.start("manifold", "letters")
    whole.wait_for_state(process)
    with contextlib.closing(Client(whole.place)) as client:
        client.send_raw("letters", message("woof"))
        wait_for(lambda: client.accepted, "it is there")
    with Attacker(process) as attacker:
        attacker.consume_and_reject(0, "letters", (HOSTILE, HOSTILE))
        wait_for(lambda: "dead letter now" in process.log, "it is a dead letter")
    check(process.log)


@pytest.mark.parametrize("command", [["listen", "rex", "--count", "1"], ["routes"], ["queues"]])
def test_terminals(whole: Suite, command: list[str]) -> None:
    with contextlib.closing(Client(whole.place)) as client:
        bark = Bark(new_id(), "ann", f"woof {HOSTILE}", now())
        client.send(bark)
        wait_for(lambda: bark.id in client.accepted, "it is barked")
        printed = run(whole, *command)
    assert command[0] != "listen" or "woof \\x1b]0;mine" in printed


class Liar(ConnectionHandler):
    """An agent of the suite's own that lies, in an address as in a report."""

    def __init__(self, client: Client, report: dict[str, object]) -> None:
        message = encode_map("report", report)
        self._readers = Broadcast(lambda: [message], Lag.GAP)
        port = client.reactor.listen("127.0.0.1", 0, self).port
        client.reactor.every(0.2, lambda: self._readers.send(message))
        register(client.network, Route(f"agents/127.0.0.1-{port}", "127.0.0.1", port, "ordered"))
        register(client.network, Route("billing/" + HOSTILE.replace(" ", "_"), "127.0.0.1", port))

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        return self._readers


def test_a_liar_among_the_agents_blinds_nobody(whole: Suite) -> None:
    monitor = whole.processes[4]
    with contextlib.closing(Client(whole.place)) as client:
        lies = {"name": HOSTILE, "type": HOSTILE, "pid": 1, "address": HOSTILE, "host": "10.0.0.1"}
        milder = {"name": "inbox-1", "type": "inbox", "pid": 1, "command": HOSTILE, "port": 1}
        client.reactor.call_from_thread(lambda: [Liar(client, lies), Liar(client, milder)])
        wait_for(lambda: "is left out" in monitor.log, "the monitor leaves the lies out")
        whole.wait_for_state(monitor, agents=lambda agents: agents >= 6)
        check(monitor.log)
        assert "billing" in run(whole, "routes")
        assert "outbox" in run(whole, "top", "--once")
        run(whole, "top", "--once", "--json")
