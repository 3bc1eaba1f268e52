"""Which key, and which certificate, a command or a service has."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from barker.amqp.links import Places
from barker.commands import keys, options
from barker.commands.keys import service_credentials, terminal_credentials
from barker.commands.session import Session
from barker.store.key import made_key


@options.command("shown")
@options.directory
@options.program
def shown(directories: Places) -> None:
    """Print what a terminal shows, and what an inbox does."""
    for credentials in (terminal_credentials(directories), service_credentials("inbox", directories)):
        click.echo(
            f"{credentials.identity} {credentials.file} {credentials.authority}" if credentials else ""
        )


def lines(*arguments: str) -> list[str]:
    done = CliRunner().invoke(shown, ["--directory", "127.0.0.1:6672", *arguments])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a key, of a suite that runs here with TLS."""
    session = Session("g:1", "t", "127.0.0.1:6672", "l:2", os.getpid(), str(tmp_path), tls="/their/tls")
    monkeypatch.setattr(keys, "running", lambda: [session])
    for name in ("BARKER_TLS", "BARKER_KEY", "BARKER_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)
    made_key(tmp_path / "key")
    return tmp_path


def test_the_folder_is_that_of_the_suite_that_runs_here() -> None:
    assert lines() == [
        "operator /their/tls/operator.pem /their/tls/authority.pem",
        "service:inbox /their/tls/service-inbox.pem /their/tls/authority.pem",
    ]


def test_it_is_the_one_that_is_named_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [
        "operator tls/operator.pem tls/authority.pem",
        "service:inbox tls/service-inbox.pem tls/authority.pem",
    ]
    assert lines("--tls", "tls") == own
    monkeypatch.setenv("BARKER_TLS", "tls")
    assert lines() == own


def test_a_certificate_may_be_named_too() -> None:
    assert lines("--certificate", "ark3.pem")[0] == "operator ark3.pem /their/tls/authority.pem"


def test_who_names_a_key_and_no_folder_speaks_no_tls(data: Path) -> None:
    assert lines("--key", str(data / "key")) == [
        f"operator {data / 'key'} ",
        f"service:inbox {data / 'key'} ",
    ]
