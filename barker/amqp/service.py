"""The service base: listens, registers with the directory, answers for its state, ends cleanly.

A service says which addresses it serves, and which handler a link to one of them gets
(:meth:`Service.on_source`, :meth:`Service.on_target`). How it does is told by its agent (`agent.py`).
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from barker.amqp.agent import LAUNCHED, Agent, register
from barker.amqp.engine import (
    DEFAULT_LIMITS,
    Condition,
    Connection,
    ConnectionHandler,
    Limits,
    LinkHandler,
    Receiver,
    Sender,
)
from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.core.errors import BarkerError, NotAllowed, NotFound
from barker.core.routes import Route, checked_address

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a service listens, and how it is found."""

    address: str
    """The address it serves, with all below it; such as ``inbox`` for ``inbox/ark3``."""
    host: str
    port: int
    directory: Place
    policy: str = "round-robin"
    limits: Limits = DEFAULT_LIMITS


class Service(ConnectionHandler):
    """One process of the suite."""

    kind = "service"
    """What it is, in one word: directory, manifold, bizlogic …"""

    def __init__(self, serving: Serving) -> None:
        """Listen at the service's port.

        :raises Mistake: when it cannot listen at that port.
        """
        collect_seldom()
        self.serving = serving
        self.reactor = Reactor(f"{serving.address}-{serving.host}-{serving.port}")
        self.listener = self.reactor.listen(serving.host, serving.port, self, serving.limits)
        self.port = self.listener.port
        self.network = Network(self.reactor, serving.directory)
        self._error: BarkerError | None = None
        self.received = 0
        """How many messages came in since the start."""
        self.sent = 0
        """How many messages went out since the start."""
        self.agent = Agent(self.reactor, self.kind, serving.address, serving.host, self.port, self._figures)

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

    def on_stop(self) -> None:
        """The service ends: put everything away."""

    # For programs to call

    def register(self) -> None:
        """Have the directory send others here: for the service's address, and its agent."""
        register(self.network, self.route())
        register(self.network, self.agent.route(self.serving.host, self.port))

    def route(self) -> Route:
        """How the directory finds the service."""
        serving = self.serving
        return Route(serving.address, serving.host, self.port, serving.policy, self.agent.since)

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or the launcher's end.

        :raises BarkerError: what :meth:`fail` was given.
        """
        raise_file_limit()
        gc.freeze()  # What was made until now stays: there is no need to walk it ever again.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.reactor.call_from_thread(self.stop))
        end_with_launcher(self.reactor, self.stop)
        log.info("%s serves %s at %s:%d", self.kind, self.serving.address, self.serving.host, self.port)
        try:
            self.reactor.run()
        finally:
            self.on_stop()
        log.info("%s at port %d has ended", self.kind, self.port)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End after this turn."""
        self.reactor.stop()

    def fail(self, error: BarkerError) -> None:
        """End after this turn, with an error that :meth:`run` raises."""
        self._error = self._error or error
        self.stop()

    # What peers do

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        """Find the node that a peer's link is for."""
        address = checked_address(link.address)
        if address == self.agent.address:
            return self.agent.on_attach(link)
        if isinstance(link, Receiver):
            return self.on_target(link, address)
        return self.on_source(link, address)

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        """One line for a peer that did not say goodbye."""
        if condition is not None:
            level = logging.INFO if condition.name == "barker:connection-lost" else logging.WARNING
            log.log(level, "%s: connection ended: %s", connection.peer, condition)

    def _figures(self) -> dict[str, Any]:
        state = self.state()
        return {"received": self.received, "sent": self.sent, **state}


def collect_seldom() -> None:
    """Have Python look for cyclic garbage less often: at 100,000 new objects instead of 700.

    What a message makes holds no cycles, and is freed as soon as it is done with. What a service keeps
    (timelines, queues, links) is much, and the collector would walk it again and again while it grows.
    """
    gc.set_threshold(100_000, 10, 10)


def end_with_launcher(reactor: Reactor, stop: Callable[[], None]) -> None:
    """Call `stop` when the launcher that started this process is gone; does nothing if none has."""

    def on_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            log.warning("the launcher is gone: ending")
            reactor.unwatch(sys.stdin.fileno())
            stop()

    if os.environ.get(LAUNCHED):
        reactor.watch(sys.stdin.fileno(), on_input)


def raise_file_limit() -> None:
    """Every connection is an open file: take as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def only_send(address: str) -> NotAllowed:
    """The error for a peer that receives from a node which can only be sent to."""
    return NotAllowed(f"{address} can be sent to, not received from")
