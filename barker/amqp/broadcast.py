"""Many readers of one thing: what each sees first, then every message, as far as it has credit.

The directory's watchers, the monitor's and the agents' readers, and those of the launcher's list are all
this. A sender shows no credit while too much waits for its socket (:attr:`Sender.credit`), so a reader who
grants credit and does not read makes nothing pile up here.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable

from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Sender


class Lag(enum.Enum):
    """What a reader gets that has no credit when a message is sent."""

    GAP = "gap"
    """Not that message, ever: what is old is of no use."""
    NEWEST = "newest"
    """The newest message once it has credit, and none of those before."""
    END = "end"
    """The end of its link: it would know something with holes. A new link starts with the whole."""


class Broadcast(LinkHandler):
    """The handler of all readers' links; everything is sent settled."""

    def __init__(self, first: Callable[[], Iterable[bytes]], lag: Lag) -> None:
        """`first()` gives what a new reader sees first, oldest first; it is asked when the reader has credit.

        Of that, a reader gets no more than it had credit for, the newest; with :attr:`Lag.END` it gets all.
        """
        self._first, self._lag = first, lag
        self._owed: dict[Sender, deque[bytes]] = {}  # By reader: what it is yet to be sent.
        self.sent = 0
        """How many messages went out."""

    def __len__(self) -> int:
        """How many readers have seen what comes first, or some of it."""
        return len(self._owed)

    def send(self, message: bytes) -> None:
        """To every reader that has credit; what becomes of the others, their lag says."""
        for link, owed in list(self._owed.items()):
            self._pump(link, owed)
            if link.credit:
                self._send(link, message)
            elif self._lag is Lag.NEWEST:
                owed.clear()
                owed.append(message)
            elif self._lag is Lag.END:
                link.close(Condition("amqp:resource-limit-exceeded", "too slow to hear all changes"))

    def on_credit(self, link: Sender) -> None:
        """A reader has come, or may be sent more."""
        credit = link.credit
        if link not in self._owed and credit:
            first = list(self._first())
            self._owed[link] = deque(first if self._lag is Lag.END else first[-credit:])
        if link in self._owed:
            self._pump(link, self._owed[link])

    def on_closed(self, link: Sender, condition: Condition | None) -> None:
        """A reader has gone."""
        self._owed.pop(link, None)

    def _pump(self, link: Sender, owed: deque[bytes]) -> None:
        while owed and link.credit:
            self._send(link, owed.popleft())

    def _send(self, link: Sender, message: bytes) -> None:
        link.send(message, settled=True)
        self.sent += 1
