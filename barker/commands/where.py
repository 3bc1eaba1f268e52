"""Where users are kept, on the command line: the options, and how a service waits for a database."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from barker.amqp.agent import LAUNCHED
from barker.commands.options import Command
from barker.commands.output import show
from barker.core.backoff import Backoff
from barker.core.errors import Away, Mistake
from barker.core.postgresql_url import PostgresUrl, is_postgres_url
from barker.store.social import FILE_NAME
from barker.store.userbase import UserBase, Where, open_users

log = logging.getLogger(__name__)

COUNT = 100
"""So many users are made, if nobody says how many."""

MOST_SECONDS = 2.0
"""So long a service that starts waits, at most, before it asks again whether its database is there."""


class WhereType(click.ParamType[Where]):
    """A users' file, be it by its folder; or a PostgreSQL URL."""

    name = "FILE|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Where:
        """A path or a URL; or the usual error for a wrong option, without what was given."""
        if isinstance(value, Path | PostgresUrl):
            return value
        if not is_postgres_url(str(value)):
            path = Path(value)
            return path / FILE_NAME if path.is_dir() else path
        return self._url(value, param, ctx)

    def _url(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> PostgresUrl:
        try:
            return PostgresUrl.parse(value)
        except Mistake as mistake:
            self.fail(str(mistake), param, ctx)


class CountOrUrlType(click.ParamType[int | PostgresUrl]):
    """How many users to make, or the PostgreSQL URL where they are."""

    name = "N|URL"

    def __init__(self, least: int) -> None:
        self._count, self._where = click.IntRange(least), WhereType()

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | PostgresUrl:
        """One of both."""
        if isinstance(value, PostgresUrl) or (isinstance(value, str) and is_postgres_url(value)):
            found = self._where.convert(value, param, ctx)
            assert isinstance(found, PostgresUrl)
            return found
        return self._count.convert(value, param, ctx)


users = click.option(
    "--users",
    "where",
    type=WhereType(),
    metavar="FILE|URL",
    help="Where users are kept: a file, or postgresql://… (default: users.sqlite3 in --data).",
)
"""The option --users, as `where`."""


def how_many(least: int, help: str) -> Callable[[Command], Command]:
    """The option --users of who makes some, as `given`, for :func:`count_and_url`."""
    return click.option(
        "--users",
        "given",
        type=CountOrUrlType(least),
        multiple=True,
        metavar="N|URL",
        help=f"{help} (default: {COUNT}); or postgresql://…, where they are; or both, each with --users.",
    )


def users_in(where: Where | None, data: Path) -> Where:
    """Where they are, if nobody has said: in the data folder."""
    return where if where is not None else data / FILE_NAME


def count_and_url(given: tuple[int | PostgresUrl, ...]) -> tuple[int | None, PostgresUrl | None]:
    """Of an option that may be said twice: how many, and where. The variable may say where, too.

    :raises Mistake: when one is said twice.
    """
    if not any(isinstance(each, PostgresUrl) for each in given):
        told = os.environ.get("BARKER_USERS", "").split()
        given = (*given, *(PostgresUrl.parse(each) for each in told if is_postgres_url(each)))
    counts = [each for each in given if isinstance(each, int)]
    urls = [each for each in given if isinstance(each, PostgresUrl)]
    if len(counts) > 1 or len(urls) > 1:
        raise Mistake("--users says how many, or where they are; twice it says both, and no more")
    return next(iter(counts), None), next(iter(urls), None)


def await_users(where: Where) -> UserBase:
    """The users, for a service; while their database is away it says so once, and waits.

    :raises Mistake: when there are none.
    :raises StorageError: when they cannot be opened for another reason.
    """
    backoff, said = Backoff(0.1, MOST_SECONDS), False
    while True:
        try:
            found = open_users(where, patience=0)
        except Away as error:
            if not said:
                log.error("%s; it is waited for", error)
            said = True
            _rest(backoff.next(lambda: 1.0))
        else:
            if said:
                log.warning("%s is there now", found.place)
            return found


def _rest(seconds: float) -> None:
    """Rest so long; who was started by a launcher ends with it."""
    launched = [sys.stdin] if os.environ.get(LAUNCHED) else []
    if select.select(launched, [], [], seconds)[0]:
        show("barker: the launcher is gone: ending", err=True)
        sys.exit(1)
