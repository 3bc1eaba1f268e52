"""A watcher of the directory: a copy of its table of routes that follows every change."""

from __future__ import annotations

from collections.abc import Callable

from barker.amqp.engine import Condition, Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_map
from barker.core.routes import Route, Routes


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
        """The whole table, or a change of it."""
        delivery.accept()
        change, body = decode_map(data)
        if change == "routes":
            self.current = True
            self.routes = Routes()
            for fields in body:
                self.routes.add(Route.from_map(fields))
            self._on_change(change, None)
            return
        route = Route.from_map(body)
        if change == "added":
            self.routes.add(route)
        else:
            self.routes.remove(route)
        self._on_change(change, route)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        """The directory is away: what was known is the best there is."""
        self.current = False
