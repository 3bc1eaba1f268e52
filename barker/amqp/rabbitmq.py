"""A broker, RabbitMQ 4, by its own AMQP 1.0: links to what it keeps, which is declared over AMQP as well.

All links of a process to a broker share one connection (:class:`BrokerNetwork`), each in a session of its
own, as the broker ends a session over a link that it refuses. Whenever the connection stands, what is needed
is declared, as it is already there for the most part; and no link is made before it is there for the first
time, and no other suite has the virtual host. Queues and streams are declared, and looked at, by requests as
HTTP has them, to the broker's node ``/management`` (:class:`Management`).
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from proton import Message

from barker.amqp._proton import REJECTED, RELEASED, owned
from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition, Limits, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import Network, PeerHandler, PeerLink, Place
from barker.amqp.outbound import Outbound
from barker.amqp.reactor import Reactor
from barker.amqp.sasl import ForeignClient
from barker.amqp.system import new_id
from barker.core.access import Credentials, suite_name
from barker.core.backoff import Backoff
from barker.core.broker import MADE, OWNER, SUITE, Broker, Queue, address_of, queue_of, reports_of, used
from barker.core.errors import Mistake

log = logging.getLogger(__name__)

MANAGEMENT = "/management"
"""The node that queues are declared at."""

IDLE_SECONDS = 10.0
"""A broker that sends nothing for so long is taken to be dead."""

AGAIN_SECONDS = 1.0
"""What cannot be declared now is tried again after so long."""

PATIENCE = 2.0
"""A broker that has been away for longer is worth a word."""

GONE = ("amqp:not-found", "amqp:resource-deleted")
"""What a link ends with to a queue that is not there, or not any more."""

FROM = "rabbitmq:stream-offset-spec"
"""The filter that says from where a stream is to be read: an offset, or first."""

Then = Callable[[int, Any], None]
"""Told the status of an answer, and its body."""


class Management(LinkHandler):
    """Requests to a broker's management node, in a session of their own, for as long as that stands."""

    def __init__(
        self, connection: Connection, on_ended: Callable[[Management, Condition | None], None]
    ) -> None:
        """`on_ended` is told when the session has ended, or the connection, and no answer comes any more."""
        self._on_ended = on_ended
        self._waiting: deque[bytes] = deque()
        self._asked: dict[str, Then] = {}
        self._count = 0
        self.connection = connection
        self._sender = connection.paired(MANAGEMENT, self)

    def request(self, verb: str, path: str, body: Any, then: Then) -> None:
        """Ask; `then` is told the answer, and nothing if the session has ended before it comes."""
        self._count += 1
        number = str(self._count)
        self._asked[number] = then
        request = Message(id=number, subject=verb, address=path, reply_to="$me", body=body)
        # One without a body has the value null, which Proton does not write.
        self._waiting.append(bytes(request.encode()) + (b"\x00\x53\x77\x40" if body is None else b""))
        self.on_credit(self._sender)

    @property
    def asked(self) -> int:
        """How many requests have no answer yet."""
        return len(self._asked)

    def on_credit(self, link: Sender) -> None:
        """The broker takes requests."""
        while self._waiting and link.credit:
            link.send(self._waiting.popleft(), settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """An answer."""
        delivery.accept()
        answer = Message()
        answer.decode(data)
        then = self._asked.pop(str(answer.correlation_id), None)
        status = str(answer.subject)
        if then is not None and status.isdecimal():
            then(int(status), owned(answer.body))

    def on_closed(self, link: Sender | Receiver, condition: Condition | None) -> None:
        """One of its two links has ended."""
        self._on_ended(self, condition)


class BrokerNetwork(Network):
    """A process's connection to a broker, where some queues and streams have to be."""

    def __init__(
        self,
        reactor: Reactor,
        broker: Broker,
        queues: Sequence[Queue],
        on_never: Callable[[str], None],
        on_declared: Callable[[str, str], None] = lambda name, made: None,
    ) -> None:
        """`on_never` is told why they will never be there as they have to.

        `on_declared` is told each time that one is there: its name, and which of that name it is; empty for
        one that somebody else has made.

        :raises Mistake: when the certificate cannot be read by which the suite is known.
        """
        super().__init__(reactor, *(Place(*place) for place in broker.places))
        self.broker = broker
        self.management: Management | None = None
        """While there is a connection."""
        own = [queue_of(_suite(reactor.credentials))] if reactor.credentials is not None else []
        self._queues, self._on_never, self._on_declared = [*own, *queues], on_never, on_declared
        self._missing = {queue.name for queue in self._queues}
        """Those that were not there yet since the start."""
        self._searches: list[Callable[[], None]] = []
        """Those that wait for them."""
        self._backoff = Backoff()
        self._searched: dict[str, float] = {}
        """Since when there is no link to an address."""
        self._told = False

    def dial(self, place: Place) -> Connection:
        """Connect as the broker's user."""
        broker = self.broker
        return self.reactor.connect(
            place.host,
            place.port,
            self,
            ForeignClient(broker.user, broker.password),
            f"vhost:{broker.virtual_host}" if broker.virtual_host else "",
            Limits(idle_seconds=IDLE_SECONDS),
        )

    def begin(self, search: Callable[[], None]) -> None:
        """Begin it once all is there, and known to be this suite's: nothing of another's is touched."""
        if not self._missing:
            search()
            return
        self._searches.append(search)
        if len(self._searches) == 1:
            self._knock()

    def _knock(self) -> None:
        if self._searches:
            self.connection(next(iter(self.turns)))

    def doubt(self, connection: Connection, address: str) -> str:
        """It is who the URL names: it has no key of the suite."""
        return ""

    def on_connected(self, connection: Connection) -> None:
        """Declare what is needed: it may be a new one, or one that has lost what it was told last."""
        self.management = Management(connection, self._on_management_ended)
        for queue in self._queues:
            self._declare(self.management, queue.made(new_id()))

    def _on_management_ended(self, management: Management, condition: Condition | None) -> None:
        """The broker has ended the session, as RabbitMQ 4.0 does over a queue that is just being declared."""
        if management is not self.management:
            return
        self.management = None
        connection = management.connection
        if connection.live:
            why = str(condition or "no word").partition("\n")[0]
            log.warning("%s: it answers no requests for a moment: %s", self.broker.url, why)

        def again() -> None:
            if self.management is None and connection.live:
                self.on_connected(connection)

        self.reactor.after(AGAIN_SECONDS, again)

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        """Whoever needs it dials again."""
        place = self._places.get(connection)
        super().on_lost(connection, condition)
        if self._searches and place is not None:
            self.turns.failed(place)
            self.on_search(MANAGEMENT, condition, connection.peer)
            self.reactor.after(self._backoff.next(self.reactor.chance.random), self._knock)

    def _declare(self, management: Management, queue: Queue) -> None:
        def answered(status: int, body: Any) -> None:
            if status == 409:
                self._on_never(
                    f"{self.broker.url}: {queue.name} is there, and is another than it has to be ({body}): "
                    "delete it there, or name a virtual host of this suite's own behind the port"
                )
            elif status in (401, 403):
                self._on_never(f"{self.broker.url}: {queue.name} may not be declared: {body}")
            elif status >= 300:
                # Such as while a broker starts, and has not begun with all that it keeps.
                log.info("%s: %s cannot be declared now: %s", self.broker.url, queue.name, body)
                self.reactor.after(AGAIN_SECONDS, again)
            else:
                self._declared(queue, body["arguments"])

        def again() -> None:
            if management is self.management:
                self._declare(management, queue)

        management.request("PUT", address_of(queue.name), queue.declaration, answered)

    def _declared(self, queue: Queue, found: dict[str, Any]) -> None:
        """It is there, with these arguments."""
        if found.get(OWNER) != queue.arguments.get(OWNER):
            self._on_never(
                f"{self.broker.url}: another suite is there, and each suite needs a virtual host of its own: "
                "name one behind the port. If that one is no more, and this one is to go on with its barks, "
                f"delete the queue {SUITE} there, and nothing else"
            )
            return
        self._on_declared(queue.name, str(found.get(MADE, "")))
        self._missing.discard(queue.name)
        if not self._missing and self._searches:
            self.on_found(MANAGEMENT)
            searches, self._searches = self._searches, []
            for search in searches:
                self.reactor.after(0, search)

    # What is said of a broker that is away

    def on_search(self, address: str, why: Condition | None, peer: str) -> None:
        """Say it once, if it is for longer; what somebody has deleted is declared again."""
        if why is not None and why.name in GONE and self.management is not None:
            for queue in self._queues:
                if queue.address == address:
                    self._declare(self.management, queue.made(new_id()))
        now = self.reactor.clock()
        if now - self._searched.setdefault(address, now) > PATIENCE and not self._told:
            self._told = True
            log.error("%s: no link to %s: %s. All waits for it", self.broker.url, address, why or "no word")

    def on_found(self, address: str) -> None:
        """A link to `address` stands."""
        self._searched.pop(address, None)
        if self._told and not self._searched:
            log.warning("%s: it is there: all goes on", self.broker.url)
            self._told = False


def _suite(credentials: Credentials) -> str:
    """By what a suite is known at a broker: the certificate of its authority, or else its key, hashed.

    :raises Mistake: when the certificate cannot be read.
    """
    if not credentials.authority:
        return suite_name(credentials.key)
    try:
        return hashlib.sha256(Path(credentials.authority).read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise Mistake(f"{credentials.authority}: {error.strerror}; the suite is known by it") from None


class ToBroker(Outbound):
    """Sends to a queue or a stream of a broker, in bundles; what that does not take now is sent again."""

    def __init__(
        self,
        network: BrokerNetwork,
        name: str,
        most: float = math.inf,
        memory: float = math.inf,
        bundles: bool = True,
    ) -> None:
        """As :class:`Outbound`, to the queue of that name; without `bundles` each by itself."""
        super().__init__(network, address_of(name), most, memory, bundles)
        self._url, self._name, self._refused = network.broker.url, name, ""

    def on_outcome(self, link: Sender, entry: Any, outcome: int, condition: Condition | None) -> None:
        """A broker does not judge what it keeps: it may be short of something, or without a majority."""
        if outcome != REJECTED:
            self._refused = ""
            super().on_outcome(link, entry, outcome, condition)
            return
        super().on_outcome(link, entry, RELEASED, condition)
        if str(condition) != self._refused:
            log.error("%s: %s takes nothing now: %s", self._url, self._name, condition or "no reason given")
        self._refused = str(condition)
        link.connection.close()  # Again over the next one, after a while.


def from_broker(
    network: BrokerNetwork,
    name: str,
    handler: PeerHandler[Receiver],
    window: int,
    filters: Callable[[], dict[str, str | int]] = dict,
) -> PeerLink[Receiver]:
    """A link that receives from a queue or stream of that name; `filters` is asked each time it attaches."""

    def attach(
        connection: Connection, address: str, link_handler: LinkHandler, more: dict[str, Any]
    ) -> Receiver:
        asked = filters()
        link = connection.receiver(address, link_handler, window, properties=more, filters=asked, alone=True)
        link.lenient = bool(asked)  # It is a stream.
        return link

    return PeerLink(network, address_of(name), handler, attach)


class Inquiry:
    """What a broker says of queues and streams, asked again and again."""

    def __init__(self, network: BrokerNetwork) -> None:
        self._network, self._turn = network, 0
        self.answers: dict[str, tuple[float, int, Any]] = {}
        """By name: when it was answered last, with which status and what."""

    def ask(self, names: Sequence[str]) -> None:
        """Ask for these, unless the last answers are yet to come; without a connection, make one."""
        network, management = self._network, self._network.management
        if management is not None:
            if not management.asked:
                for name in names:
                    management.request("GET", address_of(name), None, functools.partial(self._answered, name))
        elif names:
            network.connection(network.directories[self._turn % len(network.directories)])
            self._turn += 1

    def _answered(self, name: str, status: int, body: Any) -> None:
        self.answers[name] = self._network.reactor.clock(), status, body


class BrokerWatch:
    """How what services use of a broker does, looked at again and again."""

    def __init__(self, reactor: Reactor, broker: Broker) -> None:
        self._inquiry = Inquiry(BrokerNetwork(reactor, broker, (), log.error))
        self._clock, self._broker = reactor.clock, broker

    def reports(self, reports: Sequence[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
        """Reports on the queues and streams that services say they use, none older than so many seconds."""
        self._inquiry.ask(used(reports))
        now = self._clock()
        answers = {
            name: body
            for name, (at, status, body) in sorted(self._inquiry.answers.items())
            if now - at < seconds and status == 200
        }
        return reports_of(self._broker, answers, reports)
