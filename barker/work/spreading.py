"""The work of bizlogic: hands each bark to the inboxes, with the names of those who must see it.

Outboxes send barks here; each is accepted only when the inbox has accepted all of its fan-out. Nothing is
kept: what this process holds when it dies is still in the outboxes' journals.

What an outbox sends waits in order, as it came, until the inboxes have room: who must see a bark is worked
out only then, and the bytes of a transfer are put together as it is sent. So a long row of barks takes
little, however many follow their authors. Follows that cannot be done now, as the users' file is locked or
their database away, wait for themselves, also in order, and barks go on.

Who must see what is `following.py` beside this; in which transfers, `core/fan_out.py`.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from typing import Any, NamedTuple

from barker.amqp.batch import BYTES, MESSAGES
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Delivery, Receiver
from barker.amqp.message import (
    KEY,
    RECIPIENTS,
    decode_bark,
    with_delivery_annotations,
    with_mentions,
)
from barker.amqp.outbound import Accepted, Dropped, Outbound, Outcome, Rejected
from barker.amqp.reactor import Timer
from barker.amqp.service import Service, Serving
from barker.core.barks import Bark, Follow
from barker.core.errors import InvalidField, LimitExceeded, PeerError
from barker.core.fan_out import Share, part_key
from barker.core.gauges import Latencies
from barker.core.partitions import Partition, addresses
from barker.store.userbase import UserBase
from barker.work.following import Following

log = logging.getLogger(__name__)

MEMORY = 64 * 1024 * 1024
"""So many bytes may have all that outboxes are granted, follows that wait, and fan-outs on their way.

Besides there is what is always in memory: who follows whom, and the fan-outs that are remembered
(:data:`barker.core.fan_out.REMEMBERED`).
"""

HELD = 1_000
"""Bytes that a bark takes here besides its own, at most."""

LARGEST = 128 * 1024
"""The largest message that is taken, in bytes; a bark has some hundreds."""

TRANSFER = max(BYTES + MESSAGES * HELD, LARGEST + HELD)
"""So many bytes takes what comes in one transfer, at most: a batch of barks, or a single large one."""

TRANSFERS = MEMORY // 2 // TRANSFER
"""So many transfers all outboxes together may have unsettled here, but for those that are stuck."""

MOST_TRANSFERS = 8
"""So many of them one outbox has at most: what waits here longer has left the processor's caches."""

ON_THEIR_WAY = MEMORY // 4
"""Above so many bytes of fan-outs that the inboxes have not accepted, no more are begun."""

MOST_WORDS = MEMORY // 4 // HELD
"""So many follows may wait for where users are kept; then what comes behind them waits as well."""

TURN_SECONDS = 0.05
"""After so long a turn of the work ends, and others are served."""

IN_A_ROW = 20
"""So many messages of one outbox are done before the next one has its turn."""

WORDS_AT_ONCE = 100
"""So many follows of an outbox go into one transaction."""

STUCK_SECONDS = 0.05
"""A transfer that is not settled for so long after all of it was begun is stuck."""

RETRY_SECONDS = 0.2
"""Follows that could not be done are tried again after so long."""

FOLLOWED_SECONDS = 0.25
"""So long at most a bark waits for a follow before it that a database takes its time for."""


class Course:
    """A bark on its way to the inbox, or several, in one or more parts."""

    __slots__ = ("bark", "begun", "data", "delivery", "parts_left", "shares")

    def __init__(self, bark: Bark, data: bytes, delivery: Delivery) -> None:
        self.bark, self.data, self.delivery = bark, data, delivery
        self.shares: list[Share] | None = None
        """Its parts; None before they are worked out."""
        self.begun = 0
        """How many of them are handed on."""
        self.parts_left = 0
        """How many the inboxes have not accepted."""


class Part:
    """One transfer of a bark's."""

    __slots__ = ("_bizlogic", "_course", "_share")

    def __init__(self, bizlogic: Bizlogic, course: Course, share: Share) -> None:
        self._bizlogic, self._course, self._share = bizlogic, course, share

    def message(self) -> bytes | None:
        """Its bytes; None when the outbox is lost, which sends the bark again, here or elsewhere."""
        course = self._course
        if not course.delivery.live:
            return None
        key = part_key(course.bark.user, course.bark.id, self._share.part)
        return with_delivery_annotations(course.data, {RECIPIENTS: self._share.recipients, KEY: key})

    def on_outcome(self, outcome: Outcome) -> None:
        """What has become of it."""
        self._bizlogic.on_outcome(self._course, outcome)


class Word(NamedTuple):
    """A follow, or its end, that is not yet done."""

    follow: Follow
    delivery: Delivery


class Bizlogic(Service):
    """The service."""

    kind = "bizlogic"

    def __init__(
        self, serving: Serving, users: UserBase, inboxes: int = 1, partition: Partition | None = None
    ) -> None:
        """`inboxes`: how many there are, each with its partition of the users.

        `users` in a file should not wait for others who write (`patience`): nothing else is done meanwhile.
        `partition`: the authors whose barks and follows it does, at an address of its own; None: all of them.
        """
        super().__init__(serving)
        self.partition = partition
        self.following = Following(users, self.reactor, inboxes)
        self.outboxes: deque[Outbox] = deque()
        self._inboxes = self.outbounds(inboxes)
        self.rejected = 0
        """How many messages were rejected since the start."""
        self._latencies = Latencies()
        self._retrying = False
        self.reactor.each_turn(self._work)
        self.reactor.every(STUCK_SECONDS, self._overlook)

    def outbounds(self, inboxes: int) -> list[Outbound]:
        """The ways to so many inboxes."""
        most, memory = self.reactor.system.bounds.on_their_way, ON_THEIR_WAY // inboxes
        return [Outbound(self.network, address, most, memory) for address in addresses("inbox", inboxes)]

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """An outbox."""
        self.only_own(address)
        if len(self.outboxes) >= TRANSFERS:
            raise LimitExceeded(f"{TRANSFERS} outboxes are all there may be")
        link.max_message_size = LARGEST
        return Outbox(self, link)

    def set_windows(self) -> None:
        """An outbox has come or gone: each may send as many transfers as all together are granted."""
        for outbox in self.outboxes:
            most = 0 if self.ending else TRANSFERS // len(self.outboxes)
            outbox.link.window = min(MOST_TRANSFERS, most)

    # The work

    def _work(self) -> None:
        """Do what waits, of each outbox in turn, until the inboxes are full or it has taken long enough."""
        ready = deque(outbox for outbox in self.outboxes if outbox.waiting and not outbox.held)
        end = self.reactor.clock() + TURN_SECONDS
        self.outboxes.rotate(1)
        while ready:
            outbox = ready.popleft()
            for _ in range(IN_A_ROW):
                if outbox.waiting and not outbox.held and not self._next(outbox):
                    return
            if outbox.waiting and not outbox.held:
                ready.append(outbox)
            if self.reactor.clock() > end:
                self.reactor.after(0, lambda: None)  # The next turn is to come at once.
                return

    def _next(self, outbox: Outbox) -> bool:
        """Do what an outbox has first; False when the inboxes have no room for it."""
        first = outbox.waiting[0]
        if isinstance(first, Course):
            try:
                if not self._spread(first):
                    return False
            except Exception as error:
                log.exception("an error of ours over the bark %s of %s", first.bark.id, first.bark.user)
                self._reject(first.delivery, PeerError(f"an error of the service: {type(error).__name__}"))
            outbox.waiting.popleft()
        elif len(outbox.words) >= MOST_WORDS // len(self.outboxes):
            outbox.held = True
        else:
            stuck = bool(outbox.words)
            for word in list(itertools.islice(outbox.waiting, WORDS_AT_ONCE)):
                if isinstance(word, Course):
                    break
                outbox.words.append(word)
                outbox.waiting.popleft()
            if not stuck:
                self._apply(outbox)
                if outbox.applying and not self.following.troubled:
                    outbox.hold(FOLLOWED_SECONDS)
        return True

    def _spread(self, course: Course) -> bool:
        """Hand a bark on to the inboxes; False when one has no room for all of it."""
        if course.shares is None:
            course.shares = self.following.shares(course.bark.user, course.bark.text)
            course.parts_left = len(course.shares)
            course.data = with_mentions(course.data, self.following.named(course.bark.text))
        while course.begun < len(course.shares):
            share = course.shares[course.begun]
            inbox = self._inboxes[share.inbox]
            if inbox.full:
                return False
            course.begun += 1
            size = len(course.data) + len(share.names) + len(share.also) + HELD
            part = Part(self, course, share)
            inbox.send(part.message, part.on_outcome, size)
        return True

    def on_outcome(self, course: Course, outcome: Outcome) -> None:
        """One part of a bark has gone, or cannot."""
        self.sent += not isinstance(outcome, Dropped)
        if isinstance(outcome, Accepted):
            course.parts_left -= 1
            if not course.parts_left:
                course.delivery.accept()
                self._latencies.add(self.reactor.clock(), self.reactor.wall() - course.bark.created / 1000)
        elif isinstance(outcome, Rejected) and course.delivery.live:
            self._reject(course.delivery, InvalidField(f"the inbox rejected it: {outcome}"))

    def _reject(self, delivery: Delivery, error: PeerError) -> None:
        log.warning("rejected a message of %s: %s", delivery.link.connection.peer, error)
        delivery.reject(error)
        self.rejected += 1

    def _overlook(self) -> None:
        """What is begun and stuck, as an inbox or the users' database is away, keeps nothing else waiting.

        There is a bound for it: that of what is on its way to each inbox, and of follows that wait.
        """
        for outbox in self.outboxes:
            if not outbox.waiting:
                outbox.link.overlook()

    # Follows

    def _apply(self, outbox: Outbox) -> None:
        """Do what an outbox's users have said, in order; later, if it cannot be done now."""
        words = list(itertools.islice(outbox.words, WORDS_AT_ONCE))
        outbox.applying = True
        follows = [word.follow for word in words]
        self.following.apply(follows, lambda errors: self._applied(outbox, words, errors))

    def _applied(self, outbox: Outbox, words: list[Word], errors: list[PeerError | None] | None) -> None:
        outbox.applying = False
        outbox.let_go()
        if errors is None:
            self._retry_in(RETRY_SECONDS)
            return
        for word, refusal in zip(words, errors, strict=True):
            if outbox.words:  # They were not given back meanwhile.
                outbox.words.popleft()
            if refusal is None:
                word.delivery.accept()
            elif word.delivery.live:
                self._reject(word.delivery, refusal)
        if outbox.words:
            self._retry_in(0)

    def _retry_in(self, seconds: float) -> None:
        if not self._retrying:
            self._retrying = True
            self.reactor.after(seconds, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        for outbox in list(self.outboxes):
            if outbox.words and not outbox.applying:
                self._apply(outbox)

    # Around it

    def state(self) -> dict[str, Any]:
        """Whether it is the active one, what it holds, how long barks took to the inbox (seconds)."""
        clock = self.reactor.clock()
        p50, p99 = self._latencies.percentiles(clock, 0.5, 0.99)
        (now,) = self._latencies.percentiles(clock, 0.5, seconds=1)
        waiting = sum(len(outbox.waiting) + len(outbox.words) for outbox in self.outboxes)
        return {
            "latency_now": now,
            "latency_p50": p50,
            "latency_p99": p99,
            "active": bool(self.outboxes),
            "in_flight": waiting + sum(len(inbox) for inbox in self._inboxes),
            "users": len(self.following.graph),
            "rejected": self.rejected,
            "inbox": " ".join(inbox.place for inbox in self._inboxes),
        }

    def on_ending(self) -> None:
        """Take nothing more, and give back what is not begun: a batch is settled only as a whole."""
        super().on_ending()
        self.set_windows()
        for outbox in self.outboxes:
            outbox.give_back()

    def in_hand(self) -> int:
        """Barks that are begun, and that the inboxes have not accepted yet."""
        begun = sum(len(outbox.waiting) for outbox in self.outboxes)
        return begun + sum(len(inbox) for inbox in self._inboxes)

    def on_stop(self) -> None:
        """Let go of the users."""
        self.following.close()


class Outbox(LinkHandler):
    """One outbox's link."""

    batches = True

    def __init__(self, bizlogic: Bizlogic, link: Receiver) -> None:
        self._bizlogic, self.link = bizlogic, link
        self.waiting: deque[Course | Word] = deque()
        """What came and is not done, in order."""
        self.words: deque[Word] = deque()
        """Follows that came before all those, and that are not done yet."""
        self.applying = False
        """Whether the first of them are being done."""
        self.held = False
        """Whether what came behind them waits for them."""
        self._hold: Timer | None = None

    def on_opened(self, link: Receiver) -> None:
        # A follow that the bizlogic before this one has done is to be seen by the next bark.
        self._bizlogic.following.look(self._begin)
        if self not in self._bizlogic.outboxes:
            self._bizlogic.reactor.after(FOLLOWED_SECONDS, self._begin)

    def _begin(self) -> None:
        """It may send now."""
        if self.link.live and self not in self._bizlogic.outboxes:
            self._bizlogic.outboxes.append(self)
            self.link.overlook()
            self._bizlogic.set_windows()

    def hold(self, seconds: float) -> None:
        """What waits is to wait so long at most."""
        self.held, self._hold = True, self._bizlogic.reactor.after(seconds, self.let_go)

    def let_go(self) -> None:
        """It waits no longer."""
        self.held = False
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._bizlogic.received += 1
        word = decode_bark(data, any_time=True)  # The outbox has accepted it.
        partition = self._bizlogic.partition
        if partition is not None and not partition.holds(word.user):
            # Done here it would be in no order to the others of its author.
            raise InvalidField(
                f"{word.user} is not of partition {partition} of authors, which this is: there are "
                f"{partition.count}, and outboxes have to be started with --partitions {partition.count}"
            )
        if self._bizlogic.ending:
            delivery.release()
            return
        self.waiting.append(Course(word, data, delivery) if isinstance(word, Bark) else Word(word, delivery))

    def give_back(self) -> None:
        """Release what is not begun; only the first bark may be, when an inbox had no room for all of it."""
        first = self.waiting.popleft() if self.waiting else None
        begun = isinstance(first, Course) and first.begun > 0
        for each in (*self.words, *([first] if first is not None and not begun else []), *self.waiting):
            each.delivery.release()
        self.words.clear()
        self.waiting = deque([first] if first is not None and begun else [])

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._bizlogic.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        # What waits here is that outbox's to send again.
        if self in self._bizlogic.outboxes:
            self._bizlogic.outboxes.remove(self)
            self._bizlogic.set_windows()
