"""Beyond loopback nothing listens that lets in whom it cannot know, unless it is told to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from barker.cli import main
from tests.certified import certificates
from tests.commands.test_help import commands
from tests.harness import ROOT, Launched, Process, free_port, wait_for

LISTENS = {"up", "directory", "manifold", "bizlogic", "gateway", "monitor", "autobark"}

NAMED = "127.1"
"""This machine, in a way that only who resolves it can tell."""


def takes_insecure(words: tuple[str, ...]) -> bool:
    command = main.get_command(click.Context(main), words[0])
    assert command is not None
    return any("--insecure" in option.opts for option in command.params)


def test_all_that_listen_are_known() -> None:
    assert {words[0] for words in commands(main) if takes_insecure(words)} == LISTENS


@pytest.mark.parametrize("program", sorted(LISTENS))
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", NAMED])
def test_none_of_them_listens_beyond_loopback(
    program: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["orders"] if program == "manifold" else []
    # Where there is a directory is asked of nobody.
    where = [] if program in ("up", "directory") else ["--directory", "127.0.0.1:9"]
    done = CliRunner().invoke(main, [program, *arguments, "--host", host, *where])
    assert done.exit_code == 2
    assert done.output.startswith(f"barker: --host {host!r} lets other machines in")
    assert "'barker certs init DIR'" in done.output
    assert "--tls DIR" in done.output
    assert "--insecure" in done.output
    assert done.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", sorted(LISTENS))
@pytest.mark.parametrize(
    ("advertised", "why"),
    [
        ("10.0.0.7:port", "'10.0.0.7:port' is no HOST or HOST:PORT; write it as 10.0.0.7 or 10.0.0.7:5680"),
        ("0.0.0.0", "'0.0.0.0' is every address of a machine: name the one that others are to dial"),
    ],
)
def test_none_of_them_is_advertised_where_nobody_can_go(program: str, advertised: str, why: str) -> None:
    arguments = ["orders"] if program == "manifold" else []
    done = CliRunner().invoke(main, [program, *arguments, "--advertise", advertised])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: Invalid value for '--advertise': {why}"


@pytest.mark.parametrize("program", ["up", "autobark"])
def test_who_has_no_port_of_its_own_advertises_none(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [program, "--advertise", "10.0.0.7:5680"])
    assert done.exit_code == 2
    assert done.output.startswith("barker: --advertise 10.0.0.7:5680: ")
    assert done.output.endswith("; name the host alone\n")
    assert not list(tmp_path.iterdir())


def test_who_says_so_lets_other_machines_in_and_is_warned(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "barker.directory", "--host", NAMED, "--port", str(port), "--insecure"]
    directory = Process(tmp_path / "log", [*command, "--key", str(tmp_path / "key")], port)
    with contextlib.ExitStack() as ends:
        ends.callback(directory.end)
        wait_for(lambda: f"the directory is at {NAMED}:{port}" in directory.log, "it listens")
        assert directory.log.count(f"--insecure: whoever reaches {NAMED} may bark") == 1


def test_with_tls_nobody_has_to_say_so(tmp_path: Path) -> None:
    folder, port = certificates(tmp_path / "tls"), free_port()
    command = [sys.executable, "-m", "barker.directory", "--host", NAMED, "--port", str(port)]
    command += ["--tls", str(folder), "--key", str(tmp_path / "key")]
    directory = Process(tmp_path / "log", command, port)
    with contextlib.ExitStack() as ends:
        ends.callback(directory.end)
        wait_for(lambda: f"the directory is at {NAMED}:{port}" in directory.log, "it listens")
        assert "--insecure" not in directory.log


def test_a_launched_suite_is_warned_once(tmp_path: Path) -> None:
    launched = Launched(tmp_path, "launch.py", "--host", NAMED, "--insecure", "--autobarks", "0")
    with contextlib.ExitStack() as ends:
        ends.callback(launched.end)
        launched.wait_until_ready()
        assert launched.output.count("--insecure: ") == 1


def test_the_doctor_may_look_anywhere() -> None:
    command = [sys.executable, "-m", "barker", "doctor", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert "lets other machines in" not in done.stdout + done.stderr
