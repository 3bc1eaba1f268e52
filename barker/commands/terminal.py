"""What the commands for people at a terminal share: a reactor for a while, and a word when nobody answers."""

from __future__ import annotations

import os
from collections.abc import Callable

from barker.amqp.agent import LAUNCHED
from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition
from barker.amqp.links import Network, Places
from barker.amqp.process import Process
from barker.amqp.reactor import Reactor
from barker.amqp.system import new_id
from barker.commands.keys import terminal_credentials
from barker.commands.output import OutputLost, show
from barker.core.access import OPERATOR, Identity
from barker.core.errors import BarkerError, Interrupted, Mistake, NotAuthentic, Unanswered, Unauthorized
from barker.core.printable import printable

PATIENCE_SECONDS = 0.5
"""Who is not found within this time is said to be looked for."""


class Terminal(Process):
    """One command's process; it ends when the command says so, or with an error."""

    def __init__(self, directories: Places, hint: str = "", certificate: Identity = OPERATOR) -> None:
        """`hint`: what to do when nobody serves what it looks for; `certificate`: with TLS, whose it shows.

        :raises Mistake: for a key that others can read, or a certificate that is not there.
        """
        credentials = terminal_credentials(directories, certificate)
        super().__init__(f"terminal-{os.getpid()}-{new_id()[:8]}", directories, credentials=credentials)
        self.network = _Search(self.reactor, directories, self._say, self.fail, hint)
        self.tell: Callable[[str], None] = lambda text: self.show(f"-- {text}", err=True)
        """Tells who looks on what becomes of the command, in a line."""
        self.undone: Callable[[], str] | None = None
        """What it has not done, if it is interrupted now; None when to be interrupted is how it ends."""

    def on_signal(self, number: int) -> None:
        """Somebody does not want to wait any longer."""
        if self.undone is None:
            self.stop()
        else:
            self.fail(Interrupted(number, self.undone()))

    def show(self, text: str, err: bool = False) -> None:
        """Print a line; if it cannot be written, that is the end."""
        if self.failed:
            return
        try:
            show(text, err)
        except OutputLost as error:
            self.fail(error)

    def expect(self, what: str, seconds: float, undone: Callable[[], str] = str) -> None:
        """Fail if the command is not done `seconds` from now; `what` says what did not happen.

        `undone` tells what it has not done, if it is interrupted before (:attr:`undone`).
        """
        places, self.undone = self.network.directories, undone
        looked_at = f"directory looked at is {places}" if len(places) == 1 else f"directories are {places}"
        self.reactor.after(
            seconds,
            lambda: self.fail(
                Unanswered(f"{what} within {seconds:g} s; is the suite running? The {looked_at}")
            ),
        )

    def _say(self, text: str) -> None:
        if not os.environ.get(LAUNCHED):  # Its terminal is the launcher's, who knows who is gone.
            self.tell(printable(text))


class _Search(Network):
    """Connections, and a word when what they are for is not found within a while."""

    def __init__(
        self,
        reactor: Reactor,
        directories: Places,
        say: Callable[[str], None],
        fail: Callable[[BarkerError], None],
        hint: str,
    ) -> None:
        super().__init__(reactor, *directories)
        self._say, self._fail, self._hint = say, fail, hint
        self._missing: dict[str, str] = {}
        """By address: why its link does not stand, in a few words."""
        self._said: set[str] = set()
        self._answered = False
        reactor.after(PATIENCE_SECONDS, self._unopened)

    def on_search(self, address: str, why: Condition | None, peer: str) -> None:
        """Note it, and say it in a while; who has only guessed which key it is goes on as a stranger."""
        credentials = self.reactor.credentials
        secured = credentials is not None and credentials.authority
        if why is not None and why.name == Unauthorized.condition:
            key = "it is in the suite's data folder: --key FILE"
            remedy = "show another's by --certificate FILE" if secured else key
            self._fail(Mistake(f"{printable(why.description)}; {remedy}"))
            return
        if why is not None and why.name == NotAuthentic.condition:
            self._answered = True
            if credentials is not None and credentials.password:
                self._fail(Mistake(f"{peer}: {printable(why.description)}"))
                return
            if credentials is None or not credentials.guessed:
                shown = f" ({credentials.file})" if credentials is not None else ""
                self._note(address, f"{peer}: {why.description}{shown}")
                return
            self.reactor.credentials = None
        if why is not None and why.name == "amqp:not-found":
            self._note(address, f"{why.description}{self._hint and f' ({self._hint})'}")
        else:
            self._note(address, f"nobody at {peer}")

    def on_found(self, address: str) -> None:
        """No more is to be said of it."""
        self._missing.pop(address, None)
        self._said &= set(self._missing.values())

    def on_connected(self, connection: Connection) -> None:
        """Somebody speaks AMQP."""
        self._answered = True
        self._missing.pop("directory", None)

    def _unopened(self) -> None:
        """A directory that neither takes a connection nor refuses it."""
        if not self._answered:
            self._missing.setdefault("directory", f"nobody at {self.directories}")
            self._tell()

    def _note(self, address: str, text: str) -> None:
        self._missing[address] = text
        self.reactor.after(PATIENCE_SECONDS, self._tell)

    def _tell(self) -> None:
        """Say of each that is still missing why, once."""
        for text in dict.fromkeys(self._missing.values()):
            if text not in self._said:
                self._say(f"{text}; trying again")
            self._said.add(text)


def refused(what: str, condition: Condition) -> Mistake:
    """The error for a peer's word that it will not have something."""
    return Mistake(f"{what}: {printable(condition.description or condition.name)}")
