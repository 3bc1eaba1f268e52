"""Options by variables of the environment; and which suite a command is for when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from barker.amqp.links import Place, Places
from barker.cli import main
from barker.commands import options
from barker.commands.session import Session, file_of, read_session, running, write_session
from barker.core.errors import Mistake
from barker.store.first_users import make_users
from barker.store.social import FILE_NAME
from tests.commands.test_help import commands


@options.command("where")
@options.directory
@options.program
def where(directories: Places) -> None:
    click.echo(f"at {directories}")


def suite(port: int, directories: str = "") -> Session:
    at = directories or f"127.0.0.1:{port}"
    return Session("127.0.0.1:1", "key", at, "127.0.0.1:2", os.getpid(), f"/data-{port}")


@pytest.mark.parametrize(
    ("taken", "suites", "says", "status"),
    [
        (False, [], "at 127.0.0.1:5672\n", 0),
        (True, [6672], "at 127.0.0.1:5672\n", 0),
        (False, [6672], "-- the suite at 127.0.0.1:6672, data in /data-6672\nat 127.0.0.1:6672\n", 0),
        (False, [6672, 7672], "choose one with --directory 127.0.0.1:6672 (data in /data-6672), or", 2),
    ],
)
def test_the_one_suite_that_runs_here_is_found(
    taken: bool, suites: list[int], says: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "running", lambda: list(map(suite, suites)))
    monkeypatch.setattr(options, "taken_port", lambda host, port: OSError() if taken else None)
    monkeypatch.delenv("BARKER_DIRECTORY", raising=False)
    done = CliRunner().invoke(where)
    assert done.exit_code == status
    assert says in done.output
    # Whoever says it is asked nothing.
    monkeypatch.setenv("BARKER_DIRECTORY", "127.0.0.1:9")
    assert CliRunner().invoke(where).output == "at 127.0.0.1:9\n"
    assert CliRunner().invoke(where, ["--directory", "127.0.0.1:8"]).output == "at 127.0.0.1:8\n"


@pytest.mark.parametrize("taken", [True, False])
def test_a_suite_with_two_directories_is_found_at_both(taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    both = "127.0.0.1:5672,127.0.0.1:5675"
    monkeypatch.setattr(options, "running", lambda: [suite(5672, both)])
    monkeypatch.setattr(options, "taken_port", lambda host, port: OSError() if taken else None)
    monkeypatch.delenv("BARKER_DIRECTORY", raising=False)
    assert CliRunner().invoke(where).output.endswith(f"at {both}\n")


@pytest.mark.parametrize("given", ["127.0.0.1:9,127.0.0.1:8", "127.0.0.1:9, 127.0.0.1:8,127.0.0.1:9"])
def test_several_directories_are_given_with_commas_each_once(given: str) -> None:
    assert CliRunner().invoke(where, ["--directory", given]).output == "at 127.0.0.1:9,127.0.0.1:8\n"


@pytest.mark.parametrize("given", ["", ",", "127.0.0.1:9,", "127.0.0.1:9,here"])
def test_one_that_is_none_is_named(given: str) -> None:
    done = CliRunner().invoke(where, ["--directory", given])
    assert done.exit_code == 2
    assert "is no HOST:PORT; write it as 127.0.0.1:5672" in done.output.splitlines()[-1]


def test_every_option_has_a_variable() -> None:
    context = click.Context(main)
    seen = set()
    for words in commands(main):
        command: click.Command | None = main
        for word in words:
            assert isinstance(command, click.Group)
            command = command.get_command(context, word)
        assert command is not None
        for option in command.params:
            own = option.name == "tls" and command.name in ("chaos", "simulate")  # BARKER_TLS is a folder.
            if own:
                assert not option.envvar
            elif isinstance(option, click.Option) and not option.is_eager:
                assert option.envvar == f"BARKER_{option.opts[-1].lstrip('-').replace('-', '_').upper()}", (
                    words
                )
                seen.add(option.envvar)
    assert {
        "BARKER_DIRECTORY",
        "BARKER_DATA",
        "BARKER_LOG_LEVEL",
        "BARKER_PORT_OFFSET",
        "BARKER_JSON",
    } <= seen


def test_a_variable_is_as_good_as_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_users(tmp_path / FILE_NAME, 5, 1).close()
    monkeypatch.setenv("BARKER_DATA", str(tmp_path))
    done = CliRunner().invoke(main, ["users", "list"])
    assert "ark3 " in done.output


def test_a_session_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "session-6673.js"
    assert file_of(Place("127.0.0.1", 6672), tmp_path) == file
    with_quote = 'in "quotes" \\ and so on'
    written = write_session(
        file, Place("::1", 6673), "t", directory="[::1]:6672", launcher="::1:6674", pid=7, data=with_quote
    )
    assert read_session(file) == written
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_a_launcher_has_left_behind_is_of_no_suite(tmp_path: Path) -> None:
    more = {"directory": "127.0.0.1:6672", "launcher": "127.0.0.1:1"}
    write_session(tmp_path / "session-1.js", Place("127.0.0.1", 1), "t", pid=2**22 + 1, **more)
    write_session(tmp_path / "session-2.js", Place("127.0.0.1", 1), "t", pid=os.getpid(), **more)
    write_session(tmp_path / "session-3.js", Place("127.0.0.1", 1), "t")
    (tmp_path / "session-4.js").write_text("nonsense")
    assert running(tmp_path) == []
    with pytest.raises(Mistake, match="tells of no suite"):
        read_session(tmp_path / "session-4.js")
