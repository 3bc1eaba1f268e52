"""What a load takes: services, processors, memory, network, money; with costs that are measured first, here.

The load is that of Twitter at its peak in 2012, and ten times it, or another. Such a suite is not started:
this machine is too small. What is multiplied (`sizing.py`) is checked by a simulation of the queues, with the
same costs. With a broker (``--broker``) there are its costs, too, beside the same without one.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
import tempfile
import tracemalloc
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from barker.amqp.message import encode_bark
from barker.core import broker as core
from barker.core.barks import Bark
from barker.core.partitions import MOST
from barker.core.timelines import Timelines
from barker.store.social import FILE_NAME, Users
from benchmarks import bundles
from benchmarks.bench import MB, Load, Result, Task, benchmark, engines, spread, told
from benchmarks.bench import broker as broker_option
from benchmarks.fanout import Turn, brokered, measure
from benchmarks.readers import HISTORY, Feed, visits
from benchmarks.sizing import (
    GB,
    REPLICAS,
    TWITTER_2012,
    BrokerCosts,
    Costs,
    Demand,
    Need,
    Passing,
    Prices,
    needs,
    parts,
    simulate,
)
from benchmarks.stand import stand, until
from benchmarks.suite import USERS, make_users

FEW, MANY = 65, 403
"""Followers of each, in two of the runs that tell what a bark costs."""

INBOXES = 4
"""In the third."""

SIMULATED_BARKS = 30_000
"""So many go through the queues that are simulated."""

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
    turns: Turns, read: float, memory: tuple[float, float, float], broker: BrokerCosts | None
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


def _broker_costs(task: Task, url: str, turns: Turns, together: float) -> BrokerCosts:
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
    task.say("what queues keep in memory")
    kept = bundles.memory(url, [*kinds["queue"], *kinds["stream"]]) * REPLICAS / min(nodes, REPLICAS)
    return BrokerCosts(queue, stream, MB * node, kept, together)


def _median(of: list[Passing]) -> Passing:
    return Passing(*(statistics.median(getattr(each, name) for each in of) for name in Passing.__slots__))


def _read_cost(count: int) -> float:
    with stand() as stage:
        inbox = stage.start("manifold", "inbox", "--history", str(HISTORY))
        feed = Feed(stage)
        feed.send(HISTORY)
        until(lambda: feed.accepted >= HISTORY, lambda: feed.accepted, "the timelines are full")
        load = Load({"inbox": inbox.pid})
        visits(stage, inbox, count)
        return 1e6 * load.used()["inbox"]["cpu_seconds"] / count


def _memory(followers: float) -> tuple[float, float, float]:
    """Bytes of a bark that is held, of a timeline without its barks, and of a user with so many followers."""
    tracemalloc.start()
    timelines: Timelines[Any] = Timelines(HISTORY)
    audience = timelines.audience(" ".join(f"user{number}" for number in range(KEPT)))
    made, _ = tracemalloc.get_traced_memory()
    for number, timeline in enumerate(audience, 1):
        data = encode_bark(Bark(f"{number:032}", "ark3", "Woof! " * 12, 1_700_000_000_000))
        timelines.deliver(number, data, [timeline])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (held - made) / KEPT, made / KEPT, _user_memory(followers)


def _user_memory(followers: float) -> float:
    some = min(round(followers), MOST_FOLLOWERS)
    with tempfile.TemporaryDirectory(prefix="barker-benchmark-") as folder:
        make_users(Path(folder), some)
        with contextlib.closing(Users(Path(folder) / FILE_NAME)) as users:
            tracemalloc.start()
            graph = users.graph()
            known, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return known / len(graph) * max(1.0, followers / max(1, some))


@benchmark("plan", seconds=4.0, runs=1)
@broker_option
@click.option("--barks", type=click.FloatRange(1), help="Barks/s at the peak (12000).")
@click.option("--followers", type=click.FloatRange(0), help="Of an author, in the mean (75).")
@click.option("--most-followers", type=click.IntRange(0), help="Of the one whom most follow (31,000,000).")
@click.option("--timelines", type=click.FloatRange(1), help="How many are kept (150,000,000).")
@click.option("--history", type=click.IntRange(1), help="Barks that each keeps (800).")
@click.option("--reads", type=click.FloatRange(0), help="Timelines that are read, a second (300,000).")
@click.option(
    "--times", type=click.FloatRange(0, min_open=True), multiple=True, help="As much of it (1 and 10)."
)
@click.option(
    "--load",
    type=click.FloatRange(0.01, 0.95),
    default=0.5,
    show_default=True,
    help="The share of its time that a process is busy at the peak, at most.",
)
@click.option(
    "--inbox-gb", type=click.FloatRange(0.1), default=32.0, show_default=True, help="Memory of one inbox."
)
@click.option(
    "--node-cores",
    type=click.IntRange(2),
    default=16,
    show_default=True,
    help="Processors of each of the broker's nodes.",
)
@click.option(
    "--together",
    type=click.FloatRange(1, 100),
    default=1.0,
    show_default=True,
    help="Barks that go to the broker in one bundle, in the mean.",
)
@click.option(
    "--core-price", type=click.FloatRange(0), default=20.0, show_default=True, help="Of a processor, a month."
)
@click.option(
    "--gb-price", type=click.FloatRange(0), default=3.0, show_default=True, help="Of a GB, a month."
)
@click.option(
    "--disk-price",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    help="Of a GB on the broker's disks, a month.",
)
@click.option(
    "--read-timelines", default=3_000, show_default=True, type=click.IntRange(10), help="To measure."
)
def main(
    task: Task,
    broker: str | None,
    times: tuple[float, ...],
    load: float,
    inbox_gb: float,
    node_cores: int,
    together: float,
    core_price: float,
    gb_price: float,
    disk_price: float,
    read_timelines: int,
    **asked: Any,
) -> Result:
    """Work out what a load takes, with costs that are measured on this machine."""
    factors = times or (1.0, 10.0)
    urls = list(engines(broker).values())
    if broker is not None:
        bundles.watched(broker)  # Better said now than when the first half is measured.
    begun = task.runs * (len(SHAPES) * len(urls) + 2 * (broker is not None))
    task.begin(begun + 1 + len(factors) * len(urls))
    turns = measured(task, urls)
    task.say("timelines that are read")
    read = _read_cost(read_timelines)
    task.step()
    wanted = {name: value for name, value in asked.items() if value is not None}
    demand = Demand(**{**{n: getattr(TWITTER_2012, n) for n in Demand.__slots__}, **wanted})
    prices = Prices(core_price, gb_price, disk_price)
    memory = _memory(demand.followers)
    figures: dict[str, Any] = {}
    tables, lines = [_measured_table(turns)], []
    for url, runs in turns.items():
        of_broker = _broker_costs(task, url, runs, together) if url is not None else None
        costs = costs_of(runs, read, memory, of_broker)
        shown = figures if url is None else figures.setdefault("broker", {})
        shown |= {"costs": asdict(costs), "measured": _spreads(runs)}
        lines += _costs_told(costs)
        table = _needs_table(url)
        for factor in factors:
            task.say(f"{factor:g} times the load")
            whole = demand.times(factor)
            need = needs(whole, costs, load, inbox_gb * GB, node_cores)
            _add(table, factor, need, prices)
            waited = simulate(whole, costs, need, SIMULATED_BARKS / whole.barks, say=task.say)
            task.step()
            lines += [_told(factor, waited.seconds), *_beside(need, waited.busy), *_beyond(whole, need)]
            shown[f"{factor:g}"] = {
                "needs": {kind: asdict(each) for kind, each in need.items()},
                "money": {kind: round(prices.of(each)) for kind, each in need.items()},
                "simulated": asdict(waited),
            }
        tables.append(table)
    return Result(figures, tables, lines)


def _spreads(turns: Turns) -> dict[str, dict[str, Any]]:
    """Microseconds of a bark, of each shape."""
    return {
        f"{followers} followers, {inboxes} inboxes": {
            kind: spread(cost(turn, kind) for turn in runs) for kind in SERVICES
        }
        for (followers, inboxes), runs in turns.items()
    }


def _measured_table(turns: dict[str | None, Turns]) -> Table:
    table = Table("CPU, µs a bark", *SERVICES)
    for url, of in turns.items():
        for shape, found in _spreads(of).items():
            table.add_row(
                shape + ", broker" * (url is not None), *(told(found[kind], 1) for kind in SERVICES)
            )
    return table


def _costs_told(costs: Costs) -> list[str]:
    figures = asdict(costs)
    for name, value in (figures.pop("broker") or {}).items():
        figures |= (
            {f"{name} {key}": each for key, each in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    figures.pop("together", None)
    memory = {name: value for name, value in figures.items() if name.endswith(("_bytes", "_written"))}
    work = {name: value for name, value in figures.items() if name not in memory}
    return [
        f"{unit}: " + ", ".join(f"{name} {value:,.3f}".rstrip("0").rstrip(".") for name, value in of.items())
        for unit, of in (("Microseconds", work), ("Bytes", memory))
    ]


def _needs_table(url: str | None) -> Table:
    more = ("of it between nodes", "to disks, MB/s", "on disks, TB") if url is not None else ()
    title = "With a broker" if url is not None else None
    return Table(
        "load",
        "service",
        "processes",
        "busy processors",
        "memory, TB",
        "network, MB/s",
        *more,
        "money a month",
        title=title,
    )


def _add(table: Table, factor: float, need: dict[str, Need], prices: Prices) -> None:
    for at, (kind, each) in enumerate(need.items()):
        cells = [
            f"{each.processes:,}" + (f" of {each.cores} processors" if each.cores > 1 else ""),
            f"{each.busy:,.1f}",
            f"{each.memory / 1e12:,.2f}",
            f"{each.traffic / 1e6:,.0f}",
        ]
        if "broker" in need:
            whole = each.between / 1e6, each.written / 1e6, each.disk / 1e12
            cells += [f"{value:,.0f}" if kind == "broker" else "" for value in whole]
        table.add_row("" if at else f"{factor:g}", kind, *cells, f"{prices.of(each):,.0f}")
    table.add_row("", "all", *[""] * (len(table.columns) - 3), f"{sum(map(prices.of, need.values())):,.0f}")


def _beside(need: dict[str, Need], busy: dict[str, float]) -> list[str]:
    return [
        f"  {kind}: busy {share:.3f} of its time; multiplied {need[kind].load:.3f}"
        for kind, share in busy.items()
    ]


def _beyond(demand: Demand, need: dict[str, Need]) -> list[str]:
    """What Barker does not take as it is; and how few barks there are for a bundle."""
    bizlogics, inboxes = (need[kind].processes for kind in ("bizlogic", "inbox"))
    lines = [
        f"  {kind}: {count:,} partitions; Barker has {MOST} at most"
        for kind, count in (("bizlogic", bizlogics), ("inbox", inboxes))
        if count > MOST
    ]
    each = demand.barks * float(parts(demand.followers + 1, inboxes)) / bizlogics / inboxes
    return [*lines, f"  each bizlogic has {each:,.0f} barks/s for each inbox"]


def _told(factor: float, seconds: dict[str, float]) -> str:
    p50, p99, beside = (f"{seconds[key] * 1e3:.1f} ms" for key in ("p50", "p99", "p99_beside"))
    return (
        f"{factor:g} times, simulated: a bark is on its last timeline after {p50} (median), {p99} (99th "
        f"percentile); that of the author whom most follow after {seconds['most_followed']:.2f} s, those "
        f"beside it after {beside} (99th percentile)"
    )
