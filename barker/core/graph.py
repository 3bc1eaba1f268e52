"""The social graph: who follows whom, and so who must see a bark."""

from __future__ import annotations

from collections.abc import Iterable

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

    def change(self, user: str, other: str | None, wanted: bool) -> None:
        """`user` follows `other` from now on, or no longer; without another: `user` exists."""
        if other is None:
            self.add(user)
        elif wanted:
            self.follow(user, other)
        else:
            self.unfollow(user, other)

    def followers(self, user: str) -> list[str]:
        """Who follows `user`; nobody, for a user whom nobody knows."""
        return list(self._followers.get(user, ()))

    def mentioned(self, author: str, text: str) -> list[str]:
        """Who must see `text` for no other reason than to be mentioned in it: each once."""
        named = self.named(text)
        if not named:
            return named
        followers = self._followers.get(author, {})
        return [name for name in named if name != author and name not in followers]

    def named(self, text: str) -> list[str]:
        """Who is mentioned in `text` and exists: each once."""
        if "@" not in text:  # As in most.
            return []
        return list(dict.fromkeys(name for name in mentions(text) if name in self._followers))

    def recipients(self, author: str, text: str) -> list[str]:
        """Who must see `text`: the author, the author's followers and whoever exists and is mentioned.

        Each once, the author first.
        """
        return [author, *self._followers.get(author, ()), *self.mentioned(author, text)]
