"""How often an author may bark: so many barks a second, and for a while, all at once, what that makes.

Each author has a bucket that fills with time and is emptied by barks. Who barks too often is told, and keeps
nobody else from barking.
"""

from __future__ import annotations

import math

from barker.core.errors import LimitExceeded

BURST_SECONDS = 1.0
"""An author who was silent may bark at once what it may in so long."""

FORGET_AT = 1_000
"""From so many authors on, those are looked for whose buckets are full, and forgotten."""


class Rates:
    """All authors' buckets. Of one that is full nothing is kept: it is as if that author had never barked."""

    def __init__(self, most: float) -> None:
        """`most`: barks/s of each author; 0: any number."""
        self._each = 1 / most if most else 0.0
        self._burst = max(BURST_SECONDS, self._each)
        self._full_at: dict[str, float] = {}
        """By author: when the bucket is full again, if nothing more comes."""
        self._forget_at = FORGET_AT

    def __len__(self) -> int:
        """How many authors are remembered."""
        return len(self._full_at)

    def check(self, author: str, now: float) -> None:
        """`author` barks at `now`, in seconds on a clock that never goes back.

        :raises LimitExceeded: when that is too often; it is as if there had been no bark.
        """
        full_at = self._full_at.get(author, now)
        if full_at < now:  # Of two numbers, max takes longer, and each bark passes here.
            full_at = now
        full_at += self._each
        if full_at - now > self._burst + 1e-6:  # Sums of such parts are not exact.
            raise LimitExceeded(
                f"{author} barks too often: an author may do so {1 / self._each:g} times a second here; "
                f"send it again in {math.ceil(full_at - now - self._burst):d} s"
            )
        self._full_at[author] = full_at
        if len(self._full_at) > self._forget_at:
            self._full_at = {author: at for author, at in self._full_at.items() if at > now}
            self._forget_at = max(FORGET_AT, 2 * len(self._full_at))
