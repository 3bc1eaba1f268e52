"""How long nothing is delivered when the bizlogic that works is killed, or frozen.

A client barks steadily, a reader follows its timeline. The time is from the signal to the first bark on the
timeline that was made after it: that can only have come through the next bizlogic.
"""

from __future__ import annotations

import signal
import statistics
import time

import click
from rich.table import Table

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, receiver_from
from barker.amqp.message import decode_bark, encode_bark
from barker.amqp.outbound import Outbound, Outcome
from barker.amqp.system import now
from barker.core.barks import Bark
from barker.store.social import FILE_NAME, Users
from benchmarks.bench import Result, Task, benchmark, engines
from benchmarks.bench import broker as broker_option
from benchmarks.rabbitmq import between
from benchmarks.stand import Service, Stand, stand, until

RATE = 500
"""Barks/s: what is made next is made within 2 ms."""


class Flow(PeerHandler[Receiver]):
    """The client that barks, and the reader: barks have numbers."""

    def __init__(self, stage: Stand) -> None:
        self.made = self.accepted = 0
        self.arrived: dict[int, float] = {}
        """When each bark came, by its number."""
        self.doubles = 0
        self._outbound = Outbound(stage.network, "outbox")
        receiver_from(stage.network, "inbox/ark3", self, window=1_000, settled=True)
        stage.reactor.every(1 / RATE, self._bark)
        self._barking = True

    def stop(self) -> None:
        """Make no more."""
        self._barking = False

    def _bark(self) -> None:
        if self._barking:
            bark = Bark(f"{self.made:032}", "ark3", str(self.made), now())
            self.made += 1
            self._outbound.send(encode_bark(bark), self._on_outcome)

    def _on_outcome(self, _: Outcome) -> None:
        self.accepted += 1

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A bark is on the timeline."""
        delivery.accept()
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        self.doubles += int(bark.text) in self.arrived
        self.arrived.setdefault(int(bark.text), time.monotonic())


def strike(flow: Flow, services: list[Service], number: int) -> float:
    """Send the one that works a signal; seconds until a bark came through the next.

    :raises BarkerError: when none comes, or nobody stands by again.
    """
    active = next(service for service in services if service.report.get("active"))
    first = flow.made + 1
    struck = time.monotonic()
    active.send_signal(number)
    until(
        lambda: first in flow.arrived,
        lambda: len(flow.arrived),
        "a bark through the next",
        look_seconds=0.005,
    )
    took = flow.arrived[first] - struck
    active.end(signal.SIGKILL)
    active.start()
    standing = (True, False)
    until(
        lambda: (
            sorted((service.report.get("active") for service in services), key=str, reverse=True)
            == list(standing)
        ),
        lambda: len(flow.arrived),
        "one works and one stands by",
    )
    return took


Times = dict[str, list[float]]
"""Seconds, by the signal."""


def strikes(task: Task, counts: dict[str, int], broker: str | None) -> tuple[Times, int, int]:
    """Strike so often with each signal; the times, and how many barks were made, and came twice."""
    ends = ("--broker", broker) if broker else ()
    with between(broker), stand() as stage:
        users = Users(stage.data / FILE_NAME, create=True)
        users.add(["ark3"], [])
        users.close()
        stage.start("manifold", "inbox", "--history", "1000", *ends)
        stage.start("manifold", "outbox", *(ends or ("--push", "bizlogic")), "--accept", "bark")
        services = [stage.start("bizlogic", "--data", str(stage.data), *ends) for _ in range(2)]
        flows: list[Flow] = []
        stage.call(lambda: flows.append(Flow(stage)))
        until(lambda: flows and len(flows[0].arrived) > 100, lambda: len(flows), "barks flow")
        (flow,) = flows
        until(
            lambda: [service.report.get("active") for service in services].count(True) == 1,
            lambda: len(flow.arrived),
            "one bizlogic works",
        )
        times: Times = {}
        for name, count in counts.items():
            task.say(name + ", broker" * (broker is not None))
            times[name] = []
            for _ in range(count):
                times[name].append(strike(flow, services, getattr(signal, name)))
                task.step()
        stage.call(flow.stop)
        made = flow.made
        until(lambda: len(flow.arrived) >= flow.made, lambda: len(flow.arrived), f"all {made} barks")
        return times, made, flow.doubles


@benchmark("failover", runs=1)
@click.option("--kills", type=click.IntRange(0), default=200, show_default=True, help="How many SIGKILL.")
@click.option("--freezes", type=click.IntRange(0), default=10, show_default=True, help="How many SIGSTOP.")
@broker_option
def main(task: Task, kills: int, freezes: int, broker: str | None) -> Result:
    """Kill and freeze the working bizlogic again and again; time the failover."""
    between_them = engines(broker)
    times: Times = {}
    made = doubles = 0
    task.begin(task.runs * len(between_them) * (kills + freezes))
    for _ in range(task.runs):
        for over, url in between_them.items():
            found, barks, twice = strikes(task, {"SIGKILL": kills, "SIGSTOP": freezes}, url)
            made, doubles = made + barks, doubles + twice
            for name, of in found.items():
                times.setdefault(name + over, []).extend(of)
    figures = {
        name: {
            "times": len(of),
            "p50": round(statistics.median(of), 4),
            "p99": round(sorted(of)[int(0.99 * (len(of) - 1))], 4),
            "max": round(max(of), 4),
        }
        for name, of in times.items()
        if of
    }
    table = Table("signal", "times", "p50 ms", "p99 ms", "longest ms", title="Failover")
    for name, figure in figures.items():
        row = (f"{1000 * figure[key]:,.0f}" for key in ("p50", "p99", "max"))
        table.add_row(name, str(figure["times"]), *row)
    return Result(
        {"seconds": figures, "barks": made, "doubles": doubles},
        [table],
        [f"{made:,} barks, all delivered."],
        [f"{doubles} barks came twice."] if doubles else [],
    )
