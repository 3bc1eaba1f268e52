"""The directory: tells everyone where everyone is.

A link to ``directory`` with the properties of a route registers it, for as long as the link lives. A link
to any other address is redirected to who serves that (AMQP 1.0 §2.8.18). A receiver from ``directory``
watches: one message ``routes`` with all there is, then ``added`` and ``removed``.

The table and the policies are `core/routes.py`.
"""

from __future__ import annotations

import random
from typing import Any

import click

from barker import options
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.engine import Condition, Limits, LinkHandler, Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.message import encode_map
from barker.amqp.service import Service, Serving
from barker.core.errors import NotFound, PeerError, Redirect
from barker.core.routes import Route, Routes

ADDRESS = "directory"


class Directory(Service):
    """The service."""

    kind = "directory"

    def __init__(self, host: str, port: int, limits: Limits) -> None:
        super().__init__(Serving(ADDRESS, host, port, Place(host, port), "ordered", limits))
        self.routes = Routes()
        self.watchers = Broadcast(self._table, Lag.END)
        self._chance = random.Random()
        self.routes.add(self.agent.route(host, self.port))

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A registration, or a sender that looks for its peer."""
        if address == ADDRESS:
            return _Registration(self, Route.from_map(link.properties))
        raise self.resolve(address)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A watcher, or a receiver that looks for its peer."""
        if address == ADDRESS:
            return self.watchers
        raise self.resolve(address)

    def resolve(self, address: str) -> PeerError:
        """What a link to `address` is answered with."""
        route = self.routes.choose(address, self._chance)
        if route is None:
            return NotFound(f"nobody serves {address} now")
        return Redirect(route.host, route.port, address)

    def state(self) -> dict[str, Any]:
        """How many routes and watchers there are."""
        return {"routes": len(self.routes), "watchers": len(self.watchers)}

    def tell(self, change: str, route: Route) -> None:
        """Every watcher hears of a change."""
        self.watchers.send(encode_map(change, route.to_map()))

    def _table(self) -> list[bytes]:
        return [encode_map("routes", [route.to_map() for route in self.routes])]


class _Registration(LinkHandler):
    """A service's link: while it stands, so does the route."""

    def __init__(self, directory: Directory, route: Route) -> None:
        self._directory, self._route = directory, route

    def on_opened(self, link: Receiver) -> None:
        self._directory.routes.add(self._route, link)
        self._directory.tell("added", self._route)

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        if self._directory.routes.remove(self._route, link):
            self._directory.tell("removed", self._route)


@click.command("directory")
@options.host
@options.port(5672)
@options.limits
@options.program
def main(host: str, port: int, limits: Limits) -> None:
    """Run the directory: it tells everyone where everyone is."""
    Directory(host, port, limits).run()


if __name__ == "__main__":
    main()
