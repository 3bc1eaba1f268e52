"""What the shell may complete: the names of services and of users. And the list that the former come from."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import click

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Places, receiver_from
from barker.amqp.message import decode_map
from barker.commands.options import DATA
from barker.commands.session import Session, file_of, read_session, running
from barker.commands.terminal import Terminal
from barker.core.errors import BarkerError
from barker.store.social import FILE_NAME, Users

SHELL_SECONDS = 0.4
"""Who presses Tab does not wait longer."""

MOST = 200
"""So many names are offered."""


class _List(PeerHandler[Receiver]):
    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.processes: list[dict[str, Any]] = []

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self.processes = decode_map(data)[1]["processes"]
        self._terminal.stop()


def launcher_of(session_file: Path | None, directories: Places) -> Places:
    """Where to ask for the launcher: at its own place if a session file of this machine tells that."""
    file = session_file or file_of(directories[0])
    if session_file is None and not file.exists():
        return directories  # As for a suite of another machine.
    launcher = read_session(file).launcher
    return Places.parse(launcher) if launcher else directories


def processes(places: Places, seconds: float) -> list[dict[str, Any]]:
    """What the launcher says of its processes, asked at its own place or through the directory.

    :raises Unanswered: when there is none, or it says nothing for so long.
    """
    terminal = Terminal(places)
    handler = _List(terminal)
    receiver_from(terminal.network, "launcher", handler, settled=True)
    terminal.expect("no launcher has answered", seconds)
    terminal.run()
    return handler.processes


def _session(context: click.Context) -> Session:
    """The suite that the command is for, as far as it is typed."""
    directories = context.params.get("directories")
    file = context.params.get("session_file") or (file_of(directories[0]) if directories else None)
    return read_session(file) if file else running()[0]


def services(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of a suite's processes that begin so; none when it does not answer."""
    with contextlib.suppress(BarkerError, LookupError):
        found = processes(Places.parse(_session(context).launcher), SHELL_SECONDS)
        return [str(each["name"]) for each in found if str(each["name"]).startswith(incomplete)]
    return []


def users(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of users that begin so: of the suite that runs here, or else of the usual data folder."""
    data = context.params.get("data") or os.environ.get("BARKER_DATA")
    with contextlib.suppress(BarkerError, LookupError):
        data = data or _session(context).data
    with (
        contextlib.suppress(BarkerError),
        contextlib.closing(Users(Path(data or DATA) / FILE_NAME)) as file,
    ):
        return [name for name in file.names() if name.startswith(incomplete)][:MOST]
    return []
