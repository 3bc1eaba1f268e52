"""The launcher, `barker up`: starts the suite, each service a process of its own, and ends it.

What is started is a plain list of commands (`suite/shape.py`). `suite/launch.py` waits until all is ready,
and takes orders; `suite/supervisor.py` starts, breaks and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from barker.commands import keys, options, session
from barker.commands.options import Command
from barker.commands.output import show
from barker.commands.where import COUNT, count_and_url, how_many, users_in
from barker.core.advertised import Advertised, host_alone
from barker.core.broker import Broker
from barker.core.errors import Mistake
from barker.core.postgresql_url import PostgresUrl
from barker.store.first_users import first_users
from barker.store.social import FILE_NAME
from barker.suite.journals import take_over
from barker.suite.launch import Launcher
from barker.suite.ports import among_outgoing
from barker.suite.shape import MOST, MOST_DIRECTORIES, MOST_PARTITIONS, Shape


def _count(name: str, least: int, most: int, default: int, text: str) -> Callable[[Command], Command]:
    """An option that says how many there are of something."""
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


@options.command("up")
@options.host
@click.option("--port-offset", type=click.IntRange(-5000, 59000), default=0, help="Added to every port.")
@how_many(2, "Users made at first")
@click.option("--graph", type=click.Path(path_type=Path, dir_okay=False), help="Users from an edge list.")
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@_count("--outboxes", 1, MOST["outbox"], 3, "How many.")
@_count("--inboxes", 1, MOST_PARTITIONS, 1, "How many; several have a part of the users each.")
@_count("--copies", 1, 5, 1, "With --broker: how many inboxes have each part of the users.")
@_count("--partitions", 1, MOST_PARTITIONS, 1, "Into how many authors are divided.")
@_count("--bizlogics", 0, MOST["bizlogic"], 2, "How many, in each partition of authors.")
@_count("--autobarks", 0, MOST["autobark"], 5, "How many.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Barks/s of each autobark.",
)
@click.option(
    "--history",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="How many of the last barks each timeline keeps.",
)
@_count("--directories", 1, MOST_DIRECTORIES, 1, "How many.")
@click.option("--keep-alive", is_flag=True, help="Start again what dies, unless it was told to end.")
@click.option("--monitoring", is_flag=True, help="Start the monitor too, for the dashboard.")
@click.option("--open", "open_pages", is_flag=True, help="Open the page, and the dashboard, in the browser.")
@click.option(
    "--session",
    "session_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the pages look for the gateway's address (default: beside them, a file for each suite).",
)
@options.allow_host
@options.tls
@options.data
@options.sync
@options.broker
@options.program
@click.pass_context
def main(
    ctx: click.Context,
    host: str,
    advertised: Advertised | None,
    port_offset: int,
    given: tuple[int | PostgresUrl, ...],
    graph: Path | None,
    mutual: bool,
    outboxes: int,
    inboxes: int,
    copies: int,
    partitions: int,
    bizlogics: int,
    autobarks: int,
    rate: float,
    history: int,
    directories: int,
    keep_alive: bool,
    monitoring: bool,
    open_pages: bool,
    session_file: Path | None,
    allow_hosts: tuple[str, ...],
    data: Path,
    sync: str,
    broker: Broker | None,
) -> None:
    """Start the whole suite; Ctrl-C ends it.

    Users are made at the first start, or come from --graph; later starts find them in --data.
    """
    count, url = count_and_url(given)
    shape = Shape(
        host=host,
        port_offset=port_offset,
        outboxes=outboxes,
        inboxes=inboxes,
        copies=copies,
        partitions=partitions,
        bizlogics=bizlogics,
        autobarks=autobarks,
        rate=rate,
        history=history,
        data=data.resolve(),
        users=url,
        log_level=ctx.params["log_level"],
        monitoring=monitoring,
        sync=sync,
        broker=broker,
        allow_hosts=allow_hosts,
        advertised=host_alone(advertised, "each service of a suite has a port of its own"),
        directories=directories,
        insecure=ctx.meta[options.INSECURE],
        tls=tls.resolve() if (tls := ctx.meta[keys.TLS]) else None,
    )
    shape, lines = take_over(shape)
    for line in filter(None, [*lines, among_outgoing(shape)]):
        show(f"barker: {line}", err=True)
    if mutual and graph is None:
        raise Mistake("--mutual says how to read --graph FILE; there is none")
    unused = data / FILE_NAME if count is None else None
    there, found = first_users(users_in(url, data), count or COUNT, graph, mutual, unused)
    if found and count is not None:
        show(f"barker: --users changes nothing: {there.place} has {len(there)} already", err=True)
    star = there.star()
    there.close()
    sessions = [session.file_of(shape.directory), session.FOLDER / session.LAST]
    files = sessions if session_file is None else [session_file]
    Launcher(shape, files, star, keep_alive, open_pages).run()


if __name__ == "__main__":
    main()
