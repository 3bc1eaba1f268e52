"""Outbound: brings messages to an address, each until it has an outcome, in order, whatever is lost.

Messages go in the order in which they were given. What a link had unsettled when it was lost goes again over
the next one, before anything new. What the peer releases holds back all behind it: nothing is sent until all
that is in flight has its outcome, then what was released goes again, in order. So nothing overtakes, in
whatever order a peer releases, unless it accepts what came behind a message that it gave back.

What is to be sent goes at the end of the turn, several messages in one transfer if the peer takes them so.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from barker.amqp._proton import ACCEPTED, REJECTED
from barker.amqp.batch import HEAD_BYTES
from barker.amqp.handlers import Condition
from barker.amqp.link import Sender
from barker.amqp.links import Network, PeerHandler, sender_to
from barker.core.errors import MessageTooLarge

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer has taken over the responsibility for the message."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer refuses the message for good; or it is too large for it, or could not be made."""

    condition: Condition

    def __str__(self) -> str:
        return str(self.condition)


@dataclass(frozen=True, slots=True)
class Dropped:
    """The message was no longer wanted when its turn came: whoever makes it gave None."""


Outcome = Accepted | Rejected | Dropped
"""What becomes of a message in the end."""

Then = Callable[[Outcome], None]

Message = bytes | Callable[[], bytes | None]
"""A message, or what makes it just before it is sent (each time); None: it is not wanted any more."""


class _Entry:
    """A message without an outcome."""

    __slots__ = ("data", "message", "number", "size", "then")

    def __init__(self, number: int, message: Message, then: Then | None, size: int) -> None:
        self.number, self.message, self.then, self.size = number, message, then, size
        self.data: bytes | None = message if isinstance(message, bytes) else None


class Outbound(PeerHandler[Sender]):
    """Sends to one address, wherever that is."""

    def __init__(
        self,
        network: Network,
        address: str,
        most: float = 10_000,
        memory: float = 32 * 1024 * 1024,
        bundles: bool | None = None,
    ) -> None:
        """It is :attr:`full` with `most` messages, or `memory` bytes of them, that have no outcome yet.

        `bundles`: of a broker's address, whether it is to keep several of them as one.
        """
        self._most, self._most_memory = most, memory
        self._most_in_flight = network.reactor.system.bounds.in_flight
        self._waiting: deque[_Entry] = deque()
        self._in_flight: dict[_Entry, None] = {}  # In the order sent.
        self._returned: list[_Entry] = []
        self._number = 0
        self._count = 0
        self._memory = 0
        self._at_end, self._due = network.reactor.at_end, False
        self._link = sender_to(
            network, address, self, batches=bundles is None, bundles=bool(bundles), alone=bundles is not None
        )

    def __len__(self) -> int:
        """How many messages have no outcome yet."""
        return self._count

    @property
    def in_flight(self) -> int:
        """How many messages are sent and have no outcome yet."""
        return len(self._in_flight)

    @property
    def memory(self) -> int:
        """Bytes of all messages that have no outcome yet."""
        return self._memory

    @property
    def full(self) -> bool:
        """Whether no more is taken now. To be asked before :meth:`send`; outcomes make room."""
        return self._memory >= self._most_memory or self._count >= self._most

    @property
    def place(self) -> str:
        """Where the messages go now, as host:port; empty if nowhere."""
        return self._link.place

    def send(self, message: Message, then: Then | None = None, size: int | None = None) -> None:
        """Bring `message` there; `then` is called once, with its outcome, never from within this call.

        `size`: the bytes that it keeps in memory until then, of one that is made as it is sent.

        :raises RuntimeError: when it is :attr:`full`.
        """
        if self.full:
            raise RuntimeError("no more is taken: look whether it is full before sending")
        self._number += 1
        self._count += 1
        if size is None:
            size = len(message) if isinstance(message, bytes) else 0
        self._memory += size
        self._waiting.append(_Entry(self._number, message, then, size))
        self._send_soon()

    def close(self) -> None:
        """End the link, and do not come back; what has no outcome gets none."""
        self._link.close()

    # What the link tells

    def on_credit(self, link: Sender) -> None:
        """The peer takes something."""
        self._send_soon()

    def on_outcome(self, link: Sender, entry: _Entry, outcome: int, condition: Condition | None) -> None:
        """The peer has settled one."""
        del self._in_flight[entry]
        self._send_soon()
        if outcome == ACCEPTED:
            self._done(entry, _ACCEPTED)
        elif outcome == REJECTED:
            self._done(entry, Rejected(condition or Condition("amqp:internal-error", "no reason given")))
        else:
            self._returned.append(entry)

    def on_lost(self, link: Sender, condition: Condition | None) -> None:
        """All without an outcome goes again."""
        self._returned += self._in_flight
        self._in_flight.clear()

    # Sending

    def _send_soon(self) -> None:
        if not self._due:
            self._due = True
            self._at_end(self._send)

    def _send(self) -> None:
        """Send what the peer takes."""
        self._due = False
        link = self._link.link
        if link is None:
            return
        if self._returned:
            if self._in_flight:
                return  # Some of it may be released as well, and has to go before what comes behind it.
            self._waiting.extendleft(sorted(self._returned, key=lambda entry: -entry.number))
            self._returned.clear()
        # Its credit is asked for each time: there is none while the socket is full.
        while self._waiting and link.credit > 0:
            entries = self._take(link, min(link.batch_messages, self._most_in_flight - len(self._in_flight)))
            if not entries:
                return
            link.send_batch([entry.data or b"" for entry in entries], entries)
            for entry in entries:
                self._in_flight[entry] = None
                if entry.data is not entry.message:
                    entry.data = None

    def _take(self, link: Sender, count: int) -> list[_Entry]:
        """The next entries, made, as many as go with one transfer."""
        entries: list[_Entry] = []
        room, most = link.batch_bytes, link.max_message_size
        while self._waiting and len(entries) < count:
            entry = self._waiting[0]
            refusal = self._make(entry, most)
            if refusal is None:
                room -= len(entry.data or b"") + HEAD_BYTES
                if entries and room < 0:
                    break  # Made, and the first of the next transfer.
                entries.append(entry)
            else:
                # Not from within this: its owner may do anything then.
                self._at_end(functools.partial(self._done, entry, refusal))
            self._waiting.popleft()
        return entries

    @staticmethod
    def _make(entry: _Entry, most: int) -> Outcome | None:
        """Have the bytes of an entry; its outcome if it is not to be sent. `most`: bytes, 0 for no bound."""
        if entry.data is None:
            assert not isinstance(entry.message, bytes)
            try:
                entry.data = entry.message()
            except Exception as error:
                log.exception("an error of ours: a message cannot be made")
                return Rejected(
                    Condition("amqp:internal-error", f"the message cannot be made: {type(error).__name__}")
                )
            if entry.data is None:
                return Dropped()
        if 0 < most < len(entry.data):
            text = f"the message has {len(entry.data)} bytes; the peer takes {most} at most"
            return Rejected(Condition(MessageTooLarge.condition, text))
        return None

    def _done(self, entry: _Entry, outcome: Outcome) -> None:
        self._count -= 1
        self._memory -= entry.size
        if entry.then is not None:
            entry.then(outcome)


_ACCEPTED = Accepted()
