"""The directory: tells everyone where everyone is.

A link to ``directory`` with the properties of a route registers it, for as long as the link lives. A link
to any other address is redirected to who serves that (AMQP 1.0 §2.8.18). A place that another link holds is
refused with ``amqp:resource-locked``, for as long as that link stands. A receiver from ``directory``
watches: one message ``routes`` with all there is, then ``added`` and ``removed``.

The table and the policies are `core/routing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import Condition, Limits, LinkHandler
from barker.amqp.link import Link, Receiver, Sender
from barker.amqp.links import AVOID, Place, Places
from barker.amqp.message import encode_map
from barker.amqp.service import Service, Serving
from barker.amqp.system import System
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.commands.output import announce
from barker.core.access import Credentials, check_registration, identified
from barker.core.advertised import Advertised, reached
from barker.core.errors import Held, NotFound, PeerError, Redirect
from barker.core.routing import Ages, Holder, Route, Routes, Shared

ADDRESS = "directory"


class Directory(Service):
    """The service."""

    kind = "directory"

    def __init__(
        self,
        host: str,
        port: int,
        limits: Limits,
        system: System | None = None,
        credentials: Credentials | None = None,
        advertised: Advertised | None = None,
        others: Iterable[Place] = (),
    ) -> None:
        """`others`: the suite's other directories, and perhaps this one too."""
        here = Place(*reached(host, port, advertised))
        at = ADDRESS, host, port, tuple(place for place in others if place != here), "ordered", limits, system
        super().__init__(Serving(*at, credentials=credentials, advertised=advertised))
        self.routes = Routes()
        self._ages, self._shared = Ages(self.reactor.wall()), Shared()
        self.watchers = Broadcast(self._table, Lag.END)
        self.routes.add(self.agent.route(self.place.host, self.place.port))

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A registration, or a sender that looks for its peer."""
        if address == ADDRESS:
            route = Route.from_map(link.properties)
            self._check(link, route)
            return self._register(link, route)
        raise self.resolve(address, link)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A watcher, or a receiver that looks for its peer."""
        if address == ADDRESS:
            return self.watchers
        raise self.resolve(address, link)

    def _check(self, link: Receiver, route: Route) -> None:
        """See that who registers may serve that address."""
        credentials = self.serving.credentials
        if credentials is not None:
            words = route.address, route.host, route.port
            who = identified(link.connection.identity, credentials, link.properties, *words)
            check_registration(who, route.address)

    def _register(self, link: Receiver, route: Route) -> LinkHandler:
        self._shared.check(route)
        holder = Holder(link, link.connection, link.connection.peer_container)
        route = self._ages.believed(route, holder.container, self.reactor.wall())
        replaced = self.routes.add(route, holder)
        if replaced is not None:
            # If there is somebody at its other end after all, that one registers again.
            replaced.link.refuse(Held(f"{holder.container} has registered over another connection"))
        return _Registration(self, route, holder)

    def resolve(self, address: str, link: Link) -> PeerError:
        """What a link to `address` is answered with."""
        route = self.routes.choose(address, self.reactor.chance, str(link.properties.get(AVOID, "")))
        if route is None:
            return NotFound(f"nobody serves {address} now")
        return Redirect(route.host, route.port, address)

    def own_routes(self) -> list[Route]:
        """None: the other directories know its agent, and nobody asks them for a directory."""
        return []

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

    def __init__(self, directory: Directory, route: Route, holder: Holder) -> None:
        self._directory, self._route, self._holder = directory, route, holder

    def on_opened(self, link: Receiver) -> None:
        self._directory.tell("added", self._route)

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        if self._directory.routes.remove(self._route, self._holder):
            self._directory.tell("removed", self._route)


@options.command("directory")
@options.host
@options.port(5672)
@options.other_directories
@options.limits
@options.key
@options.program
def main(
    host: str, advertised: Advertised | None, port: int, directories: Places | None, limits: Limits
) -> None:
    """Run the directory: it tells everyone where everyone is.

    There may be several, each of which everyone is given; --directory lets them know of each other.
    """
    here = Places([Place(*reached(host, port, advertised))])
    key = service_credentials(ADDRESS, here)
    directory = Directory(host, port, limits, None, key, advertised, directories or ())
    directory.register()
    announce(f"the directory is at {directory.place}")
    directory.run()


if __name__ == "__main__":
    main()
