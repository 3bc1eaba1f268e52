"""What is told of links and connections, and to whom; and how much peers may take.

A handler is told of a link's whole life (:class:`LinkHandler`); a link that ends, however it ends, is told so
exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barker.core.errors import NotSupported, PeerError

if TYPE_CHECKING:
    from barker.amqp.connection import Connection
    from barker.amqp.link import Delivery, Receiver, Sender

SILENT = "barker:silent"
"""The name of the condition for a peer that has said nothing for too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much peers may take of a service."""

    connections: int = 20_000
    """Connections at one time."""
    links: int = 500
    """Links that a peer may have attached on one connection, those that it does not detach included."""
    frame_size: int = 64 * 1024
    """The largest frame, in bytes (AMQP 1.0 §2.7.1)."""
    open_seconds: float = 5.0
    """In so many seconds a peer that dialled has to have opened its connection."""
    idle_seconds: float = 60.0
    """A stranger that sends nothing for so long is taken to be dead; our own: `core/capacity.py`."""


DEFAULT_LIMITS = Limits()


UNDELIVERABLE = -1
"""An outcome: MODIFIED, and the message is not to come over this link again (AMQP 1.0 §3.4.5)."""


class Condition:
    """Why a peer ended a link, a connection or rejected a delivery (AMQP 1.0 §2.8.14)."""

    __slots__ = ("description", "info", "name")

    def __init__(self, name: str, description: str = "", info: dict[str, Any] | None = None) -> None:
        self.name, self.description, self.info = name, description, info or {}

    def __str__(self) -> str:
        return f"{self.name}: {self.description}" if self.description else self.name

    __repr__ = __str__


class LinkHandler:
    """What a link tells its owner. Every method may be left as it is."""

    batches = False
    """Whether a receiver takes several messages in one transfer, from a peer that can send them so."""

    def on_opened(self, link: Any) -> None:
        """The peer has attached its end too."""

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """A whole message, undecoded; `delivery` waits to be settled.

        Whatever it raises rejects this message and nothing else: a :class:`PeerError` with its condition and
        sentence, a bug of ours with ``amqp:internal-error``, once it is in the log.
        """

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        """A message was rejected, as :meth:`on_message` raised `error`."""

    def on_credit(self, link: Sender) -> None:
        """The sender may have credit: now is the time to send."""

    def on_outcome(self, link: Sender, token: Any, outcome: int, condition: Condition | None) -> None:
        """The peer has settled what was sent with `token`.

        `outcome`: one of ACCEPTED, REJECTED, RELEASED, MODIFIED, UNDELIVERABLE.
        """

    def on_closed(self, link: Any, condition: Condition | None) -> None:
        """The link has ended: by the peer, by loss of the connection, or by our own close.

        What a sender had unsettled is in :attr:`Sender.unsettled` and will get no outcome.
        """


class ConnectionHandler:
    """What a connection tells its owner."""

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        """The peer attaches a link: give its handler, or raise a :class:`PeerError` to refuse it."""
        raise NotSupported("this container takes no links")

    def on_connected(self, connection: Connection) -> None:
        """The peer has opened its end."""

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        """The connection is gone; its links have been told before."""
