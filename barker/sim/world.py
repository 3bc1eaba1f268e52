"""The simulated world: virtual time, chance that comes of one seed, and what happens next.

Chance is many streams, each with a name, and a field over who and when (:meth:`World.luck`). So one fault or
bark less makes other what comes of it, and leaves all else as it was: else no run that fails could be made
small.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import itertools
import math
import operator
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barker.sim.record import Record

EPOCH = 1_700_000_000.0
"""Seconds since 1970 when a world begins."""

NOTED_BYTES = 64 * 1024
"""So many bytes are hashed at once."""

_MASK = (1 << 64) - 1


class World:
    """Everything that happens, in order. Time goes on to what is next, however long that is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        """Virtual seconds since the start; within a turn that takes time, its own."""
        self.clock: Callable[[], float] = functools.partial(operator.attrgetter("now"), self)
        """The time, as a clock that never goes back tells it."""
        self.events = 0
        """How much has happened."""
        self.bytes = 0
        """How much has been sent, by all."""
        self.encrypted = False
        """Whether what is sent is, by a chance that is not the world's."""
        self._skew, self._rate, self._since = 0.0, 1.0, 0.0
        self.record: Record | None = None
        """Is told of what happens, if there is one; nothing depends on it."""
        self._digest = hashlib.blake2b(digest_size=8)
        self._noted = bytearray()
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()
        self._stopped = False

    # Chance

    def chance(self, *names: object) -> random.Random:
        """The stream of that name: the same for the same seed, whatever else happens."""
        return random.Random(f"{self.seed} {names}")

    def key(self, *names: object) -> int:
        """What :meth:`luck` knows that name by."""
        text = f"{self.seed} {names}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")

    def luck(self, key: int) -> float:
        """From 0 to 1, by chance: another for each name and each millisecond, whatever else happens."""
        # Two rounds of SplitMix64's finisher (Steele, Lea and Flood, 2014).
        mixed = (key ^ int(self.now * 1000)) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return (mixed ^ mixed >> 31) / (_MASK + 1)

    # Clocks

    def wall(self) -> float:
        """Seconds since 1970, as a clock on the wall tells them."""
        return EPOCH + self.now + self.skew

    @property
    def skew(self) -> float:
        """How far the clocks on the wall are off, in seconds."""
        return self._skew + (self._rate - 1.0) * (self.now - self._since)

    def set_wall(self, skew: float) -> None:
        """Somebody sets the clocks on the wall: they are so many seconds off from now on."""
        self._skew, self._since = skew, self.now

    def drift(self, rate: float) -> None:
        """From now on the clocks on the wall go so many times as fast as they should."""
        self.set_wall(self.skew)
        self._rate = rate

    @property
    def digest(self) -> str:
        """A hash of all bytes that were sent, in order: the same for the same seed."""
        self._hash()
        return self._digest.hexdigest()

    def note(self, data: bytes) -> None:
        """These bytes were sent; of those that are encrypted, so many."""
        self.bytes += len(data)
        self._noted += b"%d " % len(data) if self.encrypted else data
        if len(self._noted) >= NOTED_BYTES:
            self._hash()

    def _hash(self) -> None:
        self._digest.update(self._noted)
        self._noted.clear()

    # What happens

    def at(self, when: float, call: Callable[..., None], *values: Any) -> None:
        """Call `call(*values)` then; in the order asked for what is due at the same time."""
        heapq.heappush(self._due, (when, next(self._count), call, values))

    def after(self, seconds: float, call: Callable[..., None], *values: Any) -> None:
        """Call `call(*values)` in so many virtual seconds."""
        self.at(self.now + seconds, call, *values)

    def run(self, end: float = math.inf) -> None:
        """Let things happen until `end`, :meth:`stop`, or nothing more does."""
        due, pop, self._stopped = self._due, heapq.heappop, False
        while due and not self._stopped and due[0][0] <= end:
            at, _, call, values = pop(due)
            if at > self.now:
                self.now = at
            self.events += 1
            call(*values)

    def stop(self) -> None:
        """Have :meth:`run` end before anything more happens."""
        self._stopped = True
