"""What a suite's queues hold: each manifold is asked, and the monitor for those of a broker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, receiver_from
from barker.amqp.message import decode_map
from barker.amqp.watch import Watcher
from barker.commands.output import as_json
from barker.commands.terminal import Terminal
from barker.core.broker import KINDS, used
from barker.core.errors import PeerError, Unanswered
from barker.core.printable import printable
from barker.core.reports import QUEUES, QueueReport, checked, place, queues_in, reports_in
from barker.core.routing import Route

WAIT_SECONDS = 5.0
"""How long the directory has to answer."""

SILENT_SECONDS = 2.0
"""How long all services have, after it: one that is frozen says nothing."""

MONITOR = "monitor"

TITLES = ("queue", "where", "depth", "in flight", "consumers", "dead letters", "active consumer")

COUNTS = ("depth", "in_flight", "consumers", "dead_letters")


class Queues:
    """Reads every agent that the directory knows, and of manifolds their queues; then shows these."""

    def __init__(self, terminal: Terminal, json: bool) -> None:
        self._terminal, self._json = terminal, json
        self._reports: dict[str, dict[str, Any]] = {}
        self._queues: list[tuple[QueueReport, str]] = []
        """Each with its manifold's agent."""
        self._brokers: list[dict[str, Any]] = []
        """What the monitor tells of a broker's queues and streams."""
        self._awaited: set[str] = set()
        self._watcher = Watcher(terminal.network, self._on_change)
        terminal.expect("the directory has not told its routes", WAIT_SECONDS)

    def _on_change(self, change: str, route: Route | None) -> None:
        if route is None and not self._awaited:
            known = {route.address for route in self._watcher.routes}
            for address in known:
                if place(address) or address == MONITOR:
                    self._ask(address)
            self._terminal.reactor.after(SILENT_SECONDS, self._give_up)

    def _ask(self, address: str) -> None:
        self._awaited.add(address)
        # Of the monitor's messages, who has credit for one sees the newest.
        receiver_from(self._terminal.network, address, _Answer(self, address), window=1, settled=True)

    def on_answer(self, address: str, body: object) -> None:
        """A process has told how it does; a manifold, how its queues do; the monitor, how all do.

        :raises InvalidField: when it is something else.
        """
        agent = address.removesuffix(QUEUES)
        if address == MONITOR:
            self._brokers = [report for report in reports_in(body)[1] if report["type"] in KINDS]
        elif address == agent:
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
        silent += [MONITOR] if MONITOR in self._awaited else []
        self._terminal.fail(Unanswered(f"no answer within {SILENT_SECONDS:g} s from {', '.join(silent)}"))

    def _show(self) -> None:
        rows = list(self._rows())
        if self._json:
            for row in rows:
                self._terminal.show(as_json(row))
        else:
            for line in _table([TITLES, *map(_cells, rows)]):
                self._terminal.show(line)
        if not self._brokers and used(self._reports.values()):
            self._terminal.tell("the broker's queues are not shown: a monitor with --broker tells of them")

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Each queue: what it holds, where it is, and by name who takes from it now."""
        names = {f"{each['host']}:{each['port']}": each["name"] for each in self._reports.values()}
        for queue, agent in sorted(self._queues, key=lambda told: (told[0].address, place(told[1]))):
            report = self._reports[agent]
            active = names.get(queue.consumer, queue.consumer)
            yield {**queue._asdict(), "active": active, **_place(report)}
        for report in self._brokers:
            active = " ".join(names.get(place, place) for place in report.get("consumer", "").split())
            counts = {key: report.get(key) for key in COUNTS}
            address, consumer = report["name"], report.get("consumer", "")
            yield {"address": address, **counts, "consumer": consumer, "active": active, **_place(report)}


def _place(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in ("name", "host", "port")}


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    counts = ("-" if row[key] is None else row[key] for key in COUNTS)
    return row["address"], f"{row['host']}:{row['port']}", *counts, row["active"] or "-"


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
