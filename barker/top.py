"""`barker top`: how every service does, live in a terminal; what the dashboard shows, without a browser."""

from __future__ import annotations

from typing import Any

import click

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Place, receiver_from
from barker.amqp.message import decode_map
from barker.amqp.system import time_of_day
from barker.commands import options
from barker.commands.terminal import Terminal
from barker.core.printable import printable
from barker.core.reports import reports_in
from barker.environment import extra

with extra("terminal"):
    from rich import box
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

WAIT_SECONDS = 5.0
"""How long the monitor has to answer."""

Report = dict[str, Any]


def table(reports: list[Report], gone: list[str], when: float) -> Table:
    """The figures of all services as a table; those in `gone` have reported before and do so no more."""
    title = f"Barker at {time_of_day(when)}"
    shown = Table(title=title, box=box.SIMPLE_HEAD, caption="Ctrl-C ends this; counts are since the start")
    shown.add_column("service")
    for column in _COLUMNS:
        shown.add_column(column, justify="right")
    for report in reports:
        state = _state(report)
        style = "dim" if state == "standby" else ""
        values = [show(report) for show in _COLUMNS.values()]
        name = Text(printable(str(report["name"])), "bold")
        shown.add_row(name, *map(Text, map(printable, values)), style=style)
    for gone_name in gone:
        shown.add_row(Text(printable(gone_name)), "", "gone", style="red")
    return shown


def _state(report: Report) -> str:
    if "active" not in report:
        return "up"
    return "active" if report["active"] else "standby"


def _number(key: str, scale: float = 1.0, digits: int = 0) -> Any:
    def show(report: Report) -> str:
        value = report.get(key)
        return "" if value is None else f"{value * scale:,.{digits}f}"

    return show


_COLUMNS: dict[str, Any] = {
    "pid": lambda report: str(report["pid"]),
    "state": _state,
    "in/s": _number("received_rate", digits=1),
    "out/s": _number("sent_rate", digits=1),
    "depth": _number("depth"),
    "flight": _number("in_flight"),
    "dead": _number("dead_letters"),
    "p50 ms": _number("latency_p50", 1000, 1),
    "p99 ms": _number("latency_p99", 1000, 1),
    "links": _number("connections"),
    "readers": _number("readers"),
    "missed": _number("missed"),
    "CPU %": _number("cpu", 100, 1),
    "MB": _number("memory", 1e-6, 1),
    "files": _number("files"),
    "disk MB": _number("journal_bytes", 1e-6, 1),
}
"""Each column's title, and what it says of a report."""


class Top(PeerHandler[Receiver]):
    """Reads the monitor and keeps the table up to date."""

    def __init__(self, terminal: Terminal, live: Live | None) -> None:
        """With `live`, go on; without, print one table and end."""
        self._terminal, self._live = terminal, live
        self._known: dict[str, float] = {}
        self._newest = 0.0
        receiver_from(terminal.network, "monitor", self, window=200, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """One second's reports; of the monitor's past only the end is shown."""
        self._newest, reports = reports_in(decode_map(data)[1])
        delivery.accept()
        names = {report["name"] for report in reports}
        self._known.update(dict.fromkeys(names, self._newest))
        if self._newest < self._terminal.reactor.wall() - 1.5:
            return
        gone = [name for name, seen in self._known.items() if name not in names and seen > self._newest - 60]
        shown = table(reports, gone, self._newest)
        if self._live is not None:
            self._live.update(shown, refresh=True)
        else:
            Console().print(shown)
            self._terminal.stop()

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        """The monitor is gone."""
        if self._live is not None:
            self._live.update(Text("the monitor is gone; looking for it", "red"), refresh=True)


@options.command("top")
@click.option("--once", is_flag=True, help="Show it once, and end.")
@options.directory
@options.program
def main(once: bool, directory_place: Place) -> None:
    """Show how every service does, live. A monitor must run: 'barker launch --monitoring' brings one."""
    terminal = Terminal(directory_place)
    if once:
        Top(terminal, None)
        terminal.undone = str
        terminal.expect("no monitor has answered", WAIT_SECONDS)
        terminal.run()
        return
    with Live(Text("looking for the monitor"), auto_refresh=False, screen=True) as live:
        terminal.tell = lambda text: live.update(Text(text), refresh=True)
        Top(terminal, live)
        terminal.run()


if __name__ == "__main__":
    main()
