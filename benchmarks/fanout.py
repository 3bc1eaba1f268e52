"""Barks from clients through outboxes, bizlogic and inbox to timelines: how many, as a whole, each second.

::

    python -m benchmarks.fanout

A turn is the time from the first of so many barks to the last delivery to a timeline, queueing included. The
processes are those of the default suite: three outboxes, two bizlogics of which one works, one inbox.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import click
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from barker.amqp.courier import Courier
from barker.amqp.engine import ACCEPTED, Condition
from barker.amqp.links import Network
from barker.amqp.message import encode_bark
from barker.bark import now
from barker.core.barks import Bark
from barker.core.errors import BarkerError
from barker.store.users import FILE_NAME, Users
from benchmarks.stand import Service, Stand, stand, until

USERS = 1_000

CLIENTS = 6
"""Each with a link of its own, so that all outboxes have work."""

WINDOW = 500
"""How many barks of one client wait for their acceptance at once."""

TEXT = "Woof! The vacuum cleaner is mine now."


def make_users(stage: Stand, followers: int) -> None:
    """Users of whom each has so many followers."""
    chance = random.Random(1)
    names = [f"user{number}" for number in range(USERS)]
    users = Users(stage.data / FILE_NAME, create=True)
    follows = []
    for name in names:
        others = [other for other in chance.sample(names, followers + 1) if other != name]
        follows += [(other, name) for other in others[:followers]]
    users.add(names, follows)
    users.close()


class Client:
    """One client, which barks as many users in turn."""

    def __init__(self, network: Network, number: int) -> None:
        self._number, self._left, self._made, self.rejected = number, 0, 0, 0
        self._courier = Courier(network, "outbox", self._on_outcome)

    def send(self, count: int) -> None:
        """Bark so many times, as fast as outboxes accept."""
        self._left += count
        for _ in range(min(WINDOW, count)):
            self._bark()

    def _bark(self) -> None:
        if self._left:
            self._left -= 1
            self._made += 1
            user = f"user{(self._number + CLIENTS * self._made) % USERS}"
            self._courier.send(encode_bark(Bark(f"{self._number}-{self._made}", user, TEXT, now())))

    def _on_outcome(self, token: object, outcome: int, condition: Condition | None) -> None:
        self.rejected += outcome != ACCEPTED
        self._bark()


def cpu(services: dict[str, Service]) -> dict[str, float]:
    """The CPU seconds that each process has had."""
    times = {name: psutil.Process(service.pid).cpu_times() for name, service in services.items()}
    return {name: of.user + of.system for name, of in times.items()}


def wait_for(inbox: Service, count: int, show: Callable[[int], object]) -> None:
    """Wait until the inbox has had so many barks, as it says once a second.

    :raises BarkerError: when it gets no more of them.
    """

    def received() -> int:
        now = int(inbox.report["received"])
        show(now)
        return now

    until(lambda: received() >= count, received, "all are on timelines")


@click.command("fanout")
@click.option("--barks", type=click.IntRange(1), default=100_000, show_default=True, help="Of each turn.")
@click.option(
    "--followers", type=click.IntRange(0, USERS - 1), default=65, show_default=True, help="Of each."
)
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(barks: int, followers: int, turns: int, as_json: bool) -> None:
    """Measure barks/s and deliveries to timelines/s, through the whole suite."""
    console = Console(stderr=as_json)
    rates: list[float] = []
    try:
        with stand() as stage, Progress(console=console) as progress:
            task = progress.add_task("fanout", total=barks * turns)
            make_users(stage, followers)
            inbox = stage.start("manifold", "inbox", "--history", "25")
            data = ("--data", str(stage.data))
            services = {"inbox": inbox, "bizlogic": stage.start("bizlogic", *data)}
            until(lambda: services["bizlogic"].report, lambda: None, "bizlogic is there")
            stage.start("bizlogic", *data)
            for number in range(3):
                outbox = stage.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark")
                services[f"outbox {number + 1}"] = outbox
            until(lambda: all(service.report for service in services.values()), lambda: None, "all are there")
            clients: list[Client] = []
            # Networks of their own, and so connections: as if they were processes of their own.
            stage.call(
                lambda: clients.extend(
                    Client(Network(stage.reactor, stage.directory.place), number) for number in range(CLIENTS)
                )
            )
            done = 0
            before = cpu(services)
            for _ in range(turns):
                begun = time.monotonic()
                done += barks // CLIENTS * CLIENTS
                stage.call(lambda: [client.send(barks // CLIENTS) for client in clients])
                wait_for(inbox, done, lambda count: progress.update(task, completed=count))
                rates.append(barks // CLIENTS * CLIENTS / (time.monotonic() - begun))
            if inbox.report["delivered"] != done * (followers + 1) or any(c.rejected for c in clients):
                raise BarkerError(f"{inbox.report['delivered']:,} deliveries, not {done * (followers + 1):,}")
            used = {name: after - before[name] for name, after in cpu(services).items()}
            memory = {name: service.memory / 1e6 for name, service in services.items()}
    except BarkerError as error:
        sys.exit(f"fanout: {error}")
    per_bark = {name: 1e6 * seconds / done for name, seconds in used.items()}
    rate = statistics.median(rates)
    if as_json:
        figures = {"barks_per_second": rates, "followers": followers, "cpu_us_per_bark": per_bark}
        click.echo(
            json.dumps({**figures, "deliveries_per_second": rate * (followers + 1), "memory_mb": memory})
        )
        return
    table = Table("process", "CPU, µs for each bark", "memory, MB")
    for name in services:
        table.add_row(name, f"{per_bark[name]:.1f}", f"{memory[name]:.1f}")
    console.print(table)
    each = ", ".join(f"{of:,.0f}" for of in rates)
    console.print(f"{rate:,.0f} barks/s (median of {each}), {rate * (followers + 1):,.0f} deliveries/s")


if __name__ == "__main__":
    main()
