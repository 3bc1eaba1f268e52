"""`barker repartition`: another number of partitions of authors, or of inboxes, for a suite that is ended."""

from __future__ import annotations

from pathlib import Path

import click

from barker.commands import options
from barker.commands.output import show
from barker.core.errors import Mistake
from barker.suite.division import repartition
from barker.suite.shape import MOST_PARTITIONS


@options.command("repartition")
@click.option(
    "--partitions", type=click.IntRange(1, MOST_PARTITIONS), help="Into how many authors are to be divided."
)
@click.option("--inboxes", type=click.IntRange(1, MOST_PARTITIONS), help="How many inboxes there are to be.")
@options.data
@options.program
def main(partitions: int | None, inboxes: int | None, data: Path) -> None:
    """Have what is in --data be for other numbers of partitions. End the suite first.

    Every bark that was accepted is kept, in order: what waits in outboxes waits for other bizlogics then, and
    what is on timelines is on them in other inboxes. If it is cut off, run it again.
    """
    if partitions is None and inboxes is None:
        raise Mistake("say --partitions N, --inboxes N, or both: there is nothing to change")
    for line in repartition(data, partitions, inboxes):
        show(line)


if __name__ == "__main__":
    main()
