"""Timelines that are a copy: they follow a broker's stream, and so may others that have the same users.

What comes from the stream is written to the journal together with how far that was read, in one transaction;
so it is on each timeline once, however often this process or the broker ends. An empty journal begins with
the start of the stream. As long as it is behind, nobody is sent here: to know when it has caught up, it
writes a mark at the stream's end, and reads on until it comes to that.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from barker.amqp import bundle
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler
from barker.amqp.message import KEY, RECIPIENTS, cut, encode_map, with_delivery_annotations
from barker.amqp.outbound import Accepted, Outcome
from barker.amqp.rabbitmq import FROM, BrokerNetwork, ToBroker, from_broker
from barker.amqp.service import Serving
from barker.amqp.system import new_id
from barker.core.broker import PREFIX, Broker, inboxes
from barker.core.errors import Damaged, InvalidField, LimitExceeded, PeerError, StorageError
from barker.core.partitions import Partition
from barker.core.routing import Route
from barker.manifolds.intake import RETRY_SECONDS
from barker.manifolds.readers import TimelineManifold, read_fan_out, read_single
from barker.store.journal import CopyJournal, Post
from barker.store.members import Roll

log = logging.getLogger(__name__)

WINDOW = 100
"""So many bundles may be here that are not committed."""

PATIENCE = 2.0
"""If there is no broker after so long, it is taken for whole as it is: old timelines are better than none."""

BYTES = 16 * 1024 * 1024
"""So much of what others write on timelines may wait for the broker."""


class Bundle(NamedTuple):
    """What came in one message of the stream."""

    delivery: Delivery
    offset: int
    """Its place there."""
    posts: list[Post]
    marked: bool
    """Whether it has our mark."""


class TimelineCopy(TimelineManifold):
    """The service."""

    def __init__(
        self,
        serving: Serving,
        journal: CopyJournal,
        broker: Broker,
        history: int,
        remember: int,
        max_message_size: int,
        partition: Partition | None = None,
        max_timelines: int = 2_000_000,
        members: Roll | None = None,
    ) -> None:
        """As :class:`TimelineManifold`, with the stream of the `partition` at the `broker`."""
        super().__init__(
            serving, journal, history, remember, max_message_size, partition, max_timelines, members
        )
        self._name = PREFIX + self.own_address
        streams = [each for each in inboxes(partition.count if partition else 1) if each.name == self._name]
        network = BrokerNetwork(self.reactor, broker, streams, self._never, self.declared)
        self._network = network
        self.bundles: list[Bundle] = []
        """Those that are not committed."""
        self._whole = self._resting = False
        self._trouble = ""
        self.mark = encode_map("mark", new_id())
        """What is written at the stream's end, when there is a link to it."""
        self.to_stream = ToBroker(network, self._name)
        self._asked = 0
        self._stream = from_broker(network, self._name, _Stream(self), WINDOW, self._from)
        self.to_stream.send(self.mark)
        self.reactor.after(PATIENCE, self._waited)

    def _from(self) -> dict[str, str | int]:
        """Where the stream is to be read from."""
        self._asked = self.next
        return {FROM: self.next or "first"}

    @property
    def next(self) -> int:
        """The place in the stream behind what is committed."""
        return self.journal.offset + 1

    # When others are sent here

    def own_routes(self) -> list[Route]:
        """Those of the service, once it has all that the stream had when it began."""
        return super().own_routes() if self._whole else []

    def caught_up(self) -> None:
        """The directory may send readers here."""
        if not self._whole:
            self._whole = True
            for route in self.own_routes():
                self.registered(route)

    def _waited(self) -> None:
        if not self._stream.place and self.journal.offset >= 0:
            self.caught_up()

    # What comes from the stream

    def commit(self) -> None:
        """What came, in one transaction with its place in the stream; then onto the timelines."""
        if self._resting or not self.bundles:
            return
        bundles, self.bundles = self.bundles, []
        posts = self.fresh(post for each in bundles for post in each.posts)
        try:
            entries = self.journal.commit(posts, bundles[-1].offset)
        except StorageError as error:
            self.bundles = bundles
            self._rest(error)
            return
        except Exception:
            log.exception("an error of ours in a commit: the stream is read again from where the journal is")
            self._stream.again()
            return
        with self.as_on_disk():
            self.put(entries)
        if self._trouble:
            log.warning("the disk takes it again")
            self._trouble = ""
        for each in bundles:
            each.delivery.accept()
            self.intake.received += len(each.posts)
            if each.marked:
                self.caught_up()

    def _rest(self, error: StorageError) -> None:
        """The disk does not take it now; the broker sends no more than there is credit for meanwhile."""
        if isinstance(error, Damaged):
            self.fail(error)
        if str(error) != self._trouble:
            log.error("%s", error)
        self._trouble, self._resting = str(error), True
        self.reactor.after(RETRY_SECONDS, self._wake)

    def _wake(self) -> None:
        self._resting = False

    def declared(self, name: str, made: str) -> None:
        """A stream is there, known by `made`.

        If it is another than the one that the journal knows, places in it are others. It is not for the
        broker to tell: it would be silent up to the place that it was asked for.
        """
        if name != self._name or made == self.journal.stream:
            return
        anew = self.next > 0
        self.journal.begin(made)
        if anew:
            log.warning("the broker has another stream than before: it is read from its start")
            if not self._whole:
                self.to_stream.send(self.mark)
            self._stream.again()

    def found(self) -> None:
        """There is a link to the stream: it has to begin where the journal ends."""
        if self._asked != self.next:
            self._stream.again()

    def missing(self, place: int, end: int) -> None:
        """There was nothing from that place in the stream to the `end`."""
        _First(self._network, self._name, place, end)

    # What others write on timelines

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """Someone who writes on one timeline, or on several: it goes through the stream, for all copies."""
        link.max_message_size = self._max_message_size
        if address == self.own_address:
            return _Writer(self, self.read_others)
        user = self.user(address)
        return _Writer(self, lambda data: read_single(data, user))

    def state(self) -> dict[str, Any]:
        """As of any timelines; and the place in the stream."""
        name, offset = self._name, self.journal.offset
        return {**super().state(), "broker": name, "takes": name, "offset": offset}


class _Stream(PeerHandler[Receiver]):
    """The link from the stream."""

    def __init__(self, manifold: TimelineCopy) -> None:
        self._manifold = manifold
        self._next = 0

    def on_found(self, link: Receiver) -> None:
        self._next = self._manifold.next
        self._manifold.found()

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        self._manifold.bundles.clear()  # They come again.

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        manifold, offset, expected = self._manifold, bundle.offset(data), self._next
        if offset > expected > 0:
            manifold.missing(expected, offset)
        self._next = offset + 1
        posts: list[Post] = []
        messages: list[bytes] = []
        try:
            messages = bundle.unpack(data)
        except PeerError as error:
            self._left_out(link, error)
        for message in messages:
            try:
                if cut(message).delivery_annotations:  # A mark has none.
                    posts.append(read_fan_out(message))
            except PeerError as error:
                self._left_out(link, error)
        manifold.bundles.append(Bundle(delivery, offset, posts, manifold.mark in messages))

    def _left_out(self, link: Receiver, error: PeerError) -> None:
        log.warning("%s: a message of the stream is left out: %s", link.connection.peer, error)
        self._manifold.intake.rejected += 1


class _First(PeerHandler[Receiver]):
    """Looks at the first message of the stream, where there was nothing at some places.

    The broker keeps notes of its own in a stream, which have places, too, and which nobody is given. If what
    it has begins before those places, that is all.
    """

    def __init__(self, network: BrokerNetwork, name: str, place: int, end: int) -> None:
        self._place, self._end = place, end
        self._link = from_broker(network, name, self, 1, lambda: {FROM: "first"})

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        gone = min(bundle.offset(data), self._end) - self._place
        if gone > 0:
            log.error("the broker's stream has forgotten %d messages that were not read", gone)
        self._link.close()


class _Writer(LinkHandler):
    """The link of one who writes on timelines."""

    def __init__(self, manifold: TimelineCopy, read: Callable[[bytes], Post]) -> None:
        self._manifold, self._read = manifold, read

    def on_opened(self, link: Receiver) -> None:
        link.window = self._manifold.reactor.system.bounds.window

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        post, stream = self._read(data), self._manifold.to_stream
        if stream.memory > BYTES:
            link.refuse(LimitExceeded("too much waits here for the broker: try again"))
            return
        message = with_delivery_annotations(post.data, {RECIPIENTS: post.users, KEY: post.key})
        stream.send(message, functools.partial(_settled, delivery))


def _settled(delivery: Delivery, outcome: Outcome) -> None:
    if isinstance(outcome, Accepted):
        delivery.accept()
    else:
        delivery.reject(InvalidField(f"the broker does not take it: {outcome}"))
