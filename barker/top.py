"""`barker top`: how every service does, live in a terminal; what the dashboard shows, without a browser."""

from __future__ import annotations

import contextlib
import sys

import click

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Places, receiver_from
from barker.amqp.message import decode_map
from barker.amqp.system import time_of_day
from barker.commands import options
from barker.commands.figures import TITLES, Report, View, heading, row, table
from barker.commands.output import OutputLost, as_json, styled
from barker.commands.screen import draw, is_screen, keys, screen, size
from barker.commands.terminal import Terminal
from barker.core.reports import reports_in

WAIT_SECONDS = 5.0
"""How long the monitor has to answer."""

SILENT_SECONDS = 60.0
"""Who has reported within this time, and does so no more, is shown as silent: dead, or frozen."""


class Top(PeerHandler[Receiver]):
    """Reads the monitor, and shows what it tells each second."""

    def __init__(self, terminal: Terminal, view: View, once: bool, live: bool, json: bool) -> None:
        """`live`: on a screen of its own; else a row for each service. With `once`, that and no more."""
        self._terminal, self.view, self._once, self._live, self._json = terminal, view, once, live, json
        self._known: dict[str, float] = {}
        self._newest = 0.0
        self._reports: list[Report] = []
        self._typing = False
        self._status = ""
        self._headed = False
        receiver_from(terminal.network, "monitor", self, window=200, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """One second's reports; of the monitor's past only the end is shown."""
        self._newest, reports = reports_in(decode_map(data)[1])
        delivery.accept()
        names = {report["name"] for report in reports}
        self._known.update(dict.fromkeys(names, self._newest))
        if self._newest < self._terminal.reactor.wall() - 1.5:
            return
        silent = [name for name, seen in self._known.items() if name not in names]
        silent = [name for name in silent if self._known[name] > self._newest - SILENT_SECONDS]
        self._reports = [*reports, *({"name": name, "state": "silent"} for name in silent)]
        self.say(f"Barker at {time_of_day(self._newest)}")

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        """The monitor is gone."""
        self._terminal.tell("the monitor is gone; looking for it")

    def say(self, status: str) -> None:
        """Show it all, with this above."""
        self._status = status
        try:
            self._show()
        except OutputLost as error:
            self._terminal.fail(error)

    def _show(self) -> None:
        reports = self.view.of(self._reports)
        if self._live:
            sort = f"by {self.view.sort}" if self.view.sort else ""
            told = f"/{self.view.filter}" if self.view.filter or self._typing else ""
            help_line = "q quits, s sorts, r reverses, / filters; counts are since the start"
            lines = table(reports, size().columns)
            status = " ".join(filter(None, [self._status, sort, told]))
            draw([status, "", *lines, "", styled(help_line, dim=True)])
            return
        if self._once and not self._json and sys.stdout.isatty():
            lines = [self._status, "", *table(reports, size().columns)]
        else:
            time = time_of_day(self._newest)
            first = [] if self._headed or self._json else [f"{'time':<8}  {heading()}"]
            lines = [
                as_json({"time": self._newest, **report}) if self._json else f"{time}  {row(report)}"
                for report in reports
            ]
            lines, self._headed = [*first, *lines], True
        for line in lines:
            self._terminal.show(line)
        if self._once:
            self._terminal.stop()

    def on_keys(self) -> None:
        """Something was pressed."""
        pressed = keys()
        if not pressed:
            self._terminal.reactor.unwatch(sys.stdin.fileno())
        for key in pressed:
            self.view, self._typing, quits = self.view.after(key, self._typing)
            if quits:
                self._terminal.stop()
        self.say(self._status)


@options.command("top")
@click.option("--once", is_flag=True, help="Show it once, and end.")
@click.option("--sort", type=click.Choice(TITLES), help="The column to sort by.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--filter", "text", default="", metavar="TEXT", help="Only services with this in their names.")
@options.as_json
@options.directory
@options.program
def main(once: bool, sort: str | None, reverse: bool, text: str, json: bool, directories: Places) -> None:
    """Show how every service does, live; in a row each when this is no terminal.

    A monitor must run: 'barker up --monitoring' brings one.
    """
    terminal = Terminal(directories, "'barker monitor', in another terminal, starts one")
    live = is_screen() and not once and not json
    if once:
        terminal.expect("no monitor has answered", WAIT_SECONDS)
    with screen() if live else contextlib.nullcontext():
        top = Top(terminal, View(sort or "", reverse, text), once, live, json)
        if live:
            terminal.tell = top.say
            top.say("looking for the monitor")
            if sys.stdin.isatty():
                terminal.reactor.watch(sys.stdin.fileno(), top.on_keys)
        terminal.run()


if __name__ == "__main__":
    main()
