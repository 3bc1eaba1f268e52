"""The gateway: the web pages, and AMQP over WebSocket for them, at one port.

A browser speaks AMQP to a service through here, at a path that names it, such as ``/amqp/inbox/ark3``
(`web/bridge.py`). The pages are webui/ and monitoring/ (`web/pages.py`).
"""

from __future__ import annotations

import logging

import click

from barker.amqp.handlers import DEFAULT_LIMITS
from barker.amqp.links import Places
from barker.commands import options
from barker.commands.keys import service_credentials
from barker.core.advertised import Advertised
from barker.environment import extra

with extra("web"):
    from barker.web.server import Gateway, tell_in_a_line


@options.command("gateway")
@options.host
@options.port(5673)
@options.directory
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=DEFAULT_LIMITS.connections,
    show_default=True,
    help="How many WebSockets there may be at one time; more are turned away.",
)
@options.allow_host
@options.program
def main(
    host: str,
    advertised: Advertised | None,
    port: int,
    directories: Places,
    max_connections: int,
    allow_hosts: tuple[str, ...],
) -> None:
    """Run the gateway: the web pages, and AMQP over WebSocket for them.

    On a terminal it prints the pages' link, with a key that is made of the suite's: nobody gets further
    without. Elsewhere 'barker pages' tells it.
    """
    logging.getLogger("aiohttp.server").addFilter(tell_in_a_line)
    credentials = service_credentials("gateway", directories)
    Gateway(host, port, directories, max_connections, allow_hosts, credentials, advertised).run()


if __name__ == "__main__":
    main()
