"""Timelines: what each user has yet to read. The last stop of a bark.

A timeline holds its last `history` messages and counts all it ever had. A reader has no queue of its own,
only a cursor: the position of what it reads next. One that falls behind by more than the history goes on
with the oldest that is still there, and is told how many it missed.

There are so many timelines at most: beyond that, those that nobody reads and that had nothing new for longest
are forgotten with what they hold.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

R = TypeVar("R", bound=Hashable)


class Message:
    """One message, shared by all the timelines that hold it; :attr:`Timelines.gone` when none does."""

    __slots__ = ("_gone", "data", "sequence")

    def __init__(self, sequence: int, data: bytes, gone: list[int]) -> None:
        self.sequence = sequence
        self.data = data
        self._gone = gone

    def __del__(self) -> None:
        # Python counts the timelines that hold it anyway: to look through all of them takes long.
        self._gone.append(self.sequence)


class Readers(Generic[R]):
    """Those who read along on one timeline."""

    __slots__ = ("awake", "cursors", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        """How many messages there were, those that were there before the first reader included."""
        self.cursors: dict[R, Cursor[R]] = {}
        self.awake: dict[R, Cursor[R]] = {}
        """Of those, the ones that can take something: a thousand that stall cost the others nothing."""


class Timeline(list[Message], Generic[R]):
    """One user's messages, the newest last, with those who read along.

    It is a list that grows with what comes: a million timelines of few messages take little (a deque takes
    600 bytes before it holds anything, and a list of its own would be one more object for each). The oldest
    are dropped from its front, of a long history several at a time, as the others move up then.
    """

    __slots__ = ("readers",)

    def __init__(self) -> None:
        self.readers: Readers[R] | None = None
        """None while there never was one, as of most timelines."""

    @property
    def unread(self) -> bool:
        """Whether it holds something and nobody reads it."""
        return bool(self) and (self.readers is None or not self.readers.cursors)


class Cursor(Generic[R]):
    """One reader's place on one timeline."""

    __slots__ = ("_history", "_readers", "missed", "position", "reader", "timeline")

    def __init__(self, timeline: Timeline[R], readers: Readers[R], reader: R, history: int) -> None:
        self.timeline, self.reader = timeline, reader
        self._readers, self._history = readers, history
        self.position = readers.total - min(history, len(timeline))
        """That of the message to be read next; the newest has the readers' total less one."""
        self.missed = 0
        """How many messages this reader never saw, in all."""

    @property
    def behind(self) -> int:
        """How many messages there are that this reader has not had, those it has missed included."""
        return self._readers.total - self.position

    def rest(self) -> None:
        """The reader can take nothing now: :meth:`Timelines.deliver` leaves it alone until :meth:`wake`."""
        self._readers.awake.pop(self.reader, None)

    def wake(self) -> None:
        """The reader can take something again."""
        self._readers.awake[self.reader] = self

    def read(self) -> tuple[Message, int] | None:
        """The next message, and how many were missed just before it; None when the reader has all."""
        behind = self._readers.total - self.position
        if not behind:
            return None
        missed = max(0, behind - self._history)
        self.missed += missed
        self.position += missed + 1
        return self.timeline[missed - behind], missed


class Timelines(Generic[R]):
    """Everybody's timelines; a reader is whatever the owner knows it by."""

    def __init__(self, history: int, most: int = 2_000_000) -> None:
        """`history`: how many messages each keeps. `most`: how many there may be; for a while a part more.

        One that is forgotten, and then is sent something, begins anew.
        """
        self.history, self.most = history, most
        self.forgotten = 0
        """How many were forgotten, as there were too many."""
        self.gone: list[int] = []
        """The sequence numbers of messages that no timeline holds any more; for the owner to clear."""
        self._timelines: defaultdict[str, Timeline[R]] = defaultdict(Timeline)
        self._audiences: dict[str, list[Timeline[R]]] = {}
        self._audience = 0
        self._doubtful: tuple[list[str], list[Timeline[R]]] = [], []
        """While there are too many: those that are still to be looked at, with their names."""
        self._quiet_since = 0
        """Those may be forgotten that had nothing new after the message with this sequence number."""

    def __len__(self) -> int:
        return len(self._timelines)

    def audience(self, names: str) -> list[Timeline[R]]:
        """The timelines of those who are named, with spaces between; for :meth:`deliver`, at once.

        An author has the same audience with each message: the last ones are remembered, as it takes longer
        to find so many timelines by their names than to put something on them. A name that is empty, or
        longer than :data:`MAX_NAME`, has no timeline.
        """
        found = self._audiences.get(names)
        if found is None:
            if self._doubtful[0] or len(self._timelines) > self.most:
                self._forget_some(names.count(" ") + 1)
            found = self._find(names.split(" "))
            size = max(len(found), len(names) // USUAL_NAME) + LEAST_AUDIENCE
            self._audience += size
            if self._audience > AUDIENCE:
                self._audiences.clear()
                self._audience = size
            self._audiences[names] = found
        return found

    def _find(self, names: list[str]) -> list[Timeline[R]]:
        timelines = self._timelines
        before = len(timelines)
        found = list(map(timelines.__getitem__, names))
        # Only new ones are looked at: a dictionary keeps the order in which they were put in.
        new = islice(reversed(timelines), len(timelines) - before)
        wrong = [name for name in new if not 0 < len(name) <= MAX_NAME]
        if wrong:
            for name in wrong:
                del timelines[name]
            found = [timelines[name] for name in names if name in timelines]
        return found

    def _forget_some(self, wanted: int) -> None:
        """Look at some timelines, and forget the quiet ones; `wanted`: how many may be made then.

        To look at all of them takes a second: so it is done bit by bit, while others are made.
        """
        timelines, least = self._timelines, self.most - self.most // FORGOTTEN
        names, doubtful = self._doubtful
        if not names:
            # A sample of them tells how long those have been quiet that are to go.
            each = 1 + len(timelines) // SAMPLE
            some = islice(timelines.values(), 0, None, each)
            newest = sorted(timeline[-1].sequence for timeline in some if timeline.unread)
            if not newest:
                return
            self._quiet_since = newest[: max(1, (len(timelines) - least) // each)][-1]
            names[:], doubtful[:] = timelines.keys(), timelines.values()
        before, quiet_since = len(timelines), self._quiet_since
        for _ in range(min(len(names), LOOKED + wanted * FORGOTTEN)):
            name, timeline = names.pop(), doubtful.pop()
            if timeline and timeline[-1].sequence <= quiet_since and timeline.unread:
                del timelines[name]
                if len(timelines) <= least:
                    names.clear()
                    doubtful.clear()
                    break
        if len(timelines) < before:
            self.forgotten += before - len(timelines)
            # They may hold timelines that are no longer anybody's.
            self._audiences.clear()
            self._audience = 0

    def deliver(self, sequence: int, data: bytes, audience: Iterable[Timeline[R]]) -> list[R]:
        """Put a message on each of these timelines; the readers who are awake to read it now."""
        message = Message(sequence, data, self.gone)
        woken: list[R] = []
        at_once = max(1, self.history // DROPPED)
        most = self.history + at_once - 1
        for timeline in audience:
            timeline.append(message)
            if len(timeline) > most:
                del timeline[:at_once]
            if timeline.readers is not None:
                timeline.readers.total += 1
                woken += timeline.readers.awake
        return woken

    def follow(self, user: str, reader: R) -> Cursor[R]:
        """`reader` reads the timeline of `user` from its oldest message on."""
        timeline = self._timelines[user]
        if timeline.readers is None:
            timeline.readers = Readers(len(timeline))
        readers = timeline.readers
        cursor = readers.cursors[reader] = Cursor(timeline, readers, reader, self.history)
        cursor.wake()
        return cursor

    def leave(self, user: str, reader: R) -> None:
        """`reader` reads it no more."""
        timeline = self._timelines.get(user)
        if timeline is None or timeline.readers is None or reader not in timeline.readers.cursors:
            return
        timeline.readers.cursors.pop(reader).rest()
        # Nobody has such a timeline for an audience: those had something put on them at once.
        if not timeline and not timeline.readers.cursors:
            del self._timelines[user]

    def __iter__(self) -> Iterator[tuple[str, Timeline[R]]]:
        return iter(self._timelines.items())


DROPPED = 32
"""Messages are dropped from a timeline this part of its history at a time; one at a time if that is short."""

AUDIENCE = 2_000_000
"""So many timelines are in audiences that are remembered: 20 bytes each, with their names."""

LEAST_AUDIENCE = 10
"""What an audience takes besides, in timelines: many that are small are bounded as well."""

USUAL_NAME = 12
"""A name's characters in an audience; longer ones count as several."""

MAX_NAME = 255
"""The longest name of a timeline, in characters."""

FORGOTTEN = 5
"""When there are too many timelines, this part of them is forgotten."""

SAMPLE = 1_000
"""About so many timelines are looked at to know which have been quiet for longest."""

LOOKED = 1_000
"""So many timelines are looked at in one go, to forget those that are quiet; more if many are made."""


class Seen:
    """The keys of at least the last `limit` messages, to know one that comes a second time.

    Of each key its hash is kept, of 64 bits with a secret of this process (SipHash): that a new key is taken
    for an old one has a chance of 1 in 10 ** 13 with a million keys. Bounded: about 21 bytes a key.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._most = -(-limit // GENERATIONS)
        self._generations = deque([_Hashes(self._most, 0)], maxlen=GENERATIONS + 1)

    def __contains__(self, key: str) -> bool:
        hashed = hash(key)
        for generation in self._generations:  # noqa: SIM110 - each message asks, and any() takes twice as long
            if hashed in generation:
                return True
        return False

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    @property
    def since(self) -> int:
        """The sequence number of the oldest message whose key is remembered."""
        return self._generations[-1].since

    def add(self, key: str, sequence: int = 0) -> None:
        """Remember the `key` of the newest message; the oldest are forgotten when there are too many."""
        if self._generations[0].count >= self._most:
            self._generations.appendleft(_Hashes(self._most, sequence))
        self._generations[0].add(hash(key))


GENERATIONS = 4
"""Keys are forgotten a quarter of them at a time."""


class _Hashes:
    """A set of up to `most` integers of 64 bits in one array: a fifth of what Python's own takes."""

    def __init__(self, most: int, since: int) -> None:
        self.count, self.since = 0, since
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
