"""Bizlogic with a broker: it takes barks from a queue, and hands them to streams that inboxes follow.

Of all who take from a queue, the broker lets one (*single active consumer*): the next one takes over when it
is gone, and has all that this one had not settled, in order. Several barks come in one message, a bundle
(`amqp/bundle.py`): that is accepted when a stream has all of them, and what cannot be done with has gone to
the dead letters. Nothing is ever given back one by one, for it would come again behind what followed it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from barker.amqp import bundle
from barker.amqp._proton import REJECTED
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Batched, Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import REASON, with_message_annotation
from barker.amqp.outbound import Outbound
from barker.amqp.rabbitmq import BrokerNetwork, ToBroker, from_broker
from barker.amqp.service import Serving
from barker.core.broker import DEAD_LETTERS, Broker, inbox_names, outbox_names, outboxes
from barker.core.broker import inboxes as streams_for
from barker.core.errors import DecodeError, NotAllowed, PeerError
from barker.core.partitions import Partition
from barker.store.userbase import UserBase
from barker.work.spreading import ON_THEIR_WAY, Bizlogic, Course, Outbox

log = logging.getLogger(__name__)


class BrokeredBizlogic(Bizlogic):
    """The service."""

    def __init__(
        self,
        serving: Serving,
        users: UserBase,
        broker: Broker,
        streams: int = 1,
        partition: Partition | None = None,
    ) -> None:
        """As :class:`Bizlogic`; `streams`: how many there are, each with its partition of the users."""
        self._broker, self._authors = broker, partition.count if partition else 1
        super().__init__(serving, users, streams, partition)
        self._letters = ToBroker(self._to, DEAD_LETTERS, bundles=False)
        self._queue = _Queue(self)
        self._takes = outbox_names(self._authors)[partition.number if partition else 0]
        from_broker(self._to, self._takes, self._queue, 0)

    def outbounds(self, inboxes: int) -> list[Outbound]:
        """The ways to so many streams."""
        needed = [*outboxes(self._authors), *streams_for(inboxes)]
        self._to = BrokerNetwork(self.reactor, self._broker, needed, self._never)
        most, memory = self.reactor.system.bounds.on_their_way, ON_THEIR_WAY // inboxes
        self._streams = inbox_names(inboxes)
        return [ToBroker(self._to, name, most, memory) for name in self._streams]

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """Nobody sends here."""
        self.only_own(address)
        raise NotAllowed(f"{address} takes what the broker has: nobody sends to it")

    def bury(self, message: bytes, why: Condition, then: Callable[[], None]) -> None:
        """Have a message among the dead letters; `then` it is done with."""
        log.warning("a message is a dead letter now: %s", why)
        try:
            letter = with_message_annotation(message, REASON, str(why))
        except DecodeError:
            letter = message  # The log has the reason.
        self._letters.send(letter, lambda outcome: then())

    def state(self) -> dict[str, Any]:
        """As of any bizlogic; it is active once the broker has given it something."""
        streams = " ".join(self._streams)
        used = {"broker": f"{self._takes} {DEAD_LETTERS} {streams}", "takes": self._takes}
        return {**super().state(), **used, "inbox": streams, "active": self._queue.given}

    def in_hand(self) -> int:
        """What is begun, and dead letters that are on their way."""
        return super().in_hand() + len(self._letters)


class _Queue(PeerHandler[Receiver]):
    """What comes from the queue, over one link after the other."""

    def __init__(self, bizlogic: BrokeredBizlogic) -> None:
        self._bizlogic = bizlogic
        self._outbox: _Taken | None = None
        self.given = False
        """Whether the broker has given something over the link that stands."""

    def on_found(self, link: Receiver) -> None:
        self._outbox = _Taken(self._bizlogic, link)
        self._outbox.on_opened(link)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        if self._outbox is not None:
            self._outbox.on_closed(link, condition)
        self._outbox, self.given = None, False

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        if self._bizlogic.ending or self._outbox is None:
            return  # It is the next one's, once this link has ended.
        if not self.given:
            self.given = True
            # A follow that the bizlogic before this one has done is to be seen by the next bark.
            self._bizlogic.following.look()
        try:
            messages = bundle.unpack(data)
        except DecodeError as error:
            self._outbox.on_rejected(link, error)
            why = Condition(error.condition, error.description)
            self._bizlogic.bury(data, why, delivery.accept)
            return
        whole = _Bundle(self._bizlogic, delivery, messages)
        for place, message in enumerate(messages):
            one = Batched(whole, place)
            try:
                self._outbox.on_message(link, one, message)
            except PeerError as error:
                one.reject(error)
                self._outbox.on_rejected(link, error)


class _Taken(Outbox):
    """What was taken from the queue over one link, and is not done."""

    def give_back(self) -> None:
        """Drop what is not begun: the broker has it again, all of it in order, once the link has ended."""
        first = self.waiting.popleft() if self.waiting else None
        self.words.clear()
        self.waiting.clear()
        if isinstance(first, Course) and first.begun:
            self.waiting.append(first)


class _Bundle:
    """A delivery of several barks, accepted when all of them are done with."""

    def __init__(self, bizlogic: BrokeredBizlogic, delivery: Delivery, messages: list[bytes]) -> None:
        self.delivery = delivery
        self._bizlogic, self._messages, self._left = bizlogic, messages, len(messages)

    def settle(self, place: int, outcome: int, condition: Condition | None) -> None:
        """One of them is done, or rejected: then it becomes a dead letter first."""
        if not self.delivery.live:
            return  # It is the next one's.
        if outcome == REJECTED and condition is not None:
            self._bizlogic.bury(self._messages[place], condition, self._done)
        else:
            self._done()

    def _done(self) -> None:
        self._left -= 1
        if not self._left:
            self.delivery.accept()
