"""A reactor without sockets: what is dialled is the other end of a pair in memory, and time is told."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from barker.amqp.connection import Connection
from barker.amqp.handlers import ConnectionHandler
from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.amqp.system import System
from barker.core.access import Credentials
from tests.amqp.pair import Pair


class MemoryReactor:
    """As :class:`Reactor`, for programs that listen and dial. A turn is taken when a test says so."""

    running = True

    def __init__(
        self, container: str = "test", system: System | None = None, credentials: Credentials | None = None
    ) -> None:
        self.container, self.credentials = container, credentials
        # The same chance each time: an example that hypothesis has again is to take the same way.
        self.system = system or System(chance=Random(0))
        self.now = 0.0
        self.places: dict[Place, ConnectionHandler] = {}
        """Who is found when a place is dialled; nobody at any other."""
        self.pairs: list[Pair] = []
        """What was dialled, whether it still stands or not; and those who dialled us (:meth:`dial`)."""
        self.listener = SimpleNamespace(handler=ConnectionHandler(), port=1, close=lambda: None)
        """What listens; its handler has the connections that others dial."""
        self._timers: list[tuple[float, int, SimpleNamespace]] = []
        self._count = itertools.count()
        self._hooks: list[Callable[[], None]] = []
        self._at_end: deque[Callable[[], None]] = deque()
        self.connections: dict[Connection, None] = {}
        self.chance = self.system.chance

    # As Reactor

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return time.time()

    def listen(self, host: str, port: int, handler: ConnectionHandler, limits: Any = None) -> SimpleNamespace:
        self.listener.handler, self.listener.port = handler, port or 1
        return self.listener

    def connect(self, host: str, port: int, handler: ConnectionHandler) -> Connection:
        there = self.places.get(Place(host, port))
        pair = Pair(server_peer=cast(Any, there or ConnectionHandler()), client_peer=cast(Any, handler))
        if there is None:
            self.after(0, pair.client.lost)
        else:
            self.pairs.append(pair)
        return pair.client

    def after(self, seconds: float, call: Callable[[], None]) -> SimpleNamespace:
        timer = SimpleNamespace(call=call)
        timer.cancel = lambda: setattr(timer, "call", None)
        heapq.heappush(self._timers, (self.now + seconds, next(self._count), timer))
        return timer

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        self.after(seconds, lambda: (self.every(seconds, call), call())[1])

    def each_turn(self, hook: Callable[[], None]) -> None:
        self._hooks.append(hook)

    def at_end(self, call: Callable[[], None]) -> None:
        self._at_end.append(call)

    def call_from_thread(self, call: Callable[[], None]) -> None:
        self.after(0, call)

    # For tests

    @property
    def network(self) -> Network:
        """Links of this reactor's to what is at the place ``there:1``."""
        return Network(cast(Reactor, self), Place("there", 1))

    def dial(self, handler: ConnectionHandler) -> Pair:
        """A peer of the service that listens; its end is ``client``."""
        self.pairs.append(Pair(server_peer=cast(Any, self.listener.handler), client_peer=cast(Any, handler)))
        return self.pairs[-1]

    def turn(self, seconds: float = 0.0) -> None:
        """What is due in so many seconds from now, in turns as the reactor takes them."""
        until = self.now + seconds
        while True:
            self._one_turn()
            if not self._timers or self._timers[0][0] > until:
                break
            self.now = max(self.now, self._timers[0][0])
        self.now = until

    def _one_turn(self) -> None:
        for pair in self.pairs:
            pair.pump()
        while self._timers and self._timers[0][0] <= self.now:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                timer.call()
        for hook in self._hooks:
            hook()
        while self._at_end:
            self._at_end.popleft()()
        for pair in self.pairs:
            pair.pump()

    def lose(self) -> None:
        """Every connection breaks."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.server.lost()
            pair.client.lost()
