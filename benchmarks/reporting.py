"""What reporting costs: the CPU time of services that have nothing else to do, read by a monitor and not.

::

    python -m benchmarks.reporting

The share with a monitor holds all that an idle service does, so it is more than reporting alone costs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import click
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from barker.core.errors import BarkerError
from barker.store.users import FILE_NAME, Users
from benchmarks.stand import Service, Stand, stand, until


def cpu_seconds(service: Service) -> float:
    """The CPU time that a service's process has had."""
    times = psutil.Process(service.pid).cpu_times()
    return float(times.user + times.system)


def shares(services: dict[str, Service], seconds: float) -> dict[str, float]:
    """Each service's share of a core, in percent, over so many seconds."""
    before = {name: cpu_seconds(service) for name, service in services.items()}
    begun = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - begun
    return {name: 100 * (cpu_seconds(service) - before[name]) / passed for name, service in services.items()}


def start(stage: Stand) -> dict[str, Service]:
    """One of each service that reports."""
    users = Users(stage.data / FILE_NAME, create=True)
    users.add([f"rex{number}" for number in range(100)], [])
    users.close()
    return {
        "directory": stage.directory,
        "outbox": stage.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark"),
        "bizlogic": stage.start("bizlogic", "--data", str(stage.data)),
        "inbox": stage.start("manifold", "inbox", "--history", "25"),
        "gateway": stage.start("gateway"),
    }


def start_monitor(stage: Stand, agents: int) -> Service:
    """A monitor that reads so many agents."""
    monitor = stage.start("monitor")
    until(lambda: monitor.report.get("agents", 0) >= agents, lambda: monitor.report, "it reads all agents")
    return monitor


@click.command("reporting")
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True, help="Of each kind.")
@click.option("--seconds", type=click.FloatRange(1), default=10.0, show_default=True, help="Of each turn.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(turns: int, seconds: float, as_json: bool) -> None:
    """Measure the CPU time of idle services, with a monitor that reads their reports and without."""
    console = Console(stderr=as_json)
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    try:
        with stand() as stage, Progress(console=console) as progress:
            task = progress.add_task("", total=2 * turns)
            services = start(stage)
            for _ in range(turns):
                for how, measured in found.items():
                    progress.update(task, description=f"{how} a monitor")
                    monitor = start_monitor(stage, len(services)) if how == "with" else None
                    measured.append(shares(services, seconds))
                    if monitor is not None:
                        monitor.end()
                    progress.advance(task)
    except BarkerError as error:
        sys.exit(f"reporting: {error}")
    medians = {
        how: {name: round(statistics.median(turn[name] for turn in measured), 2) for name in services}
        for how, measured in found.items()
    }
    if as_json:
        click.echo(json.dumps({"percent_of_a_core": medians}))
        return
    table = Table("service, idle", "CPU without a monitor, %", "with a monitor, %")
    for name in services:
        table.add_row(name, f"{medians['without'][name]:.2f}", f"{medians['with'][name]:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
