"""What the commands for people at a terminal share: a reactor for a while, and a word when nobody answers."""

from __future__ import annotations

import os
import signal
import uuid

from barker.amqp.engine import Condition
from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.amqp.service import end_with_launcher
from barker.core.errors import BarkerError, Mistake
from barker.core.printable import printable


class Terminal:
    """One command's reactor and network; it ends when the command says so, or with an error."""

    def __init__(self, directory: Place) -> None:
        self.reactor = Reactor(f"terminal-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        self.network = Network(self.reactor, directory)
        self._error: BarkerError | None = None

    def run(self) -> None:
        """Turn until :meth:`stop` or :meth:`fail`, Ctrl-C or SIGTERM.

        :raises BarkerError: what :meth:`fail` was given.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.reactor.call_from_thread(self.stop))
        end_with_launcher(self.reactor, self.stop)
        self.reactor.run()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """The command is done."""
        self.reactor.stop()

    def fail(self, error: BarkerError) -> None:
        """The command cannot be done."""
        self._error = error
        self.reactor.stop()

    def expect(self, what: str, seconds: float) -> None:
        """Fail if the command is not done `seconds` from now; `what` says what did not happen."""
        place = self.network.directory
        self.reactor.after(
            seconds,
            lambda: self.fail(
                Mistake(
                    f"{what} within {seconds:g} s; is the suite running? The directory looked at is {place}"
                )
            ),
        )


def refused(what: str, condition: Condition) -> Mistake:
    """The error for a peer's word that it will not have something."""
    return Mistake(f"{what}: {printable(condition.description or condition.name)}")
