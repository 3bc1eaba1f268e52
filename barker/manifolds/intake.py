"""The intake of a manifold: what producers send, and its wait for the journal.

Messages pile up here during a turn of the reactor. At its end the manifold takes them, commits them all at
once and only then accepts them. What a disk does not take is kept, in its place: no credit is granted, and
after a while it is tried again. So a disk that fails for a time delays, and changes no order. When the
journal is damaged, nothing is taken any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Delivery, Receiver
from barker.amqp.message import decode_bark
from barker.amqp.reactor import Reactor
from barker.amqp.system import clock
from barker.core.barks import Bark, Follow
from barker.core.errors import Damaged, LimitExceeded, PeerError, StorageError
from barker.core.rates import Rates
from barker.store.members import Roll

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How long a disk rests that did not take a commit."""

KEPT_BYTES = 64 * 1024 * 1024
"""So much may wait for a disk that takes nothing; links that bring more end, and come back when it does."""

What = TypeVar("What")


class Arrival(NamedTuple, Generic[What]):
    """One message that waits for the commit, and what its manifold made of it."""

    delivery: Delivery
    what: What
    size: int
    """Bytes of the message."""


class Intake(Generic[What]):
    """All producers of one manifold."""

    def __init__(self, reactor: Reactor, on_damage: Callable[[Damaged], None], most: int = 1 << 62) -> None:
        """`on_damage` is to end the service: what is accepted now might not be there at the next start.

        `most`: with so many messages stored (:meth:`stored`) no more credit is granted.
        """
        self._reactor, self._on_damage, self._most = reactor, on_damage, most
        self._bounds = reactor.system.bounds
        self._arrivals: list[Arrival[What]] = []
        self.received = 0
        """How many messages were taken since the start."""
        self.rejected = 0
        """How many messages broke the rules since the start."""
        self._producers: dict[Receiver, None] = {}
        self._granted = 0
        self._stored = 0
        self._full = False
        self._closed = False
        self._resting = False
        self._trouble = ""
        self._kept_bytes = 0

    # A turn

    @property
    def resting(self) -> bool:
        """Whether the disk did not take the last commit, and is left alone for a while."""
        return self._resting

    def take(self) -> list[Arrival[What]]:
        """All that came, in order, to be committed and then given to :meth:`accept` or :meth:`fail`.

        Nothing while the disk rests.
        """
        if self._resting:
            return []
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def accept(self, arrivals: list[Arrival[What]]) -> None:
        """They are committed, and whatever else was: the disk works."""
        if self._trouble:
            log.warning("the disk takes it again: messages are accepted")
            self._trouble = ""
            self._set_windows()
        self.received += len(arrivals)
        for arrival in arrivals:
            arrival.delivery.accept()

    def fail(self, arrivals: list[Arrival[What]], error: Exception) -> None:
        """They are not committed.

        A disk that fails (StorageError) is tried again later, with all of them in their order. After any
        other error, a bug, the links that brought them end, and their peers may send them again.
        """
        if not isinstance(error, StorageError):
            log.error("an error of ours in a commit; the links it was for end", exc_info=error)
            for link in dict.fromkeys(arrival.delivery.link for arrival in arrivals):
                link.refuse(PeerError(f"an error of the service: {type(error).__name__}"))
            return
        self._arrivals = arrivals + self._arrivals
        if str(error) != self._trouble:
            log.error("%s", error)
        self._trouble = str(error)
        self._resting = True
        self._kept_bytes = sum(arrival.size for arrival in self._arrivals)
        self._set_windows()
        if isinstance(error, Damaged):
            self._on_damage(error)
        else:
            self._reactor.after(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._resting = False

    # Credit

    def stored(self, messages: int) -> None:
        """So many messages are stored now: at `most` no credit is granted, until there are a tenth fewer."""
        self._stored = messages
        full = messages >= self._most if not self._full else messages > self._most * 9 // 10
        if full != self._full:
            self._full = full
            self._set_windows()

    def close(self) -> None:
        """Grant no more credit, ever; what was granted may still come."""
        self._closed = True
        self._set_windows()

    def _set_windows(self) -> None:
        self._granted = 0
        for link in self._producers:
            self._grant(link)

    def _grant(self, link: Receiver) -> None:
        """Give a producer its window: at most half of what there is room for beside those of the others."""
        window = self._bounds.batches_window if link.batches else self._bounds.window
        if self._trouble or self._full or self._closed:
            window = 0
        else:
            window = max(1, min(window, (self._most - self._stored - self._granted) // 2))
        self._granted += window
        link.window = window

    # What its links tell

    def joined(self, link: Receiver) -> None:
        """A producer's link stands."""
        self._producers[link] = None
        self._grant(link)

    def left(self, link: Receiver) -> None:
        """A producer's link has ended."""
        if link in self._producers:
            del self._producers[link]
            self._granted -= link.window

    def _keep(self, arrival: Arrival[What]) -> None:
        """It was granted before the disk failed: it has to wait, if there is room for it."""
        self._kept_bytes += arrival.size
        if self._kept_bytes > KEPT_BYTES:
            arrival.delivery.link.refuse(
                LimitExceeded("the disk takes nothing now, and too much waits for it: try again")
            )
        else:
            self._arrivals.append(arrival)


class Producer(LinkHandler, Generic[What]):
    """One producer's link to an intake."""

    def __init__(self, intake: Intake[What], read: Callable[[bytes], What], batches: bool = False) -> None:
        """`read` makes of a message what will be committed; when it raises a PeerError, that is rejected.

        `batches`: whether several messages may come in one transfer.
        """
        self._intake, self._read, self.batches = intake, read, batches

    def on_opened(self, link: Receiver) -> None:
        """It takes part from now on."""
        self._intake.joined(link)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """It waits for the end of the turn."""
        intake, arrival = self._intake, Arrival(delivery, self._read(data), len(data))
        if intake._resting:
            intake._keep(arrival)
        else:
            intake._arrivals.append(arrival)

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        """Counted."""
        self._intake.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        """What it brought is committed all the same; it gets no outcome, and may come again."""
        self._intake.left(link)


def bark_check(members: Roll | None, rates: Rates) -> Callable[[bytes], Bark | Follow]:
    """What reads a message that has to be a bark or a follow, of somebody who exists, and not too often.

    `members`: who exists; None: everybody.
    """

    def check(data: bytes) -> Bark | Follow:
        word = decode_bark(data)
        rates.check(word.user, clock())
        return word if members is None else members.checked(word)

    return check
