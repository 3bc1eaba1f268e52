"""A watcher of the directory: a copy of its table of routes that follows every change."""

from __future__ import annotations

import logging
from collections.abc import Callable

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_map
from barker.core.errors import PeerError
from barker.core.routing import Route, Routes

log = logging.getLogger(__name__)


class Watcher(PeerHandler[Receiver]):
    """Keeps :attr:`routes` as the directory has them; while the directory is away, as it last had them."""

    def __init__(self, network: Network, on_change: Callable[[str, Route | None], None]) -> None:
        """`on_change(change, route)`: ``routes`` (the whole is new; no route), ``added`` or ``removed``."""
        self.routes = Routes()
        self.current = False
        """Whether the table is what the directory has now."""
        self._on_change = on_change
        receiver_from(network, "directory", self, window=1_000, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """The whole table, or a change of it; what cannot be understood is left out, and said so."""
        delivery.accept()
        change, body = decode_map(data)
        if change == "routes":
            routes = Routes()
            for known in filter(None, map(_read, body if isinstance(body, list) else [body])):
                routes.add(known)
            # At once, for other threads that read it.
            self.routes, self.current = routes, True
            self._on_change(change, None)
        elif change not in ("added", "removed"):
            log.warning("the directory told of %.80r, which is not known here", change)
        elif route := _read(body):
            if change == "added":
                self.routes.add(route)
            else:
                self.routes.remove(route)
            self._on_change(change, route)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        """The directory is away: what was known is the best there is."""
        self.current = False


def _read(fields: object) -> Route | None:
    """A route that the directory told of; None if it is none."""
    try:
        return Route.from_map(fields)
    except PeerError as error:
        log.warning("the directory told of a route that is none: %s", error)
        return None
