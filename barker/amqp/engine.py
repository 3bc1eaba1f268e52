"""AMQP 1.0 endpoints without I/O: bytes go in, calls to handlers and bytes come out.

A :class:`Connection` is fed what came from its peer (:meth:`Connection.receive`), calls the handlers
of its links, and gives what must go to the peer (:meth:`Connection.output`). `reactor.py` beside this
file moves those bytes over sockets; nothing here knows one.

The protocol itself is Proton's engine, called through `cproton_ffi`, the C interface inside
python-qpid-proton. Proton's own Python classes wrap every event in five objects and cost 25 to 43 µs a
message a side; one C call each, as here, costs about 3. They are used where speed is no matter: for
maps, symbols and conditions.

A handler is told of a link's whole life (:class:`LinkHandler`); a link that ends, however it ends, is
told so exactly once. A C pointer is never used after its link has ended: every object here knows
whether it is still alive.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cproton_ffi import ffi, lib
from proton import symbol, ushort
from proton._data import dat2obj, obj2dat

from barker.amqp import batch
from barker.core.errors import (
    DecodeError,
    InvalidField,
    LimitExceeded,
    MessageTooLarge,
    NotSupported,
    PeerError,
    TransferLimitExceeded,
)

log = logging.getLogger(__name__)

SESSIONS = 256
"""How many sessions a peer may begin on a connection."""

PARTIAL_BYTES = 64 * 1024 * 1024
"""How much of unfinished messages (of several transfers) a connection may have us hold, in bytes."""

MAX_MESSAGE = 16 * 1024 * 1024
"""The largest message a link takes unless told otherwise, in bytes."""

REASON = 140
"""So many characters tell why a message of a batch was rejected: all of them have to fit into a frame."""

IDLE_SECONDS = 2.0
"""One of our own that sends nothing for so long is taken to be dead (AMQP 1.0 §2.4.5)."""

SILENT = "barker:silent"
"""The name of the condition for a peer that has said nothing for too long."""

PRODUCT = "barker"
"""What our own say in the property ``product`` of a connection (§2.7.1): all others are strangers."""

OUTGOING_BYTES = 1024 * 1024
"""Above this many bytes that wait for the socket, a sender shows no credit (:attr:`Sender.credit`)."""

OUTGOING_BYTES_IN_ALL = 64 * 1024 * 1024
"""What all connections of a process may have waiting together, each an equal share of it."""

LEAST_OUTGOING_BYTES = 16 * 1024
"""A connection's share is never smaller, however many there are."""

ACCEPTED: int = lib.PN_ACCEPTED
REJECTED: int = lib.PN_REJECTED
RELEASED: int = lib.PN_RELEASED
MODIFIED: int = lib.PN_MODIFIED

ASKED_BYTES = 8 * 1024
"""After so many more bytes it is asked again how many wait."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much peers may take of a service."""

    connections: int = 20_000
    """Connections at one time."""
    links: int = 20_000
    """Links that a peer may attach on one connection."""
    frame_size: int = 64 * 1024
    """The largest frame, in bytes (AMQP 1.0 §2.7.1)."""
    open_seconds: float = 5.0
    """In so many seconds a peer that dialled has to have opened its connection."""
    idle_seconds: float = 60.0
    """A stranger that sends nothing for so long is taken to be dead; for our own it is IDLE_SECONDS."""


DEFAULT_LIMITS = Limits()


_NULL = ffi.NULL
_READ_SIZE = 64 * 1024
_WRITE_SIZE = 256 * 1024


class _Buffers(threading.local):
    """Where bytes are copied to and from Proton: one of each for each thread, as each has its own loop."""

    def __init__(self) -> None:
        self.read_bytes = bytearray(_READ_SIZE)
        self.read = ffi.from_buffer(self.read_bytes)
        write_bytes = bytearray(_WRITE_SIZE)
        self.write = ffi.from_buffer(write_bytes)
        self.written = memoryview(write_bytes)


_buffers = _Buffers()


class Share:
    """What each of a process's connections may have waiting for its socket, in bytes."""

    def __init__(self) -> None:
        self.bytes = OUTGOING_BYTES

    def among(self, connections: int) -> None:
        """So many there are now."""
        share = OUTGOING_BYTES_IN_ALL // max(1, connections)
        self.bytes = min(OUTGOING_BYTES, max(LEAST_OUTGOING_BYTES, share))


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
        """The peer has settled what was sent with `token`: one of ACCEPTED, REJECTED, RELEASED, MODIFIED."""

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


class Delivery:
    """A message that came and waits to be settled (AMQP 1.0 §2.6.12)."""

    __slots__ = ("_delivery", "link")

    def __init__(self, link: Receiver, delivery: Any) -> None:
        self.link = link
        self._delivery = delivery

    @property
    def live(self) -> bool:
        """Whether it can still be settled: not yet done, and its link stands."""
        return self._delivery is not None and self.link.live

    def accept(self) -> None:
        """Take over the responsibility for the message."""
        self._settle(ACCEPTED)

    def release(self) -> None:
        """Give the message back, untouched."""
        self._settle(RELEASED)

    def reject(self, error: PeerError) -> None:
        """Refuse the message for good, and say why."""
        self._settle(REJECTED, Condition(error.condition, error.description, error.info))

    def _settle(self, outcome: int, condition: Condition | None = None) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None and self.link.live:
            if condition is not None:
                local = lib.pn_delivery_local(delivery)
                _write_condition(lib.pn_disposition_condition(local), condition)
            lib.pn_delivery_update(delivery, outcome)
            lib.pn_delivery_settle(delivery)
            self.link._returned()


class _Batched(Delivery):
    """One message of a batch."""

    __slots__ = ("_place",)

    def __init__(self, whole: _Batch, place: int) -> None:
        super().__init__(whole.delivery.link, whole)
        self._place = place

    def _settle(self, outcome: int, condition: Condition | None = None) -> None:
        whole, self._delivery = self._delivery, None
        if whole is not None:
            whole.settle(self._place, outcome, condition)


class _Batch:
    """A delivery of several messages, settled when all of them are."""

    __slots__ = ("_count", "_left", "_refused", "delivery")

    def __init__(self, delivery: Delivery, count: int) -> None:
        self.delivery, self._count, self._left = delivery, count, count
        self._refused: dict[str, str] = {}

    def settle(self, place: int, outcome: int, condition: Condition | None) -> None:
        """One of the messages has this outcome."""
        if outcome != ACCEPTED:
            why = f"{condition.name} {condition.description}" if condition else ""
            self._refused[str(place)] = why[:REASON]
        self._left -= 1
        if self._left:
            return
        if not self._refused:
            self.delivery.accept()
        elif len(self._refused) == self._count and not any(self._refused.values()):
            self.delivery.release()
        else:
            text = f"not accepted: {len(self._refused)} of {self._count} messages"
            self.delivery._settle(REJECTED, Condition(batch.PROPERTY, text, dict(self._refused)))


def _outcome_in(condition: Condition | None, place: int) -> tuple[int, Condition | None]:
    """What became of the message at that place of a rejected batch."""
    if condition is None or condition.name != batch.PROPERTY:
        return REJECTED, condition
    why = condition.info.get(str(place))
    if why is None:
        return ACCEPTED, None
    name, _, description = str(why).partition(" ")
    return (REJECTED, Condition(name, description)) if name else (RELEASED, None)


class Link:
    """What :class:`Sender` and :class:`Receiver` share: one direction of messages (AMQP 1.0 §2.6)."""

    def __init__(self, connection: Connection, impl: Any, handler: LinkHandler, address: str = "") -> None:
        self.connection = connection
        self.handler = handler
        self.live = True
        """False from the moment on that the link has ended, for whatever reason."""
        self.opened = False
        """Whether both ends are attached."""
        self.address = address
        """The address of the node that this link sends to or receives from."""
        self.properties: dict[str, Any] = {}
        """The peer's link properties, on a link that the peer attached."""
        self.name = _text(lib.pn_link_name(impl)) or ""
        """The link's name, unique between two containers and a direction."""
        self._link = impl
        connection._links[impl] = self

    def refuse(self, error: PeerError) -> None:
        """End the link with `error`; before it was opened, that refuses it (AMQP 1.0 §2.6.3)."""
        self.close(Condition(error.condition, error.description, error.info))

    def close(self, condition: Condition | None = None) -> None:
        """End the link and tell the handler."""
        if not self.live:
            return
        if condition is not None:
            _write_condition(lib.pn_link_condition(self._link), condition)
        if lib.pn_link_state(self._link) & lib.PN_LOCAL_UNINIT:
            # Refusing means: attach with a null terminus at our side, then detach with the error (§2.6.3).
            sends = isinstance(self, Sender)
            ours = lib.pn_link_source(self._link) if sends else lib.pn_link_target(self._link)
            lib.pn_terminus_set_type(ours, lib.PN_UNSPECIFIED)
            lib.pn_link_open(self._link)
        lib.pn_link_close(self._link)
        self._end(condition)

    def _answer_attach(self) -> None:
        """Attach our end to the terminuses that the peer asked for."""
        lib.pn_terminus_copy(lib.pn_link_source(self._link), lib.pn_link_remote_source(self._link))
        lib.pn_terminus_copy(lib.pn_link_target(self._link), lib.pn_link_remote_target(self._link))
        # No distribution mode is applied here, so none is confirmed (AMQP 1.0 §3.5.3).
        lib.pn_terminus_set_distribution_mode(lib.pn_link_source(self._link), 0)
        self._agree()
        lib.pn_link_set_snd_settle_mode(self._link, lib.pn_link_remote_snd_settle_mode(self._link))
        lib.pn_link_set_rcv_settle_mode(self._link, lib.pn_link_remote_rcv_settle_mode(self._link))
        lib.pn_link_open(self._link)

    def _agree(self) -> None:
        """Look at what the peer has said when it attached."""

    def _end(self, condition: Condition | None) -> None:
        """Forget the C link and tell the handler, once."""
        if not self.live:
            return
        self.live = False
        self.connection._links.pop(self._link, None)
        self.connection._touch()
        if lib.pn_link_state(self._link) & lib.PN_REMOTE_CLOSED:
            lib.pn_link_free(self._link)
        else:
            # Freed when the peer's detach comes, or with the connection.
            self.connection._ending[self._link] = lib.pn_link_session(self._link)
        self.handler.on_closed(self, condition)


class Sender(Link):
    """The sending end of a link."""

    def __init__(self, connection: Connection, impl: Any, handler: LinkHandler, address: str = "") -> None:
        super().__init__(connection, impl, handler, address)
        self.unsettled: dict[Any, Any] = {}
        """Tokens of what was sent and has no outcome yet, in the order sent; of a batch, a list of them."""
        self.in_flight = 0
        """How many messages were sent and have no outcome yet."""
        self.batch_messages, self.batch_bytes = 1, 0
        """How much the peer takes in one transfer; more than one message only if it knows batches."""
        self.max_message_size = 0
        """The largest message the peer takes, in bytes; 0: any (AMQP 1.0 §2.7.3). Look before sending."""
        self._offers_batches = False
        self._tags = itertools.count()
        sessions, self._session = connection._sending, lib.pn_link_session(impl)
        sessions[self._session] = sessions.get(self._session, 0) + 1

    @property
    def credit(self) -> int:
        """How many deliveries (each a message, or a batch of them) may be sent now.

        It is the peer's credit; none while much waits to be written, so look again after each delivery.
        """
        if not self.live:
            return 0
        if self.connection._is_full():
            self.connection._held = True
            return 0
        return max(0, lib.pn_link_credit(self._link))

    @property
    def wants_settled(self) -> bool:
        """Whether the peer asked for pre-settled deliveries (snd-settle-mode, AMQP 1.0 §2.8.2)."""
        return self.live and bool(lib.pn_link_remote_snd_settle_mode(self._link) == lib.PN_SND_SETTLED)

    def send(self, data: bytes, token: Any = None, settled: bool = False) -> None:
        """Send one encoded message; its outcome comes with `token`, unless it is `settled` from the start."""
        if not self.live:
            raise RuntimeError("the link has ended: look at its credit before sending")
        tag = b"%d" % next(self._tags)
        link, connection = self._link, self.connection
        delivery = lib.pn_delivery(link, (len(tag), ffi.from_buffer(tag)))
        lib.pn_link_send(link, data, len(data))
        connection._sent_since += len(data)
        if settled:
            lib.pn_delivery_settle(delivery)
        else:
            lib.pn_link_advance(link)
            self.unsettled[delivery] = token
            self.in_flight += 1
        if not connection._touched:
            connection._touch()

    def send_batch(self, messages: list[bytes], tokens: list[Any], settled: bool = False) -> None:
        """Send several encoded messages: in one transfer to a peer that knows batches, else one by one.

        The outcome of each comes with its token. :attr:`batch_messages` and :attr:`batch_bytes` are the most
        of a batch; without batches there must be credit for each.
        """
        if self.batch_messages == 1:
            for data, token in zip(messages, tokens, strict=True):
                self.send(data, token, settled)
        else:
            self.send(batch.pack(messages), tokens, settled)
            self.in_flight += 0 if settled else len(tokens) - 1

    def _agree(self) -> None:
        """The peer has attached: how large may messages be? Does it take batches, as was offered?"""
        self.max_message_size = lib.pn_link_remote_max_message_size(self._link)
        if not self._offers_batches:
            return
        theirs = _read_map(lib.pn_link_remote_properties(self._link))
        if theirs.get(batch.PROPERTY) is True:
            most = self.max_message_size or batch.BYTES
            self.batch_messages, self.batch_bytes = batch.MESSAGES, min(batch.BYTES, most)

    def _drained(self) -> bool:
        """Give back the credit that a draining peer will get nothing for; False while it still may."""
        if self.live and self.connection._is_full():
            return False
        if self.live:
            lib.pn_link_drained(self._link)
        return True

    def _end(self, condition: Condition | None) -> None:
        if self.live:
            sessions = self.connection._sending
            sessions[self._session] -= 1
            if not sessions[self._session]:
                del sessions[self._session]
        super()._end(condition)

    def _updated(self, delivery: Any) -> None:
        outcome = lib.pn_delivery_remote_state(delivery)
        settled = lib.pn_delivery_settled(delivery)
        if delivery not in self.unsettled or not (settled or ACCEPTED <= outcome <= MODIFIED):
            return
        token = self.unsettled.pop(delivery)
        condition = None
        if outcome == REJECTED:
            condition = _read_condition(lib.pn_disposition_condition(lib.pn_delivery_remote(delivery)))
        elif not ACCEPTED <= outcome <= MODIFIED:
            # Settled without an outcome: the peer took no responsibility (AMQP 1.0 §3.4).
            outcome = RELEASED
        lib.pn_delivery_settle(delivery)
        self.connection._touch()
        if self.batch_messages == 1:
            self.in_flight -= 1
            self.handler.on_outcome(self, token, outcome, condition)
            return
        self.in_flight -= len(token)
        for place, each in enumerate(token):
            if not self.live:
                return  # Closed by its owner meanwhile: the others get no outcome.
            of_one = _outcome_in(condition, place) if outcome == REJECTED else (outcome, condition)
            self.handler.on_outcome(self, each, *of_one)


class Receiver(Link):
    """The receiving end of a link. Credit follows settlement: never more than the window is unsettled."""

    def __init__(self, connection: Connection, impl: Any, handler: LinkHandler, address: str = "") -> None:
        super().__init__(connection, impl, handler, address)
        self._window, self._least = 0, 1
        self._owed = 0
        self._partial = bytearray()
        self.max_message_size = MAX_MESSAGE
        self.batches = False
        """Whether every transfer is a batch."""

    def _agree(self) -> None:
        """The peer attaches: does it offer batches, and do we take them?"""
        if self.handler.batches and self.properties.get(batch.PROPERTY) is True:
            self.batches = True
            obj2dat({symbol(batch.PROPERTY): True}, lib.pn_link_properties(self._link))

    @property
    def window(self) -> int:
        """How many deliveries may be unsettled, each a message or a batch; 0 grants no more credit."""
        return self._window

    @window.setter
    def window(self, window: int) -> None:
        self._owed += window - self._window
        self._window, self._least = window, max(1, window // 4)
        self._grant(1)

    def _returned(self) -> None:
        """One delivery was settled: the peer gets its credit back, a quarter of the window at a time."""
        self._owed += 1
        if not self.connection._touched:
            self.connection._touch()
        if self._owed >= self._least:
            self._grant(self._least)

    def _grant(self, least: int) -> None:
        if self.live and self._owed >= least:
            lib.pn_link_flow(self._link, self._owed)
            self._owed = 0
            self.connection._touch()

    def _readable(self) -> None:
        """Hand on every message that is here as a whole."""
        link = self._link
        queued = lib.pn_link_queued(link)
        if not queued:
            return  # They were handed on with one that came before.
        if lib.pn_link_credit(link) < queued:
            raise TransferLimitExceeded("more messages than there was credit for (AMQP 1.0 §2.6.7)")
        while self.live:
            delivery = lib.pn_link_current(link)
            if delivery == _NULL:
                return
            pending = lib.pn_delivery_pending(delivery)
            if lib.pn_delivery_aborted(delivery):
                self._drop_part()
                lib.pn_delivery_settle(delivery)
                self._returned()
                continue
            partial = lib.pn_delivery_partial(delivery)
            if partial or self._partial or pending > min(_READ_SIZE, self.max_message_size):
                self._read_part(pending)
                if partial or not self.live:
                    return
                data = bytes(self._partial)
                self._drop_part()
            else:
                buffers = _buffers
                if pending:
                    lib.pn_link_recv(link, buffers.read, pending)
                data = bytes(buffers.read_bytes[:pending])
            lib.pn_link_advance(link)
            if self.batches:
                self._unpack(Delivery(self, delivery), data)
            else:
                self._hand_on(Delivery(self, delivery), data)

    def _unpack(self, delivery: Delivery, data: bytes) -> None:
        """Hand on the messages of a batch."""
        try:
            messages = batch.unpack(data)
        except DecodeError as error:
            self._reject(delivery, error)
            return
        whole = _Batch(delivery, len(messages))
        for place, message in enumerate(messages):
            if not self.live:
                return
            self._hand_on(_Batched(whole, place), message)

    def _hand_on(self, delivery: Delivery, data: bytes) -> None:
        """One message to the handler; what it cannot take is rejected, and those behind it go on."""
        try:
            self.handler.on_message(self, delivery, data)
        except PeerError as error:
            self._reject(delivery, error)
        except Exception as error:
            log.exception("%s: an error of ours over a message to %s", self.connection.peer, self.address)
            self._reject(delivery, PeerError(f"an error of the service: {type(error).__name__}"))

    def _reject(self, delivery: Delivery, error: PeerError) -> None:
        log.warning("%s: rejected a message to %s: %s", self.connection.peer, self.address, error)
        delivery.reject(error)
        self.handler.on_rejected(self, error)

    def _read_part(self, pending: int) -> None:
        """Take what is here of a message of several transfers, or one that is too large."""
        # In a batch of one, the largest message fits as well.
        most = self.max_message_size + (batch.OVERHEAD if self.batches else 0)
        if len(self._partial) + pending > most:
            self._drop_part()
            self.refuse(MessageTooLarge(f"a message here may have {self.max_message_size} bytes at most"))
            return
        if self.connection._partial_bytes + pending > PARTIAL_BYTES:
            self._drop_part()
            self.refuse(LimitExceeded(f"unfinished messages may have {PARTIAL_BYTES} bytes in all"))
            return
        self.connection._partial_bytes += pending
        while pending > 0:
            got = lib.pn_link_recv(self._link, _buffers.read, min(pending, _READ_SIZE))
            if got <= 0:
                return
            self._partial += _buffers.read_bytes[:got]
            pending -= got

    def _end(self, condition: Condition | None) -> None:
        self._drop_part()
        super()._end(condition)

    def _drop_part(self) -> None:
        """What was kept of an unfinished message is done with."""
        self.connection._partial_bytes -= len(self._partial)
        self._partial.clear()


class Connection:
    """One AMQP connection: Proton's connection and transport, and the links that live on it."""

    def __init__(
        self,
        handler: ConnectionHandler,
        container: str,
        *,
        server: bool,
        hostname: str = "",
        on_output: Callable[[Connection], None] = lambda _: None,
        limits: Limits = DEFAULT_LIMITS,
        share: Share | None = None,
    ) -> None:
        """`on_output` is called when there may be new bytes to send, once until :meth:`output` is read.

        `share` is that of all connections of the process.
        """
        self.handler = handler
        self.peer = ""
        """Who is at the other end, for logs: host:port."""
        self._on_output = on_output
        self._touched = False
        self._lost = False
        self._closed = False
        self._opened = False
        self._condition: Condition | None = None
        self._links: dict[Any, Link] = {}
        self._ending: dict[Any, Any] = {}  # Links that wait for the peer's detach, with their sessions.
        self._draining: list[Sender] = []
        self._held = False
        self._sending: dict[Any, int] = {}  # How many senders each session has.
        self._share = share or Share()
        self._sent_since = 0
        self._limits = limits
        self._partial_bytes = 0
        self._server = server
        self._default_session: Any = None
        self._names = itertools.count()
        self._container = container
        self._connection = lib.pn_connection()
        self._collector = lib.pn_collector()
        self._transport = lib.pn_transport()
        lib.pn_connection_collect(self._connection, self._collector)
        lib.pn_connection_set_container(self._connection, container.encode())
        obj2dat({symbol("product"): PRODUCT}, lib.pn_connection_properties(self._connection))
        if server:
            lib.pn_transport_set_server(self._transport)
        else:
            lib.pn_connection_set_hostname(self._connection, hostname.encode())
        lib.pn_transport_set_max_frame(self._transport, limits.frame_size)
        lib.pn_transport_set_channel_max(self._transport, SESSIONS - 1)
        lib.pn_transport_set_idle_timeout(self._transport, int(IDLE_SECONDS * 1000))
        sasl = lib.pn_sasl(self._transport)
        lib.pn_sasl_allowed_mechs(sasl, b"ANONYMOUS")
        lib.pn_transport_bind(self._transport, self._connection)
        if not server:
            lib.pn_connection_open(self._connection)

    # What the owner calls

    @property
    def live(self) -> bool:
        """False once the connection is lost, or one of the two has closed it."""
        return not self._closed

    @property
    def opened(self) -> bool:
        """Whether the peer has opened its end."""
        return self._opened

    @property
    def peer_container(self) -> str:
        """The container id that the peer says it has (AMQP 1.0 §2.7.1); empty before it has opened."""
        return "" if self._lost else _text(lib.pn_connection_remote_container(self._connection)) or ""

    @property
    def links(self) -> list[Link]:
        """The links that stand."""
        return list(self._links.values())

    def sender(
        self,
        address: str,
        handler: LinkHandler,
        properties: dict[str, Any] | None = None,
        batches: bool = False,
    ) -> Sender:
        """Attach a link that sends to the node `address`; in `batches`, if the peer takes them.

        :raises RuntimeError: on a connection that is not live.
        """
        impl = lib.pn_sender(self._session, self._link_name(address))
        lib.pn_terminus_set_address(lib.pn_link_target(impl), address.encode())
        sender = Sender(self, impl, handler, address)
        sender._offers_batches = batches
        return self._attach(sender, (properties or {}) | ({batch.PROPERTY: True} if batches else {}))

    def receiver(
        self,
        address: str,
        handler: LinkHandler,
        window: int = 100,
        settled: bool = False,
        max_message_size: int = MAX_MESSAGE,
        properties: dict[str, Any] | None = None,
    ) -> Receiver:
        """Attach a link that receives from the node `address`, with credit for `window` messages.

        :raises RuntimeError: on a connection that is not live.
        """
        impl = lib.pn_receiver(self._session, self._link_name(address))
        lib.pn_terminus_set_address(lib.pn_link_source(impl), address.encode())
        lib.pn_link_set_snd_settle_mode(impl, lib.PN_SND_SETTLED if settled else lib.PN_SND_UNSETTLED)
        lib.pn_link_set_max_message_size(impl, max_message_size)
        receiver: Receiver = self._attach(Receiver(self, impl, handler, address), properties)
        receiver.max_message_size = max_message_size
        receiver.window = window
        return receiver

    def close(self, condition: Condition | None = None) -> None:
        """Say goodbye to the peer; the links end at once."""
        if self._closed:
            return
        self._closed = True
        if condition is not None:
            _write_condition(lib.pn_connection_condition(self._connection), condition)
        lib.pn_connection_close(self._connection)
        self._touch()
        self._end_links(condition)

    # What the reactor calls

    def receive(self, data: bytes) -> bool:
        """Take bytes from the peer and call the handlers; False when the peer can send no more."""
        buffer, offset, size = ffi.from_buffer(data), 0, len(data)
        while offset < size and not self._lost:
            taken = lib.pn_transport_push(self._transport, buffer + offset, size - offset)
            self._dispatch()
            if taken <= 0:
                return False
            offset += taken
        self._touch()
        return not self._lost and lib.pn_transport_capacity(self._transport) >= 0

    def output(self) -> memoryview | None:
        """Bytes for the peer (valid until the next call); empty if there are none now, None after the end."""
        self._touched = False
        self._dispatch()
        if self._lost:
            return None
        if self._draining:
            # By now the owners have sent what they have (AMQP 1.0 §2.6.7).
            self._draining = [link for link in self._draining if not link._drained()]
        pending = lib.pn_transport_pending(self._transport)
        if pending < 0:
            return None
        if pending > 0:
            pending = lib.pn_transport_peek(self._transport, _buffers.write, min(pending, _WRITE_SIZE))
        return _buffers.written[:pending]

    def sent(self, count: int) -> None:
        """The first `count` bytes of :meth:`output` have gone."""
        if not self._lost:
            lib.pn_transport_pop(self._transport, count)

    def resume(self) -> None:
        """All output is written: senders that were held back may go on."""
        if self._held:
            self._held = False
            for link in self.links:
                if isinstance(link, Sender) and link.live and link.opened:
                    self._call(link, link.handler.on_credit, link)

    def tick(self, now: float) -> bool:
        """Send a heartbeat if one is due; False when the peer was silent for too long (AMQP 1.0 §2.4.5).

        `now` is in seconds on any clock that never goes back: when it was last looked for bytes of the peer.
        """
        if self._lost:
            return False
        lib.pn_transport_tick(self._transport, int(now * 1000) or 1)
        if lib.pn_transport_pending(self._transport) != 0:
            self._touch()
        return not lib.pn_condition_is_set(lib.pn_transport_condition(self._transport))

    def gave_up(self, seconds: float) -> bool:
        """Whether the peer has given this connection up, after so many seconds of silence of ours."""
        # Peers tell half of what they wait (AMQP 1.0 §2.4.5); 0 is for ever.
        patience = 2 * lib.pn_transport_get_remote_idle_timeout(self._transport) / 1000
        return bool(0 < patience < seconds)

    def lost(self, condition: Condition | None = None) -> None:
        """The socket is gone: end every link, tell the handler, free what Proton holds."""
        if self._lost:
            return
        self._lost = self._closed = True
        condition = (
            condition or self._condition or _read_condition(lib.pn_transport_condition(self._transport))
        )
        if condition is None and not lib.pn_connection_state(self._connection) & lib.PN_REMOTE_CLOSED:
            condition = Condition("barker:connection-lost", "the peer is gone without a close")
        self._end_links(condition)
        try:
            self.handler.on_lost(self, condition)
        finally:
            self._free()

    # Events

    def _dispatch(self) -> None:
        """Call the handlers for everything that Proton has noticed."""
        peek, pop, kind_of = lib.pn_collector_peek, lib.pn_collector_pop, lib.pn_event_type
        collector, links = self._collector, self._links
        while not self._lost:
            event = peek(collector)
            if event == _NULL:
                return
            kind = kind_of(event)
            if kind == lib.PN_DELIVERY:
                delivery = lib.pn_event_delivery(event)
                link = links.get(lib.pn_event_link(event))
                if isinstance(link, Receiver):
                    self._call(link, link._readable)
                elif isinstance(link, Sender):
                    self._call(link, link._updated, delivery)
                else:
                    self._discard(lib.pn_event_link(event))
            elif kind == lib.PN_LINK_FLOW:
                link = links.get(lib.pn_event_link(event))
                if isinstance(link, Sender):
                    self._call(link, link.handler.on_credit, link)
                    if link.live and lib.pn_link_get_drain(link._link):
                        self._draining.append(link)
            elif kind in _EVENTS:
                try:
                    _EVENTS[kind](self, event)
                except Exception:
                    self._failed()
            if not self._lost:
                pop(collector)

    def _discard(self, impl: Any) -> None:
        """Throw away what a peer still sends over a link that has ended; it gets no outcome."""
        if impl not in self._ending or lib.pn_link_is_sender(impl):
            return
        if lib.pn_link_credit(impl) < lib.pn_link_queued(impl):
            self.close(Condition("amqp:link:transfer-limit-exceeded", "over a link that has ended"))
            return
        while (delivery := lib.pn_link_current(impl)) != _NULL:
            while lib.pn_link_recv(impl, _buffers.read, _READ_SIZE) > 0:
                pass
            if lib.pn_delivery_partial(delivery) and not lib.pn_delivery_aborted(delivery):
                return
            lib.pn_link_advance(impl)

    def _call(self, link: Link, method: Callable[..., None], *args: Any) -> None:
        """The one boundary round handlers: a peer's error ends its link, a bug ends its connection."""
        try:
            method(*args)
        except PeerError as error:
            log.warning("%s: link %s ended: %s: %s", self.peer, link.name, error.condition, error)
            link.refuse(error)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        """There is a bug in some handler: log it, and end this connection only."""
        log.exception("%s: an error of ours; its connection is closed", self.peer)
        self.close(Condition("amqp:internal-error", "an error of the service; its log tells more"))

    def _on_connection_open(self, event: Any) -> None:
        theirs = _read_map(lib.pn_connection_remote_properties(self._connection))
        if theirs.get("product") != PRODUCT:
            lib.pn_transport_set_idle_timeout(self._transport, int(self._limits.idle_seconds * 1000))
        if lib.pn_connection_state(self._connection) & lib.PN_LOCAL_UNINIT:
            lib.pn_connection_open(self._connection)
        self._opened = True
        self.handler.on_connected(self)

    def _on_connection_close(self, event: Any) -> None:
        self._closed = True
        self._condition = _read_condition(lib.pn_connection_remote_condition(self._connection))
        lib.pn_connection_close(self._connection)
        self._end_links(self._condition)

    def _on_session_open(self, event: Any) -> None:
        session = lib.pn_event_session(event)
        state = lib.pn_session_state(session)
        # One that has ended in the breath it began would be opened by Proton as a new one of our own.
        if state & lib.PN_LOCAL_UNINIT and not state & lib.PN_REMOTE_CLOSED:
            lib.pn_session_open(session)

    def _on_session_close(self, event: Any) -> None:
        session = lib.pn_event_session(event)
        condition = _read_condition(lib.pn_session_remote_condition(session))
        for link in self.links:
            if lib.pn_link_session(link._link) == session:
                link._end(condition)
        # Its links are freed with it.
        self._ending = {impl: of for impl, of in self._ending.items() if of != session}
        if session == self._default_session:
            self._default_session = None
        if not lib.pn_session_state(session) & lib.PN_LOCAL_UNINIT:
            lib.pn_session_close(session)
        lib.pn_session_free(session)

    def _on_link_open(self, event: Any) -> None:
        impl = lib.pn_event_link(event)
        link = self._links.get(impl)
        if link is None:
            ended = lib.pn_session_state(lib.pn_link_session(impl)) & lib.PN_REMOTE_CLOSED
            if impl not in self._ending and not ended and not self._closed:
                self._on_attach(impl)
        elif lib.pn_terminus_get_type(_far_terminus(link)) != lib.PN_UNSPECIFIED:
            link.opened = True
            if isinstance(link, Sender):
                link._agree()
            self._call(link, link.handler.on_opened, link)
        # Else the peer refuses the link, and its detach, with the reason, follows (AMQP 1.0 §2.6.3).

    def _on_attach(self, impl: Any) -> None:
        sends = lib.pn_link_is_sender(impl)
        terminus = lib.pn_link_remote_source(impl) if sends else lib.pn_link_remote_target(impl)
        address = _text(lib.pn_terminus_get_address(terminus)) or ""
        link = (Sender if sends else Receiver)(self, impl, LinkHandler(), address)
        try:
            if lib.pn_terminus_get_type(terminus) == lib.PN_COORDINATOR:
                raise NotSupported("there are no transactions here")
            if lib.pn_terminus_is_dynamic(terminus):
                raise NotSupported("there are no dynamic nodes here: attach to an address")
            if _has_entries(lib.pn_terminus_filter(terminus)):
                raise NotSupported("there are no filters here: attach without one")
            if lib.pn_terminus_get_distribution_mode(terminus) == lib.PN_DIST_MODE_COPY:
                raise NotSupported("there is no browsing here (distribution-mode copy): receiving consumes")
            if not address:
                raise InvalidField("attach to an address: this container has no anonymous node")
            if len(self._links) > self._limits.links:
                raise LimitExceeded(f"a connection may have {self._limits.links} links here")
            link.properties = _read_map(lib.pn_link_remote_properties(impl))
            link.handler = self.handler.on_attach(link)
        except PeerError as error:
            log.log(
                logging.DEBUG if error.condition == "amqp:link:redirect" else logging.INFO,
                "%s: refused a link to %r: %s: %s",
                self.peer,
                address,
                error.condition,
                error,
            )
            link.refuse(error)
        else:
            if isinstance(link, Receiver):
                lib.pn_link_set_max_message_size(impl, link.max_message_size)
            link._answer_attach()
            link.opened = True
            self._touch()
            self._call(link, link.handler.on_opened, link)

    def _on_link_close(self, event: Any) -> None:
        impl = lib.pn_event_link(event)
        link = self._links.get(impl)
        if link is not None:
            condition = _read_condition(lib.pn_link_remote_condition(impl))
            lib.pn_link_close(impl)
            self._call(link, link._end, condition)
        elif impl in self._ending:
            del self._ending[impl]
            lib.pn_link_free(impl)

    # Small parts

    @property
    def _session(self) -> Any:
        if self._closed:
            raise RuntimeError("the connection is lost or closed: make a new one")
        if self._default_session is None:
            self._default_session = lib.pn_session(self._connection)
            lib.pn_session_open(self._default_session)
        return self._default_session

    def _is_full(self) -> bool:
        """Whether as much waits for the socket as may."""
        # It costs much to ask Proton, and little has been sent since it was asked last.
        if self._sent_since < ASKED_BYTES:
            return False
        if sum(map(lib.pn_session_outgoing_bytes, self._sending)) > self._share.bytes:
            return True
        self._sent_since = 0
        return False

    def _link_name(self, address: str) -> bytes:
        return f"{self._container}-{next(self._names)}-{address}".encode()

    def _attach(self, link: Any, properties: dict[str, Any] | None) -> Any:
        if properties:
            symbols = {symbol(key): value for key, value in properties.items()}
            obj2dat(symbols, lib.pn_link_properties(link._link))
        lib.pn_link_open(link._link)
        self._touch()
        return link

    def _touch(self) -> None:
        if not self._touched and not self._lost:
            self._touched = True
            self._on_output(self)

    def _end_links(self, condition: Condition | None) -> None:
        for link in self.links:
            try:
                link._end(condition)
            except Exception:
                log.exception("%s: an error of ours while a link ended", self.peer)

    def _free(self) -> None:
        """Give everything back to Proton; no C pointer of this connection is used after this."""
        self._ending.clear()
        lib.pn_transport_unbind(self._transport)
        lib.pn_connection_release(self._connection)
        lib.pn_collector_release(self._collector)
        lib.pn_collector_free(self._collector)
        lib.pn_decref(self._transport)
        lib.pn_decref(self._connection)


_EVENTS: dict[int, Callable[[Connection, Any], None]] = {
    lib.PN_CONNECTION_REMOTE_OPEN: Connection._on_connection_open,
    lib.PN_CONNECTION_REMOTE_CLOSE: Connection._on_connection_close,
    lib.PN_SESSION_REMOTE_OPEN: Connection._on_session_open,
    lib.PN_SESSION_REMOTE_CLOSE: Connection._on_session_close,
    lib.PN_LINK_REMOTE_OPEN: Connection._on_link_open,
    lib.PN_LINK_REMOTE_CLOSE: Connection._on_link_close,
    lib.PN_LINK_REMOTE_DETACH: Connection._on_link_close,
}


def _text(chars: Any) -> str | None:
    return None if chars == _NULL else ffi.string(chars).decode("utf-8", "replace")


def _far_terminus(link: Link) -> Any:
    """The terminus at the peer's side of a link that we attached."""
    sends = isinstance(link, Sender)
    return lib.pn_link_remote_target(link._link) if sends else lib.pn_link_remote_source(link._link)


def owned(value: Any) -> Any:
    """A value that Proton has decoded, with bytes of our own where it gives a view of its memory."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {owned(key): owned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [owned(each) for each in value]
    return value


def _read_map(data: Any) -> dict[str, Any]:
    """A map of a peer's; empty if there is none, or one that Python has no dict for."""
    try:
        value = owned(dat2obj(data))
        return {str(key): value[key] for key in value} if isinstance(value, dict) else {}
    except Exception as error:
        # Proton raises whatever its C code and Python's own types do on hostile values.
        log.debug("a map that cannot be read: %s", error)
        return {}


def _has_entries(data: Any) -> bool:
    """Whether a field that is a map, or null, has anything in it."""
    lib.pn_data_rewind(data)
    if not lib.pn_data_next(data) or lib.pn_data_type(data) == lib.PN_NULL:
        return False
    return lib.pn_data_type(data) != lib.PN_MAP or lib.pn_data_get_map(data) > 0


def _read_condition(condition: Any) -> Condition | None:
    if not lib.pn_condition_is_set(condition):
        return None
    return Condition(
        _text(lib.pn_condition_get_name(condition)) or "",
        _text(lib.pn_condition_get_description(condition)) or "",
        _read_map(lib.pn_condition_info(condition)),
    )


def _write_condition(condition: Any, what: Condition) -> None:
    lib.pn_condition_set_name(condition, what.name.encode())
    lib.pn_condition_set_description(condition, what.description.encode())
    if what.info:
        info = {symbol(k): ushort(v) if k == "port" else v for k, v in what.info.items()}
        obj2dat(info, lib.pn_condition_info(condition))
