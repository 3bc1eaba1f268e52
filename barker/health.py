"""`barker health`: whether one service does its work, for who starts it again when it does not.

It asks the agent of a process (`amqp/agent.py`), which tells of itself at once: from its own port, and nobody
else has a part in it; or, with ``--registered``, by the way on which its peers find it.
"""

from __future__ import annotations

import click

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import PeerHandler, Place, Places, receiver_from
from barker.amqp.message import decode_map
from barker.commands import options
from barker.commands.output import show
from barker.commands.terminal import Terminal
from barker.core.access import from_here
from barker.core.advertised import Advertised, reached
from barker.core.errors import BarkerError
from barker.core.printable import printable
from barker.core.reports import AGENTS


class _Asking(PeerHandler[Receiver]):
    """The link to the agent: its first report is the end."""

    def __init__(self, terminal: Terminal, address: str) -> None:
        self._terminal = terminal
        self.name = ""
        """What the service calls itself; empty until it has answered."""
        receiver_from(terminal.network, address, self, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        _, report = decode_map(data)
        self.name = printable(str(report.get("name") if isinstance(report, dict) else report), 100)
        self._terminal.stop()


@options.command("health")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the service listens.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Its port.")
@options.advertise
@click.option(
    "--registered",
    is_flag=True,
    help="Find it by way of the directory, as its peers do: also the gateway, whose port speaks HTTP.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="How long it has to answer.",
)
@click.option(
    "--directory",
    default=options.DIRECTORY,
    show_default=True,
    metavar="HOST:PORT[,...]",
    help="Where that is; of several one is enough.",
)
@options.certificates  # It takes no key, which may not be made yet: everybody may read how a service does.
@options.program
def main(
    host: str, port: int, advertised: Advertised | None, registered: bool, seconds: float, directory: str
) -> None:
    """Ask a service how it does: status 0 if it answers, and 1 if it does not.

    By the variables that it is started with, BARKER_HOST, BARKER_PORT and so on, it is found without options.
    """
    place = Place(from_here(host), port)
    terminal = Terminal(Places.parse(directory) if registered else Places([place]))
    why: list[str] = []
    terminal.tell = why.append
    agent = "{}{}-{}".format(AGENTS, *reached(host, port, advertised))
    asking = _Asking(terminal, agent if registered else AGENTS.rstrip("/"))

    def late() -> None:
        what = f"{place} has not answered within {seconds:g} s"
        terminal.fail(BarkerError("; ".join([what, *(text.removesuffix("; trying again") for text in why)])))

    terminal.reactor.after(seconds, late)
    terminal.run()
    if asking.name:
        show(f"{asking.name} answers at {place}")
    else:
        raise BarkerError(f"{place}: interrupted before it has answered")


if __name__ == "__main__":
    main()
