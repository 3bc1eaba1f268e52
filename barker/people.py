"""`barker people`: who may sign in by a password, where a suite speaks TLS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from barker.commands import options
from barker.commands.output import show
from barker.core.barks import user_name
from barker.core.errors import Mistake
from barker.core.passwords import checked_password
from barker.store.people import FILE_NAME, People


def _people(command: Callable[..., Any]) -> Callable[..., Any]:
    folder = click.option(
        "--tls",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        metavar="DIR",
        help="The folder of the suite's certificates: who may sign in is kept beside them.",
    )
    return folder(options.program(command))


@click.group("people", cls=options.BarkerGroup)
def main() -> None:
    """Say who may sign in by a password: on the page, with barker bark --as NAME, or any AMQP client."""


@main.command("add")
@click.argument("name")
@_people
def add(name: str, folder: Path) -> None:
    """Give the user NAME a password, or another one.

    It is asked for; where nobody can be asked, it is the first line of standard input.
    """
    people = _in(folder)
    people.add(user_name(name), checked_password(_asked(name)))
    show(f"{name} may sign in")


@main.command("remove")
@click.argument("name")
@_people
def remove(name: str, folder: Path) -> None:
    """Take the user NAME's password away: nobody signs in by it any more. Connections that stand go on."""
    _in(folder).remove(name)
    show(f"{name} may not sign in any more")


@main.command("list")
@_people
def list_(folder: Path) -> None:
    """Show who has a password."""
    for name in _in(folder).names():
        show(name)


def _in(folder: Path) -> People:
    if not folder.is_dir():
        raise Mistake(f"there is no folder {folder}: 'barker certs init {folder}' makes it")
    return People(folder / FILE_NAME)


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return password


if __name__ == "__main__":
    main()
