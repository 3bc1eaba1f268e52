"""What a suite's processes write on standard error: passed on to the launcher's, and the last of it kept."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections import deque
from collections.abc import Callable

from barker.amqp.reactor import Reactor
from barker.commands.output import OutputLost, show
from barker.core.printable import printable

KEPT = 200
"""So many lines of each process."""

READ_BYTES = 64 * 1024


class Lines:
    """The pipes of all processes, and what came through them."""

    def __init__(self, reactor: Reactor, on_line: Callable[[str, str], None]) -> None:
        """`on_line(name, line)` is told of each."""
        self._reactor, self._on_line = reactor, on_line
        self._count = itertools.count()
        self._kept: dict[str, deque[tuple[int, str]]] = {}
        self._rest: dict[int, tuple[str, bytes]] = {}
        """By pipe: whose it is, and the beginning of a line that has not ended."""

    def pipe(self, name: str) -> int:
        """The end that a process has for its standard error, and that is to be closed here.

        It takes no more than the launcher reads, and makes nobody wait: one whose launcher is frozen goes on.
        """
        mine, theirs = os.pipe()
        os.set_blocking(mine, False)
        os.set_blocking(theirs, False)
        self._rest[mine] = name, b""
        self._reactor.watch(mine, functools.partial(self._on_input, mine))
        return theirs

    def kept(self) -> list[tuple[str, str]]:
        """The last lines of all, each with the name of who wrote it, as they came."""
        every = [(number, name, line) for name, lines in self._kept.items() for number, line in lines]
        return [(name, line) for _, name, line in sorted(every)]

    def read(self, name: str) -> None:
        """What a process has written until now; it may have ended."""
        for pipe, (whose, _) in list(self._rest.items()):
            while whose == name and pipe in self._rest and self._read(pipe):
                pass

    def _on_input(self, pipe: int) -> None:
        self._read(pipe)

    def _read(self, pipe: int) -> bool:
        """Whether there was something."""
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return False
        name, rest = self._rest[pipe]
        *lines, rest = (rest + data).split(b"\n")
        if not data:
            del self._rest[pipe]
            with contextlib.suppress(KeyError, RuntimeError):  # Not once the loop has ended.
                self._reactor.unwatch(pipe)
            os.close(pipe)
            lines = [rest] if rest else []
        elif len(rest) > READ_BYTES:
            lines, rest = [*lines, rest], b""
        if data:
            self._rest[pipe] = name, rest
        for line in lines:
            self._take(name, printable(line.decode(errors="replace")))
        return bool(data)

    def _take(self, name: str, line: str) -> None:
        self._kept.setdefault(name, deque(maxlen=KEPT)).append((next(self._count), line))
        with contextlib.suppress(OutputLost):  # The suite goes on, whoever looks on.
            show(line, err=True)
        self._on_line(name, line)
