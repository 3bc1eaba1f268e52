"""What clients do while a suite is broken, besides barking: each kind of it is a workload.

One is made of a run's reactor, is told when the suite is ready and when the faults are over, and says in the
end what is wrong. What is right is decided in core.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from barker.amqp.reactor import Reactor

Chances = Callable[[str], random.Random]
"""The chance of that name: what one thing is chosen by changes none of what another is."""

MOST_AT_ONCE = 9
"""So many messages a burst has at most, and half as many on average."""


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


class Bursts:
    """Has something sent now and then: several messages to one address, and mostly none.

    So who is slow falls behind.
    """

    def __init__(
        self,
        reactor: Reactor,
        chance: random.Random,
        rate: float,
        addresses: Sequence[str],
        send: Callable[[str], None],
        which: range,
    ) -> None:
        """`rate`: messages/s, of all; `send` sends one; `which` are sent, by number."""
        self._reactor, self._chance, self._addresses, self._send = reactor, chance, addresses, send
        self._pause = (1 + MOST_AT_ONCE) / 2 / rate
        self._which, self._number, self._ended = which, 0, False
        self._wait()

    def end(self) -> None:
        """Have no more sent."""
        self._ended = True

    def _wait(self) -> None:
        self._reactor.after(self._chance.expovariate(1 / self._pause), self._next)

    def _next(self) -> None:
        if not self._ended:
            address = self._chance.choice(self._addresses)
            for _ in range(self._chance.randint(1, MOST_AT_ONCE)):
                if self._number in self._which:
                    self._send(address)
                self._number += 1
            self._wait()
