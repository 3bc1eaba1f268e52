"""What reporting costs: the CPU time of services that have nothing else to do, read by a monitor and not.

The share with a monitor holds all that an idle service does, so it is more than reporting alone costs.
"""

from __future__ import annotations

import statistics
import time

import psutil
from rich.table import Table

from barker.store.social import FILE_NAME, Users
from benchmarks.bench import Result, Task, benchmark
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


@benchmark("reporting", seconds=10.0, runs=3)
def main(task: Task) -> Result:
    """Measure the CPU time of idle services, with a monitor that reads their reports and without."""
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    task.begin(2 * task.runs)
    with stand() as stage:
        services = start(stage)
        for _ in range(task.runs):
            for how, measured in found.items():
                task.say(f"{how} a monitor")
                monitor = start_monitor(stage, len(services)) if how == "with" else None
                measured.append(shares(services, task.seconds))
                if monitor is not None:
                    monitor.end()
                task.step()
    medians = {
        how: {name: round(statistics.median(turn[name] for turn in measured), 2) for name in services}
        for how, measured in found.items()
    }
    table = Table("service, idle", "CPU without a monitor, %", "with a monitor, %")
    for name in services:
        table.add_row(name, f"{medians['without'][name]:.2f}", f"{medians['with'][name]:.2f}")
    return Result({"percent_of_a_core": medians}, [table])
