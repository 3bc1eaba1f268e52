"""Timelines: what each user has yet to read. The last stop of a bark.

A timeline holds its last `history` messages and counts all it ever had. A reader has no queue of its own,
only a cursor: the position of what it reads next. One that falls behind by more than the history goes on
with the oldest that is still there, and is told how many it missed.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

R = TypeVar("R", bound=Hashable)


class Message:
    """One message, shared by all the timelines that hold it, and gone when none does."""

    __slots__ = ("__weakref__", "data", "sequence")

    def __init__(self, sequence: int, data: bytes) -> None:
        self.sequence = sequence
        self.data = data


class Timeline(Generic[R]):
    """One user's messages, oldest first, with those who read along."""

    __slots__ = ("awake", "count", "cursors", "messages")

    def __init__(self, history: int) -> None:
        self.messages: deque[Message] = deque(maxlen=history)
        self.count = 0
        """How many messages it ever had; the newest has position `count` - 1."""
        self.cursors: dict[R, Cursor[R]] = {}
        self.awake: dict[R, Cursor[R]] = {}
        """Of those, the ones that can take something: a thousand that stall cost the others nothing."""


class Cursor(Generic[R]):
    """One reader's place on one timeline."""

    __slots__ = ("missed", "position", "reader", "timeline")

    def __init__(self, timeline: Timeline[R], reader: R) -> None:
        self.timeline, self.reader = timeline, reader
        self.position = timeline.count - len(timeline.messages)
        self.missed = 0
        """How many messages this reader never saw, in all."""

    @property
    def behind(self) -> int:
        """How many messages there are that this reader has not had, those it has missed included."""
        return self.timeline.count - self.position

    def rest(self) -> None:
        """The reader can take nothing now: :meth:`Timelines.deliver` leaves it alone until :meth:`wake`."""
        self.timeline.awake.pop(self.reader, None)

    def wake(self) -> None:
        """The reader can take something again."""
        self.timeline.awake[self.reader] = self

    def read(self) -> tuple[Message, int] | None:
        """The next message, and how many were missed just before it; None when the reader has all."""
        timeline = self.timeline
        behind = timeline.count - self.position
        if not behind:
            return None
        held = len(timeline.messages)
        missed = max(0, behind - held)
        message = timeline.messages[held - behind + missed]
        self.position += missed + 1
        self.missed += missed
        return message, missed


class Timelines(Generic[R]):
    """Everybody's timelines; a reader is whatever the owner knows it by."""

    def __init__(self, history: int) -> None:
        """`history`: how many messages each keeps."""
        self.history = history
        self._timelines: dict[str, Timeline[R]] = {}

    def __len__(self) -> int:
        return len(self._timelines)

    def __getitem__(self, user: str) -> Timeline[R]:
        timeline = self._timelines.get(user)
        if timeline is None:
            timeline = self._timelines[user] = Timeline(self.history)
        return timeline

    def deliver(self, message: Message, users: Iterable[str]) -> list[R]:
        """Put `message` on the timeline of each of `users`; the readers who are awake to read it now."""
        woken: list[R] = []
        for user in users:
            timeline = self._timelines.get(user) or self[user]
            timeline.messages.append(message)
            timeline.count += 1
            if timeline.awake:
                woken += timeline.awake
        return woken

    def follow(self, user: str, reader: R) -> Cursor[R]:
        """`reader` reads the timeline of `user` from its oldest message on."""
        timeline = self[user]
        cursor = timeline.cursors[reader] = Cursor(timeline, reader)
        cursor.wake()
        return cursor

    def leave(self, user: str, reader: R) -> None:
        """`reader` reads it no more."""
        timeline = self[user]
        timeline.cursors.pop(reader, None)
        timeline.awake.pop(reader, None)
        if not timeline.count and not timeline.cursors:
            del self._timelines[user]

    def held(self) -> set[int]:
        """The sequence numbers of all messages that some timeline still holds."""
        return {message.sequence for timeline in self._timelines.values() for message in timeline.messages}

    def __iter__(self) -> Iterator[tuple[str, Timeline[R]]]:
        return iter(self._timelines.items())


class Seen:
    """The keys of at least the last `limit` messages, to know one that comes a second time.

    Of each key its hash is kept, of 64 bits with a secret of this process (SipHash): that a new key is taken
    for an old one has a chance of 1 in 10 ** 13 with a million keys. Bounded: about 21 bytes a key.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._most = -(-limit // GENERATIONS)
        self._generations = deque([_Hashes(self._most)], maxlen=GENERATIONS + 1)

    def __contains__(self, key: str) -> bool:
        hashed = hash(key)
        return any(hashed in generation for generation in self._generations)

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    def add(self, key: str) -> None:
        """Remember `key` as the newest; the oldest are forgotten when there are too many."""
        if self._generations[0].count >= self._most:
            self._generations.appendleft(_Hashes(self._most))
        self._generations[0].add(hash(key))


GENERATIONS = 4
"""Keys are forgotten a quarter of them at a time."""


class _Hashes:
    """A set of up to `most` integers of 64 bits in one array: a fifth of what Python's own takes."""

    def __init__(self, most: int) -> None:
        self.count = 0
        # At most half full, so that what is looked for is soon found, or not.
        self._mask = (1 << (2 * most).bit_length()) - 1
        self._slots = array("q", bytes(8 * (self._mask + 1)))

    def __contains__(self, hashed: int) -> bool:
        return self._slots[self._find(hashed or 1)] != 0

    def add(self, hashed: int) -> None:
        """Put one in."""
        hashed = hashed or 1  # A slot that is empty is 0.
        place = self._find(hashed)
        self.count += not self._slots[place]
        self._slots[place] = hashed

    def _find(self, hashed: int) -> int:
        """Where it stands, or would: while a slot is taken, the next is tried (linear probing)."""
        slots, mask = self._slots, self._mask
        place = hashed & mask
        while slots[place] and slots[place] != hashed:
            place = (place + 1) & mask
        return place
