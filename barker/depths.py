"""`barker queues`: what every queue holds, who takes from it, and what was rejected."""

from __future__ import annotations

from barker.amqp.links import Places
from barker.commands import options
from barker.commands.asking import Queues
from barker.commands.terminal import Terminal


@options.command("queues")
@options.as_json
@options.directory
@options.program
def main(json: bool, directories: Places) -> None:
    """Show the queues: what each holds, how much of it is in flight, and to how many.

    An outbox, or any manifold with --push, has one consumer at a time: the one that is named; of several
    partitions of authors, each has its own. Dead letters are what consumers rejected; they can be read from
    the manifold's address, or the queue's if it is pulled, with /dead-letters behind it. What is at a broker
    is told by the monitor, in the broker's messages, each of up to a hundred barks.
    """
    terminal = Terminal(directories)
    Queues(terminal, json)
    terminal.run()


if __name__ == "__main__":
    main()
