"""Bizlogic: works out who must see a bark, and hands it to the inbox with their names.

Several run, and the directory sends everyone to the oldest, so the next takes over when it dies. The work is
`work/spreading.py`; who follows whom, `work/following.py`.
"""

from __future__ import annotations

from pathlib import Path

import click

from barker.amqp.handlers import Limits
from barker.amqp.links import Place
from barker.amqp.service import Serving
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.commands.where import await_users, users, users_in
from barker.core.partitions import MOST
from barker.store.userbase import Where
from barker.work.spreading import Bizlogic

ADDRESS = "bizlogic"


@options.command("bizlogic")
@click.option(
    "--inboxes",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many there are, each started with its --partition.",
)
@users
@options.host
@options.port(5680)
@options.directory
@options.data
@options.limits
@options.program
def main(
    inboxes: int,
    where: Where | None,
    host: str,
    port: int,
    directory_place: Place,
    data: Path,
    limits: Limits,
) -> None:
    """Run a bizlogic: it works out who must see each bark.

    Run several: the oldest is active, the others wait for it to die.
    """
    there = await_users(users_in(where, data))
    credentials = service_credentials(ADDRESS, directory_place, data)
    serving = Serving(
        ADDRESS, host, port, directory_place, "ordered", limits, data=there.data, credentials=credentials
    )
    bizlogic = Bizlogic(serving, there, inboxes)
    bizlogic.register()
    number = len(bizlogic.following.graph)
    announce(f"bizlogic is served at {host}:{bizlogic.port}, for the {number} users of {there.place}")
    bizlogic.run()


if __name__ == "__main__":
    main()
