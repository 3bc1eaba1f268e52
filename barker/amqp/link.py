"""Links: one direction of messages each, with credit, settlement and batches. No I/O.

A C pointer is never used after its link has ended: every object here knows whether it is still alive.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from barker.amqp import batch, bundle
from barker.amqp._proton import (
    ACCEPTED,
    MODIFIED,
    NULL,
    READ_SIZE,
    REJECTED,
    RELEASED,
    buffers,
    ffi,
    lib,
    read_condition,
    read_map,
    text_at,
    write_condition,
    write_map,
)
from barker.amqp.handlers import UNDELIVERABLE, Condition, LinkHandler
from barker.core.errors import DecodeError, LimitExceeded, MessageTooLarge, PeerError, TransferLimitExceeded

if TYPE_CHECKING:
    from barker.amqp.connection import Connection

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 1024 * 1024
"""The largest message a link takes unless told otherwise, in bytes."""

REASON = 140
"""So many characters tell why a message of a batch was rejected: all of them have to fit into a frame."""


class Delivery:
    """A message that came and waits to be settled (AMQP 1.0 §2.6.12)."""

    __slots__ = ("_counts", "_delivery", "link")

    def __init__(self, link: Receiver, delivery: Any) -> None:
        self.link = link
        self._delivery = delivery
        self._counts = True

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

    def modify(self, failed: bool = False, undeliverable_here: bool = False) -> None:
        """Give the message back: it could not be done (`failed`), or is never to come here again (§3.4.5)."""
        if self.live:
            local = lib.pn_delivery_local(self._delivery)
            lib.pn_disposition_set_failed(local, failed)
            lib.pn_disposition_set_undeliverable(local, undeliverable_here)
        self._settle(MODIFIED)

    def reject(self, error: PeerError) -> None:
        """Refuse the message for good, and say why."""
        self._settle(REJECTED, Condition(error.condition, error.description, error.info))

    def _overlook(self) -> None:
        """It counts to the window no more, though it may not be settled yet."""
        if self.live and self._counts:
            self._counts = False
            self.link._returned()

    def _settle(self, outcome: int, condition: Condition | None = None) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None and self.link.live:
            if condition is not None:
                local = lib.pn_delivery_local(delivery)
                write_condition(lib.pn_disposition_condition(local), condition)
            lib.pn_delivery_update(delivery, outcome)
            lib.pn_delivery_settle(delivery)
            self.link._answered()
            if self._counts:
                self.link._returned()


class Whole(Protocol):
    """A delivery that several messages came in."""

    delivery: Delivery

    def settle(self, place: int, outcome: int, condition: Condition | None) -> None:
        """One of the messages has this outcome."""


class Batched(Delivery):
    """One message of several."""

    __slots__ = ("_place",)

    def __init__(self, whole: Whole, place: int) -> None:
        self.link, self._delivery, self._place = whole.delivery.link, whole, place

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


def _outcomes_in(condition: Condition | None, count: int) -> list[tuple[int, Condition | None]]:
    """What became of each of the messages of a rejected batch."""
    info = condition.info if condition is not None and condition.name == batch.PROPERTY else {}
    whys = [info.get(str(place)) for place in range(count)]
    if all(why is None for why in whys):
        # It cannot be read which were accepted: none may count as such.
        return [(REJECTED, condition)] * count
    return [_outcome_for(why) for why in whys]


def _outcome_for(why: Any) -> tuple[int, Condition | None]:
    """What became of a message, by what the condition of its batch says of it."""
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
        self.name = text_at(lib.pn_link_name(impl)) or ""
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
            write_condition(lib.pn_link_condition(self._link), condition)
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
        self.answers_later = False
        """Whether the owner says with :meth:`answer` when outcomes hold; else they do at once."""
        self._answers: list[Any] = []  # Deliveries with an outcome that does not hold yet.
        self.batches = False
        """Whether every transfer is a batch, be it of one."""
        self.batch_messages, self.batch_bytes = 1, 0
        """How much the peer takes in one transfer; more than one message only if it knows batches."""
        self.max_message_size = 0
        """The largest message the peer takes, in bytes; 0: any (AMQP 1.0 §2.7.3). Look before sending."""
        self._offers_batches = self.bundles = False
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
        if not self.batches:
            for data, token in zip(messages, tokens, strict=True):
                self.send(data, token, settled)
        else:
            self.send(bundle.pack(messages) if self.bundles else batch.pack(messages), tokens, settled)
            self.in_flight += 0 if settled else len(tokens) - 1

    def _agree(self) -> None:
        """The peer has attached: how large may messages be? Does it take batches, as was offered?"""
        self.max_message_size = lib.pn_link_remote_max_message_size(self._link)
        if not self._offers_batches and not self.bundles:
            return
        if self.bundles or read_map(lib.pn_link_remote_properties(self._link)).get(batch.PROPERTY) is True:
            bounds = self.connection.bounds
            most = self.max_message_size or bounds.batch_bytes
            self.batches = True
            self.batch_messages, self.batch_bytes = bounds.batch_messages, min(bounds.batch_bytes, most)

    def answer(self) -> None:
        """All outcomes that have come hold now, whatever befalls this process.

        A receiver that settles second (rcv-settle-mode, AMQP 1.0 §2.8.3) forgets a delivery when it hears of
        that, and not before.
        """
        answers, self._answers = self._answers, []
        for delivery in answers:
            lib.pn_delivery_settle(delivery)
        self.connection._touch()

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
            self._answers.clear()
        super()._end(condition)

    def _updated(self, delivery: Any) -> None:
        outcome = lib.pn_delivery_remote_state(delivery)
        settled = lib.pn_delivery_settled(delivery)
        if delivery not in self.unsettled or not (settled or ACCEPTED <= outcome <= MODIFIED):
            return
        token = self.unsettled.pop(delivery)
        condition = None
        if outcome == REJECTED:
            condition = read_condition(lib.pn_disposition_condition(lib.pn_delivery_remote(delivery)))
        elif outcome == MODIFIED:
            if lib.pn_disposition_is_undeliverable(lib.pn_delivery_remote(delivery)):
                outcome = UNDELIVERABLE
        elif not ACCEPTED <= outcome <= MODIFIED:
            # Settled without an outcome: the peer took no responsibility (AMQP 1.0 §3.4).
            outcome = RELEASED
        if self.answers_later and not settled:
            self._answers.append(delivery)
        else:
            lib.pn_delivery_settle(delivery)
            self.connection._touch()
        if not self.batches:
            self.in_flight -= 1
            self.handler.on_outcome(self, token, outcome, condition)
            return
        self.in_flight -= len(token)
        outcomes: Iterable[tuple[int, Condition | None]] = itertools.repeat((outcome, condition), len(token))
        if outcome == REJECTED:
            outcomes = _outcomes_in(condition, len(token))
        for each, (became, why) in zip(token, outcomes, strict=True):
            if not self.live:
                return  # Closed by its owner meanwhile: the others get no outcome.
            self.handler.on_outcome(self, each, became, why)


class Receiver(Link):
    """The receiving end of a link. Credit follows settlement: never more than the window is unsettled.

    But for what its owner overlooks, and bounds otherwise.
    """

    def __init__(self, connection: Connection, impl: Any, handler: LinkHandler, address: str = "") -> None:
        super().__init__(connection, impl, handler, address)
        self._window, self._least = 0, 1
        self._owed = 0
        self._came: list[Delivery] | None = None
        self._came_before: list[Delivery] = []
        # Several, and not one that grows: what that leaves behind as it moves is memory, too.
        self._partial: list[bytearray] = []
        self._partial_bytes = 0
        self.max_message_size = MAX_MESSAGE
        self.batches = False
        """Whether every transfer is a batch."""
        self.lenient = False
        """Whether the peer may send more than it has credit for: RabbitMQ 4.0 does, a few, from streams."""

    def _agree(self) -> None:
        """The peer attaches: does it offer batches, and do we take them?"""
        if self.handler.batches and self.properties.get(batch.PROPERTY) is True:
            self.batches = True
            write_map(lib.pn_link_properties(self._link), {batch.PROPERTY: True})

    @property
    def window(self) -> int:
        """How many deliveries may be unsettled, each a message or a batch; 0 grants no more credit."""
        return self._window

    @window.setter
    def window(self, window: int) -> None:
        self._owed += window - self._window
        self._window, self._least = window, max(1, window // 4)
        self._grant(1)

    def overlook(self) -> None:
        """What came before this was called last, and is not settled, counts to the window no more.

        To be called before anything comes, and then again and again: what comes between is remembered.
        """
        for delivery in self._came_before:
            delivery._overlook()
        self._came_before, self._came = self._came or [], []

    def _returned(self) -> None:
        """One delivery counts no more: the peer gets its credit back, a quarter of the window at a time."""
        self._owed += 1
        if self._owed >= self._least:
            self._grant(self._least)

    def _answered(self) -> None:
        """The outcome of a delivery is to be written."""
        connection = self.connection
        connection._owing += 1
        if not connection._touched:
            connection._touch()

    def _grant(self, least: int) -> None:
        if self.live and self._owed >= least:
            if self.lenient and lib.pn_link_credit(self._link) + self._owed <= lib.pn_link_queued(self._link):
                return  # It has had that already.
            lib.pn_link_flow(self._link, self._owed)
            self._owed = 0
            self.connection._touch()

    def _readable(self) -> None:
        """Hand on every message that is here as a whole."""
        link = self._link
        queued = lib.pn_link_queued(link)
        if not queued:
            return  # They were handed on with one that came before.
        if lib.pn_link_credit(link) < queued and not self.lenient:
            raise TransferLimitExceeded("more messages than there was credit for (AMQP 1.0 §2.6.7)")
        while self.live:
            delivery = lib.pn_link_current(link)
            if delivery == NULL:
                return
            pending = lib.pn_delivery_pending(delivery)
            if lib.pn_delivery_aborted(delivery):
                self._drop_part()
                lib.pn_delivery_settle(delivery)
                self._answered()
                self._returned()
                continue
            partial = lib.pn_delivery_partial(delivery)
            if partial or self._partial or pending > min(READ_SIZE, self.max_message_size):
                self._read_part(pending)
                if partial or not self.live:
                    return
                data = b"".join(self._partial)
                self._drop_part()
            else:
                if pending:
                    lib.pn_link_recv(link, buffers.read, pending)
                data = bytes(buffers.read_bytes[:pending])
            lib.pn_link_advance(link)
            whole = Delivery(self, delivery)
            if self._came is not None:
                self._came.append(whole)
            if self.batches:
                self._unpack(whole, data)
            else:
                self._hand_on(whole, data)

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
            self._hand_on(Batched(whole, place), message)

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
        most = self.max_message_size + (batch.HEAD_BYTES if self.batches else 0)
        if self._partial_bytes + pending > most:
            self._drop_part()
            self.refuse(MessageTooLarge(f"a message here may have {self.max_message_size} bytes at most"))
            return
        if not self.connection._share.keep(self.connection, pending):
            self._give_up_part(always=True)
            return
        while pending > 0:
            got = lib.pn_link_recv(self._link, buffers.read, min(pending, READ_SIZE))
            if got <= 0:
                return
            if not self._partial or len(self._partial[-1]) >= READ_SIZE:
                self._partial.append(bytearray())
            self._partial[-1] += buffers.read_bytes[:got]
            self._partial_bytes += got
            pending -= got

    def _give_up_part(self, always: bool = False) -> None:
        """End the link, if part of a message is here (or `always`), as too much is held of such."""
        if self._partial or always:
            self._drop_part()
            self.refuse(LimitExceeded("too much is held here of unfinished messages: send fewer at a time"))

    def _end(self, condition: Condition | None) -> None:
        self._drop_part()
        self._came, self._came_before = None, []
        super()._end(condition)

    def _drop_part(self) -> None:
        """What was kept of an unfinished message is done with."""
        self.connection._share.forget(self.connection, self._partial_bytes)
        self._partial.clear()
        self._partial_bytes = 0
