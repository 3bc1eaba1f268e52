"""What every process of Barker is: a reactor, its connections to others, and a way to begin and to end.

It ends on SIGTERM, on Ctrl-C, and when the launcher that started it is gone: it takes nothing more on,
finishes what it has in hand, for a while at most, says goodbye, and closes. A second signal ends it at once.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable

from barker.amqp.agent import LAUNCHED
from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.amqp.system import System
from barker.core.access import Credentials
from barker.core.errors import BarkerError

log = logging.getLogger(__name__)

END_SECONDS = 2.0
"""How long a process that is told to end may take to finish what it has in hand."""

OTHER_FILES = 100
"""So many files are left for what is no connection of a peer's."""


class Process:
    """One process; services, the commands at a terminal and the gateway are made of it."""

    def __init__(
        self,
        container: str,
        directories: Iterable[Place],
        system: System | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """`container` is its AMQP container id; it looks for others at the `directories`.

        `credentials`: who it is to others; without, a stranger.
        """
        collect_seldom()
        self.reactor = Reactor(container, system, credentials)
        self.network = Network(self.reactor, *directories)
        self._error: BarkerError | None = None
        self.ending = False
        """Whether it was told to end."""

    # For processes to write

    def on_ending(self) -> None:
        """It is told to end: take nothing more on."""

    def on_signal(self, number: int) -> None:
        """Somebody wants it to end, with SIGTERM or Ctrl-C."""
        self.stop()

    def in_hand(self) -> int:
        """How much there is to finish before it ends."""
        return 0

    def on_stop(self) -> None:
        """It ends now: put everything away."""

    # For programs to call

    def run(self) -> None:
        """Turn until it is told to end.

        :raises BarkerError: what :meth:`fail` was given.
        """
        raise_file_limit()
        gc.freeze()  # What was made until now stays: there is no need to walk it ever again.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._call_on_signal(number))
        end_with_launcher(self.reactor, self.stop)
        try:
            if self._error is None:
                self.reactor.run()
        finally:
            self.on_stop()
        if self._error is not None:
            raise self._error

    def _call_on_signal(self, number: int) -> None:
        self.reactor.call_from_thread(lambda: self.on_signal(number))

    def stop(self) -> None:
        """End, as soon as nothing is in hand."""
        if self.ending:
            self.reactor.stop()
            return
        self.ending = True
        self.on_ending()
        self.reactor.after(END_SECONDS, self.reactor.stop)
        self.reactor.each_turn(self._stop_if_done)

    @property
    def failed(self) -> bool:
        """Whether it ends with an error."""
        return self._error is not None

    def fail(self, error: BarkerError) -> None:
        """End after this turn, or not begin, with an error that :meth:`run` raises."""
        self._error = self._error or error
        self.reactor.stop()

    def _stop_if_done(self) -> None:
        if not self.in_hand():
            self.reactor.stop()


def collect_seldom() -> None:
    """Have Python look for cyclic garbage less often: at 100,000 new objects instead of 700.

    What a message makes holds no cycles, and is freed as soon as it is done with. What a service keeps
    (timelines, queues, links) is much, and the collector would walk it again and again while it grows.
    """
    gc.set_threshold(100_000, 10, 10)


def end_with_launcher(reactor: Reactor, stop: Callable[[], None]) -> None:
    """Call `stop` when the launcher that started this process is gone; does nothing if none has."""

    def on_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            log.warning("the launcher is gone: ending")
            reactor.unwatch(sys.stdin.fileno())
            stop()

    if os.environ.get(LAUNCHED):
        reactor.watch(sys.stdin.fileno(), on_input)


def raise_file_limit() -> int:
    """Every connection is an open file: take as many as this process may have; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def files_for_connections() -> int:
    """How many connections there can be: files are left for journals, and for those that are dialled."""
    return max(1, raise_file_limit() - OTHER_FILES)
