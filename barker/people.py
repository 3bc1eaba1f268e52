"""`barker people`: who may sign in by a password, where a suite speaks TLS."""

from __future__ import annotations

from pathlib import Path

import click

from barker.commands import options
from barker.commands.keys import TLS, asked
from barker.commands.output import show
from barker.core.barks import user_name
from barker.core.errors import Mistake
from barker.core.passwords import checked_password
from barker.store.accounts import FILE_NAME, Accounts


@click.group("people", cls=options.BarkerGroup)
def main() -> None:
    """Say who may sign in by a password: on the page, with barker bark --as NAME, or any AMQP client."""


@main.command("add")
@click.argument("name")
@options.tls
@options.program
def add(name: str) -> None:
    """Give the user NAME a password, or another one.

    It is asked for; where nobody can be asked, it is the first line of standard input.
    """
    _people().add(user_name(name), checked_password(asked(name, again=True)))
    show(f"{name} may sign in")


@main.command("remove")
@click.argument("name")
@options.tls
@options.program
def remove(name: str) -> None:
    """Take the user NAME's password away: nobody signs in by it any more. Connections that stand go on."""
    _people().remove(name)
    show(f"{name} may not sign in any more")


@main.command("list")
@options.tls
@options.program
def list_() -> None:
    """Show who has a password."""
    for name in _people().names():
        show(name)


def _people() -> Accounts:
    folder: Path | None = click.get_current_context().meta[TLS]
    if folder is None:
        raise Mistake("say where the suite's certificates are, --tls DIR: who may sign in is kept there")
    if not folder.is_dir():
        raise Mistake(f"there is no folder {folder}: 'barker certs init {folder}' makes it")
    return Accounts(folder / FILE_NAME)


if __name__ == "__main__":
    main()
