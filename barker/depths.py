"""`barker queues`: what every queue of every manifold holds, who takes from it, and what was rejected."""

from __future__ import annotations

import contextlib
from typing import Any

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Places, receiver_from
from barker.amqp.message import decode_map
from barker.amqp.watch import Watcher
from barker.commands import options
from barker.commands.output import as_json
from barker.commands.terminal import Terminal
from barker.core.errors import PeerError, Unanswered
from barker.core.printable import printable
from barker.core.reports import QUEUES, QueueReport, checked, place, queues_in
from barker.core.routing import Route

WAIT_SECONDS = 5.0
"""How long the directory has to answer."""

SILENT_SECONDS = 2.0
"""How long all services have, after it: one that is frozen says nothing."""


TITLES = ("queue", "where", "depth", "in flight", "consumers", "dead letters", "active consumer")


class Queues:
    """Reads every agent that the directory knows, and of manifolds their queues; then shows these."""

    def __init__(self, terminal: Terminal, json: bool) -> None:
        self._terminal, self._json = terminal, json
        self._reports: dict[str, dict[str, Any]] = {}
        self._queues: list[tuple[QueueReport, str]] = []
        """Each with its manifold's agent."""
        self._awaited: set[str] = set()
        self._watcher = Watcher(terminal.network, self._on_change)
        terminal.expect("the directory has not told its routes", WAIT_SECONDS)

    def _on_change(self, change: str, route: Route | None) -> None:
        if route is None and not self._awaited:
            for agent in {route.address for route in self._watcher.routes if place(route.address)}:
                self._ask(agent)
            self._terminal.reactor.after(SILENT_SECONDS, self._give_up)

    def _ask(self, address: str) -> None:
        self._awaited.add(address)
        receiver_from(self._terminal.network, address, _Answer(self, address), settled=True)

    def on_answer(self, address: str, body: object) -> None:
        """A process has told how it does; or a manifold, how its queues do.

        :raises InvalidField: when it is something else.
        """
        agent = address.removesuffix(QUEUES)
        if address == agent:
            self._reports[agent] = report = checked(body, agent)
            if report.get("mode") in ("push", "pull", "relay"):
                self._ask(agent + QUEUES)
        else:
            queues, others = queues_in(body)
            self._queues += [(queue, agent) for queue in queues]
            if others:
                name = self._reports[agent]["name"]
                self._terminal.tell(printable(f"{name} has {others} queues more, which hold less"))

    def on_end(self, address: str) -> None:
        """Nothing more comes from there."""
        self._awaited.discard(address)
        if not self._awaited:
            self._show()
            self._terminal.stop()

    def _give_up(self) -> None:
        self._show()
        places = {place(address.removesuffix(QUEUES)) for address in self._awaited}
        silent = [f"{where[0]}:{where[1]}" for where in sorted(filter(None, places))]
        self._terminal.fail(Unanswered(f"no answer within {SILENT_SECONDS:g} s from {', '.join(silent)}"))

    def _show(self) -> None:
        names = {f"{each['host']}:{each['port']}": each["name"] for each in self._reports.values()}
        rows = []
        for queue, agent in sorted(self._queues, key=lambda told: (told[0].address, place(told[1]))):
            report = self._reports[agent]
            active = names.get(queue.consumer, queue.consumer)
            if self._json:
                places = {key: report[key] for key in ("name", "host", "port")}
                self._terminal.show(as_json({**queue._asdict(), "active": active, **places}))
            rows.append((queue.address, f"{report['host']}:{report['port']}", *queue.counts, active or "-"))
        if not self._json:
            for line in _table([TITLES, *rows]):
                self._terminal.show(line)


def _table(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows as lines: words to the left, counts to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    counts = range(2, len(TITLES) - 1)
    return [
        "  ".join(
            cell.rjust(width) if at in counts else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


class _Answer(PeerHandler[Receiver]):
    """The one message that is wanted of an address."""

    def __init__(self, queues: Queues, address: str) -> None:
        self._queues, self._address, self._answered = queues, address, False

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        if not self._answered:
            self._answered = True
            with contextlib.suppress(PeerError):  # Of others' making: the monitor says what is wrong with it.
                self._queues.on_answer(self._address, decode_map(data)[1])
            self._queues.on_end(self._address)

    def on_refused(self, condition: Condition) -> bool:
        """It has ended since, or is no manifold of this version."""
        self._queues.on_end(self._address)
        return False


@options.command("queues")
@options.as_json
@options.directory
@options.program
def main(json: bool, directories: Places) -> None:
    """Show the queues: what each holds, how much of it is in flight, and to how many.

    An outbox, or any manifold with --push, has one consumer at a time: the one that is named; of several
    partitions of authors, each has its own. Dead letters are what consumers rejected; they can be read from
    the manifold's address, or the queue's if it is pulled, with /dead-letters behind it.
    """
    terminal = Terminal(directories)
    Queues(terminal, json)
    terminal.run()


if __name__ == "__main__":
    main()
