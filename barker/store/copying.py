"""Users and all that is known of them, from one place to another: `barker users copy`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from barker.core.errors import Mistake
from barker.core.graph import SocialGraph
from barker.store.userbase import UserBase

AT_ONCE = 50_000
"""So many are written in one transaction. After one that fails, the next attempt goes on."""

T = TypeVar("T")


class Copied(NamedTuple):
    """What is there now."""

    users: int
    follows: int
    words: int


def copy_users(source: UserBase, target: UserBase) -> Copied:
    """Have `target` be what `source` is: its users, who follows whom, and the words that were done.

    Into a place without users; or, once more, into one that was copied from there, and not used since.

    :raises Mistake: when `target` has something of its own.
    :raises StorageError: when either cannot be used.
    """
    if source.data == target.data:
        raise Mistake(f"{source.place} is both: name another place to copy to")
    names, words, ours = source.names(), list(source.words()), source.graph()
    known, done, theirs = target.names(), list(target.words()), target.graph()
    if known and target.id != source.id:
        raise Mistake(
            f"{target.place} has {len(known)} users of its own: copy to where nobody is; to have both "
            "together, add them there with 'barker users import'"
        )
    if (done and done[-1] not in words) or not set(known) <= set(names):
        raise Mistake(
            f"{target.place} was used since it was copied from {source.place}, and has what that has not"
        )
    if not known:
        target.become(source.id)
    for some in _batches(name for name in names if name not in theirs):
        target.add(some, ())
    for pairs in _batches(_lacking(ours, theirs, names)):
        target.add((), pairs)
    for follower, followee in _lacking(theirs, ours, known):
        target.unfollow(follower, followee)
    before = set(done)
    for new in _batches(word for word in words if word not in before):
        target.remember(new)
    return Copied(len(names), sum(len(ours.followers(name)) for name in names), len(words))


def _lacking(of: SocialGraph, there: SocialGraph, names: list[str]) -> Iterator[tuple[str, str]]:
    """Who follows whom in one, and not in the other."""
    for followee in names:
        known = set(there.followers(followee))
        yield from ((name, followee) for name in of.followers(followee) if name not in known)


def _batches(all_of_them: Iterable[T]) -> Iterator[list[T]]:
    left = iter(all_of_them)
    return iter(lambda: list(itertools.islice(left, AT_ONCE)), [])
