"""`barker routes`: what the directory knows, once or as it changes."""

from __future__ import annotations

import click

from barker.amqp.links import Places
from barker.amqp.system import time_of_day
from barker.amqp.watch import Watcher
from barker.commands import options
from barker.commands.output import as_json
from barker.commands.terminal import Terminal
from barker.core.printable import printable
from barker.core.routing import Route

WAIT_SECONDS = 5.0
"""How long the directory has to answer."""


LATEST = 2.0**40
"""No service has started later, in seconds since 1970; and no clock of the system's goes much further."""


def _line(route: Route, until: str = "") -> str:
    since = f"since {time_of_day(min(route.since, LATEST))}" if route.since > 0 else "since when is unknown"
    when = f"until {until}" if until else since
    part = f"  partition {route.partition}" if route.partition else ""
    return printable(f"{route.address:<28} {route.host}:{route.port:<6} {route.policy:<12} {when}{part}")


@options.command("routes")
@click.option("--watch", is_flag=True, help="Go on, and show every change.")
@options.as_json
@options.directory
@options.program
def main(watch: bool, json: bool, directories: Places) -> None:
    """Show which address is served where."""
    terminal = Terminal(directories)

    def tell(change: str, route: Route) -> None:
        if json:
            terminal.show(as_json({**({"change": change} if watch else {}), **route.to_map()}))
        else:
            mark = {"added": "+ ", "removed": "- "}.get(change, "  ") if watch else ""
            until = time_of_day(terminal.reactor.wall()) if change == "removed" else ""
            terminal.show(f"{mark}{_line(route, until)}")

    def on_change(change: str, route: Route | None) -> None:
        if route is not None and not watch:
            return  # It came with the table.
        for known in watcher.routes if route is None else [route]:
            tell(change, known)
        if not watch:
            terminal.stop()

    watcher = Watcher(terminal.network, on_change)
    if not watch:
        terminal.expect("the directory has not told its routes", WAIT_SECONDS)
    terminal.run()


if __name__ == "__main__":
    main()
