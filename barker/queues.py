"""The manifold as queues: it stores, and forwards to a service (push) or to whoever asks (pull).

Every address at or below the manifold's own is a queue of its own. What a consumer rejects goes to the
queue's dead letters, at ``ADDRESS/dead-letters``: a queue like the others, except that a letter leaves it
only when a consumer accepts it.

What is next for whom is `core/work_queue.py`; what lasts is `store/journal.py`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from barker.amqp.batch import OVERHEAD
from barker.amqp.engine import ACCEPTED, REJECTED, Condition, LinkHandler, Receiver, Sender
from barker.amqp.links import PeerHandler, PeerLink, sender_to
from barker.amqp.message import with_delivery_annotations
from barker.amqp.service import Service, Serving, only_send
from barker.core.errors import DecodeError, NotFound, StorageError
from barker.core.gauges import Peak
from barker.core.routes import normalised
from barker.core.work_queue import WorkQueue
from barker.intake import Arrival, Intake
from barker.store.journal import QueueJournal
from barker.store.memory import QueueMemory

log = logging.getLogger(__name__)

DEAD_LETTERS = "/dead-letters"
"""What is added to a queue's address for its dead letters."""

REASON = "x-opt-rejected"
"""Delivery annotation of a dead letter: why it was rejected."""

MOST_IN_FLIGHT = 2_000
"""How many messages one consumer may have unsettled, however much credit it gives."""

MOST_SETTLED = 100_000
"""So many settlements may wait for a disk that takes nothing; then consumers wait as well."""


FORGET_SECONDS = 2.0
"""How often queues that nobody uses are looked for."""


class Queue:
    """One address: its work, and the consumers who compete for it."""

    def __init__(self, address: str, work: WorkQueue) -> None:
        self.address = address
        self.work = work
        self.consumers: deque[Sender] = deque()

    @property
    def holds_dead_letters(self) -> bool:
        """Whether this is some queue's dead letters."""
        return self.address.endswith(DEAD_LETTERS)


class QueueManifold(Service):
    """The service."""

    kind = "manifold"

    def __init__(
        self,
        serving: Serving,
        journal: QueueJournal | QueueMemory,
        push: str | None = None,
        check: Callable[[bytes], object] = lambda data: None,
        max_depth: int = 10_000_000,
        max_message_size: int = 16 * 1024 * 1024,
    ) -> None:
        """`push`: the address to forward to, else consumers pull. `check` raises PeerError on bad input.

        Above `max_depth` messages no credit is granted until there are fewer.
        """
        super().__init__(serving)
        self.journal = journal
        self._push, self._check = push, check
        self._max_depth, self._max_message_size = max_depth, max_message_size
        self._queues: dict[str, Queue] = {}
        self._intake: Intake[tuple[Queue, bytes]] = Intake(self.reactor, self.fail)
        self._settled: list[tuple[str, int]] = []
        self._dead: list[tuple[Queue, bytes]] = []
        self._awake: set[Queue] = set()
        self._peak = Peak()
        for address, count in journal.queues().items():
            self._queue(address).work.expect(count)
        self._consumer: PeerLink[Sender] | None = None
        if push is not None:
            consumer = _Push(self, self._queue(serving.address))
            self._consumer = sender_to(self.network, push, consumer, batches=True)
        self.reactor.each_turn(self._end_turn)
        self.reactor.every(FORGET_SECONDS, self._forget)

    # Links

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A producer of a queue."""
        self._look_up(address)
        link.max_message_size = self._max_message_size
        queue = self._queue(address)

        def read(data: bytes) -> tuple[Queue, bytes]:
            self._check(data)
            return queue, data

        return self._intake.producer(link, read)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A consumer of a queue."""
        self._look_up(address)
        queue = self._queue(address)
        if self._push is not None and not queue.holds_dead_letters:
            raise only_send(address)
        return _Consumer(self, queue)

    def _look_up(self, address: str) -> None:
        own = self.serving.address
        if address != own and not address.startswith(own + "/"):
            raise NotFound(f"{address} is not here; this manifold serves {own}")
        if self._push is not None and address not in (own, own + DEAD_LETTERS):
            raise NotFound(f"{address} is not here; this manifold forwards {own} and nothing below it")

    def _queue(self, address: str) -> Queue:
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = Queue(address, self.journal.work_queue())
        return queue

    def _forget(self) -> None:
        """Queues are made when they are named; those that are empty and that nobody uses are no more."""
        used = {self.serving.address} | {normalised(link.address) for link in self._intake.producers}
        self._queues = {
            address: queue
            for address, queue in self._queues.items()
            if queue.work.depth or queue.consumers or address in used
        }

    # What consumers do

    def join(self, queue: Queue, link: Sender) -> None:
        """A consumer has come."""
        if link not in queue.consumers:
            queue.consumers.append(link)
        self._awake.add(queue)

    def leave(self, queue: Queue, link: Sender) -> None:
        """A consumer has gone: what it held is next again."""
        if link in queue.consumers:
            queue.consumers.remove(link)
        returned = queue.work.release_all(link)
        if returned:
            log.info(
                "%s: %d messages in flight to %s are next again",
                queue.address,
                returned,
                link.connection.peer,
            )
        self._awake.add(queue)

    def settled(
        self, queue: Queue, link: Sender, sequence: int, outcome: int, condition: Condition | None
    ) -> None:
        """A consumer has settled a message."""
        if outcome == ACCEPTED:
            queue.work.settle(link, sequence)
            self._settled.append((queue.address, sequence))
        elif queue.holds_dead_letters:
            # It stays in flight to this link, which so sees each letter once, and is back when the link goes.
            return
        elif outcome == REJECTED:
            entry = queue.work.settle(link, sequence)
            if entry is not None:
                log.warning(
                    "%s: a message was rejected, and is a dead letter now: %s", queue.address, condition
                )
                self._settled.append((queue.address, sequence))
                self._dead.append((self._queue(queue.address + DEAD_LETTERS), _marked(entry.data, condition)))
        else:
            queue.work.release(link, sequence)
        self._awake.add(queue)

    # The end of a turn

    def _end_turn(self) -> None:
        if (self._intake.arrivals or self._settled or self._dead) and not self._intake.failing:
            self._intake.commit(self._write)
        while self._awake and len(self._settled) < MOST_SETTLED:
            self._pump(self._awake.pop())
        self._intake.full = sum(queue.work.depth for queue in self._queues.values()) >= self._max_depth
        self._peak.update(time.monotonic(), self._depth)

    def _write(self, arrivals: list[Arrival[tuple[Queue, bytes]]]) -> None:
        """One commit: what came, what died, what is settled."""
        added = [arrival.what for arrival in arrivals] + self._dead
        entries = self.journal.commit([(queue.address, data) for queue, data in added], self._settled)
        self._settled, self._dead = [], []
        for (queue, _), entry in zip(added, entries, strict=True):
            queue.work.push(entry)
            self._awake.add(queue)

    def _pump(self, queue: Queue) -> None:
        """Give the consumers what they have credit for, each in turn."""
        idle = 0
        while idle < len(queue.consumers):
            link = queue.consumers[0]
            queue.consumers.rotate(-1)
            share = min(link.credit, MOST_IN_FLIGHT - link.in_flight)
            if len(queue.consumers) > 1:
                share = min(share, 1)
            idle = 0 if self._serve(queue, link, share) else idle + 1

    def _serve(self, queue: Queue, link: Sender, share: int) -> bool:
        """Make up to `share` transfers over `link`; whether there was any."""
        settled, served = link.wants_settled, False
        for _ in range(share):
            self._load(queue)
            room = min(link.batch_messages, MOST_IN_FLIGHT - link.in_flight)
            entries = queue.work.lease(link, room, link.batch_bytes, OVERHEAD)
            if not entries:
                break
            sequences = [entry.sequence for entry in entries]
            link.send_batch([entry.data for entry in entries], sequences, settled)
            self.sent += len(entries)
            served = True
            if settled:
                for sequence in sequences:
                    queue.work.settle(link, sequence)
                    self._settled.append((queue.address, sequence))
        return served

    def _load(self, queue: Queue) -> None:
        """Bring the head of a long queue into memory."""
        wanted = queue.work.wanted()
        if wanted is not None:
            try:
                queue.work.refill(self.journal.load(queue.address, *wanted))
            except StorageError as error:
                # What comes next cannot be known, and nothing may go before it.
                self.fail(error)

    # Its state

    @property
    def _depth(self) -> int:
        return sum(queue.work.depth for queue in self._queues.values() if not queue.holds_dead_letters)

    def state(self) -> dict[str, Any]:
        """Queue depth and what makes it up; dead letters; where it pushes to; journal size in bytes."""
        self.received = self._intake.received
        alive = [queue.work for queue in self._queues.values() if not queue.holds_dead_letters]
        dead = [queue.work for queue in self._queues.values() if queue.holds_dead_letters]
        return {
            "mode": "push" if self._push is not None else "pull",
            "consumer": self._consumer.place if self._consumer is not None else "",
            "depth": self._depth,
            "depth_peak": max(self._depth, self._peak.highest(time.monotonic())),
            "in_flight": sum(work.in_flight for work in alive),
            "dead_letters": sum(work.depth for work in dead),
            "queues": len(self._queues),
            "rejected": self._intake.rejected,
            "journal_bytes": self.journal.size,
        }

    def on_stop(self) -> None:
        """Write what is settled since the last commit, and close the journal."""
        try:
            self.journal.commit([], self._settled)
        except StorageError as error:
            log.error("%s", error)
        self.journal.close()


class _Consumer(LinkHandler):
    """A consumer that pulls."""

    def __init__(self, manifold: QueueManifold, queue: Queue) -> None:
        self._manifold, self._queue = manifold, queue

    def on_credit(self, link: Sender) -> None:
        self._manifold.join(self._queue, link)

    def on_outcome(self, link: Sender, token: int, outcome: int, condition: Condition | None) -> None:
        self._manifold.settled(self._queue, link, token, outcome, condition)

    def on_closed(self, link: Sender, condition: Condition | None) -> None:
        self._manifold.leave(self._queue, link)


class _Push(PeerHandler[Sender]):
    """The one consumer of a manifold that pushes: whoever serves the address now."""

    def __init__(self, manifold: QueueManifold, queue: Queue) -> None:
        self._manifold, self._queue = manifold, queue

    def on_credit(self, link: Sender) -> None:
        self._manifold.join(self._queue, link)

    def on_outcome(self, link: Sender, token: int, outcome: int, condition: Condition | None) -> None:
        self._manifold.settled(self._queue, link, token, outcome, condition)

    def on_lost(self, link: Sender, condition: Condition | None) -> None:
        self._manifold.leave(self._queue, link)


def _marked(data: bytes, condition: Condition | None) -> bytes:
    """A dead letter: the message, with the reason as an annotation before it."""
    try:
        return with_delivery_annotations(data, {REASON: str(condition or "no reason given")})
    except DecodeError:
        return data  # Opaque bytes that are no AMQP: kept as they are; the log has the reason.
