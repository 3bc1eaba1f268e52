"""`barker listen`: a user's timeline in the terminal; first what is there, then what comes."""

from __future__ import annotations

import click

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Places, receiver_from
from barker.amqp.message import MISSED, annotations_in, cut, decode_bark
from barker.amqp.system import time_of_day
from barker.commands import options
from barker.commands.completing import users
from barker.commands.output import as_json, styled
from barker.commands.terminal import Terminal, refused
from barker.core.barks import LAST_TIME, Bark, user_name
from barker.core.errors import PeerError
from barker.core.printable import printable

REMEMBER = 1_000
"""How many ids are known again: after a loss the timeline's history comes once more."""


class Listener(PeerHandler[Receiver]):
    """Prints one timeline."""

    def __init__(self, terminal: Terminal, user: str, count: int | None, json: bool) -> None:
        self._terminal, self._count, self._json = terminal, count, json
        self._seen: dict[str, None] = {}
        if count is not None:
            terminal.undone = lambda: f"{self._count} of {count} barks have not come"
        receiver_from(terminal.network, f"inbox/{user}", self, settled=True)

    def on_found(self, link: Receiver) -> None:
        """The timeline is there."""
        self._terminal.tell(printable(f"reading {link.address} at {link.connection.peer}"))

    def on_refused(self, condition: Condition) -> bool:
        """Nobody serves it, which may change; or there is no such user."""
        if "user" not in condition.info:
            return True
        self._terminal.fail(refused("nothing to read", condition))
        return False

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        """It is gone; the link comes back by itself."""
        self._terminal.tell("the inbox is gone; looking for it")

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """One bark, new or not."""
        delivery.accept()
        if self._count == 0:
            return  # It came with the last one.
        try:
            bark = decode_bark(data, any_time=True)
            missed = annotations_in(cut(data).delivery_annotations).get(MISSED)
        except PeerError as error:
            self._terminal.tell(printable(f"a message that is no bark: {error}"))
            return
        if missed:
            self._terminal.tell(printable(f"too slow: {missed} barks were missed"))
        if not isinstance(bark, Bark) or bark.id in self._seen:
            return
        self._seen[bark.id] = None
        if len(self._seen) > REMEMBER:
            self._seen = dict.fromkeys(list(self._seen)[REMEMBER // 2 :])
        self._show(bark)

    def _show(self, bark: Bark) -> None:
        made, user = clock(bark.created), styled(printable(bark.user), bold=True)
        line = f"{styled(made, dim=True)} {user}: {printable(bark.text)}"
        self._terminal.show(as_json(bark._asdict()) if self._json else line)
        if self._count is not None:
            self._count -= 1
            if not self._count:
                self._terminal.stop()


def clock(created: int) -> str:
    """The time of day of a time in milliseconds since 1970; dashes for one that no calendar has."""
    if not 0 < created <= LAST_TIME:
        return "--:--:--"
    return time_of_day(created / 1000)


@options.command("listen")
@click.argument("user", shell_complete=users)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N barks.")
@options.as_json
@options.sign_in
@options.directory
@options.program
def main(user: str, count: int | None, json: bool, directories: Places) -> None:
    """Show the timeline of USER, live."""
    terminal = Terminal(directories)
    Listener(terminal, user_name(user), count, json)
    terminal.run()


if __name__ == "__main__":
    main()
