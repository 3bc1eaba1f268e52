"""What a load takes: services, processors, memory, network, money; with costs that are measured first, here.

The load is that of Twitter at its peak in 2012, and ten times it, or another. Such a suite is not started:
this machine is too small. What is multiplied (`sizing.py`) is checked by a simulation of the queues, with the
same costs.
"""

from __future__ import annotations

import functools
import tracemalloc
from typing import Any

import click
from rich.table import Table

from barker.amqp.message import encode_bark
from barker.core.barks import Bark
from barker.core.timelines import Timelines
from benchmarks.bench import Load, Result, Task, benchmark
from benchmarks.fanout import Turn, measure
from benchmarks.readers import HISTORY, Feed, visits
from benchmarks.sizing import GB, TWITTER_2012, Costs, Demand, needs, simulate
from benchmarks.stand import stand, until
from benchmarks.suite import make_users

FEW, MANY = 65, 403
"""Followers of each, in two of the runs that tell what a bark costs."""

INBOXES = 4
"""In the third."""

SIMULATED_BARKS = 30_000
"""So many go through the queues that are simulated."""

KEPT = 20_000
"""So many timelines, and barks, are made to see what they take."""


def cost(turn: Turn, kind: str) -> float:
    """Microseconds of CPU time that a bark took in all services of a kind."""
    used = (of["cpu_seconds"] for name, of in turn.load.items() if name.startswith(kind))
    return 1e6 * sum(used) / turn.done


def measured(task: Task, reads: int) -> Costs:
    """What each piece of work costs on this machine."""
    turns = {}
    for followers, inboxes in ((FEW, 1), (MANY, 1), (FEW, INBOXES)):
        task.say(f"{followers} followers, {inboxes} inbox(es)")
        users = functools.partial(make_users, followers=followers)
        turns[followers, inboxes] = measure(users, task.seconds, inboxes=inboxes)
        task.step()
    few, many, divided = turns.values()
    name, part, rest = {}, {}, {}
    for kind in ("bizlogic", "inbox"):
        name[kind] = max(0.0, (cost(many, kind) - cost(few, kind)) / (MANY - FEW))
        part[kind] = max(0.0, (cost(divided, kind) - cost(few, kind)) / (INBOXES - 1))
        rest[kind] = max(0.0, cost(few, kind) - part[kind] - (FEW + 1) * name[kind])
    task.say("timelines that are read")
    read = _read_cost(reads)
    task.step()
    bark_bytes, timeline_bytes = _memory()
    return Costs(
        cost(few, "outbox"),
        rest["bizlogic"],
        part["bizlogic"],
        name["bizlogic"],
        part["inbox"] + rest["inbox"],
        name["inbox"],
        read,
        bark_bytes,
        timeline_bytes,
    )


def _read_cost(count: int) -> float:
    with stand() as stage:
        inbox = stage.start("manifold", "inbox", "--history", str(HISTORY))
        feed = Feed(stage)
        feed.send(HISTORY)
        until(lambda: feed.accepted >= HISTORY, lambda: feed.accepted, "the timelines are full")
        load = Load({"inbox": inbox.pid})
        visits(stage, inbox, count)
        return 1e6 * load.used()["inbox"]["cpu_seconds"] / count


def _memory() -> tuple[float, float]:
    """Bytes of a bark that is held, and of a timeline without its barks."""
    tracemalloc.start()
    timelines: Timelines[Any] = Timelines(HISTORY)
    audience = timelines.audience(" ".join(f"user{number}" for number in range(KEPT)))
    made, _ = tracemalloc.get_traced_memory()
    for number, timeline in enumerate(audience, 1):
        data = encode_bark(Bark(f"{number:032}", "ark3", "Woof! " * 12, 1_700_000_000_000))
        timelines.deliver(number, data, [timeline])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (held - made) / KEPT, made / KEPT


@benchmark("plan", seconds=4.0)
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
    "--core-price", type=click.FloatRange(0), default=20.0, show_default=True, help="Of a processor, a month."
)
@click.option(
    "--gb-price", type=click.FloatRange(0), default=3.0, show_default=True, help="Of a GB, a month."
)
@click.option(
    "--read-timelines", default=3_000, show_default=True, type=click.IntRange(10), help="To measure."
)
def main(
    task: Task,
    times: tuple[float, ...],
    load: float,
    inbox_gb: float,
    core_price: float,
    gb_price: float,
    read_timelines: int,
    **asked: Any,
) -> Result:
    """Work out what a load takes, with costs that are measured on this machine."""
    factors = times or (1.0, 10.0)
    task.begin(4 + len(factors))
    costs = measured(task, read_timelines)
    wanted = {name: value for name, value in asked.items() if value is not None}
    demand = Demand(**{**{n: getattr(TWITTER_2012, n) for n in Demand.__slots__}, **wanted})
    table = Table(
        "load", "service", "processes", "busy processors", "memory, TB", "network, MB/s", "money a month"
    )
    figures: dict[str, Any] = {"costs": {name: getattr(costs, name) for name in Costs.__slots__}}
    lines = [
        "Microseconds: " + ", ".join(f"{name} {value:.2f}" for name, value in figures["costs"].items()),
    ]
    for factor in factors:
        task.say(f"{factor:g} times the load")
        whole = demand.times(factor)
        need = needs(whole, costs, load, inbox_gb * GB)
        for at, (kind, each) in enumerate(need.items()):
            money = each.processes * core_price + each.memory / GB * gb_price
            cells = [f"{each.processes:,}", f"{each.busy:,.1f}", f"{each.memory / 1e12:,.2f}"]
            table.add_row(
                "" if at else f"{factor:g}", kind, *cells, f"{each.traffic / 1e6:,.0f}", f"{money:,.0f}"
            )
        waited = simulate(whole, costs, need, SIMULATED_BARKS / whole.barks, say=task.say)
        task.step()
        lines += _told(factor, waited.seconds)
        figures[f"{factor:g}"] = {
            "needs": {kind: {n: getattr(each, n) for n in each.__slots__} for kind, each in need.items()},
            "simulated": {"busy": waited.busy, "seconds": waited.seconds},
        }
        for kind, busy in waited.busy.items():
            reckoned = need[kind].busy / need[kind].processes
            lines.append(f"  {kind}: busy {busy:.3f} of its time; multiplied {reckoned:.3f}")
    return Result(figures, [table], lines)


def _told(factor: float, seconds: dict[str, float]) -> list[str]:
    p50, p99, beside = (f"{seconds[key] * 1e3:.1f} ms" for key in ("p50", "p99", "p99_beside"))
    return [
        f"{factor:g} times, simulated: a bark is on its last timeline after {p50} (median), {p99} (99th "
        f"percentile); that of the author whom most follow after {seconds['most_followed']:.2f} s, those "
        f"beside it after {beside} (99th percentile)"
    ]
