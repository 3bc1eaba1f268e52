"""The launcher, `barker up`: starts the suite, each service a process of its own, and ends it.

What is started is a plain list of commands (`suite/shape.py`). `suite/launch.py` waits until all is ready,
and takes orders; `suite/supervisor.py` starts, breaks and ends.
"""

from __future__ import annotations

from pathlib import Path

import click

from barker.commands import keys, options, session
from barker.commands.output import show
from barker.commands.where import COUNT, CountOrUrlType, count_and_url, users_in
from barker.core.errors import Mistake
from barker.core.postgresql_url import PostgresUrl
from barker.store.first_users import first_users
from barker.suite.journals import take_over
from barker.suite.launch import Launcher
from barker.suite.ports import among_outgoing
from barker.suite.shape import MOST, Shape


@options.command("up")
@options.host
@click.option("--port-offset", type=click.IntRange(-5000, 59000), default=0, help="Added to every port.")
@click.option(
    "--users",
    "given",
    type=CountOrUrlType(2),
    multiple=True,
    metavar="N|URL",
    help=f"Users made at first (default: {COUNT}); or postgresql://…, where they are then; or both, each "
    "with --users.",
)
@click.option("--graph", type=click.Path(path_type=Path, dir_okay=False), help="Users from an edge list.")
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@click.option(
    "--outboxes", type=click.IntRange(1, MOST["outbox"]), default=3, show_default=True, help="How many."
)
@click.option(
    "--inboxes",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="How many; several have a part of the users each, always the same one.",
)
@click.option(
    "--bizlogics", type=click.IntRange(0, MOST["bizlogic"]), default=2, show_default=True, help="How many."
)
@click.option(
    "--autobarks", type=click.IntRange(0, MOST["autobark"]), default=5, show_default=True, help="How many."
)
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
@options.program
@click.pass_context
def main(
    ctx: click.Context,
    host: str,
    port_offset: int,
    given: tuple[int | PostgresUrl, ...],
    graph: Path | None,
    mutual: bool,
    outboxes: int,
    inboxes: int,
    bizlogics: int,
    autobarks: int,
    rate: float,
    history: int,
    keep_alive: bool,
    monitoring: bool,
    open_pages: bool,
    session_file: Path | None,
    allow_hosts: tuple[str, ...],
    data: Path,
    sync: str,
) -> None:
    """Start the whole suite; Ctrl-C ends it.

    Users are made at the first start, or come from --graph; later starts find them in --data.
    """
    log_level: str = ctx.params["log_level"]
    count, url = count_and_url(given)
    shape = Shape(
        host=host,
        port_offset=port_offset,
        outboxes=outboxes,
        inboxes=inboxes,
        bizlogics=bizlogics,
        autobarks=autobarks,
        rate=rate,
        history=history,
        data=data.resolve(),
        users=url,
        log_level=log_level,
        monitoring=monitoring,
        sync=sync,
        allow_hosts=allow_hosts,
        insecure=ctx.meta[options.INSECURE],
        tls=tls.resolve() if (tls := ctx.meta[keys.TLS]) else None,
    )
    shape, lines = take_over(shape)
    for line in filter(None, [*lines, among_outgoing(shape)]):
        show(f"barker: {line}", err=True)
    if mutual and graph is None:
        raise Mistake("--mutual says how to read --graph FILE; there is none")
    there, found = first_users(users_in(url, data), count or COUNT, graph, mutual)
    if found and count is not None:
        show(f"barker: --users {count} changes nothing: {there.place} has {len(there)} already", err=True)
    star = there.star()
    there.close()
    sessions = [session.file_of(shape.directory), session.FOLDER / session.LAST]
    files = sessions if session_file is None else [session_file]
    Launcher(shape, files, star, keep_alive, open_pages).run()


if __name__ == "__main__":
    main()
