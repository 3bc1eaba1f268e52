"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits that double up to a limit, each shortened by chance so that many clients do not come at once.

    "Full jitter": a wait is uniform between nothing and the current bound (Brooker, "Exponential Backoff
    and Jitter", 2015), but never under a tenth of it.
    """

    def __init__(self, first: float = 0.02, most: float = 1.0) -> None:
        """`first` and `most` are seconds."""
        self._first, self._most = first, most
        self._bound = first

    def next(self, chance: Callable[[], float], spent: float = 0.0) -> float:
        """Seconds to wait now; `chance` gives a number from 0 to 1, such as `random.random`.

        `spent`: how many seconds the try took that has failed. They count: who has waited so long goes on.
        """
        bound, self._bound = self._bound, min(self._most, self._bound * 2)
        return max(0.0, bound * (0.1 + 0.9 * chance()) - spent)

    def reset(self) -> None:
        """It worked: the next wait is the first again."""
        self._bound = self._first
