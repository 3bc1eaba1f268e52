"""Autobark: a client that makes traffic, at a steady rate, as users who exist.

A bark stays with it until an outbox has accepted it; when no outbox takes any, it waits instead of piling up.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import click

from barker.amqp.agent import agent_alone
from barker.amqp.links import Places
from barker.amqp.message import encode_bark
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.system import new_id, now
from barker.commands import options
from barker.commands.output import announce, show
from barker.commands.terminal import Terminal
from barker.commands.where import users, users_in
from barker.core.access import service
from barker.core.advertised import Advertised, host_alone
from barker.core.barks import Bark
from barker.core.errors import Mistake
from barker.core.kennel import sentence
from barker.store.userbase import Where, open_users

MOST_PENDING = 1_000
"""With so many barks not yet accepted, no more are made."""

TICK_SECONDS = 0.002
"""Barks that are due sooner after one another than this come in bursts."""


class Autobark:
    """One client."""

    def __init__(
        self, terminal: Terminal, users: list[str], rate: float, count: int | None, chance: random.Random
    ) -> None:
        """`rate` in barks/s; `count`: end after so many, None for never."""
        self._terminal, self._users, self._rate, self._count = terminal, users, rate, count
        self._chance = chance
        self._begun = self._terminal.reactor.clock()
        self._made = 0
        self.accepted = 0
        if count is not None:
            terminal.undone = lambda: f"{self.accepted} of {count} barks accepted"
        self._outbound = Outbound(terminal.network, "outbox")
        terminal.reactor.after(0, self._tick)
        terminal.reactor.every(max(TICK_SECONDS, min(1 / rate, 1.0)), self._tick)

    def figures(self) -> dict[str, Any]:
        """What its agent reports."""
        return {
            "received": 0,
            "sent": self.accepted,
            "rate": self._rate,
            "in_flight": self._outbound.in_flight,
            "pending": len(self._outbound),
            "outbox": self._outbound.place,
        }

    def _tick(self) -> None:
        """Make what is due; what could not be made while the outboxes were away is not made up for."""
        now_due = 1 + int((self._terminal.reactor.clock() - self._begun) * self._rate)
        most = now_due if self._count is None else min(now_due, self._count)
        while self._made < most:
            if len(self._outbound) >= MOST_PENDING:
                self._begun += (now_due - self._made) / self._rate
                return
            user = self._chance.choice(self._users)
            bark = Bark(new_id(), user, sentence(self._chance, self._users), now())
            self._outbound.send(encode_bark(bark), self._on_outcome)
            self._made += 1

    def _on_outcome(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Accepted):
            self._terminal.fail(Mistake(f"an outbox rejects barks: {outcome}"))
            return
        self.accepted += 1
        if self._count is not None and self.accepted >= self._count:
            self._terminal.stop()


def others(where: Where) -> list[str]:
    """All users but the one whose page the launcher prints.

    :raises Mistake: when there are none.
    """
    with contextlib.closing(open_users(where)) as there:
        star = there.star()
        names = [name for name in there.names() if name != star]
    if not names:
        besides = f" but {star}" if star else ""
        raise Mistake(f"there are no users{besides} in {where}: make some with 'barker users make'")
    return names


@options.command("autobark")
@click.argument("rate", type=click.FloatRange(0, min_open=True), default=1)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End when N barks are accepted.")
@click.option("--user", "own", multiple=True, metavar="NAME", help="Bark as this user (may be repeated).")
@click.option("--seed", type=int, help="Bark the same again.")
@users
@options.host
@options.directory
@options.data
@options.program
def main(
    rate: float,
    count: int | None,
    own: tuple[str, ...],
    seed: int | None,
    where: Where | None,
    host: str,
    advertised: Advertised | None,
    directories: Places,
    data: Path,
) -> None:
    """Bark RATE times a second (1 if left out), each time as some user from --data.

    Never as the one whose page the launcher prints, ark3 or whom most follow, unless told to.
    """
    advertised_host = host_alone(advertised, "an autobark listens at any port that is free")
    names = list(own) or others(users_in(where, data))
    terminal = Terminal(directories, certificate=service("autobark"))
    autobark = Autobark(terminal, names, rate, count, random.Random(seed))
    agent_alone(terminal.reactor, terminal.network, "autobark", host, autobark.figures, advertised_host)
    if count is None:
        announce(f"autobark barks {rate:g} times a second")
    terminal.run()
    if count is not None:
        show(f"{autobark.accepted} barks accepted")


if __name__ == "__main__":
    main()
