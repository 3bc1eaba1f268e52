"""Bizlogic: works out who must see a bark, and hands it to the inbox with their names.

Several run, and the directory sends everyone to the oldest, so the next takes over when it dies. The work is
`work/spreading.py`; who follows whom, `work/following.py`.
"""

from __future__ import annotations

from pathlib import Path

import click

from barker.amqp.handlers import Limits
from barker.amqp.links import Places
from barker.amqp.service import Serving
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.commands.where import await_users, users, users_in
from barker.core.advertised import Advertised
from barker.core.broker import Broker
from barker.core.partitions import MOST, Partition
from barker.store.userbase import Where
from barker.work.spreading import Bizlogic
from barker.work.taking import BrokeredBizlogic

ADDRESS = "bizlogic"


@options.command("bizlogic")
@click.option(
    "--inboxes",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many there are, each started with its --partition.",
)
@click.option("--partition", metavar="K/N", help="Only authors of the K-th of N partitions.")
@users
@options.host
@options.port(5680)
@options.directory
@options.data
@options.broker
@options.limits
@options.program
def main(
    inboxes: int,
    partition: str | None,
    where: Where | None,
    host: str,
    advertised: Advertised | None,
    port: int,
    directories: Places,
    data: Path,
    broker: Broker | None,
    limits: Limits,
) -> None:
    """Run a bizlogic: it works out who must see each bark.

    Run several: the oldest is active, the others wait for it to die. With --partition this is so in each
    partition; the outboxes are started with --partitions N.
    """
    part = Partition.parse(partition) if partition is not None else None
    address = part.address(ADDRESS) if part else ADDRESS
    there = await_users(users_in(where, data))
    credentials = service_credentials(ADDRESS, directories, data)
    serving = Serving(
        address,
        host,
        port,
        directories,
        "ordered",
        limits,
        data=there.data,
        credentials=credentials,
        advertised=advertised,
    )
    bizlogic = (
        BrokeredBizlogic(serving, there, broker, inboxes, part)
        if broker is not None
        else Bizlogic(serving, there, inboxes, part)
    )
    bizlogic.register()
    number = len(bizlogic.following.graph)
    announce(f"{address} is served at {bizlogic.place}, for the {number} users of {there.place}")
    bizlogic.run()


if __name__ == "__main__":
    main()
