"""An outbox that is sent far more than anybody takes from it: does its memory stay flat, and its order?

It is filled by a client as fast as credit allows, killed, started again with all of it on disk, and drained
by a stand-in for bizlogic, which counts.

Ends with status 1 if a bark was lost, came twice or out of order, or the memory limit was passed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.table import Table

from barker.amqp.agent import register
from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.message import decode_bark
from barker.core.barks import Bark
from barker.core.routing import Route
from benchmarks.bench import MB, Result, Task, benchmark
from benchmarks.stand import HOST, Producer, Service, Stand, stand, until

WINDOW = 500
"""How many barks the stand-in for bizlogic takes at once, as bizlogic does."""


class Counter(ConnectionHandler):
    """In bizlogic's place: accepts each bark, and sees whether it is the next."""

    def __init__(self, stand: Stand) -> None:
        self.came = 0
        self.wrong: list[str] = []
        """What was not the next: the first few."""
        port = stand.reactor.listen(HOST, 0, self).port
        register(stand.network, Route("bizlogic", HOST, port, "ordered", time.time()))

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        """The outbox."""
        return _Outbox(self)

    def take(self, number: int) -> None:
        """One has come."""
        if number != self.came and len(self.wrong) < 5:
            self.wrong.append(f"{number:,} came when {self.came:,} was next")
        self.came += 1


class _Outbox(LinkHandler):
    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def on_opened(self, link: Receiver) -> None:
        link.window = WINDOW

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        self._counter.take(int(bark.text))
        delivery.accept()


class Phases:
    """Shows each phase while it lasts, and keeps how long it took and the most memory the outbox had."""

    def __init__(self, task: Task, outbox: Service, barks: int) -> None:
        self._task, self._outbox, self._barks = task, outbox, barks
        self.table: dict[str, dict[str, float]] = {}

    def run(self, name: str, count: Callable[[], int]) -> None:
        """Wait until `count` has come to the number of barks.

        :raises BarkerError: when it stands still for long.
        """
        self._task.say(name)
        begun, most, done = time.monotonic(), 0, 0

        def look() -> int:
            nonlocal most, done
            most = max(most, self._outbox.memory)
            before, done = done, count()
            self._task.step(done - before)
            return done

        until(lambda: look() >= self._barks, count, f"{name}: {self._barks:,} barks")
        seconds = time.monotonic() - begun
        self.table[name] = {
            "seconds": round(seconds, 2),
            "barks_per_second": round(self._barks / seconds),
            "memory_mb": round(most / MB, 1),
        }


def measure(stand: Stand, barks: int, task: Task) -> tuple[dict[str, dict[str, float]], list[str], int]:
    """Fill, start again, drain: each phase's figures, what was wrong, and the journal's most bytes."""
    outbox = stand.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark", "--max-rate", "0")
    phases = Phases(task, outbox, barks)
    producer = Producer(stand, "outbox", barks)
    phases.run("fill", lambda: producer.accepted)
    until(
        lambda: outbox.report.get("depth") == barks,
        lambda: outbox.report.get("depth"),
        "all are in the queue",
    )
    size = int(outbox.report["journal_bytes"])
    outbox.end(signal.SIGKILL)
    outbox.start()
    phases.run("start again", lambda: outbox.report.get("depth", 0))
    counters: list[Counter] = []
    stand.call(lambda: counters.append(Counter(stand)))
    phases.run("drain", lambda: counters[0].came if counters else 0)
    until(lambda: outbox.report.get("depth") == 0, lambda: outbox.report.get("depth"), "the queue is empty")
    wrong = counters[0].wrong
    if counters[0].came != barks:
        wrong.append(f"{counters[0].came:,} came, of {barks:,}")
    return phases.table, wrong, size


@benchmark("overload")
@click.option("--barks", type=click.IntRange(1), default=2_000_000, show_default=True, help="How many.")
@click.option(
    "--memory",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    metavar="MB",
    help="The outbox's limit.",
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The disk to use: a folder."
)
def main(task: Task, barks: int, memory: int, data: Path | None) -> Result:
    """Fill an outbox that nobody takes from, kill it, start it again, drain it; watch order and memory."""
    task.begin(3 * barks)
    with stand(data) as stage:
        figures, wrong, size = measure(stage, barks, task)
    wrong += [
        f"{name}: {figure['memory_mb']} MB, above {memory}"
        for name, figure in figures.items()
        if figure["memory_mb"] > memory
    ]
    table = Table("phase", "seconds", "barks/s", "outbox's memory, MB", title=f"{barks:,} barks")
    for name, figure in figures.items():
        cells = f"{figure['seconds']:,}", f"{figure['barks_per_second']:,}", f"{figure['memory_mb']}"
        table.add_row(name, *cells)
    lines = [f"The journal had {size / MB:,.0f} MB."] + ([] if wrong else ["Each came once, in order."])
    return Result({"barks": barks, "journal_bytes": size, "phases": figures}, [table], lines, wrong)
