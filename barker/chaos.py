"""`barker chaos`: breaks a suite of its own again and again, and sees whether the promises are kept.

Which faults come when is `core/faults.py`, by a seed; they strike `trial/population.py`, while `trial/run.py`
barks and reads.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from barker.amqp.system import System
from barker.commands import options
from barker.commands.keys import operator_of_new_suite
from barker.core.errors import Mistake
from barker.core.faults import schedule
from barker.core.ledger import Verdict
from barker.environment import extra
from barker.trial.population import FAULTS, Population, Victims
from barker.trial.run import Run

with extra("terminal"):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table


def _gone_wrong(verdict: Verdict) -> str:
    return "\n".join(["The promises were NOT kept:", *(f"  {example}" for example in verdict.examples)])


def _tables(console: Console, figures: dict[str, Any]) -> None:
    faults = Table("fault", "times", "longest gap in delivery, s", title=f"{figures['faults']} faults")
    shared: dict[tuple[str, ...], float] = {}
    for label, of in figures["by_fault"].items():
        alone, longer, suspects = of["gap"].values()
        faults.add_row(label, str(of["count"]), _gap(alone, longer))
        if longer > (alone or 0.0):
            shared[suspects] = longer
    console.print(faults)
    if shared:
        several = Table("gap, s", "by one of these, which overlapped, or several")
        for suspects, seconds in sorted(shared.items(), key=lambda found: -found[1]):
            several.add_row(f"{seconds:.2f}", ", ".join(suspects))
        console.print(several)
    result = Table("accepted", "due on timelines", "delivered", "lost", "twice", "out of order", "strange")
    keys = ("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange")
    result.add_row(*(f"{figures[key]:,}" for key in keys))
    console.print(result)


def _gap(alone: float | None, shared: float) -> str:
    """The longest gap of a kind of fault, as far as it is known."""
    if alone is None:
        return f"unknown; {shared:.2f} at most" if shared else "unknown"
    return f"{alone:.2f}, or {shared:.2f}" if shared > alone else f"{alone:.2f}"


@options.command("chaos")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=500.0, show_default=True, help="Barks/s."
)
@click.option("--seed", type=int, help="Have the same faults again (default: another each time).")
@click.option("--faults", type=click.FloatRange(0), default=20.0, show_default=True, help="Faults a minute.")
@click.option("--authors", type=click.IntRange(1), default=25, show_default=True, help="How many bark.")
@click.option(
    "--readers", type=click.IntRange(1), default=20, show_default=True, help="How many follow them."
)
@click.option("--inboxes", type=click.IntRange(1, 20), default=1, show_default=True, help="How many.")
@click.option("--partitions", type=click.IntRange(1, 20), default=1, show_default=True, help="Of authors.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Keep its data here, an empty folder."
)
@options.own_tls
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@options.program
def main(
    minutes: float,
    rate: float,
    seed: int | None,
    faults: float,
    authors: int,
    readers: int,
    inboxes: int,
    partitions: int,
    data: Path | None,
    tls: bool,
    as_json: bool,
) -> None:
    """Break a suite of its own, again and again, and see whether all that was accepted is delivered.

    Ends with status 0 only if nothing was lost, nothing came twice and nothing out of order.
    """
    seed = System().chance.randrange(1_000_000) if seed is None else seed
    folder = data or Path(tempfile.mkdtemp(prefix="barker-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Mistake(f"{folder} is not empty: chaos takes a folder of its own")
    console = Console(stderr=as_json)
    console.print(f"seed {seed}; data in {folder}")
    chance = random.Random(seed)
    population = Population(authors, readers, chance)
    credentials = operator_of_new_suite(folder, tls)
    certificates = Path(credentials.authority).parent if tls else None
    history = int(rate * minutes * 60) + 1000
    suite = Victims(folder, population, history, inboxes, certificates, partitions)
    kinds = {name: child.program.kind for name, child in suite.children.items()}
    struck = schedule(seed, kinds, minutes * 60, faults, FAULTS)
    run = Run(suite, population, rate, minutes * 60, struck, credentials=credentials)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.fields[says]}"))
    kept = False
    try:
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            tasks = {name: progress.add_task(name, total=1.0, says="") for name in ("faults", "timelines")}

            def show(phase: str, share: float) -> None:
                says = f"{run.struck} faults, {run.ledger.accepted:,} barks accepted"
                progress.update(tasks[phase], completed=share, says=says if phase == "faults" else "")

            run.run(show)
        verdict = run.judge()
        kept = verdict.kept
        figures = run.figures(verdict, seed)
        if as_json:
            click.echo(json.dumps(figures))
        else:
            _tables(console, figures)
        console.print("All promises were kept." if kept else _gone_wrong(verdict))
    finally:
        suite.end()
        if kept and data is None:
            shutil.rmtree(folder)
        elif not kept:
            console.print(f"The journals are kept in {folder}; again: barker chaos --seed {seed}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
