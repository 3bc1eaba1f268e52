"""Where what commands print goes: a reader that has ended, a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from barker.amqp.message import encode_bark, encode_map
from barker.amqp.system import time_of_day
from barker.core.barks import Bark
from barker.store.first_users import make_users
from barker.store.social import FILE_NAME
from tests.commands.fake import Fake, listening
from tests.harness import ROOT

PROCESS = {"name": "inbox-5820", "kind": "inbox", "pid": 7, "port": 5820, "state": "running", "does": "holds"}
ROUTE = {"address": "inbox", "host": "127.0.0.1", "port": 5820, "policy": "ordered", "since": 1.7e9}


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    barks = [encode_bark(Bark(str(number), "ann", "woof " * 50, 1_700_000_000_000)) for number in range(90)]
    says = {
        "inbox/ann": barks,
        "launcher": [encode_map("processes", {"processes": [PROCESS] * 2_000, "rate": 1.0})],
        "directory": [encode_map("routes", [ROUTE | {"port": port} for port in range(1, 2_000)])],
    }
    with listening(Fake(says)) as fake:
        yield fake


COMMANDS = ["listen ann", "ps", "routes", "bark ann woof"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_ended_ends_a_command_quietly(fake: Fake, command: str) -> None:
    out, end = os.pipe()
    os.close(out)
    try:
        done = fake.run(*command.split(), stdout=end)
    finally:
        os.close(end)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("-- reading")]
    assert (lines, done.returncode) == ([], 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("command", [*COMMANDS, "users list", "users list --help", "--help"])
def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path, fake: Fake, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        if command in COMMANDS:
            done = fake.run(*command.split(), stdout=full)
        else:
            make_users(tmp_path / FILE_NAME, 2, 1).close()
            words = [*command.split(), *(["--data", str(tmp_path)] if command == "users list" else [])]
            done = subprocess.run(
                [sys.executable, "-m", "barker", *words],
                stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False, cwd=ROOT,
            )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if not line.startswith("-- reading")]
    assert lines == ["barker: cannot write to standard output: No space left on device"]
    assert done.returncode == 1


def test_listen_shows_as_many_barks_as_it_is_told_to(fake: Fake) -> None:
    done = fake.run("listen", "ann", "--count", "2")
    assert (len(done.stdout.splitlines()), done.returncode) == (2, 0)


@pytest.mark.parametrize(
    "arguments",
    [["bark", "ann", b"woof \xff"], ["bark", b"\xff", "woof"], ["listen", b"\xff"], ["kill", b"\xff"]],
)
def test_bytes_that_are_no_text_are_said_to_be_so(fake: Fake, arguments: list[str]) -> None:
    done = fake.run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("barker: '")
    assert done.stderr.endswith("is no text: its bytes are not UTF-8\n")


def test_a_terminal_that_lacks_letters_is_shown_what_they_are() -> None:
    bark = encode_bark(Bark("id", "ann", "w\N{DOG FACE}f", 1))
    with listening(Fake({"inbox/ann": [bark]})) as fake:
        done = fake.run("listen", "ann", "--count", "1", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert "w\\U0001f436f" in done.stdout


def test_what_is_not_known_is_said_to_be_so() -> None:
    says = [
        encode_map("routes", [ROUTE, ROUTE | {"address": "mine", "since": 0.0}]),
        encode_map("removed", ROUTE),
    ]
    with listening(Fake({"directory": says})) as fake:
        lines = sorted(fake.run("routes").stdout.splitlines())
        assert lines[0].endswith(f"since {time_of_day(1.7e9)}")
        assert lines[1].endswith("since when is unknown")
        before = time_of_day(time.time())
        with pytest.raises(subprocess.TimeoutExpired) as running:
            fake.run("routes", "--watch", timeout=8)
    gone = (running.value.stdout or b"").decode().splitlines()[-1]
    assert gone.startswith("- inbox ")
    assert before <= gone.rpartition("until ")[2] <= time_of_day(time.time())


def test_a_service_that_was_started_by_hand_in_a_gone_ones_place_is_no_gone_one() -> None:
    held = "process 8 has it: python -m barker.bizlogic"
    said = [
        PROCESS | {"state": "gone", "held": held},
        PROCESS | {"state": "gone", "held": "process 9 has it: /barker/.venv/bin/python a"},
    ]
    with listening(Fake({"launcher": [encode_map("processes", {"processes": said, "rate": 1.0})]})) as fake:
        by_hand, gone = fake.run("ps").stdout.splitlines()[1:]
    assert f"by hand  {held}" in by_hand
    assert "gone     process 9 has it: /barker/.venv/bin/python a" in gone
