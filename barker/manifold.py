"""The manifold: the one program behind outbox and inbox, and anybody's queues and timelines.

``--push SERVICE`` stores and forwards, nothing more lets consumers pull (both are `manifolds/queues.py`);
``--history N`` keeps timelines (`manifolds/readers.py`).
"""

from __future__ import annotations

from pathlib import Path

import click

from barker.amqp.handlers import Limits
from barker.amqp.links import Places
from barker.amqp.message import check_sections
from barker.amqp.service import Service, Serving
from barker.commands import options
from barker.commands.held import Held, held
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.commands.where import WhereType
from barker.core.advertised import Advertised
from barker.core.broker import Broker
from barker.core.errors import Mistake
from barker.core.partitions import MOST, Partition
from barker.core.rates import Rates
from barker.core.routing import normalised
from barker.manifolds.copies import TimelineCopy
from barker.manifolds.intake import bark_check
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.manifolds.relay import Relay
from barker.store.journal import CopyJournal, QueueJournal, TimelineJournal
from barker.store.members import members_in
from barker.store.memory import QueueMemory
from barker.store.swap import unfinished
from barker.store.userbase import Where


@options.command("manifold")
@click.argument("address")
@click.option("--push", metavar="SERVICE", help="Forward everything to this address.")
@click.option("--history", type=click.IntRange(1), metavar="N", help="Be timelines of N messages each.")
@click.option("--accept", type=click.Choice(["bark"]), help="Reject what is not one of these.")
@click.option(
    "--users-file",
    type=WhereType(),
    metavar="FILE|URL",
    help="With --accept bark or --history: whoever is not in this users' file, or at this postgresql://…, is "
    "rejected, or has no timeline.",
)
@held
@click.option(
    "--partition", metavar="K/N", help="With --history: only timelines of the K-th of N partitions."
)
@click.option(
    "--partitions",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="With --push and --accept bark: into so many, each a service of its own, authors are divided.",
)
@click.option(
    "--journal", metavar="NAME", help="Its file's name in --data, without .sqlite3 (default: ADDRESS-PORT)."
)
@click.option(
    "--no-journal",
    is_flag=True,
    help="Keep queues in memory only: what they hold ends with the process, and --max-depth bounds it.",
)
@options.host
@options.port(5800)
@options.policy("round-robin")
@options.directory
@options.data
@options.sync
@options.broker
@options.limits
@options.program
def main(
    address: str,
    push: str | None,
    history: int | None,
    accept: str | None,
    users_file: Where | None,
    held: Held,
    partition: str | None,
    partitions: int,
    journal: str | None,
    no_journal: bool,
    host: str,
    advertised: Advertised | None,
    port: int,
    policy: str,
    directories: Places,
    data: Path,
    sync: str,
    broker: Broker | None,
    limits: Limits,
) -> None:
    """Run a manifold that serves ADDRESS and all below it: queues, or timelines."""
    if not (address := normalised(address)):
        raise Mistake("a manifold needs an address, such as orders")
    if push is not None and history is not None:
        raise Mistake("--push makes queues, --history timelines: choose one")
    if no_journal and history is not None:
        raise Mistake("--no-journal is for queues: timelines always have a journal")
    if partition is not None and history is None:
        raise Mistake("--partition divides timelines: it goes with --history")
    if broker is not None and (push is not None or no_journal or (accept is None and history is None)):
        raise Mistake("--broker has the queues: it goes with --accept bark or --history, without --push")
    if partitions > 1 and ((push is None and broker is None) or accept is None):
        raise Mistake("--partitions divides authors: it goes with --accept bark, and --push or --broker")
    if users_file is not None and accept is None and history is None:
        raise Mistake("--users-file says who may bark, or has a timeline: it goes with --accept or --history")
    members = members_in(users_file) if users_file else None
    part = Partition.parse(partition) if partition is not None else None
    key = service_credentials(address, directories, data)
    at = address, host, port, directories, policy, limits
    serving = Serving(*at, credentials=key, advertised=advertised)
    own_name = f"{(part.address(address) if part else address).replace('/', '-')}-{port}"
    file = data / f"{journal or own_name}.sqlite3"
    if unfinished(data):
        raise Mistake(f"{data} is being divided anew; if that was cut off, run 'barker repartition' again")
    manifold: Service
    if history is not None:
        most = history, held.keys, held.message_size, part, held.timelines, members
        if broker is not None:
            manifold = TimelineCopy(serving, CopyJournal(file, sync), broker, *most)
        else:
            manifold = TimelineManifold(serving, TimelineJournal(file, sync), *most)
    elif broker is not None:
        check = bark_check(members, Rates(held.rate))
        manifold = Relay(serving, broker, check, held.message_size, partitions)
    else:
        checks = bark_check(members, Rates(held.rate)) if accept == "bark" else check_sections
        store = QueueMemory() if no_journal else QueueJournal(file, sync)
        manifold = QueueManifold(serving, store, push, checks, held.depth, held.message_size, partitions)
    if members is not None:
        members.begin(manifold.reactor.call_from_thread, manifold.reactor.chance.random)
    manifold.register()
    announce(f"{address} is served at {manifold.place}")
    manifold.run()


if __name__ == "__main__":
    main()
