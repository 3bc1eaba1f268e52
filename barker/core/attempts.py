"""How a peer is reached that has several addresses, over a network that loses things. No I/O here.

One who is silent may be far away, or may never have been asked: TCP sends a first packet that was lost again
after a second, then after three. So an attempt without an answer goes on, and after a while another begins
beside it; the first that is answered is taken, as in "Happy Eyeballs" (RFC 8305 §5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from barker.core.backoff import Backoff

FIRST_SECONDS, MOST_SECONDS = 0.25, 0.5
"""So long an attempt is waited for before the next one: at first (as RFC 8305 §8 has it), and at most."""

A = TypeVar("A")


class Attempts(Generic[A]):
    """Which address is tried now, and how long until another is tried beside it."""

    def __init__(self, addresses: Iterable[A]) -> None:
        """At least one, in the order in which they are to be tried."""
        self._untried = deque(addresses)
        self._silent: deque[A] = deque()
        self._backoff = Backoff(FIRST_SECONDS, MOST_SECONDS)

    def next(self) -> A:
        """The address to try now: one that was not tried, else the one that was tried longest ago."""
        address = self._untried.popleft() if self._untried else self._silent.popleft()
        self._silent.append(address)
        return address

    def patience(self) -> float:
        """How long to wait for the attempts until now, in seconds; longer each time."""
        return self._backoff.next(lambda: 1.0)

    def refused(self, address: A) -> None:
        """That one has answered, with a no: it is tried no more."""
        self._silent.remove(address)

    @property
    def untried(self) -> bool:
        """Whether there is an address that was never tried."""
        return bool(self._untried)

    @property
    def over(self) -> bool:
        """Whether all have refused."""
        return not self._untried and not self._silent
