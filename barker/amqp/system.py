"""What a process asks of the machine: the time, chance, names that nobody else has, and how it does itself.

This module alone asks for them. Who runs on a reactor is told by the reactor (:class:`System` is what that is
given), so that a test, or a simulation, can tell something else.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import selectors
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil

from barker.core.capacity import DEFAULT_BOUNDS, Bounds
from barker.core.postgresql_url import without_passwords

clock = time.monotonic
"""Seconds on a clock that never goes back, from a start of its own."""

wall = time.time
"""Seconds since 1970, on a clock that people may set, in either direction."""


class Sockets:
    """Sockets, and how to wait for them."""

    new: Callable[..., Any] = staticmethod(socket.socket)
    pair: Callable[[], tuple[Any, Any]] = staticmethod(socket.socketpair)
    selector: Callable[[], Any] = staticmethod(selectors.DefaultSelector)


class Own:
    """This process, as the system sees it."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.pid: int = self._process.pid
        self.since: float = self._process.create_time()
        """When it started, in seconds since 1970: among several, who is oldest."""
        self.command = without_passwords(" ".join(self._process.cmdline()))

    @property
    def memory(self) -> int:
        """Its resident memory, in bytes."""
        return int(self._process.memory_info().rss)

    @property
    def files(self) -> int:
        """How many files and sockets it has open."""
        return int(self._process.num_fds())

    @property
    def cpu_seconds(self) -> float:
        """The time that processors have worked for it."""
        times = self._process.cpu_times()
        return float(times.user + times.system)


class System:
    """What a reactor, and what runs on it, has of the machine; a simulation gives its own."""

    def __init__(
        self,
        clock: Callable[[], float] = clock,
        wall: Callable[[], float] = wall,
        chance: random.Random | None = None,
        sockets: Sockets | None = None,
        own: Callable[[], Own] = Own,
        bounds: Bounds = DEFAULT_BOUNDS,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        """`own` tells what the process is like, `bounds` how much it may have in hand.

        `nonce` makes a text that nobody can guess, of letters, digits, ``-`` and ``_``.
        """
        self.nonce = nonce
        self.clock, self.wall, self.own = clock, wall, own
        self.chance = chance or random.Random()
        self.sockets = sockets or Sockets()
        self.bounds = bounds


class Seen(NamedTuple):
    """A process, as the system shows it to this user."""

    pid: int
    parent: int
    command: tuple[str, ...]
    folder: str
    """Where it works; empty if this user may not know."""


def processes() -> list[Seen]:
    """All processes whose command line this user may see."""
    wanted = ["pid", "ppid", "cmdline", "cwd"]
    return [
        Seen(told["pid"], told["ppid"] or 0, tuple(told["cmdline"]), told["cwd"] or "")
        for told in (process.info for process in psutil.process_iter(wanted))
        if told["cmdline"]
    ]


def listeners() -> dict[int, int]:
    """The process that listens at each TCP port, by port; of those whose process this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        return {
            found.laddr.port: found.pid
            for found in psutil.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN and found.pid
        }
    return {}


def listener(port: int) -> str:
    """Which process listens at a port, in words; empty if this user may not know."""
    pid = listeners().get(port)
    with contextlib.suppress(psutil.Error, OSError):
        if pid is not None:
            command = without_passwords(" ".join(psutil.Process(pid).cmdline()))
            return f"process {pid} has it: {command:.100}"
    return ""


def now() -> int:
    """The time, in milliseconds since 1970."""
    return int(wall() * 1000)


def new_id() -> str:
    """An id that no other bark has."""
    return uuid.uuid4().hex


def time_of_day(seconds: float) -> str:
    """What a clock on the wall shows at a time in seconds since 1970, such as ``09:05:00``."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))
