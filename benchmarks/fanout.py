"""Barks from clients through outboxes, bizlogic and inbox to timelines: how many a second, sustained.

The processes are those of the default suite: three outboxes, two bizlogics of which one works, one inbox. Six
clients bark as fast as they may: each sends no more than so many that are not on timelines yet, and so no
queue grows. What a client knows of that it knows from every hundredth bark, which a user makes whose timeline
it reads.

The peer fans each message out to as many queues, which are durable and keep the last 25 messages.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.table import Table

from barker.amqp._proton import ACCEPTED
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_bark, encode_bark
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.reactor import Reactor
from barker.amqp.system import now
from barker.core.barks import Bark
from barker.core.errors import BarkerError
from barker.store.first_users import import_users
from barker.store.social import FILE_NAME
from benchmarks.bench import (
    RABBITMQ,
    Load,
    Result,
    Task,
    bars,
    benchmark,
    load_table,
    median_load,
    spread,
    told,
)
from benchmarks.bench import broker as broker_option
from benchmarks.ends import TEXT
from benchmarks.rabbitmq import Broker, between
from benchmarks.stand import Clients, stand, until
from benchmarks.suite import Authors, Suite, make_users

CLIENTS = 6
"""Each with a connection of its own, so that all outboxes have work."""

WINDOW = 500
"""How many messages of one client wait for their acceptance at once."""

AHEAD = 2_000
"""How many barks of one client are not on timelines yet, as far as it knows."""

MARK_EVERY = 100
"""Each so many-th bark of a client tells it how far the others are."""

WARM_SECONDS = 1.0
"""At most so long clients bark before a run is measured; a run that is shorter has as long."""


def mark_user(client: int) -> str:
    """Who makes the barks by which a client knows how far the others are. Nobody follows them."""
    return f"mark{client}"


class Client(PeerHandler[Receiver]):
    """One client, which barks as many users in turn."""

    def __init__(self, network: Network, number: int, authors: Authors) -> None:
        self._number, self._authors, self._names = number, authors, list(authors)
        self._sent = self._known = self._waiting = 0
        self.due = 0
        """How many deliveries to timelines its barks are."""
        self.accepted = 0
        self.rejected = ""
        self.stopped = False
        self._outbound = Outbound(network, "outbox")
        receiver_from(network, f"inbox/{mark_user(number)}", self, settled=True)

    def on_found(self, link: Receiver) -> None:
        """The timeline is found: begin."""
        self._more()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A mark is on its timeline, and so is what was sent before it."""
        delivery.accept()
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        self._known = max(self._known, int(bark.id.partition("-")[2]))
        self._more()

    def _more(self) -> None:
        room = min(WINDOW - self._waiting, AHEAD - (self._sent - self._known))
        for _ in range(0 if self.stopped else room):
            self._sent += 1
            self._waiting += 1
            turn = self._number + CLIENTS * self._sent
            user = (
                self._names[turn % len(self._names)] if self._sent % MARK_EVERY else mark_user(self._number)
            )
            bark = Bark(f"{self._number}-{self._sent}", user, TEXT, now())
            self._outbound.send(encode_bark(bark), self._on_outcome)
            self.due += self._authors.get(user, 1)

    def _on_outcome(self, outcome: Outcome) -> None:
        self._waiting -= 1
        self.accepted += 1
        if not isinstance(outcome, Accepted):
            self.rejected = str(outcome)
        self._more()


@contextlib.contextmanager
def busy(suite: Suite, authors: Authors, warm_seconds: float) -> Iterator[None]:
    """Clients bark while the context lasts, and so long before; at its end all they barked is on timelines.

    :raises BarkerError: when an outbox rejects a bark, or some are not delivered.
    """
    clients: list[Client] = []

    def start() -> None:
        # Networks of their own, and so connections: as if they were processes of their own.
        for number in range(CLIENTS):
            network = Network(suite.stage.reactor, suite.stage.directory.place)
            clients.append(Client(network, number, authors))

    before, delivered = suite.worked, suite.delivered
    suite.stage.call(start)
    until(lambda: suite.worked > before, lambda: None, "barks arrive")
    time.sleep(warm_seconds)
    yield
    for client in clients:
        client.stopped = True

    def all_is_there() -> bool:
        due = delivered + sum(client.due for client in clients)
        return suite.idle and suite.delivered == due

    until(all_is_there, lambda: (suite.worked, suite.delivered), "each bark is on each timeline, once")
    for client in clients:
        suite.stage.call(client._outbound.close)
        if client.rejected:
            raise BarkerError(f"a bark was rejected: {client.rejected}")


class Divided(NamedTuple):
    """Among how many a suite's users and authors are divided."""

    inboxes: int
    partitions: int

    def __str__(self) -> str:
        return f"{self.inboxes} inboxes, {self.partitions} partitions"


@dataclass
class Turn:
    """What one run has shown."""

    figures: dict[str, float]
    """``barks`` and ``deliveries``, each a second; of ours, queue depth too."""
    done: float
    """How many barks that were."""
    load: dict[str, dict[str, float]]


def sustained(suite: Suite, authors: Authors, seconds: float) -> Turn:
    """Keep a suite busy for about so many seconds; it reports what it does."""
    services = [*suite.bizlogics, *suite.inboxes]
    keys = ["received"] * len(suite.bizlogics) + ["delivered"] * len(suite.inboxes)
    with busy(suite, authors, min(WARM_SECONDS, seconds)):
        first = [(service.next_report(), service.reported) for service in services]
        load, depths = Load(suite.pids), [suite.depth]
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            suite.bizlogics[0].next_report()
            depths.append(suite.depth)
        used, passed = load.used(), time.monotonic() - begun
        last = [(service.next_report(), service.reported) for service in services]
    # Each by its own clock: they do not report at the same moment.
    rates = [
        (now[key] - then[key]) / (end - start)
        for (then, start), (now, end), key in zip(first, last, keys, strict=True)
    ]
    barks, deliveries = sum(rates[: len(suite.bizlogics)]), rates[len(suite.bizlogics) :]
    half = max(1, len(depths) // 2)
    figures = {
        "barks": barks,
        "deliveries": sum(deliveries),
        "depth_first_half": max(depths[:half]),
        "depth_second_half": max(depths[half:]),
    }
    return Turn(figures, barks * passed, used)


def measure(make: Callable[[Path], Authors], seconds: float, tls: bool = False, **shape: int) -> Turn:
    """One run, of a suite of its own: none has the barks, or the journals, of the run before.

    `make` makes the users in a folder; `shape`: as :class:`Suite` takes it.
    """
    with stand(tls=tls) as stage:
        authors = make(stage.data)
        return sustained(Suite(stage, **shape), authors, seconds)


def brokered(
    make: Callable[[Path], Authors], seconds: float, url: str, inboxes: int, partitions: int
) -> Turn:
    """The same with a broker between the services."""
    with between(url, partitions, inboxes) as pids, stand() as stage:
        authors = make(stage.data)
        suite = Suite(stage, inboxes=inboxes, partitions=partitions, broker=url)
        suite.others = pids
        return sustained(suite, authors, seconds)


class Publisher(LinkHandler):
    """Sends to an exchange, so many unsettled at once."""

    def __init__(self, number: int) -> None:
        self._ids = (f"{number}-{count}" for count in itertools.count())
        self.accepted = 0

    def on_credit(self, link: Sender) -> None:
        """Send what may be sent."""
        for _ in range(min(link.credit, WINDOW - len(link.unsettled))):
            link.send(encode_bark(Bark(next(self._ids), "ark3", TEXT, now())))

    def on_outcome(self, link: Sender, token: object, outcome: int, condition: Condition | None) -> None:
        """The broker has it in all queues, or does not take it."""
        self.accepted += outcome == ACCEPTED
        self.on_credit(link)


def fanned_out(broker: Broker, address: str, queues: int, seconds: float) -> Turn:
    """Have RabbitMQ put messages into so many queues each."""
    publishers = [Publisher(number) for number in range(CLIENTS)]

    def start(reactor: Reactor) -> None:
        for publisher in publishers:
            connection = reactor.connect(broker.place.host, broker.place.port, ConnectionHandler())
            connection.sender(address, publisher)

    def accepted() -> int:
        return sum(publisher.accepted for publisher in publishers)

    with Clients() as clients:
        clients.call(lambda: start(clients.reactor))
        until(lambda: accepted() > CLIENTS * WINDOW, accepted, "RabbitMQ accepts")
        load = Load({"clients": os.getpid(), **broker.pids})
        before, begun = accepted(), time.monotonic()
        time.sleep(seconds)
        done, passed = accepted() - before, time.monotonic() - begun
        used = load.used()
    return Turn({"barks": done / passed, "deliveries": queues * done / passed}, done, used)


@benchmark("fanout", seconds=20.0, runs=3, peer=True)
@click.option(
    "--followers",
    "sizes",
    type=click.IntRange(0, 10_000),
    default=(65,),
    show_default=True,
    multiple=True,
    help="Of each user (may be repeated; the peer has as many queues as the first says).",
)
@click.option(
    "--graph", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Measure these users too."
)
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@click.option("--tls", is_flag=True, help="Measure the same over TLS, too.")
@broker_option
@click.option(
    "--inboxes",
    type=click.IntRange(1, 20),
    default=(1, 2, 4),
    show_default=True,
    multiple=True,
    help="With --broker: how many inboxes both have (may be repeated).",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 20),
    default=(1, 2, 4),
    show_default=True,
    multiple=True,
    help="With --broker: how many parts of the authors both have, each with so many inboxes (likewise).",
)
def main(
    task: Task,
    sizes: tuple[int, ...],
    graph: Path | None,
    mutual: bool,
    tls: bool,
    broker: str | None,
    inboxes: tuple[int, ...],
    partitions: tuple[int, ...],
) -> Result:
    """Measure barks/s and deliveries to timelines/s, through the whole suite."""
    graphs: dict[str, Callable[[Path], Authors]] = {
        f"{followers} followers each": functools.partial(make_users, followers=followers)
        for followers in sizes
    }
    if graph is not None:
        edges = graph
        graphs[graph.stem] = lambda data: _imported(data, edges, mutual)
    turns: dict[str, list[Turn]] = {}
    shapes = [] if broker is None else [Divided(*each) for each in itertools.product(inboxes, partitions)]
    task.begin(task.runs * (len(graphs) * (1 + tls) + (task.peer is not None) + 2 * len(shapes)))
    with contextlib.ExitStack() as stack:
        measures: dict[str, Callable[[], Turn]] = {
            name + over: functools.partial(measure, make, task.seconds, over != "")
            for name, make in graphs.items()
            for over in ("", ", TLS")[: 1 + tls]
        }
        make = next(iter(graphs.values()))
        for shape in shapes:
            measures[f"{shape}"] = functools.partial(measure, make, task.seconds, **shape._asdict())
            measures[f"{shape}, broker"] = functools.partial(
                brokered, make, task.seconds, broker or "", **shape._asdict()
            )
        if task.peer is not None:
            peer = stack.enter_context(Broker(task.peer))
            queues = [
                peer.queue(f"barker-fanout-{number}", **{"x-max-length": 25})
                for number in range(sizes[0] + 1)
            ]
            exchange = peer.fanout("barker-fanout", queues)
            measures[RABBITMQ] = functools.partial(fanned_out, peer, exchange, len(queues), task.seconds)
        for _ in range(task.runs):
            for name, run in measures.items():
                task.say(name)
                turns.setdefault(name, []).append(run())
                task.step()
    figures = {
        name: {key: spread((turn.figures[key] for turn in of), 0) for key in of[0].figures}
        for name, of in turns.items()
    }
    table = Table("", "barks/s", "deliveries/s", "queue depth, 1st half", "2nd half")
    for name, of in figures.items():
        depths = [
            f"{of[key]['median']:,.0f}" if key in of else ""
            for key in ("depth_first_half", "depth_second_half")
        ]
        table.add_row(name, told(of["barks"]), told(of["deliveries"]), *depths)
    lines = []
    ratio = None
    if RABBITMQ in figures:
        ours = next(iter(figures.values()))
        ratio = round(ours["deliveries"]["median"] / figures[RABBITMQ]["deliveries"]["median"], 1)
        lines.append(f"{ratio} times the deliveries of {RABBITMQ}.")
    tables = [table, *([_beside(shapes, figures, turns)] if shapes else [])]
    load = {name: median_load([turn.load for turn in of]) for name, of in turns.items()}
    done = {name: statistics.median(turn.done for turn in of) for name, of in turns.items()}
    return Result(
        {"measured": figures, "load": load, "ratio": ratio},
        [*tables, load_table(load, "bark", done)],
        lines,
        plot=lambda axes: bars(
            axes, {name: of["deliveries"] for name, of in figures.items()}, "deliveries/s"
        ),
    )


def _beside(shapes: list[Divided], figures: dict[str, Any], turns: dict[str, list[Turn]]) -> Table:
    """Barks/s without and with a broker, and the CPU time of one; of each the median."""

    def each(name: str, of: Callable[[str], bool]) -> float:
        return statistics.median(
            1e6 * sum(used["cpu_seconds"] for who, used in turn.load.items() if of(who)) / turn.done
            for turn in turns[name]
        )

    table = Table(
        "inboxes",
        "partitions",
        "barks/s",
        "with a broker",
        "ratio",
        "µs CPU a bark: services",
        "with a broker",
        "the broker",
    )
    for shape in shapes:
        name = str(shape)
        without, within = (figures[each]["barks"] for each in (name, f"{name}, broker"))
        table.add_row(
            str(shape.inboxes),
            str(shape.partitions),
            told(without),
            told(within),
            f"{within['median'] / without['median']:.2f}",
            *(f"{each(who, _is_service):.0f}" for who in (name, f"{name}, broker")),
            f"{each(f'{name}, broker', lambda who: who.startswith('broker')):.0f}",
        )
    return table


def _is_service(name: str) -> bool:
    return not name.startswith(("broker", "clients"))


def _imported(data: Path, edges: Path, mutual: bool) -> Authors:
    with contextlib.closing(import_users(data / FILE_NAME, edges, mutual)) as users:
        graph = users.graph()
        return {name: len(graph.recipients(name, "")) for name in users.names()}
