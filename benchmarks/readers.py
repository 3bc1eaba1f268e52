"""Readers of timelines, each with a connection of its own: how fast they are served, and what each costs.

Messages go straight into an inbox, each to a hundred timelines that the readers share. Then some readers
stall: they stay, and heartbeats go on, but they give no more credit. The others must not notice. At last,
timelines are read as a page reads them: attach, the history, detach.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import click
from rich.table import Table

from barker.amqp.connection import Connection
from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver
from barker.amqp.message import KEY, RECIPIENTS, encode_bark, with_delivery_annotations
from barker.amqp.outbound import Outbound, Outcome
from barker.amqp.process import raise_file_limit
from barker.amqp.reactor import Reactor
from barker.amqp.system import now
from barker.core.barks import Bark
from benchmarks.bench import Load, Result, Task, bars, benchmark, spread, told
from benchmarks.stand import Service, Stand, end_with_parent, stand, until

TIMELINES = 100
"""How many timelines the readers share."""

HISTORY = 25

OF_A_PROCESS = 2_500
"""How many readers one process of this command plays."""

_spawn = multiprocessing.get_context("spawn")

AT_ONCE = 50
"""How many connections are dialled, and timelines read over one, at the same time."""


class Reader(LinkHandler):
    """One reader; it counts, for all of its process."""

    def __init__(self, counts: Any, process: int, stalls: bool, on_opened: Callable[[], None]) -> None:
        self._counts, self._process, self._stalls, self._then = counts, process, stalls, on_opened

    def on_opened(self, link: Receiver) -> None:
        self._then()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._counts[self._process] += 1
        if not self._stalls:
            delivery.accept()


def read(place: tuple[str, int], readers: int, counts: Any, process: int, stalls: bool, end: Any) -> None:
    """So many readers in a process of their own."""
    end_with_parent()
    raise_file_limit()
    reactor = Reactor(f"readers-{process}")
    numbers = iter(range(readers))

    def dial() -> None:
        if (number := next(numbers, None)) is not None:
            connection = reactor.connect(*place, ConnectionHandler())
            reader = Reader(counts, process, stalls, dial)
            connection.receiver(f"inbox/user{number % TIMELINES}", reader, 1 if stalls else 200, settled=True)

    for _ in range(AT_ONCE):
        dial()
    threading.Thread(target=lambda: (end.wait(), reactor.call_from_thread(reactor.stop)), daemon=True).start()
    reactor.run()


class Crowd:
    """Readers in other processes."""

    def __init__(self, inbox: Service, readers: int, stalls: bool = False) -> None:
        self._inbox, self.readers, self._stalls = inbox, readers, stalls
        shares = [min(OF_A_PROCESS, readers - at) for at in range(0, readers, OF_A_PROCESS)]
        self._before = inbox.report.get("readers", 0)
        self._counts = _spawn.RawArray("Q", len(shares))
        self._end = _spawn.Event()
        place = inbox.place.host, inbox.place.port
        self._processes = [
            _spawn.Process(
                target=read, args=(place, share, self._counts, number, stalls, self._end), daemon=True
            )
            for number, share in enumerate(shares)
        ]

    @property
    def came(self) -> int:
        """How many messages they have had, all together."""
        return sum(self._counts)

    def __enter__(self) -> Crowd:
        for process in self._processes:
            process.start()
        report = self._inbox.report
        wanted = self._before + self.readers
        until(
            lambda: self._inbox.report.get("readers", 0) >= wanted,
            lambda: self._inbox.report.get("readers"),
            f"{wanted:,} readers are there, not {report.get('readers')}",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for process in self._processes:
            process.join(10)
            process.kill()
        until(
            lambda: self._inbox.report.get("readers", 0) <= self._before,
            lambda: self._inbox.report.get("readers"),
            "they have gone",
        )


class Feed:
    """Puts messages on all timelines."""

    def __init__(self, stage: Stand) -> None:
        self._stage = stage
        self.put = self.accepted = 0
        self._names = " ".join(f"user{number}" for number in range(TIMELINES))
        self._outbound: Outbound | None = None
        stage.call(self._start)
        until(lambda: self._outbound is not None, lambda: None, "there is a link")

    def _start(self) -> None:
        self._outbound = Outbound(self._stage.network, "inbox")

    def _on_outcome(self, _: Outcome) -> None:
        self.accepted += 1

    def send(self, count: int) -> None:
        """Put so many messages there."""
        self._stage.call(lambda: self._send(count))

    def _send(self, count: int) -> None:
        assert self._outbound is not None
        for _ in range(count):
            self.put += 1
            bark = encode_bark(Bark(f"{self.put:032}", "ark3", "Woof! Woof! Woof!", now()))
            data = with_delivery_annotations(bark, {RECIPIENTS: self._names, KEY: str(self.put)})
            self._outbound.send(data, self._on_outcome)


def deliveries(feed: Feed, crowd: Crowd, messages: int) -> float:
    """Deliveries/s to a crowd: so many messages, of which each reader gets each."""
    before, begun = crowd.came, time.monotonic()
    sent = 0
    while sent < messages:
        # No more than a timeline holds: nobody has to miss any.
        some = max(1, min(HISTORY - 5, messages - sent, 20_000 // crowd.readers))
        feed.send(some)
        sent += some
        # All but one in a hundred: a connection may be lost on a machine that is too busy for heartbeats.
        so_far = before + sent * crowd.readers * 0.99
        until(lambda so_far=so_far: crowd.came >= so_far, lambda: crowd.came, "all is read", 0.001)  # type: ignore[misc]
    return (crowd.came - before) / (time.monotonic() - begun)


class Visits(LinkHandler):
    """Reads one timeline after the other: attach, the history, detach."""

    def __init__(self, connection: Connection, count: int) -> None:
        self._connection, self._left, self.done = connection, count, 0
        self._came: dict[Receiver, int] = {}

    def begin(self) -> None:
        """The next visit."""
        if self._left > 0:
            self._left -= 1
            address = f"inbox/user{self._left % TIMELINES}"
            self._connection.receiver(address, self, HISTORY, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """One of the history."""
        self._came[link] = self._came.get(link, 0) + 1
        if self._came[link] == HISTORY:
            del self._came[link]
            self.done += 1
            link.close()
            self.begin()


def visits(stage: Stand, inbox: Service, count: int) -> float:
    """Timeline reads/s."""
    found: list[Visits] = []

    def start() -> None:
        connection = stage.reactor.connect(inbox.place.host, inbox.place.port, ConnectionHandler())
        found.append(Visits(connection, count))
        for _ in range(AT_ONCE):
            found[0].begin()

    begun = time.monotonic()
    stage.call(start)
    until(lambda: found and found[0].done >= count, lambda: found and found[0].done, "all visits", 0.001)
    return count / (time.monotonic() - begun)


def filled(stage: Stand) -> tuple[Service, Feed]:
    """An inbox whose timelines are full, and what sends more to them."""
    inbox = stage.start("manifold", "inbox", "--history", str(HISTORY))
    feed = Feed(stage)
    feed.send(HISTORY)
    until(lambda: feed.accepted >= HISTORY, lambda: feed.accepted, "the timelines are full")
    return inbox, feed


@benchmark("readers", runs=3)
@click.option(
    "--readers", "sizes", type=click.IntRange(1), multiple=True, help="How many (1, 100, 1000, 10000)."
)
@click.option(
    "--stalled", type=click.IntRange(0), default=1_000, show_default=True, help="Of those who stall."
)
@click.option(
    "--messages",
    type=click.IntRange(10),
    default=1_000,
    show_default=True,
    help="To a hundred readers, in each run; others have as many deliveries, and a third as many reads.",
)
def main(task: Task, sizes: tuple[int, ...], stalled: int, messages: int) -> Result:
    """Measure readers of live timelines, what stalled ones cost the others, and reads of timelines."""
    raise_file_limit()
    live: dict[int, dict[str, float]] = {}
    rates: dict[str, list[float]] = {"without": [], "with": []}
    sizes = sizes or (1, 100, 1_000, 10_000)
    task.begin(len(sizes) + task.runs + 1)
    with stand() as stage:
        inbox, feed = filled(stage)
        load = Load({"inbox": inbox.pid})
        for size in sizes:
            task.say(f"{size:,} readers")
            live[size] = served(inbox, feed, size, task.runs, messages)
            task.step()
        for _ in range(task.runs):
            task.say("stalled readers")
            with Crowd(inbox, 100) as crowd:
                rates["without"].append(deliveries(feed, crowd, messages))
                with Crowd(inbox, stalled, stalls=True):
                    rates["with"].append(deliveries(feed, crowd, messages))
            task.step()
        task.say("timeline reads")
        reads = spread((visits(stage, inbox, 3 * messages) for _ in range(task.runs)), 0)
        task.step()
        used = load.used()
    ratio = statistics.median(rates["with"]) / statistics.median(rates["without"])
    table = Table(
        "readers", "there at the end", "deliveries/s", "memory of each, kB", "inbox's CPU, µs a delivery"
    )
    for size, of in live.items():
        cells = told(of["deliveries_per_second"]), f"{of['kb']:.1f}", f"{of['cpu_us']:.1f}"
        table.add_row(f"{size:,}", f"{of['left']:,}", *cells)
    lines = [
        f"100 readers beside {stalled:,} stalled ones: {ratio:.2f} times the deliveries/s without.",
        f"Timeline reads (attach, {HISTORY} messages, detach): {told(reads)}/s",
        f"The inbox had {used['inbox']['cpu_seconds']:.1f} s of CPU time in all, and has "
        f"{used['inbox']['memory_mb']:.0f} MB of memory at the end.",
    ]
    return Result(
        {
            "live": live,
            "stalled": {name: spread(of, 0) for name, of in rates.items()},
            "with_to_without": ratio,
            "reads_per_second": reads,
            "load": used,
        },
        [table],
        lines,
        plot=lambda axes: bars(
            axes,
            {f"{size:,} readers": of["deliveries_per_second"] for size, of in live.items()},
            "deliveries/s",
        ),
    )


def served(inbox: Service, feed: Feed, size: int, runs: int, messages: int) -> dict[str, Any]:
    """What so many readers get, and take."""
    before = inbox.memory
    with Crowd(inbox, size) as crowd:
        until(lambda: crowd.came >= size * HISTORY * 0.99, lambda: crowd.came, "they have read the history")
        load, came = Load({"inbox": inbox.pid}), crowd.came
        rates = [
            deliveries(feed, crowd, max(20, min(2 * messages, 200 * messages // size))) for _ in range(runs)
        ]
        used = load.used()["inbox"]["cpu_seconds"]
        return {
            "deliveries_per_second": spread(rates, 0),
            "kb": round((inbox.memory - before) / size / 1e3, 1),
            "left": inbox.report["readers"],
            "cpu_us": round(1e6 * used / (crowd.came - came), 1),
        }
