"""An attacker's end of a connection: AMQP frames as bytes, of which a client library would send none."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import psutil
from proton import Data, Described, symbol, uint, ulong, ushort

from tests.harness import Process, wait_for

HEADER = b"AMQP\x00\x01\x00\x00"

_OPEN, _BEGIN, _ATTACH, _FLOW, _TRANSFER = 0x10, 0x11, 0x12, 0x13, 0x14
_DISPOSITION, _DETACH, _END = 0x15, 0x16, 0x17

SOURCE, TARGET = 0x28, 0x29

MOST = uint(2**31 - 1)


def message(text: str = "x") -> bytes:
    """The shortest message: an AmqpValue string."""
    return b"\x00\x53\x77" + _encoded(text)


def frame(performative: int, *fields: Any, channel: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    body = _encoded(Described(ulong(performative), list(fields))) + payload
    return struct.pack(">IBBH", 8 + len(body), 2, 0, channel) + body


def opened(container: str = "attacker") -> bytes:
    """How a connection begins: header, open, one session."""
    return HEADER + frame(_OPEN, container, None, MOST, ushort(255)) + begin()


def begin(channel: int = 0) -> bytes:
    """A session."""
    return frame(_BEGIN, None, uint(0), MOST, MOST, MOST, channel=channel)


def end(channel: int = 0) -> bytes:
    """A session's end."""
    return frame(_END, channel=channel)


def attach(handle: int, address: str, receives: bool = False, name: str = "", channel: int = 0) -> bytes:
    """A link that sends to `address`, or receives from it."""
    source = Described(ulong(SOURCE), [address if receives else None])
    target = Described(ulong(TARGET), [None if receives else address])
    fields = name or f"{handle}", uint(handle), receives, None, None, source, target, None, None
    return frame(_ATTACH, *fields, None if receives else uint(0), channel=channel)


def detach(handle: int, error: tuple[str, str] | None = None, channel: int = 0) -> bytes:
    """A link's end, with a condition and its description if there was an error."""
    return frame(_DETACH, uint(handle), True, *([_error(*error)] if error else []), channel=channel)


def rejection(number: int, condition: str, description: str) -> bytes:
    """The word of who receives that a message is rejected."""
    state = Described(ulong(0x25), [_error(condition, description)])
    return frame(_DISPOSITION, True, uint(number), uint(number), True, state)


def _error(condition: str, description: str) -> Described:
    name = symbol(condition.encode("ascii", "replace").decode())
    return Described(ulong(0x1D), [name, description])


def flow(handle: int, credit: int, channel: int = 0) -> bytes:
    """Credit for a link that receives, and the largest window for its session."""
    return frame(_FLOW, None, MOST, uint(0), MOST, uint(handle), uint(0), uint(credit), channel=channel)


def transfer(
    handle: int, number: int, data: bytes, more: bool = False, settled: bool = False, channel: int = 0
) -> bytes:
    """A message, or a piece of one."""
    fields = uint(handle), uint(number), struct.pack(">I", number), uint(0), settled, more
    return frame(_TRANSFER, *fields, channel=channel, payload=data)


class Attacker:
    """A socket, and what its other end has said as far as it was read."""

    def __init__(self, process: Process, container: str = "attacker") -> None:
        self.socket = socket.create_connection(("127.0.0.1", process.port or 0), timeout=10)
        self.said = bytearray()
        self.send(opened(container))
        with contextlib.suppress(ConnectionError):
            while b"\x00S\x11" not in self.said:  # Its begin: before that nothing may be sent.
                data = self.socket.recv(1 << 16)
                if not data:
                    return
                self.said += data

    def send(self, data: bytes, seconds: float = 10.0) -> bool:
        """Whether the other end has taken all of it within so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.sendall(data)
        except (TimeoutError, ConnectionError):
            return False
        return True

    def consume_and_reject(self, handle: int, address: str, why: tuple[str, str]) -> None:
        """Take a message, and say so of it."""
        self.send(attach(handle, address, receives=True) + flow(handle, 1))
        self.hear(b"\x00S\x14")  # A transfer.
        self.send(rejection(0, *why))

    def read(self, seconds: float = 0.2) -> bytearray:
        """What has come, until nothing does for a while."""
        said = bytearray()
        with contextlib.suppress(ConnectionError):
            while select.select([self.socket], [], [], seconds)[0] and (data := self.socket.recv(1 << 16)):
                said += data
        self.said += said
        return said

    def hear(self, what: bytes, times: int = 1) -> None:
        """Read until it has said so that often, in all."""

        def heard() -> bool:
            self.read(0.05)
            return self.said.count(what) >= times

        wait_for(heard, f"{what!r} is said {times} times")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Within it, all that comes is read, in a thread; after it the connection is closed."""
        thread = threading.Thread(target=self.ended, daemon=True)
        thread.start()
        yield
        self.socket.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    def ended(self, seconds: float = 10.0) -> bytearray:
        """All that it still says before it ends the connection, which it has to within so long."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(1 << 16):
                self.said += data
        return self.said

    @property
    def stands(self) -> bool:
        """Whether the other end has not closed the socket (or reset it)."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return not poll.poll(0)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Memory:
    """The most that a process has had resident, in MiB, since it was first looked at; in a thread."""

    def __init__(self, process: Process) -> None:
        self._process = psutil.Process(process.pid)
        self._before = self._process.memory_info().rss
        self._most = self._before
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self._most = max(self._most, self._process.memory_info().rss)

    @property
    def grown(self) -> float:
        """By how much it has grown at most, in MiB."""
        self._most = max(self._most, self._process.memory_info().rss)
        return (self._most - self._before) / (1 << 20)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _encoded(value: Any) -> bytes:
    data = Data()
    data.put_object(value)
    return bytes(data.encode())
