"""One sender, one manifold, one receiver: messages/s, beside the same two without anything between them.

Each message is durable, and settled only when the next has it; sender and receiver are the same processes
each time, and decode nothing. They come in two kinds: with Barker's engine, and with Proton's own Python
classes, which are ten times slower and leave the manifold time to wait for them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import ModuleType

from rich.table import Table

from barker.amqp.agent import register
from barker.amqp.links import Place
from barker.core.routing import Route
from benchmarks import ends as ours
from benchmarks import protons
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
from benchmarks.stand import HOST, free_port, stand, until

Running = Iterator[tuple[Ends, dict[str, int]]]
"""The two ends, and the process ids of what is between them."""

KINDS = {"Barker's engine": ours, "Proton's classes": protons}


@contextlib.contextmanager
def direct(kind: ModuleType) -> Running:
    """Nothing between the two."""
    with Ends(kind) as ends:
        port = free_port()
        ends.listen(port)
        ends.send(Place(HOST, port), "sink")
        yield ends, {}


@contextlib.contextmanager
def manifold(kind: ModuleType, push: bool, *options: str) -> Running:
    """A manifold that pushes, or is pulled from."""
    with stand() as stage, Ends(kind) as ends:
        how = ("--push", "sink") if push else ()
        between = stage.start("manifold", "hop", *how, *options)
        until(lambda: between.report, lambda: None, "the manifold is there")
        if push:
            port = free_port()
            ends.listen(port)
            stage.call(lambda: register(stage.network, Route("sink", HOST, port)))
        else:
            ends.receive(between.place, "hop")
        ends.send(between.place, "hop")
        yield ends, {"manifold": between.pid}


@contextlib.contextmanager
def broker(kind: ModuleType, place: Place) -> Running:
    """A queue of RabbitMQ's."""
    with Broker(place) as rabbitmq, Ends(kind) as ends:
        queue = rabbitmq.queue("barker-hop")
        ends.receive(place, queue)
        ends.send(place, queue)
        yield ends, rabbitmq.pids


def setups(kind: ModuleType, peer: Place | None) -> dict[str, contextlib.AbstractContextManager]:  # type: ignore[type-arg]
    """What is measured with one kind of ends; each is for one run."""
    found = {
        "direct link": direct(kind),
        "push": manifold(kind, True),
        "pull": manifold(kind, False),
        "push, not journaled": manifold(kind, True, "--no-journal"),
        "pull, not journaled": manifold(kind, False, "--no-journal"),
    }
    return found | ({RABBITMQ: broker(kind, peer)} if peer is not None else {})


@benchmark("hop", seconds=5.0, runs=5, peer=True)
def main(task: Task) -> Result:
    """Measure messages/s over one manifold, a direct link, and a RabbitMQ queue."""
    rates: dict[str, list[float]] = {}
    loads: dict[str, list[dict[str, dict[str, float]]]] = {}
    task.begin(task.runs * sum(len(setups(kind, task.peer)) for kind in KINDS.values()))
    for _ in range(task.runs):
        for kind_name, kind in KINDS.items():
            for what, setup in setups(kind, task.peer).items():
                name = f"{kind_name}: {what}"
                task.say(name)
                with setup as (ends, pids):
                    until(lambda: ends.received > 1_000, lambda: ends.received, f"{name}: messages arrive")
                    load = Load({**ends.pids, **pids})
                    before, begun = ends.received, time.monotonic()
                    time.sleep(task.seconds)
                    count, seconds = ends.received - before, time.monotonic() - begun
                    loads.setdefault(name, []).append(load.used())
                    rates.setdefault(name, []).append(count / seconds)
                task.step()
    measured = {name: spread(of, 0) for name, of in rates.items()}
    ratios = {
        name: round(of["median"] / measured[f"{name.partition(':')[0]}: direct link"]["median"], 2)
        for name, of in measured.items()
    }
    table = Table("ends: what is between them", "messages/s", "of a direct link")
    for name, of in measured.items():
        table.add_row(name, told(of), f"{ratios[name]:.2f}")
    load_of = {name: median_load(of) for name, of in loads.items()}
    done = {name: of["median"] * task.seconds for name, of in measured.items()}
    return Result(
        {"messages_per_second": measured, "of_a_direct_link": ratios, "load": load_of},
        [table, load_table(load_of, "message", done)],
        plot=lambda axes: bars(axes, measured, "messages/s"),
    )
