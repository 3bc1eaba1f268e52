"""`barker certs`: the certificates that a suite needs over several machines: `--tls DIR` of every program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from barker.amqp.system import wall
from barker.commands import options
from barker.commands.output import show
from barker.core.access import EVERYBODY, Identity, checked_name
from barker.core.errors import Mistake
from barker.environment import extra

with extra("tls"):
    from barker.store.authority import Authority, Issued


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all of them take."""
    folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
    hosts = click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="A further name or address by which services are reached, besides localhost, 127.0.0.1 and ::1; "
        "may be repeated.",
    )
    days = click.option(
        "--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="They last so long."
    )
    return folder(hosts(days(options.program(command))))


@click.group("certs", cls=options.BarkerGroup)
def main() -> None:
    """Make the certificates of a suite, for --tls DIR."""


@main.command("init")
@_shared
def init(folder: Path, hosts: tuple[str, ...], days: int) -> None:
    """Make an authority in DIR, and a certificate of it for each kind of service, and an operator's.

    DIR/authority.key makes more of them, for anybody: it stays where it is. A machine needs authority.pem and
    the files of those who run there.
    """
    _tell(Authority.make(folder, EVERYBODY, hosts, days, wall()))


@main.command("add")
@_shared
@click.argument("name", required=False)
@click.option("--service", metavar="NAME", help="One for your own service at this address.")
def add(folder: Path, name: str | None, service: str | None, hosts: tuple[str, ...], days: int) -> None:
    """Make one for the user NAME, or for a service of your own.

    A person's may bark and read timelines, and needs authority.pem beside it: --tls DIR --certificate FILE.
    """
    if (name is None) == (service is None):
        raise Mistake("name a user, or say --service NAME; one of both")
    who = Identity("person", name) if name is not None else Identity("service", service or "")
    _tell([Authority(folder).add(checked_name(who), hosts, days, wall())])


@main.command("renew")
@_shared
def renew(folder: Path, hosts: tuple[str, ...], days: int) -> None:
    """Make all certificates in DIR anew, by the same authority.

    Programs that run take theirs for new connections within a second.
    """
    _tell(Authority(folder).renew(hosts, days, wall()))


def _tell(issued: list[Issued]) -> None:
    for who, file, end in issued:
        show(f"{who!s:<24} until {end:%Y-%m-%d}   {file}")


if __name__ == "__main__":
    main()
