"""Two endpoints joined in memory: every byte that one gives is fed to the other. No sockets, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from barker.amqp._proton import ACCEPTED
from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import MAX_MESSAGE, Delivery, Receiver, Sender


class Recorder(LinkHandler):
    """Remembers all that a link tells. A receiver with one has credit for `window` messages."""

    def __init__(self, window: int = 10, max_message_size: int = MAX_MESSAGE) -> None:
        self.window, self.max_message_size = window, max_message_size
        self.opened = 0
        self.credits: list[int] = []
        self.messages: list[bytes] = []
        self.deliveries: list[Delivery] = []
        self.outcomes: list[tuple[Any, int, Condition | None]] = []
        self.closed: list[str | None] = []
        self.left_unsettled: list[Any] = []

    def on_opened(self, link: Any) -> None:
        self.opened += 1
        if isinstance(link, Receiver):
            link.window = self.window

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self.messages.append(data)
        self.deliveries.append(delivery)

    def on_credit(self, link: Sender) -> None:
        self.credits.append(link.credit)

    def on_outcome(self, link: Sender, token: Any, outcome: int, condition: Condition | None) -> None:
        self.outcomes.append((token, outcome, condition))

    def on_closed(self, link: Any, condition: Condition | None) -> None:
        assert not link.live
        self.closed.append(condition.name if condition else None)
        if isinstance(link, Sender):
            self.left_unsettled = list(link.unsettled.values())


class Peer(ConnectionHandler):
    """One end's owner: `answer` gives the handler of a link that is attached here, or raises."""

    def __init__(self, answer: Callable[[Any], LinkHandler]) -> None:
        self.answer = answer
        self.links: list[Any] = []
        self.connected = 0
        self.lost: list[Condition | None] = []

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        self.links.append(link)
        handler = self.answer(link)
        if isinstance(link, Receiver) and isinstance(handler, Recorder):
            link.max_message_size = handler.max_message_size
        return handler

    def on_connected(self, connection: Connection) -> None:
        self.connected += 1

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        assert not connection.live
        self.lost.append(condition)


class Pair:
    """A client and a server, and what has passed between them."""

    def __init__(
        self,
        answer: Callable[[Any], LinkHandler] = lambda link: Recorder(),
        server_peer: Peer | None = None,
        client_peer: Peer | None = None,
        container: str = "client",
    ) -> None:
        self.client_peer = client_peer or Peer(answer)
        self.server_peer = server_peer or Peer(answer)
        self.client = Connection(self.client_peer, container, server=False, hostname="test")
        self.server = Connection(self.server_peer, "server", server=True)
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []

    def pump(self) -> None:
        """Carry bytes until there are no more."""
        for _ in range(2_000):
            carried = self.carry(self.client, self.server, self.to_server)
            carried |= self.carry(self.server, self.client, self.to_client)
            if not carried:
                return
        pytest.fail("the two never stop talking")

    @staticmethod
    def carry(source: Connection, target: Connection, log: list[bytes]) -> bool:
        """Carry what `source` has now; whether there was any."""
        output = source.output()
        if not output:
            return False
        data = bytes(output)
        source.sent(len(data))
        log.append(data)
        target.receive(data)
        return True

    def sender(self, address: str = "x", **properties: Any) -> tuple[Sender, Recorder, Any, Any]:
        """A link from client to server that stands: (sender, its handler, receiver, its handler)."""
        handler = Recorder()
        link = self.client.sender(address, handler, properties)
        self.pump()
        far = self.server_peer.links[-1]
        return link, handler, far, far.handler

    def receiver(self, address: str = "x", window: int = 10) -> tuple[Receiver, Recorder, Any, Any]:
        """A link from server to client that stands: (receiver, its handler, sender, its handler)."""
        handler = Recorder(window)
        link = self.client.receiver(address, handler, window)
        self.pump()
        far = self.server_peer.links[-1]
        return link, handler, far, far.handler

    def works(self) -> bool:
        """Whether a message can still be carried over a new link."""
        link, handler, _, far_handler = self.sender("does it work")
        if not link.credit:
            return False
        link.send(b"yes", "token")
        self.pump()
        far_handler.deliveries[-1].accept()
        self.pump()
        link.close()
        self.pump()
        return handler.outcomes == [("token", ACCEPTED, None)]
