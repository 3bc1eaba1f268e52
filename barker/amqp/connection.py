"""AMQP 1.0 endpoints without I/O: bytes go in, calls to handlers and bytes come out.

A :class:`Connection` is fed what came from its peer (:meth:`Connection.receive`), calls the handlers of its
links (`link.py`), and gives what must go to the peer (:meth:`Connection.output`). `reactor.py` beside this
file moves those bytes over sockets; nothing here knows one. The protocol itself is Proton's engine
(`_proton.py`).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

from barker.amqp import batch
from barker.amqp._proton import (
    NULL,
    READ_SIZE,
    WRITE_SIZE,
    buffers,
    ffi,
    has_entries,
    lib,
    read_condition,
    read_map,
    text_at,
    utf8,
    write_condition,
    write_filter,
    write_map,
)
from barker.amqp.handlers import DEFAULT_LIMITS, SILENT, Condition, ConnectionHandler, Limits, LinkHandler
from barker.amqp.link import MAX_MESSAGE, Link, Receiver, Sender
from barker.amqp.sasl import Sasl
from barker.core.access import STRANGER, Identity
from barker.core.capacity import DEFAULT_BOUNDS, Bounds
from barker.core.errors import (
    InvalidField,
    LimitExceeded,
    NotAuthentic,
    NotSupported,
    PeerError,
    TransferLimitExceeded,
)

log = logging.getLogger(__name__)

SESSIONS = 256
"""How many sessions a peer may begin on a connection."""

PRODUCT = "barker"
"""What our own say in the property ``product`` of a connection (§2.7.1): all others are strangers."""

OUTGOING_BYTES = 1024 * 1024
"""Above this many bytes that wait for the socket, a sender shows no credit (:attr:`Sender.credit`)."""

OUTGOING_BYTES_IN_ALL = 64 * 1024 * 1024
"""What all connections of a process may have waiting together, each an equal share of it."""

LEAST_OUTGOING_BYTES = 16 * 1024
"""A connection's share is never smaller, however many there are."""

ASKED_BYTES = 8 * 1024
"""After so many more bytes it is asked again how many wait."""

ANSWER_BYTES = 1024
"""So much at most, or little more, goes to a peer because of one frame of its own."""

PARTIAL_BYTES = 64 * 1024 * 1024
"""How much of unfinished messages (of several transfers) a connection may have us hold, in bytes."""

PARTIAL_BYTES_IN_ALL = 256 * 1024 * 1024
"""The same for all connections of a process together."""


class Share:
    """What the connections of a process may have it hold: each its part, and all of them together."""

    def __init__(self) -> None:
        self.bytes = OUTGOING_BYTES
        """So much may wait for the socket of each."""
        self._partial_bytes = 0
        self._partial: dict[Connection, int] = {}

    def among(self, connections: int) -> None:
        """So many there are now."""
        share = OUTGOING_BYTES_IN_ALL // max(1, connections)
        self.bytes = min(OUTGOING_BYTES, max(LEAST_OUTGOING_BYTES, share))

    def keep(self, connection: Connection, size: int) -> bool:
        """Whether `connection` may have `size` more bytes of an unfinished message held; they count then.

        If that is too much for all together, who has most loses what it has.
        """
        if self._partial.get(connection, 0) + size > PARTIAL_BYTES:
            return False
        self._count(connection, size)
        while self._partial_bytes > PARTIAL_BYTES_IN_ALL:
            most = max(self._partial, key=self._partial.__getitem__)
            if most is connection:
                self._count(connection, -size)
                return False
            most.give_up_parts()
        return True

    def forget(self, connection: Connection, size: int) -> None:
        """So much of what :meth:`keep` has counted is held no more."""
        if size:
            self._count(connection, -size)

    def _count(self, connection: Connection, size: int) -> None:
        self._partial_bytes += size
        left = self._partial.pop(connection, 0) + size
        if left:
            self._partial[connection] = left


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
        bounds: Bounds = DEFAULT_BOUNDS,
        sasl: Sasl | None = None,
    ) -> None:
        """`on_output` is called when there may be new bytes to send, once until :meth:`output` is read.

        `share` is that of all connections of the process; `sasl` comes before AMQP, if it is given.
        """
        self.handler = handler
        self.bounds = bounds
        """How much its links have in hand, at most."""
        self.peer = ""
        """Who is at the other end, for logs: host:port; of one that has dialled, a :class:`Peer`."""
        self.identity = STRANGER
        """Who is at the other end, as far as it has proved that."""
        self.proved = False
        """Whether who was dialled has proved to have the key that was shown to it, or a certificate."""
        self._sasl = sasl
        if sasl is not None:
            sasl.on_answer = self._answered
        self._refused = False
        self._on_output = on_output
        self._touched = False
        self._lost = False
        self._next_tick = 0
        self._closed = self._expelled = False
        self._opened = False
        self._condition: Condition | None = None
        self._links: dict[Any, Link] = {}
        self._ending: dict[Any, Any] = {}  # Links that wait for the peer's detach, with their sessions.
        self._draining: list[Sender] = []
        self._held = False
        self._sending: dict[Any, int] = {}  # How many senders each session has.
        self._share = share or Share()
        self._sent_since = 0
        self._owing = 0
        self._limits = limits
        self.is_server, self.hostname = server, hostname
        self._default_session: Any = None
        self._names = itertools.count()
        self._container = container
        self._connection = lib.pn_connection()
        self._collector = lib.pn_collector()
        self._transport = lib.pn_transport()
        lib.pn_connection_collect(self._connection, self._collector)
        lib.pn_connection_set_container(self._connection, utf8(container))
        write_map(lib.pn_connection_properties(self._connection), {"product": PRODUCT})
        if server:
            lib.pn_transport_set_server(self._transport)
        else:
            lib.pn_connection_set_hostname(self._connection, utf8(hostname))
        lib.pn_transport_set_max_frame(self._transport, limits.frame_size)
        lib.pn_transport_set_channel_max(self._transport, SESSIONS - 1)
        lib.pn_transport_set_idle_timeout(self._transport, int(bounds.idle_seconds * 1000))
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
        return "" if self._lost else text_at(lib.pn_connection_remote_container(self._connection)) or ""

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
        bundles: bool = False,
        alone: bool = False,
    ) -> Sender:
        """Attach a link that sends to the node `address`; in `batches`, if the peer takes them.

        In `bundles` (`bundle.py`), if it keeps messages for somebody who takes those; `alone`, in a session
        of its own.

        :raises RuntimeError: on a connection that is not live.
        """
        impl = lib.pn_sender(self._begin_session() if alone else self._session, self._link_name(address))
        lib.pn_terminus_set_address(lib.pn_link_target(impl), utf8(address))
        sender = Sender(self, impl, handler, address)
        sender._offers_batches, sender.bundles = batches, bundles
        return self._attach(sender, (properties or {}) | ({batch.PROPERTY: True} if batches else {}))

    def receiver(
        self,
        address: str,
        handler: LinkHandler,
        window: int = 100,
        settled: bool = False,
        max_message_size: int = MAX_MESSAGE,
        properties: dict[str, Any] | None = None,
        filters: dict[str, str | int] | None = None,
        alone: bool = False,
    ) -> Receiver:
        """Attach a link that receives from the node `address`, with credit for `window` messages.

        `filters`: of which of its messages, by what that node understands; `alone`, in a session of its own.

        :raises RuntimeError: on a connection that is not live.
        """
        impl = lib.pn_receiver(self._begin_session() if alone else self._session, self._link_name(address))
        lib.pn_terminus_set_address(lib.pn_link_source(impl), utf8(address))
        if filters:
            write_filter(lib.pn_terminus_filter(lib.pn_link_source(impl)), filters)
        lib.pn_link_set_snd_settle_mode(impl, lib.PN_SND_SETTLED if settled else lib.PN_SND_UNSETTLED)
        lib.pn_link_set_max_message_size(impl, max_message_size)
        receiver: Receiver = self._attach(Receiver(self, impl, handler, address), properties)
        receiver.max_message_size = max_message_size
        receiver.window = window
        return receiver

    def paired(self, address: str, handler: LinkHandler) -> Sender:
        """Attach a pair of links of one name to the node `address`, in a session of their own.

        Over one of them requests go to it, which the :class:`Sender` given back is for; over the other come
        its answers ("AMQP Request-Response Messaging with Link Pairing", OASIS, 2020).

        :raises RuntimeError: on a connection that is not live.
        """
        name, session = self._link_name(address), self._begin_session()
        ends = lib.pn_sender(session, name), lib.pn_receiver(session, name)
        for impl in ends:
            lib.pn_terminus_set_address(lib.pn_link_source(impl), utf8(address))
            lib.pn_terminus_set_address(lib.pn_link_target(impl), utf8(address))
            lib.pn_link_set_snd_settle_mode(impl, lib.PN_SND_SETTLED)
        sender: Sender = self._attach(Sender(self, ends[0], handler, address), {"paired": True})
        receiver: Receiver = self._attach(Receiver(self, ends[1], handler, address), {"paired": True})
        receiver.window = 100
        return sender

    def close(self, condition: Condition | None = None) -> None:
        """Say goodbye to the peer; the links end at once."""
        if self._closed:
            return
        self._closed = True
        if condition is not None:
            write_condition(lib.pn_connection_condition(self._connection), condition)
        lib.pn_connection_close(self._connection)
        self._touch()
        self._end_links(condition)

    def give_up_parts(self) -> None:
        """End the links that have part of a message here: it is too much, with those of others."""
        for link in self.links:
            if isinstance(link, Receiver):
                link._give_up_part()

    # What the reactor calls

    @property
    def owes_much(self) -> bool:
        """Whether a peer that dialled has caused many answers, and not taken them: it may ask no more yet.

        Who was dialled may go on, or each could wait for the other to read.
        """
        return self.is_server and self._owing * ANSWER_BYTES > self._share.bytes

    def receive(self, data: bytes) -> bool:
        """Take bytes from the peer and call the handlers; False when the peer can send no more."""
        if self._sasl is not None:
            authentic = self._authenticate(data)
            if authentic is None:
                return False
            data = authentic
        buffer, offset, size = ffi.from_buffer(data), 0, len(data)
        while offset < size and not self._lost:
            taken = lib.pn_transport_push(self._transport, buffer + offset, size - offset)
            self._dispatch()
            if taken <= 0:
                return False
            offset += taken
        self._touch()
        return not (self._lost or self._expelled) and lib.pn_transport_capacity(self._transport) >= 0

    def output(self) -> memoryview | None:
        """Bytes for the peer (valid until the next call); empty if there are none now, None after the end."""
        self._touched = False
        self._dispatch()
        if self._lost:
            return None
        if self._sasl is not None:
            output = bytes(self._sasl.output)
            return None if self._refused and not output else memoryview(output)
        if self._draining:
            # By now the owners have sent what they have (AMQP 1.0 §2.6.7).
            self._draining = [link for link in self._draining if not link._drained()]
        pending = lib.pn_transport_pending(self._transport)
        if pending < 0:
            return None
        if pending > 0:
            pending = lib.pn_transport_peek(self._transport, buffers.write, min(pending, WRITE_SIZE))
        return buffers.written[:pending]

    def sent(self, count: int) -> None:
        """The first `count` bytes of :meth:`output` have gone."""
        if self._sasl is not None:
            del self._sasl.output[:count]
            self._end_sasl()
        elif not self._lost:
            lib.pn_transport_pop(self._transport, count)
            self._owing = max(0, self._owing - count // ANSWER_BYTES)

    def resume(self) -> None:
        """All output is written: senders that were held back may go on."""
        self._owing = 0
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
        milliseconds = int(now * 1000) or 1
        if milliseconds < self._next_tick:
            return True  # Nothing is due before; bytes that come or go only put it off.
        condition = lib.pn_transport_condition(self._transport)
        broken = lib.pn_condition_is_set(condition)
        self._next_tick = lib.pn_transport_tick(self._transport, milliseconds)
        if lib.pn_transport_pending(self._transport) != 0:
            self._touch()
        if not lib.pn_condition_is_set(condition):
            return True
        if not broken:
            # What Proton tells the peer is what it says of any that takes too much.
            self._condition = Condition(SILENT, "the idle time-out has expired")
        return False

    def gave_up(self, seconds: float) -> bool:
        """Whether the peer has given this connection up, after so many seconds of silence of ours."""
        # Peers tell half of what they wait (AMQP 1.0 §2.4.5); 0 is for ever.
        patience = 2 * lib.pn_transport_get_remote_idle_timeout(self._transport) / 1000
        return bool(0 < patience < seconds)

    def certified(self, who: Identity) -> None:
        """TLS stands, and whom the peer's certificate names; a stranger, if it has shown none."""
        if self._sasl is not None:
            self._sasl.certificate = who

    def fail(self, error: PeerError) -> None:
        """It cannot go on: why, for when it is :meth:`lost`."""
        self._condition = Condition(error.condition, str(error))

    def lost(self, condition: Condition | None = None) -> None:
        """The socket is gone: end every link, tell the handler, free what Proton holds."""
        if self._lost:
            return
        self._lost = self._closed = True
        condition = (
            condition or self._condition or read_condition(lib.pn_transport_condition(self._transport))
        )
        if condition is None and not lib.pn_connection_state(self._connection) & lib.PN_REMOTE_CLOSED:
            condition = Condition("barker:connection-lost", "the peer is gone without a close")
        self._end_links(condition)
        try:
            self.handler.on_lost(self, condition)
        finally:
            self._free()

    def _authenticate(self, data: bytes) -> bytes | None:
        """Bytes for the security layer: what of them is AMQP; None when the peer is none to speak with."""
        assert self._sasl is not None
        self._touch()
        try:
            rest = self._sasl.receive(data)
        except NotAuthentic as error:
            self.fail(error)
            return None
        self._end_sasl()
        return rest

    def _answered(self, error: NotAuthentic | None) -> None:
        """The security layer has waited for something, which ends it, or lets it go on."""
        if self._lost:
            return
        if error is not None:
            self._refused = True
            self.fail(error)
        self._end_sasl()
        self._touch()

    def _end_sasl(self) -> None:
        """AMQP goes on alone, once all that belongs before it has gone."""
        sasl = self._sasl
        if sasl is not None and sasl.done:
            self.identity = sasl.identity
            self.proved = sasl.proved
            if not sasl.output:
                self._sasl = None
                self._touch()

    # Events

    def _dispatch(self) -> None:
        """Call the handlers for everything that Proton has noticed."""
        peek, pop, kind_of = lib.pn_collector_peek, lib.pn_collector_pop, lib.pn_event_type
        collector, links = self._collector, self._links
        while not self._lost:
            event = peek(collector)
            if event == NULL:
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
                self._owing += 1
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
            self._expel(TransferLimitExceeded("over a link that has ended"))
            return
        while (delivery := lib.pn_link_current(impl)) != NULL:
            while lib.pn_link_recv(impl, buffers.read, READ_SIZE) > 0:
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
        theirs = read_map(lib.pn_connection_remote_properties(self._connection))
        if theirs.get("product") != PRODUCT:
            lib.pn_transport_set_idle_timeout(self._transport, int(self._limits.idle_seconds * 1000))
        if lib.pn_connection_state(self._connection) & lib.PN_LOCAL_UNINIT:
            lib.pn_connection_open(self._connection)
        self._opened = True
        self._next_tick = 0  # What either waits has been agreed on now.
        self.handler.on_connected(self)

    def _on_connection_close(self, event: Any) -> None:
        self._closed = True
        self._condition = read_condition(lib.pn_connection_remote_condition(self._connection))
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
        condition = read_condition(lib.pn_session_remote_condition(session))
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
        address = text_at(lib.pn_terminus_get_address(terminus)) or ""
        link = (Sender if sends else Receiver)(self, impl, LinkHandler(), address)
        try:
            if lib.pn_terminus_get_type(terminus) == lib.PN_COORDINATOR:
                raise NotSupported("there are no transactions here")
            if lib.pn_terminus_is_dynamic(terminus):
                raise NotSupported("there are no dynamic nodes here: attach to an address")
            if has_entries(lib.pn_terminus_filter(terminus)):
                raise NotSupported("there are no filters here: attach without one")
            if lib.pn_terminus_get_distribution_mode(terminus) == lib.PN_DIST_MODE_COPY:
                raise NotSupported("there is no browsing here (distribution-mode copy): receiving consumes")
            if not address:
                raise InvalidField("attach to an address: this container has no anonymous node")
            self._check_links()
            link.properties = read_map(lib.pn_link_remote_properties(impl))
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

    def _expel(self, error: PeerError) -> None:
        """Close the connection, and read nothing more of a peer that does not keep to what it was told."""
        self._expelled = True
        self.close(Condition(error.condition, error.description))

    def _check_links(self) -> None:
        """See that the peer may attach one link more; with those that ended and that it did not detach.

        :raises LimitExceeded: when it may not; who goes on then has no connection any more.
        """
        most = self._limits.links
        count = len(self._links) + len(self._ending)
        if count > most:
            error = LimitExceeded(f"a connection may have {most} links here, and detaches those that ended")
            if count > 2 * most:
                self._expel(error)
            raise error

    def _on_link_close(self, event: Any) -> None:
        impl = lib.pn_event_link(event)
        link = self._links.get(impl)
        if link is not None:
            condition = read_condition(lib.pn_link_remote_condition(impl))
            lib.pn_link_close(impl)
            self._call(link, link._end, condition)
        elif impl in self._ending:
            del self._ending[impl]
            lib.pn_link_free(impl)

    # Small parts

    @property
    def _session(self) -> Any:
        if self._default_session is None:
            self._default_session = self._begin_session()
        return self._default_session

    def _begin_session(self) -> Any:
        if self._closed:
            raise RuntimeError("the connection is lost or closed: make a new one")
        session = lib.pn_session(self._connection)
        lib.pn_session_open(session)
        return session

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
        return utf8(f"{self._container}-{next(self._names)}-{address}")

    def _attach(self, link: Any, properties: dict[str, Any] | None) -> Any:
        if properties:
            write_map(lib.pn_link_properties(link._link), properties)
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


def _far_terminus(link: Link) -> Any:
    """The terminus at the peer's side of a link that we attached."""
    sends = isinstance(link, Sender)
    return lib.pn_link_remote_target(link._link) if sends else lib.pn_link_remote_source(link._link)
