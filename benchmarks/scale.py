"""Throughput with more outboxes, bizlogics and inboxes; a bark's cost with more users and longer timelines.

Each suite is one of its own, and does what `fanout` does: six clients bark as fast as they may. On a machine
with few cores more processes do not make more throughput, they share it; the CPU time that a bark costs in
all processes together shows what would be had with more.
"""

from __future__ import annotations

import statistics
from typing import Any

import click
from rich.table import Table

from benchmarks.bench import Result, Task, bars, benchmark, spread, told
from benchmarks.fanout import Turn, measure
from benchmarks.suite import make_users

FOLLOWERS = 65

SIZES = (1, 2, 4)
"""Of outboxes, of inboxes, and of partitions of authors."""

USERS = (100, 1_000, 10_000, 100_000, 1_000_000)

HISTORIES = (25, 100, 400, 800)


VARIANTS = {
    f"{what}: {size:,}": {what: size}
    for what, sizes in (
        ("outboxes", SIZES),
        ("inboxes", SIZES),
        ("partitions", SIZES),
        ("users", USERS),
        ("history", HISTORIES),
    )
    for size in sizes
}
"""What is other than in the default suite, of each that is measured."""


def run(seconds: float, users: int = 1_000, **shape: int) -> Turn:
    """One run of a suite of its own."""
    return measure(lambda data: make_users(data, min(FOLLOWERS, users - 1), users), seconds, **shape)


@benchmark("scale", seconds=8.0, runs=3)
@click.option("--only", type=click.Choice(list(VARIANTS)), multiple=True, help="Only this (may be repeated).")
def main(task: Task, only: tuple[str, ...]) -> Result:
    """Measure suites with more outboxes, inboxes and partitions, more users and longer timelines."""
    variants = {name: variant for name, variant in VARIANTS.items() if name in only or not only}
    turns: dict[str, list[Turn]] = {name: [] for name in variants}
    task.begin(len(variants) * task.runs)
    for _ in range(task.runs):
        for name, variant in variants.items():
            task.say(name)
            turns[name].append(run(task.seconds, **variant))
            task.step()
    figures = {name: _figures(of) for name, of in turns.items()}
    # Microseconds of CPU time: of all processes, clients included, and of two of them.
    table = Table(
        "", "barks/s", "deliveries/s", "CPU, µs a bark: all", "bizlogic", "inbox", "inbox's memory, MB"
    )
    for name, of in figures.items():
        cells = [f"{of[key]:.1f}" for key in ("cpu_us", "cpu_us_bizlogic", "cpu_us_inbox")]
        table.add_row(name, told(of["barks"]), told(of["deliveries"]), *cells, f"{of['inbox_memory_mb']:.0f}")
    return Result(
        {"measured": figures},
        [table],
        plot=lambda axes: bars(axes, {name: of["barks"] for name, of in figures.items()}, "barks/s"),
    )


def _figures(turns: list[Turn]) -> dict[str, Any]:
    """Throughput, CPU time of a bark in all services together and in some, memory of the inboxes."""

    def cpu(turn: Turn, prefix: str = "") -> float:
        used = (of["cpu_seconds"] for name, of in turn.load.items() if name.startswith(prefix))
        return 1e6 * sum(used) / turn.done

    def memory(turn: Turn) -> float:
        return sum(of["memory_mb"] for name, of in turn.load.items() if name.startswith("inbox"))

    return {
        "barks": spread((turn.figures["barks"] for turn in turns), 0),
        "deliveries": spread((turn.figures["deliveries"] for turn in turns), 0),
        "cpu_us": round(statistics.median(cpu(turn) for turn in turns), 1),
        "cpu_us_bizlogic": round(statistics.median(cpu(turn, "bizlogic") for turn in turns), 1),
        "cpu_us_inbox": round(statistics.median(cpu(turn, "inbox") for turn in turns), 1),
        "inbox_memory_mb": round(statistics.median(memory(turn) for turn in turns), 1),
    }
