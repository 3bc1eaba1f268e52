"""`barker pages`: the links of a suite's pages, with the key that lets them in."""

from __future__ import annotations

from pathlib import Path

import click

from barker.amqp.links import Place, Places
from barker.amqp.watch import Watcher
from barker.commands import options
from barker.commands.keys import key_file
from barker.commands.output import show
from barker.commands.session import page_link, read_session
from barker.commands.terminal import Terminal
from barker.core.access import pages_key
from barker.core.errors import Mistake
from barker.core.routing import Route
from barker.store.key import read_key
from barker.suite.browser import browse

WAIT_SECONDS = 5.0
"""How long the directory has to answer."""

ADDRESS = "gateway"


@options.command("pages")
@click.option("--open", "open_pages", is_flag=True, help="Open them in the browser, too.")
@options.session
@options.directory
@options.program
def main(open_pages: bool, session_file: Path | None, directories: Places) -> None:
    """Print the links of a suite's pages, with the key that lets them in: tell nobody.

    Whoever has a link can do in the suite what the pages can.
    """
    if session_file is not None:
        directories = Places.parse(read_session(session_file).directory)
    terminal = Terminal(directories)

    def on_change(change: str, route: Route | None) -> None:
        gateways.extend(route for route in watcher.routes if route.address == ADDRESS)
        terminal.stop()

    gateways: list[Route] = []
    watcher = Watcher(terminal.network, on_change)
    terminal.expect("the directory has not told its routes", WAIT_SECONDS)
    terminal.run()
    credentials = terminal.reactor.credentials
    if credentials is None:
        whose = f"the suite at {directories}"
        raise Mistake(f"this takes the key of {whose}, which is in its data folder: --key FILE")
    if not gateways:
        raise Mistake(f"no gateway belongs to the suite at {directories}: 'barker gateway' starts one")
    gateway = Place(gateways[0].host, gateways[0].port)
    file, _ = key_file(directories)  # With TLS, too, the pages' key is made of it.
    key, secure = pages_key(read_key(file)), bool(credentials.authority)
    links = [page_link(gateway, key, secure, path) for path in ("", "monitoring/")]
    show(f"The page: {links[0]}\nThe dashboard: {links[1]}")
    if open_pages and browse(links, file.parent).wait() != 0:
        raise Mistake("no browser can be opened from here: open a link yourself")


if __name__ == "__main__":
    main()
