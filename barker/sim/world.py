"""The simulated world: virtual time, one seeded chance, and what happens next."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barker.sim.record import Record

EPOCH = 1_700_000_000.0
"""Seconds since 1970 when a world begins."""


class World:
    """Everything that happens, in order. Time goes on to what is next, however long that is."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        """Virtual seconds since the start."""
        self.events = 0
        """How much has happened."""
        self.bytes = 0
        """How much has been sent, by all."""
        self._skew, self._rate, self._since = 0.0, 1.0, 0.0
        self.record: Record | None = None
        """Is told of what happens, if there is one; nothing depends on it."""
        self._digest = hashlib.blake2b(digest_size=8)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._soon: deque[Callable[[], None]] = deque()
        self._count = itertools.count()

    def clock(self) -> float:
        """The time, as a clock that never goes back tells it."""
        return self.now

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
        return self._digest.hexdigest()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in so many virtual seconds."""
        heapq.heappush(self._due, (self.now + seconds, next(self._count), call))

    def soon(self, call: Callable[[], None]) -> None:
        """Call `call` next, before time goes on."""
        self._soon.append(call)

    def note(self, data: bytes) -> None:
        """These bytes were sent."""
        self.bytes += len(data)
        self._digest.update(data)

    def run(self, done: Callable[[], bool]) -> None:
        """Let things happen until `done()`, or nothing more does."""
        due, soon = self._due, self._soon
        while True:
            if soon:
                call = soon.popleft()
            elif due and not done():
                at, _, call = heapq.heappop(due)
                if at > self.now:
                    self.now = at
            else:
                return
            self.events += 1
            call()
