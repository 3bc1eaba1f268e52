"""What safety against power loss costs: an outbox with ``--sync normal`` and with ``--sync full``, in turns.

::

    python -m benchmarks.sync

Each turn starts an outbox of its own and sends it barks for some seconds: first as many at once as it gives
credit for, when many share a commit; then one by one, when each waits for its own.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from barker.core.errors import BarkerError
from barker.store.journal import SYNC
from benchmarks.stand import Producer, stand, until

WINDOWS = {"many at once": 2_000, "one by one": 1}
"""How many barks wait for their acceptance at the same time."""


def rate(sync: str, window: int, seconds: float, data: Path | None) -> float:
    """How many barks/s an outbox accepts.

    :raises BarkerError: when it accepts none.
    """
    with stand(data) as stage:
        stage.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark", "--sync", sync)
        producer = Producer(stage, "outbox", window=window)
        until(lambda: producer.accepted, lambda: producer.accepted, "the outbox accepts a bark")
        before, begun = producer.accepted, time.monotonic()
        time.sleep(seconds)
        return (producer.accepted - before) / (time.monotonic() - begun)


@click.command("sync")
@click.option("--turns", type=click.IntRange(1), default=5, show_default=True, help="Of each kind.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True, help="Of each turn."
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The disk to use: a folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(turns: int, seconds: float, data: Path | None, as_json: bool) -> None:
    """Compare --sync normal and --sync full, in barks/s that an outbox accepts."""
    console = Console(stderr=as_json)
    rates: dict[str, dict[str, list[float]]] = {how: {sync: [] for sync in SYNC} for how in WINDOWS}
    try:
        with Progress(console=console) as progress:
            task = progress.add_task("", total=turns * len(WINDOWS) * len(SYNC))
            for how, window in WINDOWS.items():
                for _ in range(turns):
                    for sync in SYNC:
                        progress.update(task, description=f"{how}, --sync {sync}")
                        rates[how][sync].append(round(rate(sync, window, seconds, data), 1))
                        progress.advance(task)
    except BarkerError as error:
        sys.exit(f"sync: {error}")
    medians = {how: {sync: statistics.median(of[sync]) for sync in SYNC} for how, of in rates.items()}
    ratios = {how: round(of["full"] / of["normal"], 3) for how, of in medians.items()}
    if as_json:
        click.echo(json.dumps({"barks_per_second": rates, "medians": medians, "full_to_normal": ratios}))
        return
    table = Table("barks", "--sync", "barks/s, each turn", "median", "full : normal")
    for how, of in rates.items():
        for sync, measured in of.items():
            each = "  ".join(f"{value:,.0f}" for value in measured)
            table.add_row(how, sync, each, f"{medians[how][sync]:,.0f}", f"{ratios[how]:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
