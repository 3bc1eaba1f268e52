"""`barker bark`, `follow` and `unfollow`: one message to the outbox, and its answer."""

from __future__ import annotations

import click

from barker.amqp.links import Places
from barker.amqp.message import encode_bark
from barker.amqp.outbound import Outbound, Outcome, Rejected
from barker.amqp.system import new_id, now
from barker.commands import options
from barker.commands.completing import users
from barker.commands.output import as_json, show
from barker.commands.terminal import Terminal, refused
from barker.core.barks import Bark, Follow, user_name
from barker.core.errors import Mistake
from barker.core.printable import printable

WAIT_SECONDS = 10.0
"""How long a command waits for the outbox's word."""


def send(directories: Places, work: Bark | Follow) -> str:
    """Send it to an outbox and wait until it is accepted; where that was, as host:port.

    :raises Mistake: when it is rejected, or no outbox answers.
    """
    terminal = Terminal(directories)
    accepted_by = ""

    def on_outcome(outcome: Outcome) -> None:
        nonlocal accepted_by
        accepted_by = outbound.place
        if isinstance(outcome, Rejected):
            terminal.fail(refused("rejected", outcome.condition))
        else:
            terminal.stop()

    def undone() -> str:
        return "not known whether it is accepted" if outbound.in_flight else "not accepted"

    outbound = Outbound(terminal.network, "outbox")
    outbound.send(encode_bark(work), on_outcome)
    terminal.expect("no outbox has accepted it", WAIT_SECONDS, undone)
    terminal.run()
    return printable(accepted_by)


def _send(directories: Places, work: Bark | Follow, json: bool) -> None:
    place = send(directories, work)
    show(as_json({**work._asdict(), "outbox": place}) if json else f"accepted by the outbox at {place}")


@options.command("bark")
@click.argument("user", shell_complete=users)
@click.argument("text", nargs=-1, required=True)
@options.as_json
@options.sign_in
@options.directory
@options.program
def bark(user: str, text: tuple[str, ...], json: bool, directories: Places) -> None:
    """Have USER bark TEXT; done when an outbox has it safe."""
    _send(directories, Bark(new_id(), user_name(user), " ".join(text), now()), json)


def _follow(user: str, other: str, directories: Places, wanted: bool, json: bool) -> None:
    if user == other:
        raise Mistake("nobody can follow themselves")
    _send(directories, Follow(new_id(), user_name(user), user_name(other), now(), wanted), json)


@options.command("follow")
@click.argument("user", shell_complete=users)
@click.argument("other", shell_complete=users)
@options.as_json
@options.sign_in
@options.directory
@options.program
def follow(user: str, other: str, json: bool, directories: Places) -> None:
    """Have USER follow OTHER from now on."""
    _follow(user, other, directories, wanted=True, json=json)


@options.command("unfollow")
@click.argument("user", shell_complete=users)
@click.argument("other", shell_complete=users)
@options.as_json
@options.sign_in
@options.directory
@options.program
def unfollow(user: str, other: str, json: bool, directories: Places) -> None:
    """Have USER no longer follow OTHER."""
    _follow(user, other, directories, wanted=False, json=json)


if __name__ == "__main__":
    bark()
