"""The users that a suite begins with: made, or from an edge list."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from barker.core.barks import is_user
from barker.core.errors import Mistake
from barker.core.kennel import SAMPLE, acquaintances, dogs, friendships
from barker.store.userbase import UserBase, Where, open_users


def first_users(
    where: Where, count: int, graph: Path | None, mutual: bool, unused: Path | None = None
) -> tuple[UserBase, bool]:
    """The users that a suite begins with, and whether they were there before.

    Those of the edge list `graph` are added in any case; without it, `count` dogs, where there is nobody.
    `unused`: the users' file that may be meant where a database has nobody; None: it is not.

    :raises Mistake: when that file is there.
    """
    if graph is not None:
        return import_users(where, graph, mutual), False
    if isinstance(where, Path) and not where.exists():
        return make_users(where, count), False
    users = open_users(where, create=True)
    if isinstance(where, Path) or len(users):
        return users, True
    users.close()
    if unused is not None and unused.exists():
        raise Mistake(
            f"{users.place} has no users, and {unused} has: bring them there with 'barker users copy "
            f"{unused} {users.place}'; or say, with one more --users, how many others are to be made"
        )
    return make_users(where, count), False


def make_users(where: Where, count: int, seed: int = 1) -> UserBase:
    """The users in that file or database, with `count` dogs who follow each other added."""
    users = open_users(where, create=True)
    names = dogs(count)
    users.add(names, friendships(names, random.Random(seed)))
    return users


def sample_users(where: Where, seed: int = 1) -> UserBase:
    """The users in that file or database, with dogs added who have as many friends as people do."""
    users = open_users(where, create=True)
    names = dogs(SAMPLE)
    users.add(names, acquaintances(names, random.Random(seed)))
    return users


def import_users(where: Where, file: Path, mutual: bool) -> UserBase:
    """The users in that file or database, with an edge list's users and follows added."""
    edges = list(read_edges(file, mutual))
    if not edges:
        raise Mistake(f"{file} has no edges in it: 'follower followee' a line is expected")
    users = open_users(where, create=True)
    users.add((), edges)
    return users


def read_edges(path: Path, mutual: bool = False) -> Iterator[tuple[str, str]]:
    """The (follower, followee) pairs of an edge list: two names a line, ``%`` and ``#`` start a comment.

    With `mutual`, each line is a friendship: both follow each other.

    :raises Mistake: when the file cannot be read, or a line is not two users' names (which line).
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.partition("%")[0].partition("#")[0].replace(",", " ").split()
                if not fields:
                    continue
                # Further columns (weights, times) are common in such files, and no matter here.
                if len(fields) < 2 or not is_user(fields[0]) or not is_user(fields[1]):
                    raise Mistake(
                        f"{path}, line {number}: expected 'follower followee', got {line.strip()!r:.60}"
                    )
                yield fields[0], fields[1]
                if mutual:
                    yield fields[1], fields[0]
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} cannot be read as an edge list: {error}") from None
