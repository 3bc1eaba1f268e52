"""The outbox as a relay to a broker: it checks what comes, and keeps nothing.

A bark is accepted when the broker has accepted it, several of them at a time; until then its sender has it.
Each goes to the queue of its author's partition. What waits here for a broker that is slow, or away, is
bounded: no more credit is granted then.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from barker.amqp._proton import ACCEPTED
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import PeerHandler, PeerLink
from barker.amqp.message import encode_map
from barker.amqp.outbound import Accepted, Outcome, Rejected
from barker.amqp.rabbitmq import BrokerNetwork, ToBroker, from_broker
from barker.amqp.service import Service, Serving, only_send
from barker.core.access import DEAD_LETTERS, check_author
from barker.core.barks import Bark, Follow
from barker.core.broker import DEAD_LETTERS as LETTERS
from barker.core.broker import Broker, outbox_names, outboxes
from barker.core.errors import LimitExceeded, PeerError
from barker.core.gauges import Peak
from barker.core.partitions import number_of
from barker.core.reports import QUEUES, QueueReport, queue_reports

Word = Bark | Follow

MOST = 20_000
"""With so many barks that wait for the broker, no more credit is granted until there are half as many."""

MOST_LETTERS = 1_000
"""So many dead letters one who reads them has at a time."""

BYTES = 64 * 1024 * 1024
"""So much may wait of what was granted before; links that bring more end."""


class Relay(Service):
    """The service."""

    kind = "manifold"

    def __init__(
        self,
        serving: Serving,
        broker: Broker,
        check: Callable[[bytes], Word],
        max_message_size: int,
        authors: int = 1,
    ) -> None:
        """`check` raises PeerError on what is no bark; `authors`: how many partitions of them there are."""
        super().__init__(serving)
        self._network = network = BrokerNetwork(self.reactor, broker, outboxes(authors), self._never)
        self._check, self._max_message_size = check, max_message_size
        self._names = outbox_names(authors)
        self._queues = [ToBroker(network, name) for name in self._names]
        self._producers: dict[Receiver, None] = {}
        self._full = False
        self.rejected = 0
        """How many messages broke the rules since the start."""
        self._peak = Peak()
        self.reactor.each_turn(self._end_turn)

    # Links

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """Who barks."""
        self.only_own(address)
        link.max_message_size = self._max_message_size
        return _Producer(self)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """Who wants to know how much waits here, or reads dead letters."""
        if address == self.agent.address + QUEUES:
            return Broadcast(lambda: [encode_map("queues", queue_reports([self._report()]))], Lag.GAP)
        if address == self.serving.address + DEAD_LETTERS:
            return _Letters(self._network)
        self.only_own(address)
        raise only_send(address)

    def joined(self, link: Receiver) -> None:
        """A producer's link stands."""
        self._producers[link] = None
        self._grant([link])

    def left(self, link: Receiver) -> None:
        """A producer's link has ended: what it brought goes to the broker all the same."""
        self._producers.pop(link, None)

    # Barks

    def take(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A bark has come.

        :raises PeerError: when it breaks the rules.
        """
        word = self._check(data)
        if link.connection.identity.kind == "person":
            check_author(link.connection.identity, word)
        if sum(queue.memory for queue in self._queues) > BYTES:
            link.refuse(LimitExceeded("too much waits here for the broker: try again"))
            return
        queue = self._queues[number_of(word.user, len(self._queues)) if len(self._queues) > 1 else 0]
        queue.send(data, functools.partial(self._on_outcome, delivery))

    def _on_outcome(self, delivery: Delivery, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted):
            self.received += 1
            self.sent += 1
            delivery.accept()
        elif isinstance(outcome, Rejected):
            self.rejected += 1
            delivery.reject(PeerError(outcome.condition.description))

    # Credit

    def _end_turn(self) -> None:
        held = self.in_hand()
        self._peak.update(self.reactor.clock(), held)
        full = held >= MOST if not self._full else held > MOST // 2
        if full != self._full:
            self._full = full
            self._grant(self._producers)

    def _grant(self, links: Iterable[Receiver]) -> None:
        for link in links:
            link.window = 0 if self._full or self.ending else self.reactor.system.bounds.window

    # Its state

    def _report(self) -> QueueReport:
        in_flight = sum(queue.in_flight for queue in self._queues)
        consumers = sum(bool(queue.place) for queue in self._queues)
        to = " ".join(self._names)
        return QueueReport(self.serving.address, self.in_hand(), in_flight, consumers, consumer=to)

    def state(self) -> dict[str, Any]:
        """How much waits here for the broker, and where that is."""
        depth = self.in_hand()
        return {
            "mode": "relay",
            "broker": " ".join([*self._names, LETTERS]),
            "consumer": " ".join(self._names),
            "depth": depth,
            "depth_peak": max(depth, self._peak.highest(self.reactor.clock())),
            "in_flight": self._report().in_flight,
            "queues": len(self._queues),
            "rejected": self.rejected,
        }

    def on_ending(self) -> None:
        """Take nothing more."""
        super().on_ending()
        self._grant(self._producers)

    def in_hand(self) -> int:
        """What the broker has not accepted yet."""
        return sum(map(len, self._queues))


class _Producer(LinkHandler):
    """The link of one who barks."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def on_opened(self, link: Receiver) -> None:
        self._relay.joined(link)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._relay.take(link, delivery, data)

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._relay.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        self._relay.left(link)


class _Letters(PeerHandler[Receiver]):
    """The link of one who reads dead letters: each comes from the broker, and leaves it when it is accepted.

    One that is not stays with this link, which so has each once; when the link ends, the broker has it again.
    """

    def __init__(self, network: BrokerNetwork) -> None:
        self._network = network
        self._reader: Sender | None = None
        self._source: PeerLink[Receiver] | None = None
        self._waiting: deque[tuple[Delivery, bytes]] = deque()

    # What the reader's link tells

    def on_credit(self, link: Sender) -> None:
        self._reader = link
        if self._source is None:
            self._source = from_broker(self._network, LETTERS, self, MOST_LETTERS)
        self._send(link)

    def on_outcome(self, link: Sender, token: Any, outcome: int, condition: Condition | None) -> None:
        if outcome == ACCEPTED:
            token.accept()

    def on_closed(self, link: Sender, condition: Condition | None) -> None:
        if self._source is not None:
            self._source.close()

    # What the broker's link tells

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._waiting.append((delivery, data))
        if self._reader is not None:
            self._send(self._reader)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        self._waiting.clear()

    def _send(self, link: Sender) -> None:
        settled = link.wants_settled
        while self._waiting and link.credit:
            delivery, data = self._waiting.popleft()
            link.send(data, delivery, settled)
            if settled:
                delivery.accept()
