"""The intake of a manifold: what producers send, and the turn's wait for the journal.

Messages pile up here during a turn of the reactor; at its end the manifold commits them all at once and
only then accepts them. When the disk does not take them, they are released, credit stops, and after a
while it is tried again. When the journal is damaged, nothing is taken any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from barker.amqp.engine import Condition, Delivery, LinkHandler, Receiver
from barker.amqp.reactor import Reactor
from barker.core.errors import Damaged, PeerError, StorageError

log = logging.getLogger(__name__)

WINDOW = 1_000
"""How many messages a producer may have unsettled here."""

RETRY_SECONDS = 1.0
"""How long credit stops after a disk did not take a commit."""

What = TypeVar("What")


class Arrival(NamedTuple, Generic[What]):
    """One message that waits for the commit, and what its manifold made of it."""

    delivery: Delivery
    what: What


class Intake(Generic[What]):
    """All producers of one manifold."""

    def __init__(self, reactor: Reactor, on_damage: Callable[[Damaged], None], window: int = WINDOW) -> None:
        """`on_damage` is to end the service: what is accepted now might not be there at the next start."""
        self._reactor, self._on_damage, self._window = reactor, on_damage, window
        self.arrivals: list[Arrival[What]] = []
        """What came in this turn, in order."""
        self.received = 0
        """How many messages were taken since the start."""
        self.rejected = 0
        """How many messages broke the rules since the start."""
        self.producers: set[Receiver] = set()
        """The producers' links that stand."""
        self._failing = False
        self._trouble = ""
        self._full = False

    def producer(self, link: Receiver, read: Callable[[bytes], What], batches: bool = False) -> LinkHandler:
        """The handler for a producer's link; `read` makes of a message what will be committed.

        When `read` raises a PeerError, that message is rejected with it. `batches`: whether several may come
        in one transfer.
        """
        return _Producer(self, read, batches)

    def commit(self, write: Callable[[list[Arrival[What]]], None]) -> None:
        """Have `write` put all arrivals on disk, and settle them: accepted, or, if it fails, released."""
        arrivals, self.arrivals = self.arrivals, []
        try:
            write(arrivals)
        except StorageError as error:
            self._failing = True
            for arrival in arrivals:
                arrival.delivery.release()
            self._set_windows()
            if isinstance(error, Damaged):
                self._on_damage(error)
                return
            if str(error) != self._trouble:
                log.error("%s", error)
            self._trouble = str(error)
            self._reactor.after(RETRY_SECONDS, self._retry)
        else:
            if self._trouble:
                log.warning("the disk takes it again: messages are accepted")
            self._trouble = ""
            self.received += len(arrivals)
            for arrival in arrivals:
                arrival.delivery.accept()

    @property
    def failing(self) -> bool:
        """Whether the disk did not take the last commit, and nothing is taken for a while."""
        return self._failing

    @property
    def full(self) -> bool:
        """Set it to stop granting credit, because there is too much already; unset it to go on."""
        return self._full

    @full.setter
    def full(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            self._set_windows()

    def _retry(self) -> None:
        self._failing = False
        self._set_windows()

    def _set_windows(self) -> None:
        window = 0 if self._failing or self._full else self._window
        for link in self.producers:
            link.window = window


class _Producer(LinkHandler, Generic[What]):
    """One producer's link."""

    def __init__(self, intake: Intake[What], read: Callable[[bytes], What], batches: bool) -> None:
        self._intake, self._read, self.batches = intake, read, batches

    def on_opened(self, link: Receiver) -> None:
        self._intake.producers.add(link)
        self._intake._set_windows()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._intake.arrivals.append(Arrival(delivery, self._read(data)))

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._intake.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        self._intake.producers.discard(link)
