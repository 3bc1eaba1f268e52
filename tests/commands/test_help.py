"""`--help` only helps; what is started by hand says what it is, in a line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from barker.cli import COMMANDS, main
from tests.harness import ROOT, Suite, wait_for

SCRIPTS = ["launch.py", "launch-no-bizlogic.py", "monitoring/launch.py"]


def commands(group: click.Command, *before: str) -> list[tuple[str, ...]]:
    """Every command of Barker, as it is typed."""
    if not isinstance(group, click.Group):
        return [before]
    context = click.Context(group)
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [words for name, command in found if command for words in commands(command, *before, name)]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_help_only_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    every = commands(main)
    assert len(every) > len(COMMANDS)
    for words in [(), *every]:
        done = CliRunner().invoke(main, [*words, option], prog_name="barker")
        assert done.exit_code == 0, words
        assert done.output.startswith(" ".join(["Usage: barker", *words])), words
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_launcher_is_a_program_of_its_own_and_its_help_only_helps(tmp_path: Path, script: str) -> None:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [ROOT / script, "-h"], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {Path(script).name} ")
    assert not list(tmp_path.iterdir())


@pytest.mark.system
def test_a_service_that_is_started_by_hand_prints_one_line(suite: Suite) -> None:
    suite.users([("ann", "bob")]).close()
    monitor, gateway = suite.start("monitor"), suite.start("gateway")
    lines = {
        suite.directory: r"the directory is at 127\.0\.0\.1:{port}",
        suite.inbox(): r"inbox is served at 127\.0\.0\.1:{port}",
        suite.bizlogic(): r"bizlogic is served at 127\.0\.0\.1:{port}, for the 2 users of .*/users\.sqlite3",
        gateway: r"the pages are at http://127\.0\.0\.1:{port}/; 'barker pages' tells the link that lets in",
        monitor: r"monitor is served at 127\.0\.0\.1:{port}; the dashboard is file://.*/index\.html",
        suite.start("autobark", "5", listens=False): "autobark barks 5 times a second",
    }
    for process, line in lines.items():
        wait_for(lambda process=process: "Ctrl-C" in process.log, "it says what it is")
        told = [said for said in process.log.splitlines() if not re.match(r"\d{4}-", said)]
        told = [said for said in told if not said.startswith("-- ")]
        assert len(told) == 1
        assert re.fullmatch(
            f"{line.format(port=process.port)}; process {process.pid}, Ctrl-C ends it", told[0]
        ), told


def test_the_suite_is_started_by_one_command_however_it_is_called() -> None:
    helps = [CliRunner().invoke(main, [name, "-h"], prog_name="barker").output for name in ("up", "launch")]
    assert helps[0].replace("barker up", "barker launch") == helps[1]
    assert "--open" in helps[0]
    done = CliRunner().invoke(main, ["lanch"], prog_name="barker")
    assert "did you mean launch" in done.output
