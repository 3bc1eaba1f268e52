"""When what has died is started again: ever later while it does not work. The clock is an argument."""

from __future__ import annotations

from barker.core.backoff import Backoff

STEADY_SECONDS = 10.0
"""A process that has lived so long has worked: the next wait is the first again."""

FIRST_SECONDS, MOST_SECONDS = 0.1, 5.0
"""The first wait before it is started again, and the longest."""


class Keeper:
    """One process's supervisor."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_SECONDS, MOST_SECONDS)
        self._started = 0.0
        self.deaths = 0
        """How often in a row it has died soon after its start."""

    def started(self, now: float) -> None:
        """It is started at `now` (seconds)."""
        self._started = now

    def died(self, now: float) -> float:
        """It has died at `now`: how many seconds to wait before it starts again."""
        if now - self._started >= STEADY_SECONDS:
            self.forgive()
        self.deaths += 1
        return self._backoff.next(lambda: 1.0)

    def forgive(self) -> None:
        """Begin anew: it has worked, or somebody starts it again by hand."""
        self._backoff.reset()
        self.deaths = 0
