"""What a service measures of itself: rates and latencies over the last seconds. The clock is an argument."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

WINDOW_SECONDS = 10.0
"""Rates and latencies are of this long a past, if nothing else is said."""

_STEPS = 8
"""Latencies are counted in steps of a factor of 2 ** (1 / 8): they are known to 9 %."""


class Rate:
    """How fast a running total grows, in events/s over the last seconds."""

    def __init__(self, seconds: float = WINDOW_SECONDS) -> None:
        """Over so many seconds, or what is a little longer; 0: since the last update."""
        self._seconds = seconds
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, now: float, total: int) -> float:
        """The rate, when `total` is the total at `now` (seconds); 0 until there are two samples."""
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._seconds:
            self._samples.popleft()
        then, before = self._samples[0]
        return (total - before) / (now - then) if now > then else 0.0


class Peak:
    """The highest value of this second and the last one: what comes and goes between two looks is seen."""

    def __init__(self) -> None:
        self._second = 0
        self._now = self._before = 0

    def update(self, now: float, value: int) -> None:
        """The value is `value` at `now` (seconds)."""
        self._turn(now)
        self._now = max(self._now, value)

    def highest(self, now: float) -> int:
        """The highest value there was; 0 when there was none."""
        self._turn(now)
        return max(self._now, self._before)

    def _turn(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._before = self._now if second == self._second + 1 else 0
            self._second, self._now = second, 0


class AtSecond(Generic[Value]):
    """What a value was when this second began: what several services tell of one second can be compared."""

    def __init__(self, look: Callable[[], Value], now: float) -> None:
        """`look` tells what it is from `now` on, in seconds since 1970."""
        self._look = look
        self._first = int(now)
        self._second, self._value = -1, look()

    def at(self, now: float) -> tuple[int, Value]:
        """The second that `now` is in, and what the value was when it began; of the first nobody knows: 0.

        To be called before each change, too: so there is one look a second, and not one at each change.
        """
        if int(now) != self._second:
            self._second, self._value = int(now), self._look()
        return 0 if self._second == self._first else self._second, self._value


class Latencies:
    """Percentiles of the latencies of the last :data:`WINDOW_SECONDS` or less, in bounded memory."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, Counter[int]]] = deque()

    def add(self, now: float, latency: float) -> None:
        """Something took `latency` seconds, and ended at `now` (seconds)."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            self._forget(now)
        self._seconds[-1][1][round(math.log2(max(latency, 1e-6)) * _STEPS)] += 1

    def percentiles(self, now: float, *shares: float, seconds: float = WINDOW_SECONDS) -> list[float | None]:
        """For each share (0.5 is the median) the latency, in seconds, that so many did not exceed.

        Of those of the last `seconds`, and of the begun second before; None when there were none.
        """
        self._forget(now)
        total: Counter[int] = Counter()
        for second, counted in self._seconds:
            if second > now - seconds - 1:
                total.update(counted)
        wanted = [math.ceil(share * total.total()) for share in shares]
        found: list[float | None] = [None] * len(shares)
        reached = 0
        for step in sorted(total):
            reached += total[step]
            for at, want in enumerate(wanted):
                if found[at] is None and reached >= max(want, 1):
                    found[at] = 2 ** (step / _STEPS)
        return found

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - WINDOW_SECONDS - 1:
            self._seconds.popleft()
