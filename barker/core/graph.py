"""The social graph: who follows whom, and so who must see a bark."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from barker.core.barks import mentions


class SocialGraph:
    """Users and their followers, in memory."""

    def __init__(self, users: Iterable[str] = (), follows: Iterable[tuple[str, str]] = ()) -> None:
        """`follows`: pairs of (follower, followee)."""
        self._followers: dict[str, dict[str, None]] = {user: {} for user in users}
        for follower, followee in follows:
            self.follow(follower, followee)

    def __contains__(self, user: str) -> bool:
        return user in self._followers

    def __len__(self) -> int:
        """How many users there are."""
        return len(self._followers)

    def add(self, user: str) -> None:
        """`user` exists from now on."""
        self._followers.setdefault(user, {})

    def follow(self, follower: str, followee: str) -> None:
        """`follower` sees what `followee` barks from now on; both exist then. All see their own anyway."""
        self.add(follower)
        self.add(followee)
        if follower != followee:
            self._followers[followee][follower] = None

    def unfollow(self, follower: str, followee: str) -> None:
        """`follower` no longer sees what `followee` barks."""
        self._followers.get(followee, {}).pop(follower, None)

    def followers(self, user: str) -> list[str]:
        """Who follows `user`; nobody, for a user whom nobody knows."""
        return list(self._followers.get(user, ()))

    def recipients(self, author: str, text: str) -> list[str]:
        """Who must see `text`: the author, the author's followers and whoever exists and is mentioned.

        Each once, the author first.
        """
        followers = self._followers.get(author, {})
        recipients = [author, *followers]
        if "@" in text:
            known = {author, *followers}
            for name in mentions(text):
                if name in self._followers and name not in known:
                    known.add(name)
                    recipients.append(name)
        return recipients


def parts(recipients: list[str], size: int) -> list[list[str]]:
    """`recipients` in 1, 2, 4 … parts of about `size` at most, for one transfer each.

    Who is in which part depends on the name alone, not on who else is there: when a fan-out is repeated
    after somebody new began to follow, nobody moves to another part and is served twice or not at all.
    """
    count = 1
    while count * size < len(recipients):
        count *= 2
    if count == 1:
        return [recipients]
    divided: list[list[str]] = [[] for _ in range(count)]
    for name in recipients:
        divided[zlib.crc32(name.encode()) % count].append(name)
    return divided


def part_key(author: str, id: str, number: int, count: int) -> str:
    """What makes a fan-out's `number`-th of `count` parts the same when it comes again."""
    return f"{author}/{id}\n{number}/{count}"


def same_or_wider(key: str) -> Iterator[str]:
    """The key, and those of the larger parts that hold all of that part's recipients.

    A fan-out that is cut off and repeated after many began to follow has more parts than before: each lies
    within one of the old ones. (If so many have left meanwhile that it has fewer, some get it twice.)
    """
    yield key
    bark, _, part = key.rpartition("\n")
    number, _, count = part.partition("/")
    if bark and number.isdecimal() and count.isdecimal():
        at, of = int(number), int(count)
        while of > 1:
            of //= 2
            at %= of
            yield f"{bark}\n{at}/{of}"
