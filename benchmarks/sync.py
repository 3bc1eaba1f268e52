"""What safety against power loss costs: an outbox with ``--sync normal`` and with ``--sync full``, in turns.

Each turn starts an outbox of its own and sends it barks for some seconds: first as many at once as it gives
credit for, when many share a commit; then one by one, when each waits for its own.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.table import Table

from barker.store.journal import SYNC
from benchmarks.bench import Result, Task, bars, benchmark, spread
from benchmarks.stand import Producer, stand, until

WINDOWS = {"many at once": 2_000, "one by one": 1}
"""How many barks wait for their acceptance at the same time."""


def rate(sync: str, window: int, seconds: float, data: Path | None) -> float:
    """How many barks/s an outbox accepts.

    :raises BarkerError: when it accepts none.
    """
    with stand(data) as stage:
        accept = "--accept", "bark", "--max-rate", "0"
        stage.start("manifold", "outbox", "--push", "bizlogic", *accept, "--sync", sync)
        producer = Producer(stage, "outbox", window=window)
        until(lambda: producer.accepted, lambda: producer.accepted, "the outbox accepts a bark")
        before, begun = producer.accepted, time.monotonic()
        time.sleep(seconds)
        # On a slow disk no time may be long enough for the next one.
        until(lambda: producer.accepted > before, lambda: producer.accepted, "another bark is accepted")
        return (producer.accepted - before) / (time.monotonic() - begun)


@benchmark("sync", seconds=3.0, runs=5)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The disk to use: a folder."
)
def main(task: Task, data: Path | None) -> Result:
    """Compare --sync normal and --sync full, in barks/s that an outbox accepts."""
    rates: dict[str, dict[str, list[float]]] = {how: {sync: [] for sync in SYNC} for how in WINDOWS}
    task.begin(task.runs * len(WINDOWS) * len(SYNC))
    for how, window in WINDOWS.items():
        for _ in range(task.runs):
            for sync in SYNC:
                task.say(f"{how}, --sync {sync}")
                rates[how][sync].append(rate(sync, window, task.seconds, data))
                task.step()
    measured = {how: {sync: spread(of[sync]) for sync in SYNC} for how, of in rates.items()}
    ratios = {how: round(of["full"]["median"] / of["normal"]["median"], 3) for how, of in measured.items()}
    table = Table("barks", "--sync", "barks/s, each turn", "median", "full : normal")
    for how, of in measured.items():
        for sync, figures in of.items():
            each = "  ".join(f"{value:,.0f}" for value in figures["all"])
            table.add_row(how, sync, each, f"{figures['median']:,.0f}", f"{ratios[how]:.2f}")
    flat = {f"{how}, {sync}": figures for how, of in measured.items() for sync, figures in of.items()}
    return Result(
        {"barks_per_second": measured, "full_to_normal": ratios},
        [table],
        plot=lambda axes: bars(axes, flat, "barks/s"),
    )
