"""One sender, one manifold, one receiver: messages/s, beside the same two without anything between them.

Each message is durable, and settled only when the next has it; sender and receiver are the same processes
each time, and decode nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.table import Table

from barker.amqp.links import Place
from benchmarks.bench import (
    RABBITMQ,
    Load,
    Result,
    Task,
    bars,
    benchmark,
    load_table,
    median_load,
    spread,
    told,
)
from benchmarks.ends import Ends
from benchmarks.rabbitmq import Broker
from benchmarks.stand import HOST, free_port, listens, stand, until

Pids = dict[str, int]

DIRECT = "direct link"


@contextlib.contextmanager
def direct() -> Iterator[tuple[Ends, Pids]]:
    """Nothing between the two."""
    with Ends() as ends:
        port = free_port()
        ends.listen(port)
        until(lambda: listens(port), lambda: None, "the receiver listens")
        ends.send(Place(HOST, port), "sink")
        yield ends, {}


@contextlib.contextmanager
def protons() -> Iterator[tuple[Ends, Pids]]:
    """Nothing between two that use Proton's own Python classes."""
    # Only for this: what measures is to be as small as it can be.
    from benchmarks import protons

    with Ends() as ends:
        port = free_port()
        ends.start("receiver", protons.listen, port)
        until(lambda: listens(port), lambda: None, "the receiver listens")
        ends.start("sender", protons.send, Place(HOST, port))
        yield ends, {}


@contextlib.contextmanager
def manifold(push: bool, *options: str) -> Iterator[tuple[Ends, Pids]]:
    """A manifold that pushes, or is pulled from."""
    with stand() as stage, Ends() as ends:
        how = ("--push", "sink") if push else ()
        between = stage.start("manifold", "hop", *how, *options)
        until(lambda: between.report, lambda: None, "the manifold is there")
        if push:
            ends.listen(free_port(), stage.directory.place, "sink")
        else:
            ends.receive(between.place, "hop")
        ends.send(between.place, "hop")
        yield ends, {"manifold": between.pid}


@contextlib.contextmanager
def broker(place: Place) -> Iterator[tuple[Ends, Pids]]:
    """A queue of RabbitMQ's."""
    with Broker(place) as rabbitmq, Ends() as ends:
        queue = rabbitmq.queue("barker-hop")
        ends.receive(place, queue)
        ends.send(place, queue)
        yield ends, rabbitmq.pids


@benchmark("hop", seconds=5.0, runs=5, peer=True)
def main(task: Task) -> Result:
    """Measure messages/s over one manifold, a direct link, and a RabbitMQ queue."""
    setups: dict[str, Callable[[], contextlib.AbstractContextManager[tuple[Ends, Pids]]]] = {
        DIRECT: direct,
        "direct link, Proton's classes": protons,
        "push, journaled": lambda: manifold(True),
        "pull, journaled": lambda: manifold(False),
        "push, not journaled": lambda: manifold(True, "--no-journal"),
        "pull, not journaled": lambda: manifold(False, "--no-journal"),
    }
    if task.peer is not None:
        peer = task.peer
        setups[f"{RABBITMQ} queue"] = lambda: broker(peer)
    rates: dict[str, list[float]] = {name: [] for name in setups}
    loads: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in setups}
    task.begin(task.runs * len(setups))
    for _ in range(task.runs):
        for name, setup in setups.items():
            task.say(name)
            with setup() as (ends, pids):
                until(lambda: ends.received > 1_000, lambda: ends.received, f"{name}: messages arrive")
                load = Load({**ends.pids, **pids})
                before, begun = ends.received, time.monotonic()
                time.sleep(task.seconds)
                count, seconds = ends.received - before, time.monotonic() - begun
                loads[name].append(load.used())
                rates[name].append(count / seconds)
            task.step()
    measured = {name: spread(of, 0) for name, of in rates.items()}
    base = measured[DIRECT]["median"]
    table = Table("", "messages/s", "of a direct link")
    for name, of in measured.items():
        table.add_row(name, told(of), f"{of['median'] / base:.2f}")
    load = {name: median_load(of) for name, of in loads.items()}
    done = {name: of["median"] * task.seconds for name, of in measured.items()}
    figures = {"messages_per_second": measured, "load": load}
    return Result(
        figures,
        [table, load_table(load, "message", done)],
        plot=lambda axes: bars(axes, measured, "messages/s"),
    )
