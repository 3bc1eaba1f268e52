"""The service base: a process (`process.py`) that listens, registers with the directory, tells how it does.

A service says which addresses it serves, and which handler a link to one of them gets
(:meth:`Service.on_source`, :meth:`Service.on_target`). How it does is told by its agent (`agent.py`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from barker.amqp.agent import Agent, register
from barker.amqp.connection import Connection
from barker.amqp.handlers import DEFAULT_LIMITS, Condition, ConnectionHandler, Limits, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import PeerLink, Place
from barker.amqp.process import Process, files_for_connections
from barker.amqp.system import System
from barker.core.access import Credentials, check_receive, check_send, identified
from barker.core.advertised import Advertised, reached
from barker.core.errors import (
    BarkerError,
    MessageTooLarge,
    Mistake,
    NotAllowed,
    NotAuthentic,
    NotFound,
    not_here,
)
from barker.core.log_share import Peer
from barker.core.routing import Route, checked_address

log = logging.getLogger(__name__)

TOLD_SECONDS = 60.0
"""So long a host that is turned away for the same reason again is no warning, but for who reads all."""

MOST_TOLD = 1_000
"""Of so many hosts and reasons it is known that they were told."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a service listens, and how it is found."""

    address: str
    """The address it serves, with all below it; such as ``inbox`` for ``inbox/ark3``."""
    host: str
    port: int
    directories: tuple[Place, ...]
    """Where it registers, with each of them."""
    policy: str = "round-robin"
    limits: Limits = DEFAULT_LIMITS
    system: System | None = None
    """The machine it runs on; None: this one."""
    data: str = ""
    """What it works on, as the directory is told (:attr:`Route.data`); empty: what nobody has to share."""
    credentials: Credentials | None = None
    """Who it is to others, and by which key; without, it does not ask who its peers are either."""
    advertised: Advertised | None = None
    """Where others are sent; None: to where it listens."""


class Service(Process, ConnectionHandler):
    """A process that serves an address."""

    kind = "service"
    """What it is, in one word: directory, manifold, bizlogic …"""

    def __init__(self, serving: Serving) -> None:
        """Listen at the service's port.

        :raises Mistake: when it cannot listen at that port.
        """
        super().__init__(
            "-".join(map(str, (serving.address, *reached(serving.host, serving.port, serving.advertised)))),
            serving.directories,
            serving.system,
            serving.credentials,
        )
        self.serving = serving
        limits = replace(serving.limits, connections=min(serving.limits.connections, files_for_connections()))
        try:
            self.listener = self.reactor.listen(serving.host, serving.port, self, limits)
        except Mistake:
            self.reactor.close()
            raise
        self.port = self.listener.port
        self.place = Place(*reached(serving.host, self.port, serving.advertised))
        """Where others are sent."""
        self._registrations: list[PeerLink[Sender]] = []
        self._turned_away: dict[tuple[str, str], float] = {}
        self.received = 0
        """How many messages came in since the start."""
        self.sent = 0
        """How many messages went out since the start."""
        here = self.place
        self.agent = Agent(self.reactor, self.kind, serving.address, here.host, here.port, self._figures)

    # For services to write

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A peer wants to receive from `address`: give the link's handler, or raise a PeerError."""
        raise NotFound(f"there is nothing to receive from {address} here")

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A peer wants to send to `address`: give the link's handler, or raise a PeerError."""
        raise NotFound(f"nothing can be sent to {address} here")

    def state(self) -> dict[str, Any]:
        """What this kind of service has to add to its agent's report."""
        return {}

    def only_own(self, address: str) -> None:
        """See that `address` is the service's own, for those that serve nothing below it.

        :raises NotFound: when it is not.
        """
        if address != self.serving.address:
            raise not_here(address, f"this is {self.serving.address}")

    # For programs to call

    def register(self) -> None:
        """Have the directories send others here: for the service's address, and its agent."""
        for route in (*self.own_routes(), self.agent.route(self.place.host, self.place.port)):
            self.registered(route)

    def registered(self, route: Route) -> None:
        """Have the directories know a route of this service's."""
        self._registrations += register(self.network, route, self._never)

    def _never(self, why: str) -> None:
        """The directory will never have this service."""
        self.fail(Mistake(why))

    def own_routes(self) -> list[Route]:
        """How the directories find the service."""
        serving, here, since = self.serving, self.place, self.agent.since
        return [Route(serving.address, here.host, here.port, serving.policy, since, data=serving.data)]

    def run(self) -> None:
        """Serve until it is told to end."""
        log.info("%s serves %s at %s:%d", self.kind, self.serving.address, self.serving.host, self.port)
        super().run()
        log.info("%s at port %d has ended", self.kind, self.port)

    def on_ending(self) -> None:
        """Nobody is sent here any more, and nobody new is let in."""
        for registration in self._registrations:
            registration.close()
        self.listener.close()

    @contextlib.contextmanager
    def as_on_disk(self) -> Iterator[None]:
        """Within it, what was committed is done in memory; if that fails, the service ends (:meth:`fail`).

        It would no longer be what is on disk, from where it starts again.
        """
        try:
            yield
        except Exception as error:
            log.exception("an error of ours after a commit")
            self.fail(
                BarkerError(
                    f"{type(error).__name__} after a commit: what is in memory is not what is on disk. "
                    "Nothing is lost: start it again"
                )
            )

    # What peers do

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        """Find the node that a peer's link is for."""
        address = checked_address(link.address)
        if self.serving.credentials is not None:
            who = identified(link.connection.identity, self.serving.credentials, link.properties, address)
            check = check_send if isinstance(link, Receiver) else check_receive
            check(who, address)
        if self.agent.is_at(address):
            return self.agent.on_attach(link)
        if isinstance(link, Receiver):
            return self.on_target(link, address)
        return self.on_source(link, address)

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        """One line for a peer that did not say goodbye."""
        if condition is not None:
            quiet = condition.name == "barker:connection-lost" or self._told_lately(
                connection.peer, condition
            )
            level = logging.INFO if quiet else logging.WARNING
            log.log(level, "%s: connection ended: %s", connection.peer, condition)

    def _told_lately(self, peer: str, condition: Condition) -> bool:
        """Whether a warning has said the same of that host: who is turned away comes again, and again."""
        if condition.name != NotAuthentic.condition:
            return False
        what, now = (Peer(peer).host, str(condition)), self.reactor.clock()
        lately = now - self._turned_away.get(what, -TOLD_SECONDS) < TOLD_SECONDS
        if not lately:
            if len(self._turned_away) >= MOST_TOLD:
                self._turned_away.clear()
            self._turned_away[what] = now
        return lately

    def _figures(self) -> dict[str, Any]:
        state = self.state()
        return {"received": self.received, "sent": self.sent, **state}


def only_send(address: str) -> NotAllowed:
    """The error for a peer that receives from a node which can only be sent to."""
    return NotAllowed(f"{address} can be sent to, not received from")


def too_large(data: bytes, link: Sender) -> MessageTooLarge:
    """The error for a peer whose link takes no message of the size of the one that is next."""
    return MessageTooLarge(
        f"a message of {len(data)} bytes is next, and this link takes {link.max_message_size} at most"
    )
