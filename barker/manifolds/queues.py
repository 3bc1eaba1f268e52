"""The manifold as queues: it stores, and forwards to a service (push) or to whoever asks (pull).

Every address at or below the manifold's own is a queue of its own. What a consumer rejects goes to the
queue's dead letters, at ``ADDRESS/dead-letters``: a queue like the others, except that a letter leaves it
only when a consumer accepts it.

What is next for whom is `core/work_queue.py`; what lasts is `store/journal.py`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from barker.amqp._proton import ACCEPTED, REJECTED
from barker.amqp.batch import HEAD_BYTES
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import UNDELIVERABLE, Condition, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import PeerHandler, PeerLink, sender_to
from barker.amqp.message import REASON, check_sections, encode_map, is_follow, with_delivery_annotations
from barker.amqp.service import Service, Serving, only_send, too_large
from barker.core.access import DEAD_LETTERS, check_author
from barker.core.errors import DecodeError, Mistake, StorageError, not_here
from barker.core.gauges import Peak
from barker.core.partitions import addresses, count_in, number_of
from barker.core.reports import QUEUES, QueueReport, queue_reports
from barker.core.work_queue import Entry, WorkQueue
from barker.manifolds.handed_on import HandedOn
from barker.manifolds.intake import Intake, Producer
from barker.store.journal import QueueJournal
from barker.store.memory import QueueMemory

log = logging.getLogger(__name__)

ROW_BYTES = 8 * 1024
"""So many bytes of small messages go to a peer that knows no batches before it is looked at again."""

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
        """Those who have had credit; who has none yet is in no one's way."""
        self.links = 0
        """How many links there are to it, of producers and consumers: as long as there is one, it stays."""
        self.holds_dead_letters = address.endswith(DEAD_LETTERS)
        """Whether this is some queue's dead letters."""
        self.counted = 0, 0
        """Its depth and what is in flight, as they are in the manifold's totals."""


class QueueManifold(Service):
    """The service."""

    kind = "manifold"

    def __init__(
        self,
        serving: Serving,
        journal: QueueJournal | QueueMemory,
        push: str | None = None,
        check: Callable[[bytes], object] = check_sections,
        max_depth: int = 10_000_000,
        max_message_size: int = 16 * 1024 * 1024,
        partitions: int = 1,
    ) -> None:
        """`push`: the address to forward to, else consumers pull. `check` raises PeerError on bad input.

        `partitions`: into so many what is pushed is divided by its authors, each with a queue and a service
        of its own; `check` has to give what a user says.

        :raises Mistake: when messages wait in the journal for another number of them.

        From `max_depth` messages on no credit is granted until there are fewer; as many again may have been
        granted before.
        """
        found = journal.queues()
        if push is not None:
            _check_partitions(found, serving.address, partitions)
        super().__init__(serving)
        self.journal = journal
        self._push, self._check = push, check
        self._max_message_size = max_message_size
        self._most_in_flight = self.reactor.system.bounds.in_flight
        self._queues: dict[str, Queue] = {}
        self.intake: Intake[tuple[str, bytes]] = Intake(self.reactor, self.fail, max_depth)
        """All its producers."""
        self._settled: list[tuple[str, int]] = []
        self._dead: list[tuple[str, bytes]] = []
        self._unanswered: dict[Sender, None] = {}
        """Consumers whose word is to hold with the next commit."""
        # Dictionaries for sets: their order is the order in which things came, in every run.
        self._awake: dict[Queue, None] = {}
        self._changed: dict[Queue, None] = {}
        self._unused: dict[Queue, None] = {}
        self._depth = self._in_flight = self._dead_letters = 0
        self._peak = Peak()
        self._pushed = addresses(serving.address, partitions)
        """The queues that are pushed, each to its service; of a manifold without push, its own address."""
        for address, count in found.items():
            queue = self._queue(address)
            queue.work.expect(count)
            self._awake[queue] = None
        self._services: dict[str, PeerLink[Sender]] = {}
        """By queue: where it is pushed to."""
        self._barks: HandedOn | None = None
        if push is not None and check is not check_sections:  # It takes barks alone.
            work = [self._queue(address).work for address in self._pushed]
            self._barks = HandedOn(journal.tally, work, self.reactor.wall())
        if push is not None:
            for address, service in zip(self._pushed, addresses(push, partitions), strict=True):
                consumer = _Consumer(self, self._queue(address))
                self._services[address] = sender_to(self.network, service, consumer, batches=True)
        self.reactor.each_turn(self._end_turn)
        self.reactor.every(FORGET_SECONDS, self._forget)

    # Links

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A producer of a queue."""
        self._look_up(address)
        link.max_message_size = self._max_message_size

        check, who = self._check, link.connection.identity

        def check_person(data: bytes) -> object:
            word = check(data)
            check_author(who, word)
            return word

        read = self._read(address, check_person if who.kind == "person" else check)
        return _Producer(self, self._queue(address), read)

    def _read(self, address: str, check: Callable[[bytes], object]) -> Callable[[bytes], tuple[str, bytes]]:
        """What checks a message to an address, and finds the queue that it is for."""
        queues = self._pushed

        def read(data: bytes) -> tuple[str, bytes]:
            check(data)
            return address, data

        def read_by_author(data: bytes) -> tuple[str, bytes]:
            word: Any = check(data)
            return queues[number_of(word.user, len(queues))], data

        by_author = len(queues) > 1 and not address.endswith(DEAD_LETTERS)
        return read_by_author if by_author else read

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A consumer of a queue, or who wants to know how they all do."""
        if address == self.agent.address + QUEUES:
            return Broadcast(lambda: [encode_map("queues", queue_reports(self.queues()))], Lag.GAP)
        self._look_up(address)
        queue = self._queue(address)
        if self._push is not None and not queue.holds_dead_letters:
            raise only_send(address)
        return _Consumer(self, queue)

    def _look_up(self, address: str) -> None:
        own = self.serving.address
        if address != own and not address.startswith(own + "/"):
            raise not_here(address, f"this manifold serves {own}")
        if self._push is not None and address not in (own, own + DEAD_LETTERS):
            raise not_here(address, f"this manifold forwards {own} and nothing below it")

    def _queue(self, address: str) -> Queue:
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = Queue(address, self.journal.work_queue())
        return queue

    def attached(self, queue: Queue) -> None:
        """A link to a queue stands."""
        queue.links += 1

    def detached(self, queue: Queue) -> None:
        """A link to a queue has ended."""
        queue.links -= 1
        self._unused[queue] = None

    def _forget(self) -> None:
        """Queues are made when they are named; those that are empty and that nobody uses are no more."""
        unused, self._unused = self._unused, {}
        for queue in unused:
            # Its address may have become another's since.
            known = self._queues.get(queue.address) is queue and queue.address not in self._pushed
            if known and not queue.work.depth and not queue.links:
                del self._queues[queue.address]

    # What consumers do

    def join(self, queue: Queue, link: Sender) -> None:
        """A consumer has come."""
        if link not in queue.consumers:
            queue.consumers.append(link)
        self._awake[queue] = None

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
        self._awake[queue] = None

    def settled(
        self, queue: Queue, link: Sender, sequence: int, outcome: int, condition: Condition | None
    ) -> None:
        """A consumer has settled a message, or is about to, once it is told that this holds."""
        self._unanswered[link] = None
        if outcome == ACCEPTED:
            entry = queue.work.settle(link, sequence)
            self._settled.append((queue.address, sequence))
            if self._barks and entry is not None and not queue.holds_dead_letters:
                self._barks.accepted(entry)
        elif queue.holds_dead_letters:
            # It stays in flight to this link, which so sees each letter once, and is back when the link goes;
            # there may be room for the next one.
            pass
        elif outcome == REJECTED:
            self._bury(queue, link, sequence, condition)
        elif outcome == UNDELIVERABLE and self._push is not None:
            # It is the one service for them all.
            self._bury(queue, link, sequence, Condition("amqp:modified", "the service cannot deliver it"))
        elif outcome == UNDELIVERABLE:
            queue.work.refuse(link, sequence)
        else:
            queue.work.release(link, sequence)
        self._awake[queue] = None

    def _bury(self, queue: Queue, link: Sender, sequence: int, condition: Condition | None) -> None:
        """A message that is in flight to `link` becomes a dead letter."""
        entry = queue.work.settle(link, sequence)
        if entry is not None:
            log.warning(
                "%s: %s has rejected a message, which is a dead letter now: %s",
                queue.address,
                link.connection.peer,
                condition,
            )
            self._settled.append((queue.address, sequence))
            if self._barks:
                self._barks.rejected(entry)
            # Of all partitions there is one: who looks through them need not know of partitions.
            address = queue.address if self._push is None else self.serving.address
            self._dead.append((address + DEAD_LETTERS, _marked(entry.data, condition)))

    # The end of a turn

    def _end_turn(self) -> None:
        if self._barks:
            self._barks.turn(self.reactor.wall())
        self._commit()
        if self._unanswered and not self._settled and not self._dead:
            for link in self._unanswered:
                link.answer()
            self._unanswered.clear()
        while self._awake and len(self._settled) < MOST_SETTLED:
            queue = next(iter(self._awake))
            del self._awake[queue]
            self._changed[queue] = None
            if not self.ending:
                self._pump(queue)
        self._count()
        self.intake.stored(self._depth + self._dead_letters)
        self._peak.update(self.reactor.clock(), self._depth)

    def _commit(self) -> None:
        """What came, what died and what is settled, in one transaction; only then is it accepted."""
        arrivals = self.intake.take()
        if self.intake.resting or not (arrivals or self._settled or self._dead):
            return
        added = [arrival.what for arrival in arrivals] + self._dead
        tally = self._barks.tally if self._barks else None
        try:
            entries = self.journal.commit(added, self._settled, tally)
        except Exception as error:
            self.intake.fail(arrivals, error)
            return
        with self.as_on_disk():
            self._settled, self._dead = [], []
            if self._barks:
                self._barks.committed(entries)
            for (address, _), entry in zip(added, entries, strict=True):
                queue = self._queue(address)
                queue.work.push(entry)
                self._awake[queue] = None
            self.intake.accept(arrivals)

    def _pump(self, queue: Queue) -> None:
        """Give the consumers what they have credit for, each in turn."""
        idle = 0
        while idle < len(queue.consumers):
            link = queue.consumers[0]
            queue.consumers.rotate(-1)
            served = self._serve(queue, link, once=len(queue.consumers) > 1)
            idle = 0 if served else idle + 1

    def _serve(self, queue: Queue, link: Sender, once: bool) -> bool:
        """Send over `link` what it has credit for, or make just one transfer; whether there was any."""
        settled, served = link.wants_settled, False
        # A transfer is settled as a whole, and follows may wait long for where users are kept.
        kind = is_follow if self._barks and not queue.holds_dead_letters else None
        # Credit is looked at each time: it is none, too, while much waits for the peer's socket.
        while (credit := link.credit) and link.in_flight < self._most_in_flight and not (served and once):
            self._load(queue)
            if link.batches:
                most, memory = link.batch_messages, link.batch_bytes
            else:
                most, memory = 1 if once else credit, min(ROW_BYTES, link.max_message_size or ROW_BYTES)
            most = min(most, self._most_in_flight - link.in_flight)
            entries = queue.work.lease(link, most, memory, HEAD_BYTES, kind)
            if not entries:
                break
            if link.max_message_size and len(entries[0].data) > link.max_message_size:
                self._too_large(queue, link, entries[0])
                continue
            sequences = [entry.sequence for entry in entries]
            link.send_batch([entry.data for entry in entries], sequences, settled)
            self.sent += len(entries)
            served = True
            if settled:
                for sequence in sequences:
                    queue.work.settle(link, sequence)
                    self._settled.append((queue.address, sequence))
        return served

    def _too_large(self, queue: Queue, link: Sender, entry: Entry) -> None:
        """A consumer takes no message of that size: those behind it must not wait for it for ever."""
        error = too_large(entry.data, link)
        if self._push is not None and not queue.holds_dead_letters:
            # It is the one service for them all.
            self._bury(queue, link, entry.sequence, Condition(error.condition, error.description))
            self._awake[queue] = None
        else:
            link.refuse(error)  # Others may take it.

    def _load(self, queue: Queue) -> None:
        """Bring the head of a long queue into memory."""
        wanted = queue.work.wanted()
        if wanted is not None:
            try:
                queue.work.refill(self.journal.load(queue.address, *wanted))
            except StorageError as error:
                # What comes next cannot be known, and nothing may go before it.
                self.fail(error)

    def _count(self) -> None:
        """Bring the totals up to date with the queues that have changed."""
        for queue in self._changed:
            depth, in_flight = queue.work.depth, queue.work.in_flight
            depth_before, in_flight_before = queue.counted
            queue.counted = depth, in_flight
            if queue.holds_dead_letters:
                self._dead_letters += depth - depth_before
            else:
                self._depth += depth - depth_before
                self._in_flight += in_flight - in_flight_before
            if not depth:
                self._unused[queue] = None
        self._changed.clear()

    # Its state

    def state(self) -> dict[str, Any]:
        """Queue depth and what makes it up; dead letters; where it pushes to; journal size in bytes.

        Of an outbox also how many barks it has handed on.
        """
        return {
            **(self._barks.state(self.reactor.wall()) if self._barks else {}),
            "mode": "push" if self._push is not None else "pull",
            "received": self.intake.received,
            "consumer": " ".join(filter(None, (link.place for link in self._services.values()))),
            "depth": self._depth,
            "depth_peak": max(self._depth, self._peak.highest(self.reactor.clock())),
            "in_flight": self._in_flight,
            "dead_letters": self._dead_letters,
            "queues": len(self._queues),
            "rejected": self.intake.rejected,
            "journal_bytes": self.journal.size,
        }

    def queues(self) -> list[QueueReport]:
        """How each queue does, its dead letters with it; and the one at the manifold's own address always."""
        found = {self.serving.address: QueueReport(self.serving.address)}
        for queue in self._queues.values():
            address = queue.address.removesuffix(DEAD_LETTERS)
            known = found.get(address, QueueReport(address))
            if queue.holds_dead_letters:
                found[address] = known._replace(dead_letters=queue.work.depth)
            else:
                holds = queue.work.depth, queue.work.in_flight, len(queue.consumers)
                service = self._services.get(address)
                place = service.place if service is not None else ""
                found[address] = QueueReport(address, *holds, known.dead_letters, place)
        return list(found.values())

    def on_ending(self) -> None:
        """Take nothing more, and send nothing more."""
        super().on_ending()
        self.intake.close()

    def in_hand(self) -> int:
        """What consumers hold: their word on it is waited for."""
        return self._in_flight

    def on_stop(self) -> None:
        """Write what is settled, together with the dead letters made of it; close the journal."""
        tally = self._barks.tally if self._barks else None
        try:
            self.journal.commit(self._dead, self._settled, tally)
        except StorageError as error:
            log.error("%s", error)  # Then both are still where they were, and are sent again.
        self.journal.close()


class _Producer(Producer[tuple[str, bytes]]):
    """A producer: its queue stays as long as it does."""

    def __init__(
        self, manifold: QueueManifold, queue: Queue, read: Callable[[bytes], tuple[str, bytes]]
    ) -> None:
        super().__init__(manifold.intake, read)
        self._manifold, self._queue = manifold, queue

    def on_opened(self, link: Receiver) -> None:
        super().on_opened(link)
        self._manifold.attached(self._queue)

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        super().on_closed(link, condition)
        self._manifold.detached(self._queue)


class _Consumer(PeerHandler[Sender]):
    """A consumer: one that pulls, or whoever serves the address that is pushed to."""

    def __init__(self, manifold: QueueManifold, queue: Queue) -> None:
        self._manifold, self._queue = manifold, queue

    def on_opened(self, link: Sender) -> None:
        link.answers_later = True
        self._manifold.attached(self._queue)

    def on_credit(self, link: Sender) -> None:
        self._manifold.join(self._queue, link)

    def on_outcome(self, link: Sender, token: int, outcome: int, condition: Condition | None) -> None:
        self._manifold.settled(self._queue, link, token, outcome, condition)

    def on_closed(self, link: Sender, condition: Condition | None) -> None:
        self._manifold.leave(self._queue, link)
        self._manifold.detached(self._queue)

    on_found, on_lost = on_opened, on_closed


def _check_partitions(queues: dict[str, int], address: str, partitions: int) -> None:
    """See that what a manifold that pushes has in its queues is there for so many partitions.

    :raises Mistake: when it is for another number of them: nobody would hand it on.
    """
    for queue, messages in queues.items():
        count = count_in(queue, address)
        if count not in (0, partitions):
            raise Mistake(
                f"{messages} messages wait in the journal of {address} for {count} partition(s) of authors, "
                f"not for {partitions}: start with --partitions {count}, or have them divided anew by "
                "'barker repartition'"
            )


def _marked(data: bytes, condition: Condition | None) -> bytes:
    """A dead letter: the message, with the reason as an annotation before it."""
    try:
        return with_delivery_annotations(data, {REASON: str(condition or "no reason given")})
    except DecodeError:
        return data  # Opaque bytes that are no AMQP: kept as they are; the log has the reason.
