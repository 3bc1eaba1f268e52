"""The monitor: one message a second with the reports of all agents, at ``monitor``.

With them goes what they add up to: whether any bark is missing, or there twice (`core/balance.py`).

It follows the directory, reads every agent there is, and keeps its last messages for who comes later. A
process that is killed, or frozen, is missing in what follows. What an agent says is checked
(`core/reports.py`): one that says nonsense is missing too, and harms no other.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from barker.amqp.agent import REPORT_SECONDS, AgentReader
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import Limits, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import PeerLink, Places, receiver_from
from barker.amqp.message import encode_map
from barker.amqp.rabbitmq import BrokerWatch
from barker.amqp.service import Service, Serving
from barker.amqp.watch import Watcher
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.core.advertised import Advertised
from barker.core.balance import Balance
from barker.core.broker import Broker
from barker.core.reports import place
from barker.core.routing import Route
from barker.environment import PAGES

log = logging.getLogger(__name__)

ADDRESS = "monitor"

HISTORY = 100
"""How many messages are kept for who comes later."""

STALE_SECONDS = 2.5
"""An agent that has not reported for so long is not there."""


class Monitor(Service):
    """The service."""

    kind = "monitor"

    def __init__(self, serving: Serving, broker: Broker | None = None) -> None:
        """`broker`: what is between the suite's services, if there is one."""
        super().__init__(serving)
        self._broker = BrokerWatch(self.reactor, broker) if broker is not None else None
        self._history: deque[bytes] = deque(maxlen=HISTORY)
        self._readers = Broadcast(lambda: self._history, Lag.GAP)
        self._agents: dict[str, PeerLink[Receiver]] = {}
        self._reports: dict[str, tuple[float, dict[str, Any]]] = {}
        self._balance = Balance()
        self._watcher = Watcher(self.network, self._on_change)
        self.reactor.every(REPORT_SECONDS, self._publish)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """Someone who watches."""
        self.only_own(address)
        return self._readers

    def _on_change(self, change: str, route: Route | None) -> None:
        """Read the agents that the directory knows, and no others."""
        known = {route.address for route in self._watcher.routes if place(route.address)}
        for address in sorted(known - self._agents.keys()):
            reader = AgentReader(address, self.on_report)
            self._agents[address] = receiver_from(self.network, address, reader, settled=True)
        for address in sorted(self._agents.keys() - known):
            self._agents.pop(address).close()
        if change == "removed" and route is not None:
            # Not when the directory itself was away: all are missing in a new one, for a moment.
            self._reports.pop(route.address, None)

    def on_report(self, address: str, report: dict[str, Any]) -> None:
        """The agent at `address` has reported."""
        self.received += 1
        self._reports[address] = self.reactor.clock(), report

    def _publish(self) -> None:
        now = self.reactor.clock()
        self._reports = {
            agent: (at, report) for agent, (at, report) in self._reports.items() if now - at < STALE_SECONDS
        }
        reports = [report for _, report in self._reports.values()]
        if self._broker is not None:
            reports += self._broker.reports(reports, STALE_SECONDS)
        reports.sort(key=_order)
        told = {"time": self.reactor.wall(), "reports": reports, "balance": self._balance.update(reports)}
        message = encode_map("reports", told)
        self._history.append(message)
        self._readers.send(message)

    def state(self) -> dict[str, Any]:
        """How many agents it reads, and how many read it."""
        return {"agents": len(self._reports), "readers": len(self._readers), "sent": self._readers.sent}


def _order(report: dict[str, Any]) -> tuple[str, str, int, str]:
    """Like beside like, and by number: an autobark's port, unlike its name, is any."""
    name: str = report["name"]
    return report["type"], report.get("address", ""), len(name), name


@options.command("monitor")
@options.host
@options.port(6000)
@options.directory
@options.broker
@options.limits
@options.program
def main(
    host: str,
    advertised: Advertised | None,
    port: int,
    directories: Places,
    broker: Broker | None,
    limits: Limits,
) -> None:
    """Run the monitor: the reports of all services, once a second, at the address monitor."""
    credentials = service_credentials(ADDRESS, directories)
    at = ADDRESS, host, port, directories
    serving = Serving(*at, limits=limits, credentials=credentials, advertised=advertised)
    monitor = Monitor(serving, broker)
    monitor.register()
    page = PAGES / "monitoring" / "index.html"
    announce(f"monitor is served at {monitor.place}; the dashboard is {page.as_uri()}")
    monitor.run()


if __name__ == "__main__":
    main()
