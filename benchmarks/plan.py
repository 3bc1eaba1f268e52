"""What a load takes: services, processors, memory, network, money; with costs that are measured first, here.

The load is that of Twitter at its peak in 2012, and ten times it, or another. Such a suite is not started:
this machine is too small. What is multiplied (`sizing.py`) is checked by a simulation of the queues, with the
same costs (`costs.py`). With a broker (``--broker``) there are its costs, too, beside the same without one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from barker.core.partitions import MOST
from benchmarks import bundles
from benchmarks.bench import Result, Task, benchmark, engines
from benchmarks.bench import broker as broker_option
from benchmarks.costs import (
    SHAPES,
    broker_costs,
    costs_of,
    measured,
    measured_table,
    memory_of,
    read_cost,
    read_costs,
    spreads,
)
from benchmarks.sizing import GB, TWITTER_2012, Costs, Demand, Need, Prices, needs, parts, simulate

SIMULATED_BARKS = 30_000
"""So many go through the queues that are simulated."""


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
    "--costs",
    "known",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Measure nothing: the costs are those of an earlier run, a file that --json wrote.",
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
    known: Path | None,
    read_timelines: int,
    **asked: Any,
) -> Result:
    """Work out what a load takes, with costs that are measured on this machine."""
    factors = times or (1.0, 10.0)
    wanted = {name: value for name, value in asked.items() if value is not None}
    demand = Demand(**{**{n: getattr(TWITTER_2012, n) for n in Demand.__slots__}, **wanted})
    prices = Prices(core_price, gb_price, disk_price)
    figures: dict[str, Any] = {}
    tables, lines = [], []
    if known is not None:
        if broker is not None:
            raise click.UsageError(
                "--costs has what was measured, with a broker or without: give one of both."
            )
        found = read_costs(known)
        task.begin(len(factors) * len(found))
    else:
        found, table = _measure(task, broker, read_timelines, demand.followers, len(factors), figures)
        tables.append(table)
    for url, costs in found.items():
        if costs.broker is not None:
            costs = dataclasses.replace(costs, broker=dataclasses.replace(costs.broker, together=together))
        shown = figures if url is None else figures.setdefault("broker", {})
        shown["costs"] = asdict(costs)
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


def _measure(
    task: Task, broker: str | None, reads: int, followers: float, factors: int, figures: dict[str, Any]
) -> tuple[dict[str | None, Costs], Table]:
    """What each piece of work costs, without a broker and with one; what was measured goes into `figures`."""
    urls = list(engines(broker).values())
    if broker is not None:
        bundles.watched(broker)  # Better said now than when the first half is measured.
    runs = task.runs * (len(SHAPES) * len(urls) + 2 * (broker is not None))
    task.begin(runs + 1 + factors * len(urls))
    turns = measured(task, urls)
    task.say("timelines that are read")
    read = read_cost(reads)
    task.step()
    memory = memory_of(followers)
    found = {}
    for url, of in turns.items():
        of_broker = broker_costs(task, url, of) if url is not None else None
        found[url] = costs_of(of, read, memory, of_broker)
        shown = figures if url is None else figures.setdefault("broker", {})
        shown["measured"] = spreads(of)
    return found, measured_table(turns)


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
