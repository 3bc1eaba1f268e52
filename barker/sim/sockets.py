"""Simulated stream sockets, and a selector that tells which of them are ready.

They are as the reactor uses the system's: non-blocking, with buffers that fill. What is between them is
`network.py`.
"""

from __future__ import annotations

import errno
import selectors
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barker.sim.network import Port
    from barker.sim.world import World

BUFFER = 256 * 1024
"""So many bytes are on their way in one direction at most: what the kernel's buffers hold."""

HEARTBEAT = bytes.fromhex("0000000802000000")
"""An empty frame on channel 0 (AMQP 1.0 §2.4.5). Nobody is woken for one alone: the next turn reads it."""


class Socket:
    """A stream socket, or one that listens."""

    def __init__(self, owner: Port) -> None:
        self.owner = owner
        self.peer: Socket | None = None
        self._file = owner.network.new_file()
        self._port = 0
        self._came: deque[bytes] = deque()
        self._ended = self._broken = self._connecting = self._closed = self._vanished = False
        self._refused = 0
        self._waiting: deque[Socket] | None = None
        self._on_their_way = 0
        self._last = 0.0
        self.watched_by: Selector | None = None

    # As the reactor calls a socket

    def fileno(self) -> int:
        """Its number; -1 once it is closed."""
        return -1 if self._closed else self._file

    def setblocking(self, *_: object) -> None:
        """It never blocks."""

    def setsockopt(self, *_: object) -> None:
        """There is nothing to set."""

    def getsockopt(self, level: int, option: int) -> int:
        """Why it could not be connected; 0 if it could."""
        return self._refused

    def getsockname(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._port

    def bind(self, address: tuple[Any, ...]) -> None:
        """Have a port.

        :raises OSError: when somebody else has it.
        """
        network = self.owner.network
        self._port = address[1] or network.new_port()
        if self._port in network.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")

    def listen(self, *_: object) -> None:
        """Take connections."""
        self._waiting = deque()
        self.owner.network.listeners[self._port] = self

    def accept(self) -> tuple[Socket, tuple[str, int]]:
        """The next connection.

        :raises BlockingIOError: when there is none.
        :raises OSError: when there may be no more sockets.
        """
        if not self._waiting or self.owner.stalled:
            raise BlockingIOError
        self.owner.check_limit()
        end = self._waiting.popleft()
        self.owner.sockets[end] = None
        self._look()
        return end, ("127.0.0.1", end._port)

    def connect_ex(self, address: tuple[Any, ...]) -> int:
        """Dial; it is ready to write when that has worked, or has not."""
        self._connecting = True
        self._knock(address[1])
        return errno.EINPROGRESS

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as there is room for.

        :raises BlockingIOError: when there is none.
        :raises OSError: when the connection is broken.
        :raises MemoryError: when there is none.
        """
        self.owner.act()
        self.owner.allocate()
        if self._broken:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        peer, room = self.peer, BUFFER - self._on_their_way
        if peer is None or (peer._closed and not peer._vanished):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if room <= 0:
            raise BlockingIOError
        sent = bytes(data if len(data) <= room else data[:room])
        if peer.owner is not self.owner:
            world = self.owner.network.world
            world.note(sent)
            if world.record is not None:
                world.record.sent(world.now, self, peer, sent)
        self._on_their_way += len(sent)
        if self._on_their_way >= BUFFER:
            self._look()
        self._towards(peer, peer._take, sent)
        return len(sent)

    def recv(self, size: int) -> bytes:
        """What has come; nothing when no more will.

        :raises BlockingIOError: when nothing has come yet.
        :raises OSError: when the connection is broken.
        :raises MemoryError: when there is none.
        """
        if not self._is_own and self.owner.stalled:
            raise BlockingIOError
        self.owner.allocate()
        if self._broken:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if not self._came:
            if self._ended:
                return b""
            raise BlockingIOError
        data = self._came.popleft()
        size = min(size, self.owner.sip or size)
        if len(data) > size:
            self._came.appendleft(data[size:])
            data = data[:size]
        if not self._came:
            self._look()
        world = self.owner.network.world
        if world.record is not None:
            world.record.read(world.now, self, len(data))
        if self.peer is not None:
            was_full = self.peer._on_their_way >= BUFFER
            self.peer._on_their_way -= len(data)
            if was_full:
                self.peer.tell()
        return data

    def close(self) -> None:
        """Close it; the other end reads what was sent, and then the end."""
        if self._closed:
            return
        self._leave()
        for end in self._waiting or ():
            end.close()
        if self.peer is not None and not self._broken:
            self._towards(self.peer, self.peer._end)

    def vanish(self) -> None:
        """Its machine is gone: the other end is told nothing."""
        self._vanished = True
        self._leave()
        for end in self._waiting or ():
            end.vanish()

    def _leave(self) -> None:
        if self.watched_by is not None:
            self.watched_by.forget(self)
        self._closed = True
        network = self.owner.network
        self.owner.sockets.pop(self, None)
        network.connected.pop(self, None)
        if network.listeners.get(self._port) is self:
            del network.listeners[self._port]

    # For the network

    @property
    def readable(self) -> bool:
        """Whether there is something to read, or to accept."""
        if self.owner.stalled and not self._is_own:
            return False
        return bool(self._came or self._ended or self._broken or self._waiting)

    @property
    def writable(self) -> bool:
        """Whether there is room, or a dial has ended."""
        if self._connecting:
            return False
        return self._on_their_way < BUFFER or self._broken

    @property
    def _is_own(self) -> bool:
        """Whether both ends are of one process, which so wakes itself."""
        return self.peer is not None and self.peer.owner is self.owner

    def connect_to(self, peer: Socket) -> None:
        """Be one end of a connection."""
        self.peer, self._connecting = peer, False

    def break_off(self) -> None:
        """The connection is reset."""
        self._broken = True
        self.owner.network.connected.pop(self, None)
        self.tell()

    def tell(self) -> None:
        """It may be ready now."""
        if self._look():
            self.owner.wake()

    def _look(self) -> bool:
        return self.watched_by is not None and self.watched_by.look_at(self)

    def _knock(self, port: int) -> None:
        network = self.owner.network
        listener = network.listeners.get(port)
        if port in network.dark:
            return  # Nobody ever answers.
        if listener is None:
            network.world.after(network.latency(self.owner, self.owner), self._answered, None)
            return
        target = listener.owner

        def arrive() -> None:
            found = network.listeners.get(port)
            if found is None or found._waiting is None or found.owner is not target:
                self._answered(None)
            elif not self._closed:
                far = Socket(target)
                far._port = network.new_port()
                far.connect_to(self)
                network.connected[far] = None
                found._waiting.append(far)
                found.tell()
                back = network.world.now + network.latency(target, self.owner)
                network.carry(target, self.owner, back, self._answered, far)

        there = network.world.now + network.latency(self.owner, target)
        network.carry(self.owner, target, there, arrive)

    def _answered(self, far: Socket | None) -> None:
        if self._closed:
            if far is not None:
                far._end()
            return
        self._connecting = False
        if far is None:
            self._refused = errno.ECONNREFUSED
        else:
            self.connect_to(far)
            self.owner.network.connected[self] = None
        self.tell()

    def _towards(self, peer: Socket, call: Callable[..., None], *values: object) -> None:
        """Have something come to the other end, in the order sent."""
        owner, network = self.owner, self.owner.network
        if peer.owner is owner:
            call(*values)
            return
        self._last = max(self._last, network.world.now + network.latency(owner, peer.owner))
        network.carry(owner, peer.owner, self._last, call, *values)

    def _take(self, data: bytes) -> None:
        if self._closed:
            # The kernel of a process that has closed its end answers so.
            if self.peer is not None:
                self.peer.break_off()
            return
        world = self.owner.network.world
        if world.record is not None:
            world.record.came(world.now, self)
        self._came.append(data)
        if self._look() and data != HEARTBEAT:
            self.owner.wake()

    def _end(self) -> None:
        self._ended = True
        self.tell()


class Selector:
    """Which of its sockets are ready, in any order. It never waits: the process is woken when one is."""

    def __init__(self, world: World, name: str) -> None:
        """`name`: of the process whose it is."""
        self._world, self._key = world, world.key("ready", name)
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._ready: dict[int, int] = {}  # For what they are; the others are not.

    def register(self, file: Socket, events: int, data: object = None) -> selectors.SelectorKey:
        """Look at it from now on.

        :raises KeyError: when it is looked at already.
        """
        number = file.fileno()
        if number in self._keys:
            raise KeyError(number)
        self._keys[number] = selectors.SelectorKey(file, number, events, data)
        file.watched_by = self
        self.look_at(file)
        return self._keys[number]

    def modify(self, file: Socket, events: int, data: object = None) -> selectors.SelectorKey:
        """Look for other events."""
        self.unregister(file)
        return self.register(file, events, data)

    def unregister(self, file: Socket) -> selectors.SelectorKey:
        """No longer look at it.

        :raises KeyError: when it is not looked at.
        """
        key = self._keys[file.fileno()]
        self.forget(file)
        return key

    def forget(self, file: Socket) -> None:
        """It is closed, or no longer looked at."""
        file.watched_by = None
        self._ready.pop(file.fileno(), None)
        self._keys.pop(file.fileno(), None)

    def look_at(self, file: Socket) -> bool:
        """Something about it has changed: whether it is ready now, for something that is looked for."""
        number, ready = file.fileno(), 0
        events = self._keys[number].events
        if events & selectors.EVENT_READ and file.readable:
            ready = selectors.EVENT_READ
        if events & selectors.EVENT_WRITE and file.writable:
            ready |= selectors.EVENT_WRITE
        if ready:
            self._ready[number] = ready
        else:
            self._ready.pop(number, None)
        return ready != 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Those that are ready."""
        if not self._ready:
            return []
        found = [(self._keys[number], ready) for number, ready in self._ready.items()]
        if len(found) > 1:
            # Fisher and Yates, with one number for all steps: there are seldom many.
            luck = int(self._world.luck(self._key) * 2**53)
            for last in range(len(found) - 1, 0, -1):
                luck, place = divmod(luck, last + 1)
                found[last], found[place] = found[place], found[last]
        return found

    @property
    def any(self) -> bool:
        """Whether one is."""
        return bool(self._ready)

    def close(self) -> None:
        """Look at nothing any more."""
        self._keys.clear()
        self._ready.clear()
