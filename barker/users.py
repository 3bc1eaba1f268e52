"""`barker users`: make users, import a social graph, list them. Running bizlogics see it within a second."""

from __future__ import annotations

from pathlib import Path

import click

from barker.commands import options
from barker.commands.output import as_json, show
from barker.core.errors import Mistake
from barker.core.kennel import SAMPLE
from barker.store.first_users import import_users, make_users, sample_users
from barker.store.social import FILE_NAME, Users, salvage


@click.group("users", cls=options.BarkerGroup)
def main() -> None:
    """Make, import and list users."""


@main.command("make")
@click.option("--users", "count", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other friendships.")
@options.data
@options.program
def make(count: int, seed: int, data: Path) -> None:
    """Add dogs with a number, and ark3, whom and who many follow."""
    users = make_users(data, count, seed)
    show(f"{len(users)} users in {users.path}")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--mutual", is_flag=True, help="Each line is a friendship: both follow each other.")
@click.option(
    "--sample",
    is_flag=True,
    help=f"No file: {SAMPLE} dogs by chance, always the same, with as many friends as people at a college.",
)
@options.data
@options.program
def import_(file: Path | None, mutual: bool, sample: bool, data: Path) -> None:
    """Add the users of an edge list: 'follower followee' a line, % and # begin a comment."""
    if sample == (file is not None):
        raise Mistake("name the file of an edge list, or say --sample; one of both")
    users = import_users(data, file, mutual) if file is not None else sample_users(data)
    show(f"{len(users)} users in {users.path}")


@main.command("salvage")
@options.data
@options.program
def salvage_(data: Path) -> None:
    """Keep what can be read of a damaged users' file, and set that aside. End the suite first."""
    aside = salvage(data / FILE_NAME)
    users = Users(data / FILE_NAME)
    show(f"{len(users)} users saved in {users.path}; the damaged file is {aside}")


@main.command("list")
@options.as_json
@options.data
@options.program
def list_(json: bool, data: Path) -> None:
    """Show each user, how many they follow, and how many follow them."""
    if not json:
        show(f"{'user':<32} {'follows':>8} {'followers':>10}")
    for name, follows, followers in Users(data / FILE_NAME).counts():
        fields = {"name": name, "follows": follows, "followers": followers}
        show(as_json(fields) if json else f"{name:<32} {follows:>8} {followers:>10}")


if __name__ == "__main__":
    main()
