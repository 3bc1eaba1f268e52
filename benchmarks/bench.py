"""The frame of a benchmark: its options, its progress bar; its figures as a table, as JSON, as a plot."""

from __future__ import annotations

import functools
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from barker.amqp.links import Place
from barker.amqp.process import collect_seldom
from barker.commands.options import Written
from barker.core.errors import BarkerError
from benchmarks.rabbitmq import Broker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MB = 1e6

HELP = {"help_option_names": ["-h", "--help"]}

RABBITMQ = "RabbitMQ"
"""What the peer is called in tables and figures."""


@dataclass
class Task:
    """What a benchmark was asked to do."""

    seconds: float
    """How long each run takes, without its preparation."""
    runs: int
    """How often each thing is measured; its median counts."""
    peer: Place | None
    """Where a RabbitMQ is that shall do the same work in the same run; None: nowhere."""
    _progress: Progress
    _bar: Any = None

    def begin(self, total: float) -> None:
        """Show a progress bar of so many steps."""
        self._bar = self._progress.add_task("", total=total)

    def say(self, what: str) -> None:
        """Show what is being done now."""
        self._progress.update(self._bar, description=what)

    def step(self, steps: float = 1) -> None:
        """So many steps are done."""
        self._progress.advance(self._bar, steps)


@dataclass
class Result:
    """What a benchmark has to tell."""

    figures: dict[str, Any]
    """Everything measured, for JSON."""
    tables: list[Table] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """What the tables do not say."""
    wrong: list[str] = field(default_factory=list)
    """What went wrong, if the measured did not do its work: the command's status is 1 then."""
    plot: Callable[[Axes], object] | None = None


def benchmark(
    name: str, *, seconds: float | None = None, runs: int | None = None, peer: bool = False
) -> Callable[[Callable[..., Result]], click.Command]:
    """Make a command of a function that measures: it is called with a :class:`Task` and its own options.

    `seconds` and `runs` are the defaults of these options; None: there is no such option. `peer`: whether
    there is an option --vs-rabbitmq.
    """

    def decorate(measure: Callable[..., Result]) -> click.Command:
        @functools.wraps(measure)
        def command(as_json: bool, plot: Path | None, **options: Any) -> None:
            asked = options.pop("seconds", 0.0), options.pop("runs", 1), options.pop("vs_rabbitmq", None)
            console = Console(stderr=as_json, width=None if sys.stdout.isatty() else 140)
            # What is measured is not to wait for the garbage of this command, where the clients are.
            collect_seldom()
            gc.freeze()
            columns = TextColumn("{task.description:<30}"), BarColumn(), TaskProgressColumn()
            try:
                if asked[2] is not None:
                    Broker(asked[2]).close()  # Better said now than when the first half is measured.
                with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
                    result = measure(Task(*asked, progress), **options)
            except BarkerError as error:
                sys.exit(f"{name}: {error}")
            if plot is not None and result.plot is not None:
                draw(result.plot, plot)
            if as_json:
                told = {"machine": machine(), **result.figures, "wrong": result.wrong}
                click.echo(json.dumps(told, indent=1))
            for table in result.tables:
                console.print(table)
            for line in result.lines + result.wrong:
                console.print(line, highlight=False)
            sys.exit(1 if result.wrong else 0)

        decorators = [
            click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON."),
            click.option(
                "--plot",
                type=click.Path(path_type=Path, dir_okay=False),
                help="Draw them too: a file's name that ends in .svg or .png.",
            ),
        ]
        if peer:
            decorators.append(
                click.option(
                    "--vs-rabbitmq",
                    type=Written("HOST:PORT", Place.parse),
                    help="Have a RabbitMQ 4 do the same, in turns.",
                )
            )
        if runs is not None:
            decorators.append(
                click.option(
                    "--runs", type=click.IntRange(1), default=runs, show_default=True, help="Of each."
                )
            )
        if seconds is not None:
            decorators.append(
                click.option(
                    "--seconds",
                    type=click.FloatRange(0, min_open=True),
                    default=seconds,
                    show_default=True,
                    help="How long each run takes.",
                )
            )
        made = command
        for decorator in decorators:
            made = decorator(made)
        return click.command(name, context_settings=HELP)(made)

    return decorate


broker = click.option(
    "--broker",
    metavar="URL",
    help="With a RabbitMQ 4 between the services, too, which lets anybody in: in turns with none.",
)
"""The option of what can be measured so, too."""


def engines(broker: str | None) -> dict[str, str | None]:
    """What is between the services in turn: its URL, or None, by what is added to names of figures."""
    return {"": None} if broker is None else {"": None, ", broker": broker}


# Figures


def spread(values: Iterable[float], digits: int = 1) -> dict[str, Any]:
    """Median, least, most and all of some measurements."""
    measured = [round(value, digits) for value in values]
    return {
        "median": round(statistics.median(measured), digits),
        "least": min(measured),
        "most": max(measured),
        "all": measured,
    }


def told(figures: dict[str, Any], digits: int = 0) -> str:
    """A spread, for a table: the median, and of several measurements from what to what."""
    median, least, most = (f"{figures[key]:,.{digits}f}" for key in ("median", "least", "most"))
    return f"{median} ({least} to {most})" if len(figures["all"]) > 1 else median


class Load:
    """What processes use, from when this is made on: CPU seconds, and memory."""

    def __init__(self, pids: dict[str, int]) -> None:
        """`pids`: the processes' ids, by the names that are told."""
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {name: _cpu(process) for name, process in self._processes.items()}

    def used(self) -> dict[str, dict[str, float]]:
        """Of each process: CPU seconds since the beginning, and resident memory now in MB."""
        return {
            name: {
                "cpu_seconds": round(_cpu(process) - self._before[name], 3),
                "memory_mb": round(process.memory_info().rss / MB, 1),
            }
            for name, process in self._processes.items()
        }


def median_load(loads: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each process the medians over several runs."""
    return {
        name: {key: statistics.median(load[name][key] for load in loads) for key in loads[0][name]}
        for name in loads[0]
    }


def load_table(loads: dict[str, dict[str, dict[str, float]]], what: str, done: dict[str, float]) -> Table:
    """What each process used; `done`: of how much work, so that it can be told for each piece of it."""
    table = Table("", "process", "CPU, s", f"CPU, µs for each {what}", "memory, MB")
    for name, load in loads.items():
        for at, (process, used) in enumerate(load.items()):
            each = f"{1e6 * used['cpu_seconds'] / done[name]:.1f}" if done[name] else ""
            cells = f"{used['cpu_seconds']:.2f}", each, f"{used['memory_mb']:.0f}"
            table.add_row("" if at else name, process, *cells)
    return table


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def machine() -> dict[str, str | int]:
    """What all this was measured on."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "proton": version("python-qpid-proton"),
    }


# Plots


def draw(plot: Callable[[Axes], object], file: Path) -> None:
    """Draw a plot into a file."""
    # Here, so that it takes neither time nor memory from what is measured.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    plot(axes)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def bars(axes: Axes, figures: dict[str, dict[str, Any]], unit: str) -> None:
    """A bar for each of some spreads: the median, with a line from least to most."""
    names = list(figures)
    medians = [figures[name]["median"] for name in names]
    lines = [
        [figures[name]["median"] - figures[name]["least"] for name in names],
        [figures[name]["most"] - figures[name]["median"] for name in names],
    ]
    colours = ["#ff8c42" if RABBITMQ in name else "#2a6f97" for name in names]
    axes.barh(names, medians, xerr=lines, color=colours, capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter("{x:,.0f}")
