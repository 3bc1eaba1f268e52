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

import click

from barker.amqp.system import System
from barker.commands import options
from barker.commands.keys import operator_of_new_suite
from barker.core.broker import Broker
from barker.core.errors import Mistake
from barker.environment import extra
from barker.suite.ports import free_offset
from barker.suite.shape import Shape
from barker.trial.nodes import nodes
from barker.trial.population import Population, Victims
from barker.trial.run import Run

with extra("terminal"):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from barker.trial.tables import gone_wrong, show_tables


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
@click.option("--copies", type=click.IntRange(1, 5), default=1, show_default=True, help="Of each inbox.")
@options.broker
@click.option(
    "--node",
    "node_commands",
    multiple=True,
    metavar="COMMAND",
    help="Runs a node of --broker, which is broken, too; one for each that the URL names, in that order.",
)
@click.option(
    "--cut",
    "cuts",
    nargs=2,
    multiple=True,
    metavar="COMMAND COMMAND",
    help="Cuts a node's network, and joins it again; one pair for each --node.",
)
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
    copies: int,
    broker: Broker | None,
    node_commands: tuple[str, ...],
    cuts: tuple[tuple[str, str], ...],
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
    broken = nodes(broker, node_commands, cuts, folder)
    console = Console(stderr=as_json)
    console.print(f"seed {seed}; data in {folder}")
    population = Population(authors, readers, random.Random(seed))
    credentials = operator_of_new_suite(folder, tls)
    shape = Shape(
        port_offset=free_offset(),
        inboxes=inboxes,
        copies=copies,
        partitions=partitions,
        autobarks=0,
        history=int(rate * minutes * 60) + 1000,
        data=folder,
        log_level="error",
        tls=Path(credentials.authority).parent if tls else None,
        broker=broker,
    )
    suite = Victims(shape, population, broken)
    struck = suite.schedule(seed, minutes * 60, faults)
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
            show_tables(console, figures)
        console.print("All promises were kept." if kept else gone_wrong(verdict))
    finally:
        suite.end()
        if kept and data is None:
            shutil.rmtree(folder)
        elif not kept:
            console.print(f"The journals are kept in {folder}; again: barker chaos --seed {seed}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
