"""How large a suite has to be for a load: arithmetic with measured costs, and a simulation of its queues.

The arithmetic multiplies: so many barks, each so many parts and names, each so many microseconds. What it
cannot tell is how long barks wait for each other. So the same suite is simulated too, as a row of queues with
one server each, by the recursion of Lindley (1952): who comes is begun when the one before it has left.
A broker between the services, if there is one, is some nodes of several processors each, of which every queue
and every stream has one that works for it. Nothing here does I/O or looks at a clock.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from barker.core.broker import DAYS, STREAM_BYTES

MICRO = 1e-6

GB = 1e9

MOST_PARTITIONS = 200_000
"""A load that takes more is no load for this."""

SPREAD = 1.4
"""How far the numbers of followers are apart: the deviation of their logarithm. Few have very many."""

REPLICAS = 3
"""A broker has so many of each queue and stream, each on another of its nodes."""

DAY_SECONDS = 86_400

Times = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a suite, at its peak."""

    barks: float
    """Barks/s."""
    followers: float
    """Of an author, in the mean over barks."""
    most_followers: int
    """Of the author whom most follow."""
    timelines: float
    """How many are kept."""
    history: int
    """How many barks each keeps."""
    reads: float
    """Timelines that are read, a second: the last :attr:`page` barks of each."""
    page: int = 25

    def times(self, factor: float) -> Demand:
        """So many times as much of everything, but for what one person has and does."""
        return Demand(
            self.barks * factor,
            self.followers,
            round(self.most_followers * factor),
            self.timelines * factor,
            self.history,
            self.reads * factor,
            self.page,
        )


TWITTER_2012 = Demand(12_000, 75, 31_000_000, 150e6, 800, 300_000)
"""Its peak, as Krikorian told it ("Timelines at Scale", QCon 2012); the 75 followers in the mean are in
Kleppmann's reading of it ("Designing Data-Intensive Applications", 2017)."""


@dataclass(frozen=True, slots=True)
class Passing:
    """What a broker, all nodes together, takes to have a bundle of barks go through a queue or a stream."""

    bundle: float
    """Microseconds of a processor for each bundle, however small."""
    byte: float
    """And for each byte of it."""
    bundle_written: float
    """Bytes that go to disks for each bundle, however small."""
    byte_written: float
    """And for each byte of it."""
    alone: float
    """Microseconds until it has come through, when there is no other."""

    def times(self, factor: float) -> Passing:
        """With so many times the replicas: as much more to do, at the same time."""
        return Passing(
            self.bundle * factor,
            self.byte * factor,
            self.bundle_written * factor,
            self.byte_written * factor,
            self.alone,
        )


@dataclass(frozen=True, slots=True)
class BrokerCosts:
    """What a broker takes, with :data:`REPLICAS` of all."""

    queue: Passing
    """From an outbox to a bizlogic."""
    stream: Passing
    """From a bizlogic to an inbox."""
    node_bytes: float
    """Memory of a node."""
    together: float = 1
    """Barks that go in one bundle, in the mean."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What each piece of work takes, in microseconds of a processor; and bytes of memory."""

    outbox_bark: float
    bizlogic_bark: float
    bizlogic_part: float
    bizlogic_name: float
    inbox_part: float
    inbox_name: float
    """A bark on one timeline."""
    read: float
    """A timeline that is read, with its barks."""
    bark_bytes: float
    """A bark that an inbox holds, with what that takes besides."""
    timeline_bytes: float
    """A timeline without its barks; each place of its history takes 8 more."""
    user_bytes: float
    """A user whom a bizlogic knows."""
    follow_bytes: float
    """And each of those who follow him."""
    wire_bytes: float = 300
    """A bark on its way."""
    name_bytes: float = 10
    """A recipient on its way."""
    broker: BrokerCosts | None = None
    """Of the one between the services; None: there is none."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one kind of service takes."""

    processes: int
    """That work; standbys come on top."""
    busy: float
    """Processors that are busy in all."""
    memory: float
    """Bytes of all."""
    traffic: float
    """Bytes/s that come and go, of all."""
    cores: int = 1
    """Processors of each."""
    between: float = 0
    """Of the traffic, what comes from another of them, and goes there."""
    written: float = 0
    """Bytes/s that go to disks; of a broker alone."""
    disk: float = 0
    """Bytes that stay there; of a broker alone."""

    @property
    def load(self) -> float:
        """The share of their time that its processors are busy."""
        return self.busy / (self.processes * self.cores)


@dataclass(frozen=True, slots=True)
class Prices:
    """What is paid for a month."""

    core: float
    """Of a processor."""
    gb: float
    """Of a GB of memory."""
    disk_gb: float
    """Of a GB on a disk."""

    def of(self, need: Need) -> float:
        """Of all of a kind."""
        kept = need.memory * self.gb + need.disk * self.disk_gb
        return need.processes * need.cores * self.core + kept / GB


def parts(names: float | Times, partitions: int) -> Any:
    """In how many partitions so many names are, in the mean."""
    return partitions * (1 - (1 - 1 / partitions) ** np.maximum(names, 1))


def needs(demand: Demand, costs: Costs, load: float, memory: float, node_cores: int = 16) -> dict[str, Need]:
    """How many of each service, each on a processor of its own that is busy for the share `load` at most.

    `memory`: bytes that one inbox may take. A node of a broker's has `node_cores` processors.
    """
    names = demand.followers + 1
    partitions = next(
        (
            count
            for count in _growing()
            if _inbox_busy(demand, costs, count) <= load * count
            and _inbox_memory(demand, costs, count) <= memory * count
        ),
        MOST_PARTITIONS,
    )
    each = float(parts(names, partitions))
    outboxes = demand.barks * costs.outbox_bark * MICRO
    bark = costs.bizlogic_bark + each * costs.bizlogic_part + names * costs.bizlogic_name
    bizlogics = demand.barks * bark * MICRO
    in_bytes = demand.barks * costs.wire_bytes
    fan_out = demand.barks * (each * costs.wire_bytes + names * costs.name_bytes)
    read_bytes = demand.reads * demand.page * costs.wire_bytes
    need = {
        "outbox": Need(math.ceil(outboxes / load), outboxes, 40e6 * math.ceil(outboxes / load), 2 * in_bytes),
        "bizlogic": Need(
            math.ceil(bizlogics / load),
            bizlogics,
            # Each knows who follows whom, of all users.
            math.ceil(bizlogics / load) * _graph(demand, costs),
            in_bytes + fan_out,
        ),
        "inbox": Need(
            partitions,
            _inbox_busy(demand, costs, partitions),
            _inbox_memory(demand, costs, partitions),
            fan_out + read_bytes,
        ),
    }
    if costs.broker is not None:
        flows = (demand.barks, in_bytes), (demand.barks * each, fan_out)
        need["broker"] = _broker(costs.broker, flows, partitions, load, node_cores)
    return need


def _broker(
    costs: BrokerCosts,
    flows: tuple[tuple[float, float], tuple[float, float]],
    streams: int,
    load: float,
    cores: int,
) -> Need:
    """The broker's nodes; `flows`: barks/s and bytes/s that go through queues, and streams."""
    ways = [
        (way, rate / costs.together, size)
        for way, (rate, size) in zip((costs.queue, costs.stream), flows, strict=True)
    ]
    busy = MICRO * sum(bundles * way.bundle + size * way.byte for way, bundles, size in ways)
    written = sum(bundles * way.bundle_written + size * way.byte_written for way, bundles, size in ways)
    through_queues, through_streams = (size for _, size in flows)
    nodes = max(REPLICAS, math.ceil(busy / (load * cores)))
    # Who is connected to another node than the one that leads is served through that; a stream is read from
    # any replica of it.
    elsewhere = 1 - 1 / nodes
    copied = (REPLICAS - 1 + elsewhere) * (through_queues + through_streams)
    fetched = elsewhere * through_queues + (1 - REPLICAS / nodes) * through_streams
    between = 2 * (copied + fetched)
    kept = min(streams * STREAM_BYTES, DAYS * DAY_SECONDS * through_streams)
    return Need(
        nodes,
        busy,
        nodes * costs.node_bytes,
        2 * (through_queues + through_streams) + between,
        cores,
        between,
        written,
        REPLICAS * kept,
    )


def _graph(demand: Demand, costs: Costs) -> float:
    """Bytes that a bizlogic knows of who follows whom."""
    return demand.timelines * (costs.user_bytes + demand.followers * costs.follow_bytes)


def _growing() -> Iterator[int]:
    """1, 2, 3 … and then in ever larger steps."""
    count = 1
    while count < MOST_PARTITIONS:
        yield count
        count += max(1, count // 20)


def _inbox_busy(demand: Demand, costs: Costs, partitions: int) -> float:
    names = demand.followers + 1
    bark = float(parts(names, partitions)) * costs.inbox_part + names * costs.inbox_name
    return (demand.barks * bark + demand.reads * costs.read) * MICRO


def _inbox_memory(demand: Demand, costs: Costs, partitions: int) -> float:
    """Each inbox holds a bark once, however many of its timelines have it."""
    names = demand.followers + 1
    held_by = names / float(parts(names, partitions))
    barks = demand.timelines * demand.history / held_by
    timelines = demand.timelines * (costs.timeline_bytes + 8 * demand.history)
    return timelines + barks * costs.bark_bytes


# The queues


@dataclass(frozen=True, slots=True)
class Waited:
    """What the simulation has found."""

    busy: dict[str, float]
    """The share of its time that a process of each kind was busy, in the mean."""
    seconds: dict[str, float]
    """From a bark's creation to its last timeline: the median, the 99th percentile; and with the bark of the
    author whom most follow among them, that one's, and the others' 99th percentile."""


def served(arrivals: Times, work: Times) -> Times:
    """When each leaves a queue with one server: `arrivals` in order, `work` in seconds (Lindley, 1952)."""
    done = np.cumsum(work)
    left: Times = done + np.maximum.accumulate(arrivals - (done - work))
    return left


def through(servers: Times, count: int, arrivals: Times, work: Times) -> tuple[Times, float]:
    """When each leaves, of those that are divided among so many servers; how busy these were, in seconds."""
    left = np.empty_like(arrivals)
    order = np.lexsort((arrivals, servers))
    bounds = np.searchsorted(servers[order], np.arange(count + 1))
    for start, end in itertools.pairwise(bounds):
        own = order[start:end]
        left[own] = served(arrivals[own], work[own])
    return left, float(work.sum())


def simulate(
    demand: Demand,
    costs: Costs,
    needs: dict[str, Need],
    seconds: float,
    seed: int = 1,
    say: Callable[[str], None] = lambda what: None,
) -> Waited:
    """Have so many seconds of barks go through the queues of the services that are needed."""
    quiet, busy = _simulate(demand, costs, needs, seconds, seed, 0)
    say("the same, with the author whom most follow")
    loud, _ = _simulate(demand, costs, needs, seconds, seed, demand.most_followers)
    others = np.delete(loud, len(loud) // 2)
    return Waited(
        busy,
        {
            "p50": float(np.quantile(quiet, 0.5)),
            "p99": float(np.quantile(quiet, 0.99)),
            "most_followed": float(loud[len(loud) // 2]),
            "p99_beside": float(np.quantile(others, 0.99)),
        },
    )


def _simulate(
    demand: Demand, costs: Costs, needs: dict[str, Need], seconds: float, seed: int, most: int
) -> tuple[Times, dict[str, float]]:
    chance = np.random.default_rng(seed)
    count = int(demand.barks * seconds)
    created = np.sort(chance.uniform(0, seconds, count))
    names = 1 + np.round(demand.followers * chance.lognormal(-(SPREAD**2) / 2, SPREAD, count))
    if most:
        names[count // 2] = most
    outboxes, bizlogics, inboxes = (needs[kind].processes for kind in ("outbox", "bizlogic", "inbox"))
    taken, outbox_work = through(
        chance.integers(outboxes, size=count), outboxes, created, np.full(count, costs.outbox_bark * MICRO)
    )
    several = np.maximum(1, np.round(parts(names, inboxes))).astype(int)
    by = chance.integers(bizlogics, size=count)
    broker = _Broker(demand, costs, costs.broker, needs["broker"]) if costs.broker is not None else None
    if broker is not None:
        taken = broker.queues(by, taken)
    work = costs.bizlogic_bark + several * costs.bizlogic_part + names * costs.bizlogic_name
    spread, bizlogic_work = through(by, bizlogics, taken, work * MICRO)
    # Its parts go to as many inboxes, from one of them on; and there are those who read.
    bark = np.repeat(np.arange(count), several)
    within = np.arange(len(bark)) - np.repeat(np.cumsum(several) - several, several)
    where = (np.repeat(chance.integers(inboxes, size=count), several) + within) % inboxes
    named = np.repeat(names / several, several)
    handed = np.repeat(spread, several)
    if broker is not None:
        handed = broker.streams(where, named, handed)
    work = costs.inbox_part + named * costs.inbox_name
    reads = int(demand.reads * seconds)
    arrivals = np.concatenate((handed, chance.uniform(0, seconds, reads)))
    work = np.concatenate((work, np.full(reads, costs.read))) * MICRO
    where = np.concatenate((where, chance.integers(inboxes, size=reads)))
    left, inbox_work = through(where, inboxes, arrivals, work)
    there = np.zeros(count)
    np.maximum.at(there, bark, left[: len(bark)])
    busy = {
        "outbox": outbox_work / outboxes / seconds,
        "bizlogic": bizlogic_work / bizlogics / seconds,
        "inbox": inbox_work / inboxes / seconds,
    }
    if broker is not None:
        busy["broker"] = broker.busy / seconds
    return there - created, busy


class _Broker:
    """The one between the services: each of its processors works for some queues, or for some streams."""

    def __init__(self, demand: Demand, costs: Costs, broker: BrokerCosts, need: Need) -> None:
        self._costs, self._broker = costs, broker
        self._cores = need.processes * need.cores
        share = MICRO * demand.barks * self._bark(broker.queue, costs.wire_bytes) / need.busy
        self._for_queues = min(self._cores - 1, max(1, round(self._cores * share)))
        self._work = 0.0

    def _bark(self, way: Passing, size: Any) -> Any:
        """Microseconds for a bark, in a bundle with others."""
        return way.bundle / self._broker.together + size * way.byte

    @property
    def busy(self) -> float:
        """Seconds of work so far, for each processor."""
        return self._work / self._cores

    def queues(self, which: Times, arrivals: Times) -> Times:
        """When each bark comes out of the queue that it is in."""
        work = np.full(len(arrivals), self._bark(self._broker.queue, self._costs.wire_bytes))
        return self._pass(which, self._for_queues, arrivals, work, self._broker.queue.alone)

    def streams(self, which: Times, names: Times, arrivals: Times) -> Times:
        """When each part of a bark comes out of its stream, with so many names."""
        work = self._bark(self._broker.stream, self._costs.wire_bytes + names * self._costs.name_bytes)
        servers = self._cores - self._for_queues
        return self._pass(which, servers, arrivals, work, self._broker.stream.alone)

    def _pass(self, which: Times, servers: int, arrivals: Times, work: Times, alone: float) -> Times:
        # That it takes long even alone is for the most part no work: it is on its way between nodes, and to
        # disks.
        left, busy = through(which % servers, servers, arrivals, work * MICRO)
        self._work += busy
        return left + alone * MICRO
