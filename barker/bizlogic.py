"""Bizlogic: works out who must see a bark, and hands it to the inbox with their names.

Outboxes send barks here; each is accepted only when the inbox has accepted all of its fan-out. Nothing is
kept: what this process holds when it dies is still in the outboxes' journals. Several run, and the
directory sends everyone to the oldest, so the next takes over when it dies.

What an outbox sends waits in order, as it came, until the inboxes have room: who must see a bark is worked
out only then, and the bytes of a transfer are put together as it is sent. So a long row of barks takes
little, however many follow their authors. Follows that the users' file does not take now wait for
themselves, also in order, and barks go on.

Who must see what is `core/graph.py`, in which transfers `core/fan_out.py`; users and who follows whom are
`store/users.py`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from barker import options
from barker.amqp.batch import BYTES, MESSAGES
from barker.amqp.engine import Condition, Delivery, Limits, LinkHandler, Receiver
from barker.amqp.links import Place
from barker.amqp.message import KEY, RECIPIENTS, decode_bark, with_delivery_annotations
from barker.amqp.outbound import Accepted, Dropped, Outbound, Outcome, Rejected
from barker.amqp.service import Service, Serving
from barker.core.barks import Bark, Follow
from barker.core.errors import InvalidField, LimitExceeded, NotFound, PeerError, StorageError
from barker.core.fan_out import FanOuts, Share, part_key
from barker.core.gauges import Latencies
from barker.core.graph import SocialGraph
from barker.core.partitions import MOST, addresses
from barker.store.users import FILE_NAME, Users

log = logging.getLogger(__name__)

ADDRESS = "bizlogic"

MEMORY = 64 * 1024 * 1024
"""So many bytes may have all that outboxes are granted, and all fan-outs on their way to the inboxes.

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
"""So many transfers all outboxes together may have unsettled here."""

MOST_TRANSFERS = TRANSFERS // 4
"""So many of them one outbox has at most."""

ON_THEIR_WAY = MEMORY // 4
"""Above so many bytes of fan-outs that the inboxes have not accepted, no more are begun."""

MOST_ON_THEIR_WAY = 4_000
"""So many messages are on their way to one inbox at most."""

TURN_SECONDS = 0.05
"""After so long a turn of the work ends, and others are served."""

IN_A_ROW = 20
"""So many messages of one outbox are done before the next one has its turn."""

WORDS_AT_ONCE = 100
"""So many follows of an outbox go into one transaction."""

RETRY_SECONDS = 0.2
"""Follows that the users' file did not take are tried again after so long."""

LOOK_SECONDS = 0.5
"""How often it is asked whether somebody else has changed who follows whom."""

REST_SECONDS = 0.005
"""While all is loaded anew, others are served for so long after every few rows."""


class FanOut:
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

    def part(self, share: Share) -> bytes | None:
        """One transfer; None when the outbox is lost, which sends the bark again, here or elsewhere."""
        if not self.delivery.live:
            return None
        key = part_key(self.bark.user, self.bark.id, share.part)
        return with_delivery_annotations(self.data, {RECIPIENTS: share.recipients, KEY: key})


class Word(NamedTuple):
    """A follow, or its end, that is not yet in the users' file."""

    follow: Follow
    delivery: Delivery


class Bizlogic(Service):
    """The service."""

    kind = "bizlogic"

    def __init__(self, serving: Serving, users: Users, inboxes: int = 1) -> None:
        """`inboxes`: how many there are, each with its partition of the users.

        `users` should not wait for others who write (`patience`): nothing else is done meanwhile.
        """
        super().__init__(serving)
        self.users = users
        self._partitions = inboxes
        self._use(users.graph())
        self.outboxes: deque[Outbox] = deque()
        self._inboxes = [
            Outbound(self.network, address, MOST_ON_THEIR_WAY, ON_THEIR_WAY // inboxes)
            for address in addresses("inbox", inboxes)
        ]
        self.rejected = 0
        """How many messages were rejected since the start."""
        self._latencies = Latencies()
        self._trouble = ""
        self._retrying = False
        self._gone = False
        self._loading: Iterator[SocialGraph | None] | None = None
        self._load_again = False
        self.reactor.every(LOOK_SECONDS, self.look)
        self.reactor.each_turn(self._work)

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
        if self.ending:
            return  # What is not begun is still the outboxes'.
        ready = deque(outbox for outbox in self.outboxes if outbox.waiting)
        end = time.monotonic() + TURN_SECONDS
        self.outboxes.rotate(1)
        while ready:
            outbox = ready.popleft()
            for _ in range(IN_A_ROW):
                if outbox.waiting and not self._next(outbox):
                    return
            if outbox.waiting:
                ready.append(outbox)
            if time.monotonic() > end:
                self.reactor.after(0, lambda: None)  # The next turn is to come at once.
                return

    def _next(self, outbox: Outbox) -> bool:
        """Do what an outbox has first; False when the inboxes have no room for it."""
        first = outbox.waiting[0]
        if isinstance(first, FanOut):
            try:
                if not self._spread(first):
                    return False
            except Exception as error:
                log.exception("an error of ours over the bark %s of %s", first.bark.id, first.bark.user)
                self._reject(first.delivery, PeerError(f"an error of the service: {type(error).__name__}"))
            outbox.waiting.popleft()
        else:
            stuck = bool(outbox.words)
            for word in list(itertools.islice(outbox.waiting, WORDS_AT_ONCE)):
                if isinstance(word, FanOut):
                    break
                outbox.words.append(word)
                outbox.waiting.popleft()
            if not stuck:
                self._apply(outbox)
        return True

    def _spread(self, fan_out: FanOut) -> bool:
        """Hand a bark on to the inboxes; False when one has no room for all of it."""
        if fan_out.shares is None:
            fan_out.shares = self._fan_outs.shares(fan_out.bark.user, fan_out.bark.text)
            fan_out.parts_left = len(fan_out.shares)
        while fan_out.begun < len(fan_out.shares):
            share = fan_out.shares[fan_out.begun]
            inbox = self._inboxes[share.inbox]
            if inbox.full:
                return False
            fan_out.begun += 1
            size = len(fan_out.data) + len(share.names) + len(share.also) + HELD
            inbox.send(
                functools.partial(fan_out.part, share), functools.partial(self._on_outcome, fan_out), size
            )
        return True

    def _on_outcome(self, fan_out: FanOut, outcome: Outcome) -> None:
        self.sent += not isinstance(outcome, Dropped)
        if isinstance(outcome, Accepted):
            fan_out.parts_left -= 1
            if not fan_out.parts_left:
                fan_out.delivery.accept()
                self._latencies.add(time.monotonic(), time.time() - fan_out.bark.created / 1000)
        elif isinstance(outcome, Rejected) and fan_out.delivery.live:
            self._reject(fan_out.delivery, InvalidField(f"the inbox rejected it: {outcome}"))

    def _reject(self, delivery: Delivery, error: PeerError) -> None:
        log.warning("rejected a message of %s: %s", delivery.link.connection.peer, error)
        delivery.reject(error)
        self.rejected += 1

    # Who follows whom

    def _apply(self, outbox: Outbox) -> None:
        """Do what an outbox's users have said, in order; later, if the users' file does not take it now."""
        words = list(itertools.islice(outbox.words, WORDS_AT_ONCE))
        try:
            errors = self._written(words)
        except StorageError as error:
            self._say(error)
            self._retry_in(RETRY_SECONDS)
            return
        for word, refusal in zip(words, errors, strict=True):
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
            if outbox.words:
                self._apply(outbox)

    def _written(self, words: list[Word]) -> list[PeerError | None]:
        """Have follows in the file and in memory; of each, why it cannot be.

        :raises StorageError: when the file does not take them now.
        """
        if not self.users.present:
            return [PeerError(_removed(self.users.path))] * len(words)
        follows = [word.follow for word in words]
        try:
            found = self.users.apply(follows)
            self._take_news()
        except StorageError:
            raise
        except Exception as error:
            if len(words) > 1:  # One of them is at fault, and the others are not.
                return [each for word in words for each in self._written([word])]
            log.exception("an error of ours over %s", follows)
            return [PeerError(f"an error of the service: {type(error).__name__}")]
        self._all_is_well()
        return [
            None if exists else NotFound(f"there is no user {follow.other}")
            for follow, exists in zip(follows, found, strict=True)
        ]

    def look(self) -> None:
        """Has somebody changed who follows whom?"""
        gone = not self.users.present
        if gone and not self._gone:
            log.error("%s", _removed(self.users.path))
        elif self._gone and not gone:
            log.warning("%s is there again: follows are done", self.users.path)
        self._gone = gone
        if not gone:
            try:
                self._take_news()
            except StorageError as error:
                self._say(error)
            else:
                if not any(outbox.words for outbox in self.outboxes):
                    self._all_is_well()

    def _take_news(self) -> None:
        """Change in memory what has changed in the file, by whomever."""
        news = self.users.news()
        for change in news.changes:
            self.graph.change(*change)
            if change.other is not None:
                self._fan_outs.forget(change.other)
        if not news.complete:
            if self._loading is None:
                self._load()
            else:
                self._load_again = True

    def _load(self) -> None:
        """Load everything anew, a few rows at a time."""
        if self._loading is None:
            self._loading, self._load_again = self.users.load(), False
        try:
            graph = next(self._loading)
        except StorageError as error:
            self._say(error)
            self._loading = self.users.load()
            self.reactor.after(LOOK_SECONDS, self._load)
            return
        if graph is None:
            self.reactor.after(REST_SECONDS, self._load)
            return
        self._loading = None
        self._use(graph)
        log.info("the social graph has changed: %d users now", len(graph))
        if self._load_again:
            self._load()
        else:
            self.look()

    def _use(self, graph: SocialGraph) -> None:
        self.graph = graph
        self._fan_outs = FanOuts(graph, self._partitions)

    def _say(self, error: StorageError) -> None:
        """Say what is wrong with the users' file, once."""
        if str(error) != self._trouble:
            log.error("%s", error)
        self._trouble = str(error)

    def _all_is_well(self) -> None:
        if self._trouble:
            log.warning("%s can be used again", self.users.path)
            self._trouble = ""

    # Around it

    def state(self) -> dict[str, Any]:
        """Whether it is the active one, what it holds, how long barks took to the inbox (seconds)."""
        p50, p99 = self._latencies.percentiles(time.monotonic(), 0.5, 0.99)
        waiting = sum(len(outbox.waiting) + len(outbox.words) for outbox in self.outboxes)
        return {
            "latency_p50": p50,
            "latency_p99": p99,
            "active": bool(self.outboxes),
            "in_flight": waiting + sum(len(inbox) for inbox in self._inboxes),
            "users": len(self.graph),
            "rejected": self.rejected,
            "inbox": " ".join(inbox.place for inbox in self._inboxes),
        }

    def on_ending(self) -> None:
        """Take nothing more."""
        super().on_ending()
        self.set_windows()

    def in_hand(self) -> int:
        """Barks that the inbox has not accepted yet."""
        return sum(len(inbox) for inbox in self._inboxes)

    def on_stop(self) -> None:
        """Close the users' file."""
        self.users.close()


class Outbox(LinkHandler):
    """One outbox's link."""

    batches = True

    def __init__(self, bizlogic: Bizlogic, link: Receiver) -> None:
        self._bizlogic, self.link = bizlogic, link
        self.waiting: deque[FanOut | Word] = deque()
        """What came and is not done, in order."""
        self.words: deque[Word] = deque()
        """Follows that came before all those, and that the users' file has not taken yet."""

    def on_opened(self, link: Receiver) -> None:
        # A follow that the bizlogic before this one has done is to be seen by the next bark.
        self._bizlogic.look()
        self._bizlogic.outboxes.append(self)
        self._bizlogic.set_windows()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._bizlogic.received += 1
        word = decode_bark(data, any_time=True)  # The outbox has accepted it.
        self.waiting.append(FanOut(word, data, delivery) if isinstance(word, Bark) else Word(word, delivery))

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._bizlogic.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        # What waits here is that outbox's to send again.
        if self in self._bizlogic.outboxes:
            self._bizlogic.outboxes.remove(self)
            self._bizlogic.set_windows()


def _removed(path: Path) -> str:
    return (
        f"{path} was removed or replaced while it was in use: who follows whom stays as it was, and nobody "
        "can follow; put it back, or end the suite and start it with the new one"
    )


@click.command("bizlogic")
@click.option(
    "--inboxes",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many there are, each started with its --partition.",
)
@options.host
@options.port(5680)
@options.directory
@options.data
@options.limits
@options.program
def main(inboxes: int, host: str, port: int, directory_place: Place, data: Path, limits: Limits) -> None:
    """Run a bizlogic: it works out who must see each bark.

    Run several: the oldest is active, the others wait for it to die.
    """
    users = Users(data / FILE_NAME, create=True, patience=0)
    bizlogic = Bizlogic(Serving(ADDRESS, host, port, directory_place, "ordered", limits), users, inboxes)
    bizlogic.register()
    bizlogic.run()


if __name__ == "__main__":
    main()
