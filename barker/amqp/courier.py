"""A courier: brings messages to an address, each until it has an outcome, in order, whatever is lost.

What a link had unsettled when it was lost goes back to the head of the courier's queue and is sent again
over the next one, with the same bytes; the inbox knows by the key that it has it already.

What is to be sent goes at the end of the turn, several messages in one transfer if the peer takes them so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from barker.amqp.batch import OVERHEAD
from barker.amqp.engine import MODIFIED, RELEASED, Condition, Sender
from barker.amqp.links import Network, PeerHandler, sender_to
from barker.core.work_queue import Entry, WorkQueue

MOST_IN_FLIGHT = 2_000
"""How many messages may wait for their outcome, however much credit there is."""


class Courier(PeerHandler[Sender]):
    """Sends to one address, wherever that is."""

    def __init__(
        self,
        network: Network,
        address: str,
        on_outcome: Callable[[Any, int, Condition | None], None],
        still_wanted: Callable[[Any], bool] = lambda token: True,
        on_refused: Callable[[Condition], bool] = lambda condition: True,
    ) -> None:
        """`on_outcome(token, outcome, condition)` hears of ACCEPTED and REJECTED; the released goes again.

        `still_wanted(token)` is asked just before sending; if not, the message is dropped.
        """
        self._on_outcome, self._still_wanted, self._refused = on_outcome, still_wanted, on_refused
        self._queue = WorkQueue.in_memory()
        self._tokens: dict[int, Any] = {}
        self._sequence = 0
        self._at_end, self._due = network.reactor.at_end, False
        self._link = sender_to(network, address, self, batches=True)

    def __len__(self) -> int:
        """How many messages have no outcome yet."""
        return self._queue.depth

    @property
    def in_flight(self) -> int:
        """How many messages are sent and have no outcome yet."""
        return self._queue.in_flight

    @property
    def memory(self) -> int:
        """Bytes of all messages that have no outcome yet."""
        return self._queue.memory

    @property
    def place(self) -> str:
        """Where the messages go now, as host:port; empty if nowhere."""
        return self._link.place

    def send(self, data: bytes, token: Any = None) -> None:
        """Bring `data` there."""
        self._sequence += 1
        self._tokens[self._sequence] = token
        self._queue.push(Entry(self._sequence, data))
        self._send_soon()

    def close(self) -> None:
        """End the link, and do not come back; what has no outcome stays where it is."""
        self._link.close()

    def on_credit(self, link: Sender) -> None:
        """The peer takes something."""
        self._send_soon()

    def on_outcome(self, link: Sender, sequence: int, outcome: int, condition: Condition | None) -> None:
        """One has its outcome."""
        if outcome in (RELEASED, MODIFIED):
            self._queue.release(link, sequence)
        else:
            self._on_outcome(self._done(link, sequence), outcome, condition)
        self._send_soon()

    def on_lost(self, link: Sender, condition: Condition | None) -> None:
        """All without an outcome goes again."""
        self._queue.release_all(link)

    def on_refused(self, condition: Condition) -> bool:
        """As the owner says."""
        return self._refused(condition)

    def _send_soon(self) -> None:
        if not self._due:
            self._due = True
            self._at_end(self._send)

    def _send(self) -> None:
        """Send what the peer takes."""
        self._due = False
        link = self._link.link
        credit = link.credit if link is not None else 0
        while link is not None and credit > 0:
            room = min(link.batch_messages, MOST_IN_FLIGHT - link.in_flight)
            entries = self._queue.lease(link, room, link.batch_bytes, OVERHEAD)
            if not entries:
                return
            wanted = []
            for entry in entries:
                if self._still_wanted(self._tokens[entry.sequence]):
                    wanted.append(entry)
                else:
                    self._done(link, entry.sequence)
            if wanted:
                link.send_batch([entry.data for entry in wanted], [entry.sequence for entry in wanted])
                credit -= 1

    def _done(self, link: Sender, sequence: int) -> Any:
        self._queue.settle(link, sequence)
        return self._tokens.pop(sequence)
