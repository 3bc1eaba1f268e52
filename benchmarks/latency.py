"""From the creation of a bark to a reader who follows the timeline: how long, at several rates.

Clients bark steadily, as users in turn; a reader follows some of their followers' timelines. Both are in the
benchmark's process, and so on one clock. With ``--page`` the reader is the web page in Chromium, and a bark
has arrived when the page shows it.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

import click
from playwright.sync_api import sync_playwright
from rich.table import Table

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_bark, encode_bark
from barker.amqp.outbound import Outbound
from barker.amqp.system import now
from barker.commands.session import page_link
from barker.core.barks import Bark
from benchmarks.bench import Load, Result, Task, benchmark, engines, load_table, median_load
from benchmarks.bench import broker as broker_option
from benchmarks.dashboard import ARGUMENTS, chromium
from benchmarks.rabbitmq import between
from benchmarks.stand import Stand, stand, until
from benchmarks.suite import Suite, make_users

RATES = (100, 1_000, 5_000)
"""Barks/s, of all clients together."""

CLIENTS = 5

FOLLOWED = 10
"""How many timelines the reader follows, of a thousand."""

FOLLOWERS = 65

TICK_SECONDS = 0.001

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}

WATCH = """
    window.taken = [];
    const now = () => performance.timeOrigin + performance.now();
    new MutationObserver((changes) => {
        for (const change of changes) {
            for (const item of change.addedNodes) {
                const text = item.querySelector?.(".text")?.textContent ?? "";
                if (text.startsWith("at ")) taken.push(now() - Number(text.slice(3)));
            }
        }
    }).observe(document.getElementById("barks"), {childList: true});
    null;
"""
"""Notes for how many milliseconds a bark was on its way when it is on the page."""


class Client:
    """Barks so many times a second; each text says when it was made."""

    def __init__(self, stage: Stand, names: list[str], number: int, rate: float) -> None:
        self._names, self._number, self._rate = names, number, rate
        self._begun, self._made = time.monotonic(), 0
        self.stopped = False
        self._outbound = Outbound(Network(stage.reactor, stage.directory.place), "outbox")
        stage.reactor.every(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        due = int((time.monotonic() - self._begun) * self._rate)
        while self._made < due and not self.stopped:
            self._made += 1
            user = self._names[(self._number + CLIENTS * self._made) % len(self._names)]
            text = f"at {time.time_ns() / 1e6:.3f}"
            self._outbound.send(
                encode_bark(Bark(f"{self._begun}-{self._number}-{self._made}", user, text, now()))
            )


class Reader(PeerHandler[Receiver]):
    """Follows timelines, and notes how long barks were on their way, in milliseconds."""

    def __init__(self, stage: Stand, names: list[str]) -> None:
        self.taken: list[float] = []
        for name in names:
            receiver_from(stage.network, f"inbox/{name}", self, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A bark is there."""
        arrived = time.time_ns() / 1e6
        delivery.accept()
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        self.taken.append(arrived - float(bark.text[3:]))


@contextlib.contextmanager
def barking(stage: Stand, names: list[str], rate: int) -> Iterator[None]:
    """Clients bark while the context lasts."""
    clients: list[Client] = []
    stage.call(
        lambda: clients.extend(Client(stage, names, number, rate / CLIENTS) for number in range(CLIENTS))
    )
    time.sleep(1.0)
    yield
    for client in clients:
        client.stopped = True


def percentiles(taken: list[float]) -> dict[str, float]:
    """Milliseconds within which so many came."""
    ordered = sorted(taken)
    return {
        **{name: round(ordered[int(share * (len(ordered) - 1))], 2) for name, share in PERCENTILES.items()},
        "most": round(ordered[-1], 2),
        "barks": len(ordered),
    }


@benchmark("latency", seconds=10.0, runs=3)
@click.option("--rate", "rates", type=click.IntRange(1), multiple=True, help="Barks/s (100, 1000, 5000).")
@click.option("--page", is_flag=True, help="To the web page in Chromium, too.")
@broker_option
def main(task: Task, rates: tuple[int, ...], page: bool, broker: str | None) -> Result:
    """Measure the time from the creation of a bark to a reader, and to a page."""
    rates = rates or RATES
    found: dict[str, list[dict[str, float]]] = {}
    loads: dict[str, list[dict[str, dict[str, float]]]] = {}
    between_them = engines(broker)
    task.begin(task.runs * len(rates) * (len(between_them) + page))
    for _ in range(task.runs):
        for over, url in between_them.items():
            with _suite(url) as (suite, names):
                reader = _reader(suite, names)
                for rate in rates:
                    name = f"{rate:,} barks/s{over}"
                    task.say(name)
                    with barking(suite.stage, names, rate):
                        reader.taken = []
                        load = Load(suite.pids)
                        time.sleep(task.seconds)
                        taken = reader.taken
                        loads.setdefault(name, []).append(load.used())
                    found.setdefault(name, []).append(percentiles(taken))
                    task.step()
    # After all others: a browser on the same two cores is a load of its own.
    if page:
        over, url = list(between_them.items())[-1]
        with _suite(url) as (suite, names), _page(suite, names[0]) as shown:
            for _ in range(task.runs):
                for rate in rates:
                    name = f"{rate:,} barks/s{over}, to the page"
                    task.say(name)
                    with barking(suite.stage, names, rate):
                        shown.evaluate("taken = []")
                        shown.wait_for_timeout(1000 * task.seconds)
                        found.setdefault(name, []).append(percentiles(shown.evaluate("taken")))
                    task.step()
    figures = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    table = Table("creation to reader", *(f"{name}, ms" for name in PERCENTILES), "longest, ms", "barks")
    for name, of in figures.items():
        table.add_row(name, *(f"{of[key]:.2f}" for key in (*PERCENTILES, "most")), f"{of['barks']:,.0f}")
    load_of = {name: median_load(of) for name, of in loads.items()}
    done = {f"{rate:,} barks/s{over}": rate * task.seconds for rate in rates for over in between_them}

    def plot(axes: Any) -> None:
        for at, (name, of) in enumerate(figures.items()):
            axes.plot(list(PERCENTILES), [of[key] for key in PERCENTILES], marker="o", label=name, zorder=at)
        axes.set_ylabel("milliseconds")
        axes.set_yscale("log")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

    return Result(
        {"milliseconds": figures, "all": found, "load": load_of},
        [table, load_table(load_of, "bark", done)],
        plot=plot,
    )


@contextlib.contextmanager
def _suite(broker: str | None) -> Iterator[tuple[Suite, list[str]]]:
    """A suite, and its users' names."""
    with between(broker) as pids, stand() as stage:
        names = list(make_users(stage.data, FOLLOWERS))
        suite = Suite(stage, broker=broker)
        suite.others = pids
        yield suite, names


def _reader(suite: Suite, names: list[str]) -> Reader:
    readers: list[Reader] = []
    suite.stage.call(lambda: readers.append(Reader(suite.stage, names[:FOLLOWED])))
    until(lambda: suite.readers == FOLLOWED, lambda: None, "the readers are there")
    return readers[0]


@contextlib.contextmanager
def _page(suite: Suite, user: str) -> Iterator[Any]:
    gateway = suite.stage.start("gateway")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page()
        readers = suite.readers
        page.goto(page_link(gateway.place, suite.stage.page_key, False, user=user))
        until(lambda: suite.readers > readers, lambda: None, "the page follows its timeline")
        page.evaluate(WATCH)
        yield page
        browser.close()
