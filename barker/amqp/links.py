"""Links that find their peer through the directory, and come back by themselves.

A :class:`PeerLink` is asked for an address, such as ``outbox``. It attaches at the directory, follows the
redirect it is given (AMQP 1.0 §2.8.18), and starts again, after a back-off with jitter, whenever it is
lost. Each time it is a new AMQP link: what was unsettled when the old one went gets no outcome, and
:meth:`PeerHandler.on_lost` is the place to send it again.

Of several directories one that is away, or knows nobody, is followed by the next, at once; the back-off comes
when all were asked (`core/turns.py`).

All links of a process to one host and port share one connection (:class:`Network`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from barker.amqp.connection import Connection
from barker.amqp.handlers import SILENT, Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.reactor import Reactor
from barker.core.access import OWN, may_serve
from barker.core.backoff import Backoff
from barker.core.errors import Mistake, NotAuthentic, PeerError
from barker.core.partitions import whole_of
from barker.core.routing import normalised
from barker.core.turns import Turns

log = logging.getLogger(__name__)

MOST_REDIRECTS = 5
"""A link that is sent on more often than this goes in circles, and starts again."""

STEADY_SECONDS = 0.1
"""A link that stood so long has worked: the next loss starts with the shortest wait again."""

WAIT_SECONDS = 1.0
"""The longest wait before the directories are asked again."""

AVOID = "barker:avoid"
"""The property of a link to a directory that asks for another place than this one, if there is one."""

L = TypeVar("L", Sender, Receiver)


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Place:
        """The place that ``HOST:PORT`` names.

        :raises Mistake: when it names none.
        """
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise Mistake(f"{text!r} is no HOST:PORT; write it as 127.0.0.1:5672")
        return Place(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Places(tuple[Place, ...]):
    """Several, such as those of a suite's directories, in the order in which they were given."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> Places:
        """Those that ``HOST:PORT,HOST:PORT`` names, each once.

        :raises Mistake: when one is none.
        """
        return Places(dict.fromkeys(Place.parse(place.strip()) for place in text.split(",")))

    def __str__(self) -> str:
        return ",".join(map(str, self))


class Network(ConnectionHandler):
    """A process's connections to others: one for each place, made when the first link needs it."""

    def __init__(self, reactor: Reactor, *directories: Place) -> None:
        """Others are looked for at the `directories`, at the first as long as it answers."""
        self.reactor = reactor
        self.directories = Places(directories)
        self.turns = Turns(directories)
        """Which of the directories is asked first."""
        self._connections: dict[Place, Connection] = {}
        self._places: dict[Connection, Place] = {}
        self._complaints: set[str] = set()

    def connection(self, place: Place) -> Connection:
        """The connection to `place`; dialled now if there is none."""
        connection = self._connections.get(place)
        if connection is None or not connection.live:
            if connection is not None:
                self._forget(connection)
            connection = self.dial(place)
            self._connections[place] = connection
            self._places[connection] = place
        return connection

    def dial(self, place: Place) -> Connection:
        """Make a connection to `place`."""
        return self.reactor.connect(place.host, place.port, self)

    def release(self, connection: Connection) -> None:
        """A link on it has ended: without any, the connection is closed."""
        if connection.live and not connection.links:
            self._forget(connection)
            connection.close()

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        """Whoever needs it dials again."""
        self._forget(connection)

    def begin(self, search: Callable[[], None]) -> None:
        """Begin to search for who serves some address, at once or as soon as that may be."""
        search()

    def doubt(self, connection: Connection, address: str) -> str:
        """Why who is at the other end may not serve `address`, or send others to who does; empty: it may.

        Barker's own addresses are served by who knows the suite's key; a process without it cannot tell. With
        TLS every address is served by who has a certificate for it.
        """
        credentials = self.reactor.credentials
        if credentials is not None and credentials.authority:
            who = connection.identity
            return "" if may_serve(who, normalised(address)) else f"a {who} may not serve {address}"
        known = whole_of(address) not in OWN or credentials is None or connection.proved
        return "" if known else f"{connection.peer} does not know the suite's key"

    def doubt_host(self, host: str) -> None:
        """Somebody there is silent, and perhaps the whole host is gone: its directory is asked last."""
        for directory in self.directories:
            if directory.host == host:
                self.turns.failed(directory)

    def on_search(self, address: str, why: Condition | None, peer: str) -> None:
        """A link to `address` does not stand, as `peer` (host:port) says or is silent; it is tried again."""
        credentials = self.reactor.credentials
        if credentials is not None and why is not None and why.name == NotAuthentic.condition:
            if str(why) not in self._complaints:
                what = "shows" if credentials.authority else "has the key of"
                log.error("%s: %s; this %s %s", peer, why.description, what, credentials.file)
            self._complaints.add(str(why))

    def on_found(self, address: str) -> None:
        """A link to `address` stands."""

    def _forget(self, connection: Connection) -> None:
        place = self._places.pop(connection, None)
        if place is not None:
            del self._connections[place]


class PeerHandler(LinkHandler, Generic[L]):
    """What a :class:`PeerLink` tells its owner: what each of its links does, one after the other.

    Every method may be left as it is. `on_found` and `on_lost` are in place of `on_opened` and `on_closed`.
    """

    def on_found(self, link: L) -> None:
        """The link stands, at the peer that the directory named."""

    def on_lost(self, link: L, condition: Condition | None) -> None:
        """A link that stood is lost; what a sender had unsettled is in ``link.unsettled``, in order."""

    def on_refused(self, condition: Condition) -> bool:
        """The peer refuses the link. Return False to give up; True to try again, as when nothing is said."""
        return True


class PeerLink(LinkHandler, Generic[L]):
    """A link to an address, wherever that is now. Made with :func:`sender_to` or :func:`receiver_from`."""

    def __init__(
        self,
        network: Network,
        address: str,
        handler: PeerHandler[L],
        attach: Callable[[Connection, str, LinkHandler, dict[str, Any]], L],
        directories: Iterable[Place] | None = None,
        longest_wait: float = WAIT_SECONDS,
    ) -> None:
        """It asks these `directories`; the network's, if there are none given.

        `longest_wait`: the bound of its back-off, in seconds.
        """
        self.address = address
        self.link: L | None = None
        """The link that stands now, or None."""
        self._network = network
        self._handler: PeerHandler[L] = handler
        self._attach: Callable[[Connection, str, LinkHandler, dict[str, Any]], L] = attach
        self._backoff = Backoff(most=longest_wait)
        self._closed = False
        self._directories: Iterable[Place] = network.turns if directories is None else Turns(directories)
        self._left: list[Place] = []
        """The directories that are not yet asked, before it waits."""
        self._asked: Place | None = None
        """The one that is asked now; None once it has sent the link on."""
        self._redirects = 0
        self._pending: L | None = None
        self._avoid = ""
        network.begin(self._begin)

    @property
    def place(self) -> str:
        """Where the link stands, as host:port; empty if nowhere."""
        return self.link.connection.peer if self.link is not None else ""

    def close(self) -> None:
        """End it, and do not come back."""
        self._closed = True
        for link in (self.link, self._pending):
            if link is not None and link.live:
                connection = link.connection
                link.close()
                self._network.release(connection)

    def again(self) -> None:
        """End the connection of the link that stands, and come back after a while."""
        if self.link is not None:
            self.link.connection.close()

    # The search

    def _begin(self) -> None:
        self._left = list(self._directories)
        self._ask()

    def _ask(self) -> None:
        """Ask the next directory."""
        self._redirects = 0
        self._asked = self._left.pop(0)
        # It may not know yet that somebody hangs: it is asked for another.
        self._try(self._asked, self.address, {AVOID: self._avoid} if self._avoid else {})

    def _try(self, place: Place, address: str, properties: dict[str, Any]) -> None:
        if not self._closed:
            self._pending = self._attach(self._network.connection(place), address, self, properties)

    def _again(self, why: Condition | None, peer: str) -> None:
        """Search on: ask the next directory, or after a while all of them."""
        self._network.on_search(self.address, why, peer)
        if self._left:
            log.debug("%s: %s; the next directory is asked", self.address, why or "lost")
            self._network.reactor.after(0, self._ask)  # Not from within the event.
            return
        seconds = self._backoff.next(self._network.reactor.chance.random)
        if why is not None and why.name == SILENT and len(self._network.directories) > 1:
            seconds = 0.0  # It was waited for already; and whoever is back is to know soon what others know.
        log.debug("%s: %s; next try in %.3f s", self.address, why or "lost", seconds)
        self._network.reactor.after(seconds, self._begin)

    # What the link tells

    def on_opened(self, link: L) -> None:
        if doubt := self._network.doubt(link.connection, self.address):
            link.close()
            self._end_doubtful(link, doubt)
            return
        self._pending, self.link, self._avoid, self._left = None, link, "", []
        log.info("%s: found at %s", self.address, link.connection.peer)
        self._network.reactor.after(STEADY_SECONDS, lambda: self._steady(link))
        self._network.on_found(self.address)
        self._handler.on_found(link)

    def _steady(self, link: L) -> None:
        if link is self.link:
            self._backoff.reset()

    def on_closed(self, link: L, condition: Condition | None) -> None:
        stood, self.link = link is self.link, None
        if self._closed or not self._network.reactor.running:
            return
        self._pending = None
        # Released in a moment, not within the event that ended the link.
        self._network.reactor.after(0, lambda: self._network.release(link.connection))
        if stood:
            log.info("%s: lost at %s: %s", self.address, link.connection.peer, condition or "no word")
            self._handler.on_lost(link, condition)
        if self._asked is not None and not link.connection.live:
            self._network.turns.failed(self._asked)
        if condition is not None and condition.name == "amqp:link:redirect":
            if doubt := self._network.doubt(link.connection, "directory"):
                self._end_doubtful(link, doubt)
            else:
                self._redirected(condition, link.connection.peer)
            return
        if condition is not None and condition.name == SILENT and self._asked is None:
            self._avoid = link.connection.peer
            self._network.doubt_host(self._avoid.rpartition(":")[0])
        # Whoever knows nobody is not the last to be asked, if another directory is left.
        final = self._asked is None or not self._left
        refused = final and not stood and condition is not None and link.connection.live
        if refused and condition is not None and not self._handler.on_refused(condition):
            self._closed = True
        else:
            self._again(condition, link.connection.peer)

    def _end_doubtful(self, link: L, doubt: str) -> None:
        self._pending = None
        self._again(Condition(NotAuthentic.condition, doubt), link.connection.peer)

    def _redirected(self, condition: Condition, peer: str) -> None:
        self._redirects += 1
        host, port = condition.info.get("network-host"), condition.info.get("port")
        address = condition.info.get("address", self.address)
        if not isinstance(host, str) or not isinstance(port, int) or self._redirects > MOST_REDIRECTS:
            log.warning("%s: a redirect that leads nowhere: %s", self.address, condition.info)
            self._again(condition, peer)
        else:
            self._asked = None
            # Not from within the event: the connection may be a new one.
            self._network.reactor.after(0, lambda: self._try(Place(host, int(port)), str(address), {}))

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._handler.on_message(link, delivery, data)

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._handler.on_rejected(link, error)

    def on_credit(self, link: Sender) -> None:
        if link is self.link:
            self._handler.on_credit(link)

    def on_outcome(self, link: Sender, token: Any, outcome: int, condition: Condition | None) -> None:
        self._handler.on_outcome(link, token, outcome, condition)


def sender_to(
    network: Network,
    address: str,
    handler: PeerHandler[Sender],
    properties: dict[str, Any] | None = None,
    batches: bool = False,
    bundles: bool = False,
    alone: bool = False,
    directories: Iterable[Place] | None = None,
    longest_wait: float = WAIT_SECONDS,
) -> PeerLink[Sender]:
    """A link that sends to whoever serves `address`; in `batches`, if they take them.

    In `bundles`, to a broker (`rabbitmq.py`); `alone`, in a session of its own. `directories`,
    `longest_wait`: as for a :class:`PeerLink`.
    """

    def attach(
        connection: Connection, address: str, link_handler: LinkHandler, more: dict[str, Any]
    ) -> Sender:
        all_properties = (properties or {}) | more
        return connection.sender(address, link_handler, all_properties, batches, bundles, alone)

    return PeerLink(network, address, handler, attach, directories, longest_wait)


def receiver_from(
    network: Network,
    address: str,
    handler: PeerHandler[Receiver],
    window: int = 100,
    settled: bool = False,
) -> PeerLink[Receiver]:
    """A link that receives from whoever serves `address`, with credit for `window` messages."""

    def attach(
        connection: Connection, address: str, link_handler: LinkHandler, more: dict[str, Any]
    ) -> Receiver:
        return connection.receiver(address, link_handler, window, settled, properties=more)

    return PeerLink(network, address, handler, attach)
