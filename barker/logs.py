"""`barker logs`: what the processes of a launched suite have written, as its launcher has kept it."""

from __future__ import annotations

from pathlib import Path

import click

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Places, receiver_from
from barker.amqp.message import decode_map
from barker.commands import options
from barker.commands.completing import launcher_of, services
from barker.commands.output import as_json
from barker.commands.terminal import Terminal
from barker.core.errors import Mistake
from barker.core.printable import printable

WAIT_SECONDS = 10.0
"""How long the launcher has to answer."""


class _Reader(PeerHandler[Receiver]):
    """Prints lines: those that are kept, and with `follow` those that come."""

    def __init__(self, terminal: Terminal, name: str | None, follow: bool, json: bool) -> None:
        self._terminal, self._name, self._follow, self._json = terminal, name, follow, json
        self._printed = False

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        kind, body = decode_map(data)
        if kind == "log" and self._name in (None, body["name"]):
            self._print(printable(str(body["name"])), printable(str(body["line"])))
        elif kind == "kept":
            names = [str(name) for name in body["names"]]
            if self._name is not None and self._name not in names:
                there = printable(", ".join(names))
                self._terminal.fail(Mistake(f"no process here is called {self._name!r}; there are {there}"))
                return
            if not self._printed:
                self._terminal.tell("nothing is written yet; 'barker up --log-level info' has more written")
            if not self._follow:
                self._terminal.stop()

    def _print(self, name: str, line: str) -> None:
        self._printed = True
        # Most lines have the name of who wrote them already.
        plain = line if self._name is not None or name in line else f"{name}: {line}"
        self._terminal.show(as_json({"name": name, "line": line}) if self._json else plain)


@options.command("logs")
@click.argument("name", required=False, shell_complete=services)
@click.option("-f", "--follow", is_flag=True, help="Go on, and show what comes.")
@options.as_json
@options.session
@options.directory
@options.program
def main(name: str | None, follow: bool, json: bool, session_file: Path | None, directories: Places) -> None:
    """Show the last lines that the process NAME has written on standard error, or all processes have.

    With 'barker up --log-level info' there is more of it.
    """
    terminal = Terminal(launcher_of(session_file, directories))
    handler = _Reader(terminal, name, follow, json)
    receiver_from(terminal.network, "launcher/logs", handler, window=10_000, settled=True)
    if not follow:
        terminal.expect("no launcher has answered", WAIT_SECONDS)
    terminal.run()


if __name__ == "__main__":
    main()
