"""The simulated network: what carries bytes between processes, with latency, resets and cuts.

A process has a :class:`Port` to the network, which is its `Sockets`; these are in `sockets.py`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from barker.sim.sockets import Selector, Socket
from barker.sim.world import World

WAYS = ("from", "to")
"""The ways that can be cut: what comes from a process, and what goes to it."""

LEAST_LATENCY, MOST_LATENCY = 0.0001, 0.002
"""Seconds from one process to another; now and then it is :data:`SLOW` times as long."""

SLOW, SLOW_SHARE = 50.0, 0.001


class Network:
    """Who listens where, and which processes cannot reach each other now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.listeners: dict[int, Socket] = {}
        self.connected: dict[Socket, None] = {}
        """Every end of a connection that stands."""
        self.dark: dict[int, Port] = {}
        """Ports at which somebody listened whose machine is gone: who dials one of them gets no answer."""
        self._cut: dict[tuple[str, str], int] = {}
        self._held: list[tuple[Any, ...]] = []
        self._keys: dict[tuple[Port, Port], int] = {}
        self._next_port = 40_000
        self._next_file = 3

    def latency(self, source: Port, target: Port) -> float:
        """How long something takes from one process to another now."""
        key = self._keys.get((source, target))
        if key is None:
            key = self._keys[source, target] = self.world.key("latency", source.name, target.name)
        share = self.world.luck(key)
        seconds = LEAST_LATENCY + (MOST_LATENCY - LEAST_LATENCY) * share
        # Which are slow is a matter of other digits than how slow they are.
        return seconds * SLOW if share * 1000 % 1 < SLOW_SHARE else seconds

    def cut(self, name: str, ways: Sequence[str] = WAYS) -> None:
        """Nothing comes from or to this process until :meth:`join`; what is sent arrives then.

        `ways`: which of :data:`WAYS`.
        """
        for way in ways:
            self._cut[way, name] = self._cut.get((way, name), 0) + 1

    def join(self, name: str, ways: Sequence[str] = WAYS) -> None:
        """It can be reached again."""
        for way in ways:
            self._cut[way, name] -= 1
            if not self._cut[way, name]:
                del self._cut[way, name]
        held, self._held = self._held, []
        for what in held:
            self._arrive(*what)

    def reset(self, name: str) -> None:
        """Every connection of this process breaks, at both ends."""
        for end in [end for end in self.connected if end.owner.name == name]:
            if end.peer is not None:
                end.peer.break_off()
            end.break_off()

    def carry(
        self, source: Port, target: Port, at: float, call: Callable[..., None], *values: object
    ) -> None:
        """Call `call(*values)` when what `source` sends comes to `target`; never, if that machine is gone.

        `at`: when it comes there, if nothing is cut.
        """
        self.world.at(at, self._arrive, source, target, call, values)

    def _arrive(self, source: Port, target: Port, call: Callable[..., None], values: tuple[Any, ...]) -> None:
        if self._cut and (("from", source.name) in self._cut or ("to", target.name) in self._cut):
            self._held.append((source, target, call, values))
        elif not target.gone:
            call(*values)

    def new_file(self) -> int:
        """A number that no other socket has."""
        self._next_file += 1
        return self._next_file

    def new_port(self) -> int:
        """A port at which nobody listens."""
        self._next_port += 1
        return self._next_port


class Port:
    """One process's way to the network: what `Sockets` is to a reactor."""

    def __init__(
        self,
        network: Network,
        name: str,
        wake: Callable[[], None],
        act: Callable[[], None],
        allocate: Callable[[], None],
    ) -> None:
        """`wake` is called when a socket may be ready.

        `act` is called before each effect on others, `allocate` before memory is taken; both may raise.
        """
        self.network, self.name, self.wake, self.act, self.allocate = network, name, wake, act, allocate
        self.sockets: dict[Socket, None] = {}
        """Those that it has; one that waits to be accepted is still the kernel's."""
        self.most_sockets: int | None = None
        """So many it may have; None: as many as it likes."""
        self._selector: Selector | None = None
        self.stalled = False
        """Whether it reads nothing now, and accepts nothing."""
        self.sip: int | None = None
        """So many bytes it reads at a time; None: all that there are."""
        self.gone = False
        """Whether its machine is gone: what comes there comes nowhere."""

    def new(self, *_: object) -> Socket:
        """A new socket.

        :raises OSError: when there may be no more.
        """
        self.check_limit()
        socket = Socket(self)
        self.sockets[socket] = None
        return socket

    def check_limit(self) -> None:
        """See that there may be one more socket.

        :raises OSError: when there may not.
        """
        if self.most_sockets is not None and len(self.sockets) >= self.most_sockets:
            raise OSError(errno.EMFILE, "Too many open files")

    def pair(self) -> tuple[Socket, Socket]:
        """Two sockets of this process, connected."""
        one, other = self.new(), self.new()
        one.connect_to(other)
        other.connect_to(one)
        return one, other

    def selector(self) -> Selector:
        """A selector."""
        self._selector = Selector(self.network.world, self.name)
        return self._selector

    @property
    def ready(self) -> bool:
        """Whether one of its sockets is ready for something."""
        return self._selector is not None and self._selector.any

    def stall(self, stalled: bool) -> None:
        """It reads nothing from now on, or reads again."""
        self.stalled = stalled
        for socket in self.sockets:
            socket.tell()

    def begin(self) -> None:
        """A process has started here: no limits, and it can be reached."""
        self.most_sockets = self.sip = None
        self.stalled = self.gone = False
        for port in [port for port, owner in self.network.dark.items() if owner is self]:
            del self.network.dark[port]

    def close(self) -> None:
        """The process is dead: every socket of it is closed, as the kernel does."""
        for socket in list(self.sockets):
            socket.close()

    def vanish(self) -> None:
        """The machine is gone: nobody is told, and its sockets' peers wait."""
        self.gone = True
        self.network.dark.update(
            {port: self for port, s in self.network.listeners.items() if s.owner is self}
        )
        for socket in list(self.sockets):
            socket.vanish()
