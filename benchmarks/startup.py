"""From ``launch.py`` to the first bark on a timeline; and the memory of the whole suite.

The suite is the default one, started as a user starts it. A process's resident memory counts what it shares
with others (libraries, files) in full; the proportional share (PSS) counts what is shared once in all.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.table import Table

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, Place, receiver_from
from barker.core.errors import BarkerError
from barker.store.first_users import make_users
from barker.store.social import FILE_NAME
from barker.suite.ports import free_offset
from benchmarks.bench import MB, Result, Task, bars, benchmark, spread, told
from benchmarks.stand import HOST, Clients, until

USERS = 100


class Reader(PeerHandler[Receiver]):
    """Follows all timelines, and notes when the first bark comes."""

    def __init__(self, network: Network, names: list[str]) -> None:
        self.first = 0.0
        for name in names:
            receiver_from(network, f"inbox/{name}", self, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A bark is on a timeline."""
        self.first = self.first or time.monotonic()
        delivery.accept()


def start(seconds: float, fresh: bool) -> tuple[float, dict[str, dict[str, float]]]:
    """Seconds until the first bark is on a timeline; each process's memory (MB) and CPU seconds, later.

    :raises BarkerError: when none comes.
    """
    with tempfile.TemporaryDirectory(prefix="barker-benchmark-") as folder, Clients() as clients:
        data, offset = Path(folder) / "data", free_offset()
        users = make_users(data / FILE_NAME, USERS)
        names = users.names()
        users.close()
        if fresh:
            (data / FILE_NAME).unlink()
        network = Network(clients.reactor, Place(HOST, 5672 + offset))
        options = ["--port-offset", str(offset), "--data", str(data), "--session", f"{folder}/session.js"]
        readers: list[Reader] = []
        begun = time.monotonic()
        suite = subprocess.Popen(
            [sys.executable, "-m", "barker.launcher", *options],
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        try:
            clients.call(lambda: readers.append(Reader(network, names)))
            until(lambda: readers and readers[0].first, lambda: suite.poll(), "the first bark", 0.01)
            time.sleep(seconds)
            return readers[0].first - begun, _processes(suite.pid)
        finally:
            suite.terminate()
            suite.wait(30)


def _processes(pid: int) -> dict[str, dict[str, float]]:
    """The launcher and what it has started."""
    launcher = psutil.Process(pid)
    found = {}
    for process in [launcher, *launcher.children()]:
        memory, times = process.memory_full_info(), process.cpu_times()
        found[f"{_name(process)} ({process.pid})"] = {
            "memory_mb": round(memory.rss / MB, 1),
            "pss_mb": round(memory.pss / MB, 1),
            "cpu_seconds": round(times.user + times.system, 2),
        }
    return found


def _name(process: psutil.Process) -> str:
    words = process.cmdline()
    if "-m" not in words:
        return "launcher"
    module = words[words.index("-m") + 1].removeprefix("barker.")
    return words[words.index("-m") + 2] if module == "manifold" else module


@benchmark("startup", seconds=3.0, runs=5)
def main(task: Task) -> Result:
    """Time the default suite's start to its first bark, and weigh it."""
    took: dict[str, list[float]] = {"the first start": [], "later starts": []}
    suites: list[dict[str, dict[str, float]]] = []
    task.begin(2 * task.runs)
    for _ in range(task.runs):
        for how in took:
            task.say(how)
            seconds, processes = start(task.seconds, fresh=how == "the first start")
            took[how].append(seconds)
            suites.append(processes)
            task.step()
    if not all(len(suite) == len(suites[0]) for suite in suites):
        raise BarkerError("not all processes were there each time")
    seconds_of = {how: spread(of, 3) for how, of in took.items()}
    sums = {
        key: spread(sum(of[key] for of in suite.values()) for suite in suites)
        for key in ("memory_mb", "pss_mb", "cpu_seconds")
    }
    table = Table("", "seconds to the first bark on a timeline")
    for how, of in seconds_of.items():
        table.add_row(how, told(of, 2))
    weights = Table("process", "memory, MB", "its share (PSS), MB", "CPU, s")
    for name, of in suites[-1].items():
        weights.add_row(name, *(f"{of[key]:.1f}" for key in ("memory_mb", "pss_mb", "cpu_seconds")))
    weights.add_row("all", *(told(sums[key], 1) for key in ("memory_mb", "pss_mb", "cpu_seconds")))
    return Result(
        {"seconds": seconds_of, "suite": sums, "processes": suites[-1]},
        [table, weights],
        plot=lambda axes: bars(axes, seconds_of, "seconds to the first bark"),
    )
