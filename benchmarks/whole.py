"""Every benchmark, one after the other; figures and plots into a folder. `README.rst` here shows them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from barker.amqp.links import Place
from barker.commands.options import Written

ROOT = Path(__file__).resolve().parent.parent

OPTIONS: dict[str, tuple[str, ...]] = {
    "startup": (),
    "latency": ("--page",),
    "celebrity": (),
    "readers": (),
    "hop": (),
    "fanout": ("--seconds", "60", "--followers", "65", "--followers", "403"),
    "scale": (),
    "failover": (),
    "sync": (),
    "reporting": (),
    "dashboard": (),
    "page": (),
    "overload": (),
    "plan": (),
}
"""All of them, with what is asked for besides their defaults."""

WITH_PEER = ("hop", "fanout")


@click.command("whole")
@click.option(
    "--vs-rabbitmq",
    type=Written("HOST:PORT", Place.parse),
    help="Have a RabbitMQ 4 do the same, where it can.",
)
@click.option(
    "--graph",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="For fanout: these users too.",
)
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "benchmarks" / "results",
    help="The folder for figures (JSON) and plots (SVG); default: results, beside this file.",
)
def main(vs_rabbitmq: Place | None, graph: Path | None, mutual: bool, into: Path) -> None:
    """Run all of these, some forty minutes; ends with status 1 if one fails."""
    into.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, options in OPTIONS.items():
        if vs_rabbitmq is not None and name in WITH_PEER:
            options += ("--vs-rabbitmq", str(vs_rabbitmq))
        if graph is not None and name == "fanout":
            options += ("--graph", str(graph.resolve()), *(["--mutual"] if mutual else []))
        click.echo(f"{time.strftime('%H:%M:%S')} {name}", err=True)
        command = [sys.executable, "-m", "benchmarks", name, "--json", "--plot", str(into / f"{name}.svg")]
        with (into / f"{name}.json").open("wb") as figures:
            done = subprocess.run([*command, *options], cwd=ROOT, stdout=figures)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"these failed: {', '.join(failed)}")
