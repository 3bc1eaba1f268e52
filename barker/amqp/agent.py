"""The agent in every process: tells how it does, at ``agents/HOST-PORT``, at once and then each second.

Who is connected to a process, and does not know where that is, as a browser, asks for ``agents`` alone.

A report is one message with a map. Counts are since the start of the process; rates are messages/s over the
last ten seconds, those that end in ``now`` over the last one; ``cpu`` is a share of one core over the last
second, ``memory`` resident bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import WAIT_SECONDS, Network, PeerHandler, PeerLink, sender_to
from barker.amqp.message import decode_map, encode_map
from barker.amqp.reactor import Reactor
from barker.core.access import is_literal, on_loopback
from barker.core.errors import InvalidField, NotAllowed, OtherData, PeerError, not_here
from barker.core.gauges import Rate
from barker.core.reports import AGENTS, checked
from barker.core.routing import Route, normalised

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""How often an agent reports to those who listen."""

AGREE_SECONDS = 0.5
"""The longest wait before one of several directories is asked again: soon after it is back it knows what the
others know."""

REPORT_BYTES = 64 * 1024
"""No report is larger."""

LAUNCHED = "BARKER_LAUNCHED"
"""The environment variable by which the launcher tells a process its name, and to end when its input ends."""


def name_at(address: str, host: str, port: int) -> str:
    """What a service is called there that no launcher has named: on several machines, by the machine, too."""
    name = f"{address}-{port}"
    if on_loopback(host):
        return name
    return f"{name}@{host if is_literal(host) else host.partition('.')[0]}"


class Agent(ConnectionHandler):
    """One process's agent; the handler of a listener of its own where the process has no other."""

    def __init__(
        self,
        reactor: Reactor,
        kind: str,
        address: str,
        host: str,
        port: int,
        figures: Callable[[], dict[str, Any]],
    ) -> None:
        """`figures` tells what this kind of service has to tell: ``received``, ``sent`` and more."""
        self.address = f"{AGENTS}{host}-{port}"
        self.process = reactor.system.own()
        self.since = self.process.since
        """When this process started, in seconds since 1970: among several, who is oldest."""
        self._reactor, self._figures = reactor, figures
        self._identity = {
            "name": os.environ.get(LAUNCHED) or name_at(address, host, port),
            "type": kind,
            "address": address,
            "host": host,
            "port": port,
            "pid": self.process.pid,
            "command": self.process.command,
            "since": self.since,
        }
        self._readers = Broadcast(lambda: [encode_map("report", self.report())], Lag.GAP)
        self._rates = {
            f"{name}_rate{now}": (name, Rate(0) if now else Rate())
            for name in ("received", "sent")
            for now in ("", "_now")
        }
        self._sampled = dict.fromkeys(self._rates, 0.0)
        self._cpu = 0.0
        self._cpu_at = reactor.clock(), self.process.cpu_seconds
        reactor.every(REPORT_SECONDS, self._tell)

    def route(self, host: str, port: int) -> Route:
        """How the directory finds this agent, when AMQP is spoken at host:port."""
        return Route(self.address, host, port, "ordered", self.since)

    def is_at(self, address: str) -> bool:
        """Whether that is this agent, for someone who is connected to its process."""
        return address in (self.address, AGENTS.rstrip("/"))

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        """Someone who wants to know."""
        if not self.is_at(normalised(link.address)):
            raise not_here(link.address, f"this is {self.address}")
        if isinstance(link, Receiver):
            raise NotAllowed(f"{self.address} can be received from, not sent to")
        return self._readers

    def report(self) -> dict[str, Any]:
        """How the process does now."""
        return {
            **self._identity,
            "connections": len(self._reactor.connections),
            **self._figures(),
            **self._sampled,
            "cpu": self._cpu,
            "memory": self.process.memory,
            "files": self.process.files,
        }

    def _tell(self) -> None:
        """Look at the clock and the counts, and report to all readers."""
        now, figures = self._reactor.clock(), self._figures()
        self._sampled = {
            key: rate.update(now, figures.get(name, 0)) for key, (name, rate) in self._rates.items()
        }
        (then, before), used = self._cpu_at, self.process.cpu_seconds
        self._cpu, self._cpu_at = (used - before) / max(now - then, 1e-3), (now, used)
        if self._readers:
            self._readers.send(encode_map("report", self.report()))


class _Registration(PeerHandler[Sender]):
    """The link that is a registration: nothing is ever sent on it, it only has to stand."""

    def __init__(self, on_never: Callable[[str], None]) -> None:
        self._refused, self._on_never = "", on_never

    def on_found(self, link: Sender) -> None:
        """The directory knows this service."""
        if self._refused:
            log.warning("the directory takes this service now")
        self._refused = ""

    def on_refused(self, condition: Condition) -> bool:
        """A registration that breaks the rules, a place that is held, or one that is no directory."""
        if condition.name == OtherData.condition:
            self._on_never(condition.description)
            return False
        if str(condition) != self._refused:
            log.error("the directory refuses this service: %s", condition)
        self._refused = str(condition)
        return True


class AgentReader(PeerHandler[Receiver]):
    """The link to one agent, whose reports are checked."""

    def __init__(self, address: str, on_report: Callable[[str, dict[str, Any]], None]) -> None:
        """`on_report` is told the agent's address, and each report."""
        self._address, self._on_report = address, on_report
        self._complained = False

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        try:
            if len(data) > REPORT_BYTES:
                raise InvalidField(f"a report may have {REPORT_BYTES} bytes at most; it has {len(data)}")
            report = checked(decode_map(data)[1], self._address)
        except PeerError as error:
            # It says the same each second: once is enough. It is settled, so there is nothing to reject.
            if not self._complained:
                log.warning("%s is left out: %s", self._address, error)
            self._complained = True
        else:
            self._on_report(self._address, report)


def agent_alone(
    reactor: Reactor,
    network: Network,
    kind: str,
    host: str,
    figures: Callable[[], dict[str, Any]],
    advertised: str = "",
) -> Agent:
    """The agent of a process that serves nothing else, registered; it listens at a port of its own.

    Others are sent to the host that is `advertised`, or to `host`.
    """
    listener = reactor.listen(host, 0, ConnectionHandler())
    agent = Agent(reactor, kind, kind, advertised or host, listener.port, figures)
    listener.handler = agent
    register(network, agent.route(advertised or host, listener.port))
    return agent


def register(
    network: Network, route: Route, on_never: Callable[[str], None] = lambda why: None
) -> list[PeerLink[Sender]]:
    """Have each directory send others to `route`, until its link is closed or this process ends.

    `on_never` is told when one refuses it for good, and why.
    """
    longest_wait = AGREE_SECONDS if len(network.directories) > 1 else WAIT_SECONDS
    return [
        sender_to(
            network,
            "directory",
            _Registration(on_never),
            route.to_map(),
            directories=[directory],
            longest_wait=longest_wait,
        )
        for directory in network.directories
    ]
