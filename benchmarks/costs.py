"""What each piece of work costs on this machine: measured with a suite, without a broker and with one.

Runs that differ in one thing, the followers or the inboxes, tell what a name, and a part of a fan-out, cost.
What a broker takes is measured by bundles alone (`bundles.py`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from barker.amqp.message import encode_bark
from barker.core import broker as core
from barker.core.barks import Bark
from barker.core.errors import Mistake
from barker.core.timelines import Timelines
from barker.store.social import FILE_NAME, Users
from benchmarks import bundles
from benchmarks.bench import MB, Load, Task, spread, told
from benchmarks.fanout import Turn, brokered, measure
from benchmarks.readers import HISTORY, filled, visits
from benchmarks.sizing import REPLICAS, BrokerCosts, Costs, Passing
from benchmarks.stand import stand
from benchmarks.suite import USERS, make_users

FEW, MANY = 65, 403
"""Followers of each, in two of the runs that tell what a bark costs."""

INBOXES = 4
"""In the third."""

KEPT = 20_000
"""So many timelines, and barks, are made to see what they take."""

MOST_FOLLOWERS = USERS - 1
"""Users with no more followers each are made to see what they take."""

SHAPES = ((FEW, 1), (MANY, 1), (FEW, INBOXES))
"""The followers of each, and the inboxes, of these."""

SERVICES = "outbox", "bizlogic", "inbox", "broker"

Turns = dict[tuple[int, int], list[Turn]]
"""Of each of the shapes the runs."""


def cost(turn: Turn, kind: str) -> float:
    """Microseconds of CPU time that a bark took in all services of a kind."""
    used = (of["cpu_seconds"] for name, of in turn.load.items() if name.startswith(kind))
    return 1e6 * sum(used) / turn.done


def measured(task: Task, urls: Iterable[str | None]) -> dict[str | None, Turns]:
    """Runs without a broker and with one, in turns."""
    turns: dict[str | None, Turns] = {url: {shape: [] for shape in SHAPES} for url in urls}
    for _ in range(task.runs):
        for followers, inboxes in SHAPES:
            users = functools.partial(make_users, followers=followers)
            for url, of in turns.items():
                task.say(f"{followers} followers, {inboxes} inbox(es)" + ", broker" * (url is not None))
                turn = (
                    brokered(users, task.seconds, url, inboxes, 1)
                    if url is not None
                    else measure(users, task.seconds, inboxes=inboxes)
                )
                of[followers, inboxes].append(turn)
                task.step()
    return turns


def costs_of(
    turns: Turns, read: float, memory: tuple[float, float, float, float], broker: BrokerCosts | None
) -> Costs:
    """What each piece of work costs, by the medians of runs; `read`: a timeline that is read."""
    few, many, divided = (
        {kind: statistics.median(cost(turn, kind) for turn in turns[shape]) for kind in SERVICES}
        for shape in SHAPES
    )
    name, part, rest = {}, {}, {}
    for kind in ("bizlogic", "inbox"):
        name[kind] = max(0.0, (many[kind] - few[kind]) / (MANY - FEW))
        part[kind] = max(0.0, (divided[kind] - few[kind]) / (INBOXES - 1))
        rest[kind] = max(0.0, few[kind] - part[kind] - (FEW + 1) * name[kind])
    return Costs(
        few["outbox"],
        rest["bizlogic"],
        part["bizlogic"],
        name["bizlogic"],
        part["inbox"] + rest["inbox"],
        name["inbox"],
        read,
        *memory,
        broker=broker,
    )


def broker_costs(task: Task, url: str, turns: Turns) -> BrokerCosts:
    """What it takes of the broker, with all its replicas."""
    ways: dict[str, list[Passing]] = {"queue": [], "stream": []}
    kinds = {
        "queue": [queue for queue in core.outboxes(bundles.QUEUES) if queue.name != core.DEAD_LETTERS],
        "stream": core.inboxes(bundles.QUEUES),
    }
    for _ in range(task.runs):
        for kind, queues in kinds.items():
            task.say(f"bundles through a {kind}")
            ways[kind].append(bundles.passing(url, queues, task.seconds))
            task.step()
    nodes = bundles.watched(url)
    # Of a broker with fewer nodes than that, each replica takes as much as those that it has.
    queue, stream = (_median(of).times(REPLICAS / min(nodes, REPLICAS)) for of in ways.values())
    node = max(
        of["memory_mb"]
        for runs in turns.values()
        for turn in runs
        for name, of in turn.load.items()
        if name.startswith("broker")
    )
    return BrokerCosts(queue, stream, MB * node)


def _median(of: list[Passing]) -> Passing:
    return Passing(*(statistics.median(getattr(each, name) for each in of) for name in Passing.__slots__))


def read_cost(count: int) -> float:
    """Microseconds of a timeline that is read, by so many."""
    with stand() as stage:
        inbox, _ = filled(stage)
        load = Load({"inbox": inbox.pid})
        visits(stage, inbox, count)
        return 1e6 * load.used()["inbox"]["cpu_seconds"] / count


def memory_of(followers: float) -> tuple[float, float, float, float]:
    """Bytes of a bark that is held, and a timeline without; of a user, and each of so many followers."""
    tracemalloc.start()
    timelines: Timelines[Any] = Timelines(HISTORY)
    audience = timelines.audience(" ".join(f"user{number}" for number in range(KEPT)))
    made, _ = tracemalloc.get_traced_memory()
    for number, timeline in enumerate(audience, 1):
        data = encode_bark(Bark(f"{number:032}", "ark3", "Woof! " * 12, 1_700_000_000_000))
        timelines.deliver(number, data, [timeline])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    some = min(max(1, round(followers)), MOST_FOLLOWERS)
    alone = _user_bytes(0)
    return (held - made) / KEPT, made / KEPT, alone, (_user_bytes(some) - alone) / some


def _user_bytes(followers: int) -> float:
    """Of a user with so many followers, in the graph that a bizlogic has read."""
    with tempfile.TemporaryDirectory(prefix="barker-benchmark-") as folder:
        make_users(Path(folder), followers)
        with contextlib.closing(Users(Path(folder) / FILE_NAME)) as users:
            tracemalloc.start()
            graph = users.graph()
            known, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return known / len(graph)


def read_costs(file: Path) -> dict[str | None, Costs]:
    """The costs that a plan has measured before, by its figures as JSON; those with a broker at ``broker``.

    :raises Mistake: when that is something else.
    """
    try:
        figures = json.loads(file.read_text())
        found: dict[str | None, Costs] = {None: Costs(**figures["costs"])}
        if "broker" in figures:
            plain = figures["broker"]["costs"]
            ways = {name: Passing(**plain["broker"][name]) for name in ("queue", "stream")}
            found["broker"] = Costs(**plain | {"broker": BrokerCosts(**plain["broker"] | ways)})
    except (OSError, ValueError, KeyError, TypeError):
        raise Mistake(
            f"{file} has no costs: write it with python -m benchmarks plan --json, of this version"
        ) from None
    return found


def spreads(turns: Turns) -> dict[str, dict[str, Any]]:
    """Microseconds of a bark, of each shape."""
    return {
        f"{followers} followers, {inboxes} inboxes": {
            kind: spread(cost(turn, kind) for turn in runs) for kind in SERVICES
        }
        for (followers, inboxes), runs in turns.items()
    }


def measured_table(turns: dict[str | None, Turns]) -> Table:
    table = Table("CPU, µs a bark", *SERVICES)
    for url, of in turns.items():
        for shape, found in spreads(of).items():
            table.add_row(
                shape + ", broker" * (url is not None), *(told(found[kind], 1) for kind in SERVICES)
            )
    return table
