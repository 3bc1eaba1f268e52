"""What a bundle of barks takes of a broker, on its way through a quorum queue or a stream.

There are some of either, and through each goes one bundle at a time: so the broker is busy, and does no part
of its work for several bundles of a queue at once, as it can when many wait. A bundle of one bark and one of
a hundred tell what it takes however small it is, and what each byte takes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from barker.amqp import bundle
from barker.amqp.batch import MESSAGES
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Place
from barker.amqp.message import encode_bark
from barker.amqp.rabbitmq import FROM, BrokerNetwork, ToBroker, from_broker
from barker.amqp.reactor import Reactor
from barker.amqp.system import now
from barker.core.barks import Bark
from barker.core.broker import Broker, Queue
from barker.core.errors import BarkerError
from benchmarks.bench import Load
from benchmarks.ends import TEXT
from benchmarks.rabbitmq import Broker as Peer
from benchmarks.rabbitmq import deleting, nodes
from benchmarks.sizing import Passing
from benchmarks.stand import Clients, until

log = logging.getLogger(__name__)

QUEUES = 20
"""So many queues, or streams, are used at once; each takes two sessions, of which RabbitMQ gives 64."""

WARM = 5
"""So many bundles have gone through each before it is measured."""


class Loop(PeerHandler[Receiver]):
    """One bundle at a time through one queue: the next one is sent when the last one has come out."""

    def __init__(self, to: BrokerNetwork, back: BrokerNetwork, queue: Queue, barks: list[bytes]) -> None:
        self.taken = 0
        self._barks = barks
        stream = queue.arguments["x-queue-type"] == "stream"
        self._to = ToBroker(to, queue.name)
        from_broker(back, queue.name, self, 10, lambda: {FROM: "first"} if stream else {})
        self._send()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """It has come out."""
        delivery.accept()
        self.taken += 1
        self._send()

    def _send(self) -> None:
        # What is sent in one turn goes as one bundle.
        for bark in self._barks:
            self._to.send(bark)


@dataclass(frozen=True, slots=True)
class Turn:
    """What bundles took, one after the other."""

    seconds: float
    """From one to the next, of each queue's."""
    cpu: float
    """Microseconds for a bundle, in all of the broker's nodes that were named together; not what they take
    with nothing to do."""
    written: float
    """Likewise, bytes for a bundle that went to their disks."""


def through(url: str, queues: Sequence[Queue], barks: list[bytes], seconds: float) -> Turn:
    """Have bundles of these barks go through each of these queues, which are empty before."""
    loops: list[Loop] = []

    def start(reactor: Reactor) -> None:
        to, back = (BrokerNetwork(reactor, Broker.parse(url), (), log.error) for _ in range(2))
        loops.extend(Loop(to, back, queue, barks) for queue in queues)

    def taken() -> int:
        return sum(loop.taken for loop in loops)

    def warm() -> bool:
        return len(loops) == len(queues) and min(loop.taken for loop in loops) >= WARM

    with declared(url, queues) as pids, Clients() as clients:
        idle = _used(pids, seconds)
        clients.call(lambda: start(clients.reactor))
        until(warm, taken, "bundles come through the broker")
        before, begun = taken(), time.monotonic()
        busy = _used(pids, seconds)
        done, passed = taken() - before, time.monotonic() - begun
    if not done:
        raise BarkerError(f"in {seconds:g} s no bundle has come through the broker: measure for longer")
    cpu, written = (max(0.0, used - of_all) / done for used, of_all in zip(busy, idle, strict=True))
    return Turn(passed * len(queues) / done, 1e6 * cpu, written)


def _used(pids: dict[str, int], seconds: float) -> tuple[float, float]:
    """Seconds of CPU time, and bytes to disks, that these take now within so many seconds."""
    load, written = Load(pids), _written(pids)
    time.sleep(seconds)
    return sum(of["cpu_seconds"] for of in load.used().values()), _written(pids) - written


@contextlib.contextmanager
def declared(url: str, queues: Sequence[Queue]) -> Iterator[dict[str, int]]:
    """A broker that has these, and nothing in them; gives its processes' ids."""
    with deleting(url, [queue.name for queue in queues]) as pids:
        with Peer(Place(*Broker.parse(url).places[0])) as broker:
            for queue in queues:
                broker.declare(queue)
        yield pids


def watched(url: str) -> int:
    """How many of the broker's nodes the URL names.

    :raises BarkerError: when one is not there, or may not be looked at.
    """
    broker = Broker.parse(url)
    places = [Place(*each) for each in broker.places]
    if len(nodes(places)) < len(places):
        raise BarkerError(
            f"{broker.url}: not all who are to listen there can be seen. What one takes is measured where "
            "it runs: on this machine, and by its own user or root"
        )
    return len(places)


def _written(pids: dict[str, int]) -> float:
    return sum(float(psutil.Process(pid).io_counters().write_bytes) for pid in pids.values())


def _barks(count: int) -> list[bytes]:
    return [encode_bark(Bark(f"{number:032}", "ark3", TEXT, now())) for number in range(count)]


def passing(url: str, queues: Sequence[Queue], seconds: float) -> Passing:
    """What it takes to have bundles go through such queues."""
    few, full = _barks(1), _barks(MESSAGES)
    small, large = len(bundle.pack(few)), len(bundle.pack(full))
    one, many = (through(url, queues, barks, seconds) for barks in (few, full))
    alone = through(url, queues[:1], few, seconds)
    byte = max(0.0, (many.cpu - one.cpu) / (large - small))
    byte_written = max(0.0, (many.written - one.written) / (large - small))
    return Passing(
        max(0.0, one.cpu - small * byte),
        byte,
        max(0.0, one.written - small * byte_written),
        byte_written,
        1e6 * alone.seconds,
    )
