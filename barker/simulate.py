"""`barker simulate`: the real suite on virtual time, broken in every way, and whether it keeps its promises.

A run is one process: directory, manifolds, bizlogics and clients as they are, on a clock, a network and disks
that are simulated (`sim/`). A seed makes the same run again, to the byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from barker.amqp.system import System
from barker.commands import options
from barker.core.errors import Mistake
from barker.environment import extra
from barker.sim.diagram import write_diagram
from barker.sim.many import Far, duration, plans, rates, run_all
from barker.sim.plan import read
from barker.sim.record import Record
from barker.sim.simulation import figures_of
from barker.store.journal import SYNC

with extra("terminal"):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from barker.sim.told import show_all, tell_what_is_wrong


@options.command("simulate")
@click.option("--seed", type=int, help="Have the same runs again (default: others each time).")
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="So often all of it.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Virtual ones.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Virtual ones (default: 10).")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Barks/s in all; of other messages, below 2, in proportion.",
)
@click.option(
    "--faults",
    multiple=True,
    metavar="[KIND=]RATE",
    help="Faults a minute: of all kinds together (default: 20), or of this kind; may be repeated.",
)
@click.option("--authors", type=click.IntRange(1), default=10, show_default=True, help="How many bark.")
@click.option("--readers", type=click.IntRange(1), default=10, show_default=True, help="How many follow.")
@click.option("--inboxes", type=click.IntRange(1, 20), default=1, show_default=True, help="How many.")
@click.option("--partitions", type=click.IntRange(1, 20), default=1, show_default=True, help="Of authors.")
@click.option("--sync", type=click.Choice([*SYNC]), default="full", help="How sure commits are [full].")
@options.own_tls
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option(
    "--replay", type=click.Path(path_type=Path, dir_okay=False), help="Run what an earlier one has kept here."
)
@click.option(
    "--diagram", type=click.Path(path_type=Path, dir_okay=False), help="Draw the run: a page of its own."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, a line for each run.")
@options.program
def main(
    seed: int | None,
    runs: int,
    hours: float | None,
    minutes: float | None,
    rate: float,
    faults: tuple[str, ...],
    jobs: int,
    replay: Path | None,
    diagram: Path | None,
    as_json: bool,
    **more: Any,
) -> None:
    """Break a simulated suite, again and again, and see whether all that was accepted is delivered.

    Time is virtual, and passes as fast as the processor can. Each 10 minutes are a run with a seed of its
    own: the first has the one given, the next one the next number. Ends with status 0 only if all promises
    were kept; a run that fails is made small, and kept in a file.
    """
    seed = System().chance.randrange(1_000_000) if seed is None else seed
    seconds = duration(hours, minutes)
    wanted = [read(replay)] if replay else plans(seed, runs, seconds, rate, rates(faults), **more)
    if diagram is not None and len(wanted) > 1:
        raise Mistake("--diagram is of one run of ten minutes at most, not of several")
    if diagram is not None and wanted[0].tls:
        raise Mistake("--diagram shows what is sent: what is encrypted cannot be shown")
    console = Console(stderr=as_json)
    console.print(f"from seed {seed} on" if replay is None else f"{replay}")
    record = None if diagram is None else Record()
    done: list[dict[str, Any]] = []
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        far = Far(wanted)
        task = progress.add_task("", total=far.total)

        def show(seed: int, share: float) -> None:
            progress.update(task, description=far.told(seed, share), completed=far.virtual)

        for plan, outcome, took in run_all(wanted, min(jobs, len(wanted)), show, record):
            done.append(figures_of(plan, outcome, took))
            if as_json:
                click.echo(json.dumps(done[-1]))
            if diagram is not None and record is not None:
                write_diagram(diagram, plan, outcome, record)
            if outcome.wrong:
                tell_what_is_wrong(console, plan, outcome, replay is None, diagram is not None)
    if not as_json:
        show_all(console, done, far.seconds)
    kept = all(figures["kept"] for figures in done)
    console.print("All promises were kept." if kept else "The promises were NOT kept.")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
