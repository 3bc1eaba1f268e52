"""The manifold: the one program behind outbox and inbox, and anybody's queues and timelines.

``--push SERVICE`` stores and forwards, nothing more lets consumers pull (both are `manifolds/queues.py`);
``--history N`` keeps timelines (`manifolds/readers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from barker.amqp.handlers import Limits
from barker.amqp.links import Place
from barker.amqp.message import check_sections, decode_bark
from barker.amqp.service import Service, Serving
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.core.errors import Mistake
from barker.core.partitions import Partition
from barker.core.routing import normalised
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.store.journal import QueueJournal, TimelineJournal
from barker.store.members import Members
from barker.store.memory import QueueMemory


@options.command("manifold")
@click.argument("address")
@click.option("--push", metavar="SERVICE", help="Forward everything to this address.")
@click.option("--history", type=click.IntRange(1), metavar="N", help="Be timelines of N messages each.")
@click.option("--accept", type=click.Choice(["bark"]), help="Reject what is not one of these.")
@click.option(
    "--users-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --accept bark or --history: whoever is not in this file is rejected, or has no timeline.",
)
@click.option(
    "--max-message-size",
    type=click.IntRange(512),
    default=16 * 1024 * 1024,
    show_default=True,
    metavar="BYTES",
    help="Larger messages end their link.",
)
@click.option(
    "--max-depth",
    type=click.IntRange(1),
    default=10_000_000,
    show_default=True,
    metavar="MESSAGES",
    help="Producers get no credit while the queues are longer.",
)
@click.option(
    "--remember",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    metavar="KEYS",
    help="With --history: how many messages are known again when they come twice.",
)
@click.option(
    "--max-timelines",
    type=click.IntRange(1),
    default=2_000_000,
    show_default=True,
    metavar="TIMELINES",
    help="With --history: beyond so many, the quietest that nobody reads are forgotten.",
)
@click.option(
    "--partition", metavar="K/N", help="With --history: only timelines of the K-th of N partitions."
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
@options.limits
@options.program
def main(
    address: str,
    push: str | None,
    history: int | None,
    accept: str | None,
    users_file: Path | None,
    max_message_size: int,
    max_depth: int,
    remember: int,
    max_timelines: int,
    partition: str | None,
    journal: str | None,
    no_journal: bool,
    host: str,
    port: int,
    policy: str,
    directory_place: Place,
    data: Path,
    sync: str,
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
    if users_file is not None and accept is None and history is None:
        raise Mistake("--users-file says who may bark, or has a timeline: it goes with --accept or --history")
    members = Members(users_file) if users_file else None
    part = Partition.parse(partition) if partition is not None else None
    key = service_credentials(address, directory_place, data)
    serving = Serving(address, host, port, directory_place, policy, limits, credentials=key)
    own_name = f"{(part.address(address) if part else address).replace('/', '-')}-{port}"
    file = data / f"{journal or own_name}.sqlite3"
    manifold: Service
    if history is not None:
        kept = TimelineJournal(file, sync)
        most = max_message_size, part, max_timelines
        manifold = TimelineManifold(serving, kept, history, remember, *most, members)
    else:
        check = _bark_check(members) if accept == "bark" else check_sections
        store = QueueMemory() if no_journal else QueueJournal(file, sync)
        manifold = QueueManifold(serving, store, push, check, max_depth, max_message_size)
    manifold.register()
    announce(f"{address} is served at {host}:{manifold.port}")
    manifold.run()


def _bark_check(members: Members | None) -> Callable[[bytes], object]:
    return decode_bark if members is None else lambda data: members.checked(decode_bark(data))


if __name__ == "__main__":
    main()
