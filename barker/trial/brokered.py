"""The broker of a run: at its beginning all that is needed is there, at its end all has gone through it.

All that is needed is declared before anything is broken, while all nodes are there: what RabbitMQ was told
within the last seconds it may lose when it is killed, and what it makes while it is one node has no replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from barker.amqp import bundle
from barker.amqp.connection import Connection
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import encode_map
from barker.amqp.rabbitmq import FROM, BrokerNetwork, Inquiry, ToBroker, from_broker
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id
from barker.core.broker import SUITE, Broker, inbox_names, inboxes, outbox_names, outboxes
from barker.suite.shape import Shape

DECLARED_SECONDS = 5.0
"""After so long a single node that is killed has what it was told to declare."""

BOOTS = "the broker answers"
"""The step that takes longest: its nodes start, and wait for each other."""

EMPTY_SECONDS = 3.0
"""Nothing is on its way when nothing was for so long: services say once a second what they have in hand."""

REPLICAS = 3
"""A broker of so many nodes, or more, keeps everything on so many."""

Step = tuple[Callable[[], bool], str]
"""What to wait for, asked again and again; and what that is, in words."""

Reports = Callable[[str], Sequence[Mapping[str, Any]]]
"""What all services of a kind say of themselves; nothing before all have said something."""


class RunBroker:
    """It."""

    def __init__(
        self, reactor: Reactor, shape: Shape, broker: Broker, nodes: int, fail: Callable[[str], None]
    ) -> None:
        """`nodes`: how many were started for the run, all or none; `fail` is told why it makes no sense."""
        self._reactor, self._broker, self._nodes, self._fail = reactor, broker, nodes, fail
        self._outboxes, self._inboxes = outbox_names(shape.partitions), inbox_names(shape.inboxes)
        queues = [*outboxes(shape.partitions), *inboxes(shape.inboxes)]
        self._names = [SUITE, *(queue.name for queue in queues)]
        self._network = BrokerNetwork(reactor, broker, queues, fail)
        self._inquiry = Inquiry(self._network)
        self._busy = 0.0
        """When something was on its way last."""
        self._ends: dict[str, int] = {}
        """By stream: the place of a mark that stands behind everything else."""
        self.left = 0
        """How much is on its way at the end, as far as that is known."""

    # At the beginning

    def made(self) -> Iterator[Step]:
        """What is needed is there: on several nodes, and for long enough."""
        nodes = [replace(self._broker, places=(place,)) for place in self._broker.places]
        each = [_Visit(self._reactor, node, (), self._fail) for node in nodes]
        yield lambda: self._answer(each), BOOTS
        yield self._is_declared, "queues and streams are there"
        due = self._reactor.clock() + DECLARED_SECONDS
        yield lambda: self._reactor.clock() > due, "queues and streams are kept"

    def _answer(self, each: Sequence[_Visit]) -> bool:
        """Whether all nodes that were started are ready; of others, one."""
        for visit in each:
            visit.connection(visit.directories[0])
        return sum(visit.answered for visit in each) >= max(1, self._nodes)

    def _is_declared(self) -> bool:
        self._inquiry.ask(self._names)  # Its connection declares them first.
        wanted = min(self._nodes, REPLICAS)
        answers = [self._inquiry.answers.get(name, (0.0, 0, None)) for name in self._names]
        return all(status == 200 and len(body["replicas"]) >= wanted for _, status, body in answers)

    # At the end

    def emptied(self, reports: Reports) -> Iterator[Step]:
        """Nothing is on its way any more, and the inboxes have all that the streams have."""
        self._busy = self._reactor.clock()
        yield lambda: self._is_empty(reports("bizlogic")), "the broker's queues are empty"
        for name in self._inboxes:
            mark = encode_map("mark", new_id())
            end = _End(self._ends, name, mark, ToBroker(self._network, name))
            from_broker(self._network, name, end, 10, lambda: {FROM: "next"})
        yield lambda: self._is_read(reports("inbox")), "the inboxes have read the broker's streams"

    def _is_empty(self, bizlogics: Sequence[Mapping[str, Any]]) -> bool:
        now = self._reactor.clock()
        self._inquiry.ask(self._outboxes)
        answers = [self._inquiry.answers.get(name, (0.0, 0, None)) for name in self._outboxes]
        known = all(status == 200 and now - at < EMPTY_SECONDS for at, status, _ in answers)
        # The broker counts those alone that it has not given to anybody.
        self.left = sum(int(body["message_count"]) for _, status, body in answers if status == 200)
        self.left += sum(report["in_flight"] for report in bizlogics)
        if self.left or not known or not bizlogics:
            self._busy = now
        return now - self._busy > EMPTY_SECONDS

    def _is_read(self, copies: Sequence[Mapping[str, Any]]) -> bool:
        ends = self._ends
        self.left = sum(max(0, ends.get(each["takes"], 0) - each["offset"]) for each in copies)
        return len(ends) == len(self._inboxes) and bool(copies) and not self.left


class _Visit(BrokerNetwork):
    """Looks whether a node is ready, and declares nothing there."""

    answered = False

    def on_connected(self, connection: Connection) -> None:
        self.answered = True


class _End(PeerHandler[Receiver]):
    """Reads a stream from where it ends when the link attaches, to find a mark that is written then."""

    def __init__(self, ends: dict[str, int], name: str, mark: bytes, to_stream: ToBroker) -> None:
        self._ends, self._name, self._mark, self._to_stream = ends, name, mark, to_stream

    def on_found(self, link: Receiver) -> None:
        self._to_stream.send(self._mark)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        if self._mark in bundle.unpack(data):
            self._ends[self._name] = bundle.offset(data)
        delivery.accept()
