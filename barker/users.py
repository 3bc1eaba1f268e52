"""`barker users`: make users, import a social graph, list them, copy them; in a file, or in PostgreSQL.

Running bizlogics see it within a second.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from barker.commands import options
from barker.commands.output import as_json, show
from barker.commands.where import COUNT, WhereType, count_and_url, how_many, users, users_in
from barker.core.errors import Mistake
from barker.core.kennel import SAMPLE
from barker.core.postgresql_url import PostgresUrl
from barker.store.copying import copy_users
from barker.store.first_users import import_users, make_users, sample_users
from barker.store.social import FILE_NAME, Users, salvage
from barker.store.userbase import Where, open_users


@click.group("users", cls=options.BarkerGroup)
def main() -> None:
    """Make, import, list and copy users."""


@main.command("make")
@how_many(1, "How many")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other friendships.")
@options.data
@options.program
def make(given: tuple[int | PostgresUrl, ...], seed: int, data: Path) -> None:
    """Add dogs with a number, and ark3, whom and who many follow."""
    count, url = count_and_url(given)
    with closing(make_users(users_in(url, data), count or COUNT, seed)) as made:
        show(f"{len(made)} users in {made.place}")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--mutual", is_flag=True, help="Each line is a friendship: both follow each other.")
@click.option(
    "--sample",
    is_flag=True,
    help=f"No file: {SAMPLE} dogs by chance, always the same, with as many friends as people at a college.",
)
@users
@options.data
@options.program
def import_(file: Path | None, mutual: bool, sample: bool, where: Where | None, data: Path) -> None:
    """Add the users of an edge list: 'follower followee' a line, % and # begin a comment."""
    if sample == (file is not None):
        raise Mistake("name the file of an edge list, or say --sample; one of both")
    to = users_in(where, data)
    with closing(import_users(to, file, mutual) if file is not None else sample_users(to)) as made:
        show(f"{len(made)} users in {made.place}")


@main.command("salvage")
@options.data
@options.program
def salvage_(data: Path) -> None:
    """Keep what can be read of a damaged users' file, and set that aside. End the suite first."""
    aside = salvage(data / FILE_NAME)
    saved = Users(data / FILE_NAME)
    show(f"{len(saved)} users saved in {saved.path}; the damaged file is {aside}")


@main.command("list")
@options.as_json
@users
@options.data
@options.program
def list_(json: bool, where: Where | None, data: Path) -> None:
    """Show each user, how many they follow, and how many follow them."""
    with closing(open_users(users_in(where, data))) as there:
        counts = list(there.counts())
    if not json:
        show(f"{'user':<32} {'follows':>8} {'followers':>10}")
    for name, follows, followers in counts:
        fields = {"name": name, "follows": follows, "followers": followers}
        show(as_json(fields) if json else f"{name:<32} {follows:>8} {followers:>10}")


@main.command("copy")
@click.argument("source", metavar="FROM", type=WhereType())
@click.argument("target", metavar="TO", type=WhereType())
@options.program
def copy(source: Where, target: Where) -> None:
    """Copy all users, whom they follow, and what is known of that, FROM a file or postgresql://… TO another.

    TO has no users yet; or it was copied from there and not used since: then it becomes the same again. End
    the suite first: what is done meanwhile may not be there.
    """
    with closing(open_users(source)) as of, closing(open_users(target, create=True)) as to:
        copied = copy_users(of, to)
        show(f"{copied.users} users and {copied.follows} follows of {of.place} are in {to.place}")


if __name__ == "__main__":
    main()
