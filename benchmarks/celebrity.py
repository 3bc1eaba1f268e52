"""One bark to very many followers: how long until the last timeline has it.

The first bark finds an inbox that has none of these timelines yet; those after it are what a celebrity's
barks cost from then on. Readers follow the timelines that come last in each part of the fan-out.
"""

from __future__ import annotations

import time

import click
from rich.table import Table

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, receiver_from
from barker.amqp.message import encode_bark, message_id
from barker.amqp.outbound import Outbound
from barker.amqp.system import now
from barker.core.barks import Bark
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.fan_out import parts
from barker.store.social import FILE_NAME, Users
from benchmarks.bench import Load, Result, Task, bars, benchmark, load_table, spread, told
from benchmarks.ends import TEXT
from benchmarks.stand import Stand, stand, until
from benchmarks.suite import Suite

CELEBRITY = "celebrity"


class Lookout(PeerHandler[Receiver]):
    """Reads the timelines that are served last, and barks."""

    def __init__(self, stage: Stand, last: list[str]) -> None:
        self.arrived: dict[str, list[float]] = {}
        """When each bark came to these timelines, by its id."""
        self.ready = 0
        self.accepted: dict[str, float] = {}
        """When an outbox had accepted each bark."""
        for name in last:
            receiver_from(stage.network, f"inbox/{name}", self, settled=True)
        self._outbound = Outbound(stage.network, "outbox")

    def on_found(self, link: Receiver) -> None:
        """One timeline is found."""
        self.ready += 1

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A bark is on one of the timelines."""
        delivery.accept()
        self.arrived.setdefault(message_id(data), []).append(time.monotonic())

    def bark(self, id: str) -> None:
        """Have the celebrity bark."""
        self._outbound.send(encode_bark(Bark(id, CELEBRITY, TEXT, now())), lambda _: self._accepted(id))

    def _accepted(self, id: str) -> None:
        self.accepted[id] = time.monotonic()


@benchmark("celebrity", runs=10)
@click.option(
    "--followers", type=click.IntRange(1, 10_000_000), default=1_000_000, show_default=True, help="How many."
)
def main(task: Task, followers: int) -> Result:
    """Time one bark to a million followers, until the last timeline has it."""
    task.begin(2 + task.runs)
    with stand() as stage:
        task.say("making users")
        names = [f"user{number}" for number in range(followers)]
        users = Users(stage.data / FILE_NAME, create=True)
        users.add([CELEBRITY, *names], ((name, CELEBRITY) for name in names))
        users.close()
        task.step()
        task.say("starting")
        suite = Suite(stage)
        last = [part[-1] for part in parts([CELEBRITY, *names], DEFAULT_BOUNDS.part)]
        found: list[Lookout] = []
        stage.call(lambda: found.append(Lookout(stage, last)))
        until(lambda: found and found[0].ready == len(last), lambda: len(found), "the timelines are found")
        task.step()
        lookout, took, load = found[0], [], Load(suite.pids)
        for run in range(task.runs + 1):
            task.say(f"bark {run}" if run else "the first bark")
            id, begun = f"bark-{run}", time.monotonic()
            stage.call(lambda id=id: lookout.bark(id))  # type: ignore[misc]
            until(
                lambda id=id: len(lookout.arrived.get(id, ())) == len(last),  # type: ignore[misc]
                lambda id=id: len(lookout.arrived.get(id, ())),  # type: ignore[misc]
                f"{id} is on all timelines",
                0.005,
            )
            took.append(max(lookout.arrived[id]) - begun)
            due = (run + 1) * (followers + 1)
            until(lambda due=due: suite.delivered == due, lambda: None, "all is counted")  # type: ignore[misc]
            task.step(run > 0)
        used = load.used()
    seconds = {"the first": spread(took[:1], 3), "the next": spread(took[1:], 3)}
    table = Table(f"a bark to {followers:,} followers", "seconds until the last timeline has it")
    for name, of in seconds.items():
        table.add_row(name, told(of, 3))
    return Result(
        {"followers": followers, "seconds": seconds, "load": used},
        [table, load_table({"all barks": used}, "bark", {"all barks": task.runs + 1})],
        plot=lambda axes: bars(axes, seconds, "seconds"),
    )
