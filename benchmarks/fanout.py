"""Barks from clients through outboxes, bizlogic and inbox to timelines: how many a second, sustained.

The processes are those of the default suite: three outboxes, two bizlogics of which one works, one inbox. Six
clients bark as fast as they may: each sends no more than so many that are not on timelines yet, and so no
queue grows. What a client knows of that it knows from every hundredth bark, which a user makes whose timeline
it reads.

The peer fans each message out to as many queues, which are durable and keep the last 25 messages.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.table import Table

from barker.amqp.courier import Courier
from barker.amqp.engine import ACCEPTED, Condition, ConnectionHandler, Delivery, LinkHandler, Receiver, Sender
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_bark, encode_bark
from barker.bark import now
from barker.core.barks import Bark
from barker.core.errors import BarkerError
from barker.store.users import FILE_NAME, Users
from barker.users import import_users
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
from benchmarks.ends import TEXT
from benchmarks.rabbitmq import Broker
from benchmarks.stand import Stand, stand, until

USERS = 1_000

CLIENTS = 6
"""Each with a connection of its own, so that all outboxes have work."""

WINDOW = 500
"""How many messages of one client wait for their acceptance at once."""

AHEAD = 2_000
"""How many barks of one client are not on timelines yet, as far as it knows."""

MARK_EVERY = 100
"""Each so many-th bark of a client tells it how far the others are."""

WARM_SECONDS = 1.0


def mark_user(client: int) -> str:
    """Who makes the barks by which a client knows how far the others are. Nobody follows them."""
    return f"mark{client}"


def make_users(data: Path, followers: int) -> list[str]:
    """Users of whom each has so many followers; their names."""
    chance = random.Random(1)
    names = [f"user{number}" for number in range(max(USERS, followers + 1))]
    with contextlib.closing(Users(data / FILE_NAME, create=True)) as users:
        follows = []
        for name in names:
            others = [other for other in chance.sample(names, followers + 1) if other != name]
            follows += [(other, name) for other in others[:followers]]
        users.add(names, follows)
    return names


class Client(PeerHandler[Receiver]):
    """One client, which barks as many users in turn."""

    def __init__(self, network: Network, number: int, names: list[str]) -> None:
        self._number, self._names = number, names
        self._sent = self._known = self._waiting = 0
        self.accepted = 0
        self.rejected = ""
        self.stopped = False
        self._courier = Courier(network, "outbox", self._on_outcome)
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
            self._courier.send(encode_bark(Bark(f"{self._number}-{self._sent}", user, TEXT, now())))

    def _on_outcome(self, token: object, outcome: int, condition: Condition | None) -> None:
        self._waiting -= 1
        self.accepted += 1
        if outcome != ACCEPTED:
            self.rejected = str(condition)
        self._more()


class Suite:
    """The services of the default suite, and clients that keep them busy while they are told to."""

    def __init__(self, stage: Stand, names: list[str], outboxes: int = 3) -> None:
        data = ("--data", str(stage.data))
        self._stage, self._names = stage, names
        self.inbox = stage.start("manifold", "inbox", "--history", "25")
        self.bizlogic = stage.start("bizlogic", *data)
        until(lambda: self.bizlogic.report, lambda: None, "bizlogic is there")
        stage.start("bizlogic", *data)
        self.outboxes = [
            stage.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark")
            for _ in range(outboxes)
        ]
        until(lambda: all(s.report for s in stage.services), lambda: None, "all services are there")
        self._barked = 0

    @property
    def pids(self) -> dict[str, int]:
        """Whose CPU time is measured."""
        outboxes = {f"outbox {number}": service.pid for number, service in enumerate(self.outboxes, 1)}
        services = {**outboxes, "bizlogic": self.bizlogic.pid, "inbox": self.inbox.pid}
        return {"clients (all in one)": os.getpid(), **services}

    @property
    def depth(self) -> int:
        """How many barks are in outboxes, as these said last."""
        return sum(service.report["depth"] for service in self.outboxes)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Clients bark while the context lasts; at its end all they barked is on timelines.

        :raises BarkerError: when an outbox rejects a bark, or some are not delivered.
        """
        clients: list[Client] = []

        def start() -> None:
            # Networks of their own, and so connections: as if they were processes of their own.
            for number in range(CLIENTS):
                network = Network(self._stage.reactor, self._stage.directory.place)
                clients.append(Client(network, number, self._names))

        before = self.inbox.report["received"]
        self._stage.call(start)
        until(lambda: self.inbox.report["received"] > before, lambda: None, "barks arrive")
        time.sleep(WARM_SECONDS)
        yield
        for client in clients:
            client.stopped = True

        def due() -> int:
            return int(before + sum(client.accepted for client in clients))

        until(
            lambda: self.inbox.report["received"] == due(),
            lambda: self.inbox.report["received"],
            "all is delivered",
        )
        for client in clients:
            self._stage.call(client._courier.close)
            if client.rejected:
                raise BarkerError(f"a bark was rejected: {client.rejected}")


def sustained(suite: Suite, seconds: float) -> dict[str, float]:
    """Barks/s, deliveries/s and queue depth over about so many seconds, as the services report them."""
    with suite.busy():
        first, begun = suite.inbox.next_report(), suite.inbox.reported
        depths = [suite.depth]
        while suite.inbox.reported - begun < seconds:
            last = suite.inbox.next_report()
            depths.append(suite.depth)
        passed = suite.inbox.reported - begun
    half = len(depths) // 2
    return {
        "barks": (last["received"] - first["received"]) / passed,
        "deliveries": (last["delivered"] - first["delivered"]) / passed,
        "depth_first_half": max(depths[: half or 1]),
        "depth_second_half": max(depths[half:]),
    }


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


def fanned_out(stage: Stand, broker: Broker, address: str, seconds: float) -> float:
    """Messages/s that RabbitMQ takes and puts into all queues."""
    publishers = [Publisher(number) for number in range(CLIENTS)]
    connections = []

    def start() -> None:
        for publisher in publishers:
            connection = stage.reactor.connect(broker.place.host, broker.place.port, ConnectionHandler())
            connection.sender(address, publisher)
            connections.append(connection)

    def accepted() -> int:
        return sum(publisher.accepted for publisher in publishers)

    stage.call(start)
    until(lambda: accepted() > CLIENTS * WINDOW, accepted, "RabbitMQ accepts")
    before, begun = accepted(), time.monotonic()
    time.sleep(seconds)
    rate = (accepted() - before) / (time.monotonic() - begun)
    for connection in connections:
        stage.call(connection.close)
    return rate


@benchmark("fanout", seconds=20.0, runs=3, peer=True)
@click.option(
    "--followers", type=click.IntRange(0, 10_000), default=65, show_default=True, help="Of each user."
)
@click.option(
    "--graph", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Measure these users too."
)
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
def main(task: Task, followers: int, graph: Path | None, mutual: bool) -> Result:
    """Measure barks/s and deliveries to timelines/s, through the whole suite."""
    graphs: dict[str, Callable[[Path], list[str]]] = {
        f"{followers} followers each": lambda data: make_users(data, followers)
    }
    if graph is not None:
        edges = graph
        graphs[graph.stem] = lambda data: _imported(data, edges, mutual)
    measured: dict[str, list[dict[str, float]]] = {}
    loads: dict[str, list[dict[str, dict[str, float]]]] = {}
    done: dict[str, float] = {}
    task.begin((len(graphs) + (task.peer is not None)) * task.runs)
    with contextlib.ExitStack() as stack:
        suites = {
            name: Suite(stage := stack.enter_context(stand()), make(stage.data))
            for name, make in graphs.items()
        }
        broker = stack.enter_context(Broker(task.peer)) if task.peer is not None else None
        if broker is not None:
            queues = [
                broker.queue(f"barker-fanout-{number}", **{"x-max-length": 25}).rpartition("/")[2]
                for number in range(followers + 1)
            ]
            exchange = broker.fanout("barker-fanout", queues)
        for _ in range(task.runs):
            for name, suite in suites.items():
                task.say(name)
                load, begun = Load(suite.pids), time.monotonic()
                measured.setdefault(name, []).append(sustained(suite, task.seconds))
                loads.setdefault(name, []).append(load.used())
                done[name] = measured[name][-1]["barks"] * (time.monotonic() - begun)
                task.step()
            if broker is not None:
                task.say(RABBITMQ)
                load, begun = Load({"clients (all in one)": os.getpid(), **broker.pids}), time.monotonic()
                rate = fanned_out(stage, broker, exchange, task.seconds)
                measured.setdefault(RABBITMQ, []).append({"barks": rate, "deliveries": rate * len(queues)})
                loads.setdefault(RABBITMQ, []).append(load.used())
                done[RABBITMQ] = rate * (time.monotonic() - begun)
                task.step()
    figures = {
        name: {key: spread((run[key] for run in runs), 0) for key in runs[0]}
        for name, runs in measured.items()
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
    load_of = {name: median_load(of) for name, of in loads.items()}
    return Result(
        {"measured": figures, "load": load_of, "ratio": ratio},
        [table, load_table(load_of, "bark", done)],
        lines,
        plot=lambda axes: bars(
            axes, {name: of["deliveries"] for name, of in figures.items()}, "deliveries/s"
        ),
    )


def _imported(data: Path, edges: Path, mutual: bool) -> list[str]:
    with contextlib.closing(import_users(data, edges, mutual)) as users:
        return sorted(users.names())
