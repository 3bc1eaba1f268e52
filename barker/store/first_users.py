"""The users that a suite begins with: made, or from an edge list."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from barker.core.barks import is_user
from barker.core.errors import Mistake
from barker.core.kennel import SAMPLE, acquaintances, dogs, friendships
from barker.store.social import FILE_NAME, Users


def make_users(data: Path, count: int, seed: int = 1) -> Users:
    """The users' file in `data`, with `count` dogs who follow each other added."""
    users = Users(data / FILE_NAME, create=True)
    names = dogs(count)
    users.add(names, friendships(names, random.Random(seed)))
    return users


def sample_users(data: Path, seed: int = 1) -> Users:
    """The users' file in `data`, with dogs added who have as many friends as people do."""
    users = Users(data / FILE_NAME, create=True)
    names = dogs(SAMPLE)
    users.add(names, acquaintances(names, random.Random(seed)))
    return users


def import_users(data: Path, file: Path, mutual: bool) -> Users:
    """The users' file in `data`, with an edge list's users and follows added."""
    edges = list(read_edges(file, mutual))
    if not edges:
        raise Mistake(f"{file} has no edges in it: 'follower followee' a line is expected")
    users = Users(data / FILE_NAME, create=True)
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
