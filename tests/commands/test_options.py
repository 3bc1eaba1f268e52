"""What all programs share: how a log is written, and how a mistake is told."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import click
import pytest

from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.message import encode_bark, encode_map
from barker.commands import options
from barker.commands.figures import row, table
from barker.commands.options import Formatter
from barker.core.barks import Bark
from barker.core.errors import Mistake, NotAllowed
from tests.harness import ROOT, Client, Suite, wait_for

HOSTILE = "\x1b]0;mine\x07\x1b[2J\n2026-01-01 00:00:00,000 ERROR   barker: all is lost\r\x9b31m\u202e"
"""It clears the screen, takes the window's title, and writes a line that looks like ours."""


def harmless(text: str) -> bool:
    """Whether a text does nothing to a terminal, and has no line that a peer wrote."""
    lines = text.split("\n")
    return all(map(str.isprintable, lines)) and not any(line.startswith("2026-01-01") for line in lines)


def formatted(message: str, *values: object, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("barker.test", logging.WARNING, __file__, 1, message, values, info)
    return Formatter().format(record)


@pytest.mark.parametrize(
    "value", [HOSTILE, Condition("amqp:internal-error", HOSTILE), NotAllowed(HOSTILE), {"name": HOSTILE}]
)
def test_a_record_is_one_line_whatever_it_holds(value: object) -> None:
    shown = formatted("%s: connection ended: %s", "127.0.0.1:5", value)
    assert harmless(shown)
    assert "\n" not in shown
    assert re.match(
        r"\d{4}-\d\d-\d\d [\d:,]+ WARNING barker\.test: 127\.0\.0\.1:5: connection ended: ", shown
    )
    assert "all is lost" in shown


def test_a_traceback_keeps_its_lines_and_none_of_them_is_a_peers() -> None:
    with pytest.raises(ValueError, match="all is lost") as raised:
        raise ValueError(HOSTILE)
    shown = formatted("an error of ours", error=raised.value)
    assert harmless(shown)
    first, *lines = shown.split("\n")
    assert first.endswith("an error of ours")
    assert lines[0] == "  Traceback (most recent call last):"
    assert "raise ValueError(HOSTILE)" in shown
    assert all(line.startswith("  ") for line in lines)


def test_a_line_says_which_service_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARKER_LAUNCHED", "inbox-5820")
    assert re.search(r" WARNING inbox-5820 barker\.test: it is 1$", formatted("it is %d", 1))


def test_the_length_of_a_record_is_bounded() -> None:
    error = ValueError("x" * 10_000_000 + "\n" * 10_000)
    assert len(formatted("%s", error, error=error)) < 10_000


class Hostile(ConnectionHandler):
    """A directory, outbox and launcher in one that has nothing good in mind."""

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        return _Hostile()

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        pass


class _Hostile(LinkHandler):
    def on_opened(self, link: Sender | Receiver) -> None:
        if isinstance(link, Receiver):
            link.window = 10

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        raise NotAllowed(HOSTILE)

    def on_credit(self, link: Sender) -> None:
        process = {"name": HOSTILE, "pid": HOSTILE, "port": HOSTILE, "state": HOSTILE, "does": HOSTILE}
        route = {"address": "a" + HOSTILE, "host": HOSTILE, "port": 1, "policy": "ordered", "since": 1e300}
        if link.address == "launcher":
            link.send(encode_map("processes", {"processes": [process], "rate": 1.0}), settled=True)
        elif link.address == "directory":
            link.send(encode_map("routes", [route]), settled=True)
        elif link.address == "inbox/ann":
            link.send(encode_bark(Bark("id", "ann", HOSTILE, 2**62)), settled=True)


@pytest.fixture
def hostile() -> Iterator[str]:
    """Where it listens."""
    with closing(Client("127.0.0.1:1")) as client:
        yield f"127.0.0.1:{client.reactor.listen('127.0.0.1', 0, Hostile()).port}"


@pytest.mark.parametrize(
    "arguments", [["bark", "ann", "woof"], ["ps"], ["routes"], ["listen", "ann", "--count", "1"]]
)
def test_a_hostile_peer_does_nothing_to_the_terminal_of_a_command(hostile: str, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "barker", *arguments, "--directory", hostile, "--log-level", "debug"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, cwd=ROOT)
    output = (done.stdout + done.stderr).decode()
    assert harmless(output)
    assert "all is lost" in output


def test_reports_do_nothing_to_the_terminal_that_shows_them() -> None:
    report = {"name": HOSTILE + "[red]woof[/nonsense]", "pid": HOSTILE, "depth": 1}
    gone = {"name": "[/nonsense]" + HOSTILE, "state": "gone"}
    shown = [*map(click.unstyle, table([report, gone], 400)), row(report), row(gone)]
    assert all(map(str.isprintable, shown))
    assert all("[red]woof[/nonsense]" in line for line in (shown[1], row(report)))


@pytest.mark.system
def test_a_hostile_peer_does_nothing_to_the_terminal_of_a_service(suite: Suite, client: Client) -> None:
    suite.wait_for_state(suite.directory)

    class Closing(LinkHandler):
        def on_opened(self, link: Receiver) -> None:
            link.connection.close(Condition("amqp:internal-error", HOSTILE))

    def attack() -> None:
        assert suite.directory.port is not None
        first, second = (
            client.reactor.connect("127.0.0.1", suite.directory.port, ConnectionHandler()) for _ in range(2)
        )
        for address in (HOSTILE, f"agents/{HOSTILE}"):
            first.sender(address, LinkHandler())
            first.receiver(address, LinkHandler())
        first.sender("directory", LinkHandler(), {"address": HOSTILE, "host": HOSTILE, "port": HOSTILE})
        second.receiver("directory", Closing())

    client.reactor.call_from_thread(attack)
    wait_for(lambda: "connection ended: amqp:internal-error" in suite.directory.log, "the attack is told")
    assert harmless(suite.directory.log)
    assert "all is lost" in suite.directory.log


def test_a_mistake_of_several_lines_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @options.program
    def wrong() -> None:
        raise Mistake("not every port is free:\n  port 1\x1b")

    with pytest.raises(SystemExit) as ended:
        wrong(["--log-level", "error"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "barker: not every port is free:\n  port 1\\x1b\n"
