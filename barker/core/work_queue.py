"""A queue of work for consumers that may die: what is ready, what is in flight, what waits on disk.

The heart of the outbox, and of every sender that must not lose what has no outcome yet. Each entry has a
sequence number, and entries are leased in its order. Only the head of a long queue is in memory: behind it,
entries are merely counted until the owner loads them (:meth:`WorkQueue.wanted`, :meth:`WorkQueue.refill`).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """One message: its place in the order, and its bytes."""

    sequence: int
    data: bytes


class _Held:
    """What one consumer has in flight."""

    __slots__ = ("bytes", "entries")

    def __init__(self) -> None:
        self.bytes = 0
        self.entries: dict[int, Entry] = {}


class WorkQueue:
    """First in, first out; what a consumer does not settle goes back to where it was.

    `entries` and `memory` (bytes) bound what is ready in memory. `memory` bounds once more what is in flight:
    each consumer may hold an equal share of that, and always one entry.
    """

    def __init__(self, entries: float = 10_000, memory: float = 32 * 1024 * 1024) -> None:
        self._most_entries, self._most_bytes = entries, memory
        self._fresh: deque[Entry] = deque()
        self._returned: list[Entry] = []
        self._refused: dict[int, set[Hashable]] = {}
        """Of entries that are not to go to some consumers again: to whom not, by sequence number."""
        self._bytes = 0
        self._in_flight: dict[Hashable, _Held] = {}
        self._in_flight_count = 0
        self._waiting = 0
        self._newest = 0
        self._newest_loaded = 0

    def __len__(self) -> int:
        return self.depth

    def __repr__(self) -> str:
        return f"<WorkQueue ready {self.ready}, waiting {self._waiting}, in flight {self._in_flight_count}>"

    @property
    def depth(self) -> int:
        """All entries that are not settled: ready, waiting on disk, and in flight."""
        return self.ready + self._waiting + self._in_flight_count

    @property
    def ready(self) -> int:
        """Entries in memory that can be leased now."""
        return len(self._fresh) + len(self._returned)

    @property
    def waiting(self) -> int:
        """Entries that are only on disk."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Entries that consumers hold."""
        return self._in_flight_count

    @property
    def tried(self) -> int:
        """Entries that a consumer holds, or had and did not settle."""
        return self._in_flight_count + len(self._returned)

    @property
    def memory(self) -> int:
        """Bytes of all entries in memory, ready and in flight."""
        return self._bytes + sum(held.bytes for held in self._in_flight.values())

    @staticmethod
    def in_memory() -> WorkQueue:
        """A queue with nothing on disk behind it; whoever fills it has to look at :attr:`memory`."""
        return WorkQueue(math.inf, math.inf)

    def push(self, entry: Entry) -> None:
        """Add an entry at the end; its sequence number must be above all before it."""
        if entry.sequence <= self._newest:
            raise ValueError(f"entry {entry.sequence} after entry {self._newest}: the order would be lost")
        self._newest = entry.sequence
        if self._waiting or not self._has_room():
            self._waiting += 1
        else:
            self._take(entry)

    def expect(self, count: int) -> None:
        """`count` entries are on disk from an earlier life, in front of all that is pushed from now on."""
        self._waiting += count

    def wanted(self) -> tuple[int, int] | None:
        """What should be loaded from disk: (after which sequence number, how many); None if nothing."""
        if not self._waiting or len(self._fresh) > self._most_entries / 2 or not self._has_room():
            return None
        return self._newest_loaded, int(min(self._waiting, self._most_entries - len(self._fresh)))

    def refill(self, entries: Iterable[Entry]) -> None:
        """Entries from disk, in order, as :meth:`wanted` asked; no more are taken than there is room for."""
        for entry in entries:
            if not self._has_room():
                break
            self._waiting -= 1
            self._take(entry)
            self._newest = max(self._newest, entry.sequence)

    def lease(
        self,
        consumer: Hashable,
        count: int,
        memory: int = 0,
        overhead: int = 0,
        kind: Callable[[bytes], object] | None = None,
    ) -> list[Entry]:
        """Up to `count` entries that are next, now in flight to `consumer`; none if it holds too much.

        More than one only as long as they have no more than `memory` bytes, each with an `overhead` added,
        and are of one `kind`.
        """
        held = self._in_flight.get(consumer)
        if held is None:
            held = self._in_flight[consumer] = _Held()
        most = self._most_bytes / len(self._in_flight)
        leased: list[Entry] = []
        first: object = None
        passed = self._pass_by(consumer) if self._refused else []
        while len(leased) < count and (held.bytes < most or not held.entries):
            returned = self._returned and (not self._fresh or self._returned[0] < self._fresh[0])
            if not returned and not self._fresh:
                break
            entry = self._returned[0] if returned else self._fresh[0]
            memory -= len(entry.data) + overhead
            if leased and memory < 0:
                break
            if kind is not None:
                own = kind(entry.data)
                if leased and own != first:
                    break
                first = own
            leased.append(heapq.heappop(self._returned) if returned else self._fresh.popleft())
            self._bytes -= len(entry.data)
            held.bytes += len(entry.data)
            held.entries[entry.sequence] = entry
        for entry in passed:
            heapq.heappush(self._returned, entry)
        self._in_flight_count += len(leased)
        return leased

    def settle(self, consumer: Hashable, sequence: int) -> Entry | None:
        """`consumer` is done with an entry: it is gone for good; None if it was not in flight there."""
        self._refused.pop(sequence, None)
        return self._end(consumer, sequence)

    def _end(self, consumer: Hashable, sequence: int) -> Entry | None:
        """It is no longer in flight there."""
        held = self._in_flight.get(consumer)
        entry = held.entries.pop(sequence, None) if held is not None else None
        if held is not None and entry is not None:
            self._in_flight_count -= 1
            held.bytes -= len(entry.data)
        return entry

    def release(self, consumer: Hashable, sequence: int) -> None:
        """`consumer` gives one entry back: it is ready again, at its old place."""
        entry = self._end(consumer, sequence)
        if entry is not None:
            self._give_back(entry)

    def refuse(self, consumer: Hashable, sequence: int) -> None:
        """`consumer` gives one entry back, which is never to go there again: others may have it."""
        entry = self._end(consumer, sequence)
        if entry is not None:
            self._refused.setdefault(sequence, set()).add(consumer)
            self._give_back(entry)

    def release_all(self, consumer: Hashable) -> int:
        """`consumer` is gone: all it held is ready again, in order; how many that is."""
        held = self._in_flight.pop(consumer, _Held()).entries
        self._in_flight_count -= len(held)
        for entry in held.values():
            self._give_back(entry)
        for sequence, consumers in list(self._refused.items()):
            consumers.discard(consumer)
            if not consumers:
                del self._refused[sequence]
        return len(held)

    def has_for(self, consumer: Hashable) -> bool:
        """Whether something is ready, or on disk, that may go to `consumer`."""
        return self.ready + self._waiting > sum(consumer in consumers for consumers in self._refused.values())

    def _pass_by(self, consumer: Hashable) -> list[Entry]:
        """Take out what is ready and not to go to `consumer` again."""
        passed = [entry for entry in self._returned if consumer in self._refused.get(entry.sequence, ())]
        if passed:
            self._returned = [entry for entry in self._returned if entry not in passed]
            heapq.heapify(self._returned)
        return passed

    def _has_room(self) -> bool:
        return len(self._fresh) < self._most_entries and self._bytes < self._most_bytes

    def _take(self, entry: Entry) -> None:
        self._fresh.append(entry)
        self._bytes += len(entry.data)
        self._newest_loaded = entry.sequence

    def _give_back(self, entry: Entry) -> None:
        heapq.heappush(self._returned, entry)
        self._bytes += len(entry.data)
