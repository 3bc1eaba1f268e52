"""What clients do while a suite is broken, besides barking: each kind of it is a workload.

One is made of a run's reactor, is told when the suite is ready and when the faults are over, and says in the
end what is wrong. What is right is decided in core.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

TICK_SECONDS = 0.1
"""How often something may be sent."""


class Workload(Protocol):
    """One kind of it."""

    def begin(self) -> None:
        """The suite is ready."""

    def end(self) -> None:
        """The faults are over: bring to its end what was begun, and begin no more."""

    @property
    def left(self) -> int:
        """How much there is still to come, once :meth:`end` was called; 0: all is done."""

    def judge(self) -> list[str]:
        """What is wrong; nothing, if all promises were kept."""

    def figures(self) -> dict[str, int]:
        """How much of what was done, by names that no other workload has."""


def burst(chance: random.Random, rate: float, addresses: Sequence[str]) -> list[str]:
    """To which address something is sent at a tick, once for each message; `rate`: messages/s, of all.

    Several to one at a time, and mostly none: so that who is slow falls behind.
    """
    if chance.random() >= rate * TICK_SECONDS / 5:
        return []
    address = chance.choice(addresses)
    return [address] * chance.randint(1, 9)
