"""What the commands for people at a terminal share: a reactor for a while, and a word when nobody answers."""

from __future__ import annotations

import os

from barker.amqp.handlers import Condition
from barker.amqp.links import Place
from barker.amqp.process import Process
from barker.amqp.system import new_id
from barker.core.errors import Mistake
from barker.core.printable import printable


class Terminal(Process):
    """One command's process; it ends when the command says so, or with an error."""

    def __init__(self, directory: Place) -> None:
        super().__init__(f"terminal-{os.getpid()}-{new_id()[:8]}", directory)

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
