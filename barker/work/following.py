"""Who follows whom, for bizlogic: in the users' file (`store/social.py`), and in memory (`core/graph.py`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from barker.amqp.reactor import Reactor
from barker.core.barks import Follow
from barker.core.errors import NotFound, PeerError, StorageError
from barker.core.fan_out import FanOuts, Share
from barker.core.graph import SocialGraph
from barker.store.social import Users

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often it is asked whether somebody else has changed who follows whom."""

REST_SECONDS = 0.005
"""While all is loaded anew, others are served for so long after every few rows."""


class Following:
    """Who follows whom, in the users' file and in memory; here because of whoever changes the file, too."""

    def __init__(self, users: Users, reactor: Reactor, inboxes: int) -> None:
        """`inboxes`: how many there are, each with its partition of the users.

        `users` should not wait for others who write (`patience`): nothing else is done meanwhile.
        """
        self.users, self._reactor, self._inboxes = users, reactor, inboxes
        self.use(users.graph())
        self._trouble = ""
        self._unwritten = False
        self._gone = False
        self._loading: Iterator[SocialGraph | None] | None = None
        self._load_again = False
        reactor.every(LOOK_SECONDS, self.look)

    def shares(self, user: str, text: str) -> list[Share]:
        """Who must see a bark of this user, in the parts by which it goes to the inboxes."""
        return self._fan_outs.shares(user, text)

    def named(self, text: str) -> list[str]:
        """Who is mentioned in a text and exists."""
        return self.graph.named(text)

    def apply(self, follows: list[Follow]) -> list[PeerError | None]:
        """Have what users have said in the file and in memory, in order; of each, why it cannot be.

        :raises StorageError: when the file does not take them now.
        :raises MemoryError: when there is none now.
        """
        if not self.users.present:
            return [PeerError(_removed(self.users.path))] * len(follows)
        try:
            found = self.users.apply(follows)
            self._take_news()
        except (StorageError, MemoryError) as error:
            self._unwritten = True
            self._say(error)
            raise
        except Exception as error:
            if len(follows) > 1:  # One of them is at fault, and the others are not.
                return [each for follow in follows for each in self.apply([follow])]
            log.exception("an error of ours over %s", follows)
            return [PeerError(f"an error of the service: {type(error).__name__}")]
        self._unwritten = False
        self._all_is_well()
        return [
            None if exists else NotFound(f"there is no user {follow.other}")
            for follow, exists in zip(follows, found, strict=True)
        ]

    def look(self) -> None:
        """Has somebody changed who follows whom?"""
        gone = not self.users.present
        if gone and not self._gone:
            log.error("%s", _removed(self.users.path))
        elif self._gone and not gone:
            log.warning("%s is there again: follows are done", self.users.path)
        self._gone = gone
        if not gone:
            try:
                self._take_news()
            except StorageError as error:
                self._say(error)
            else:
                if not self._unwritten:
                    self._all_is_well()

    def _take_news(self) -> None:
        """Change in memory what has changed in the file, by whomever."""
        news = self.users.news()
        for change in news.changes:
            self.graph.change(*change)
            if change.other is not None:
                self._fan_outs.forget(change.other)
        if not news.complete:
            if self._loading is None:
                self._load()
            else:
                self._load_again = True

    def _load(self) -> None:
        """Load everything anew, a few rows at a time."""
        if self._loading is None:
            self._loading, self._load_again = self.users.load(), False
        try:
            graph = next(self._loading)
        except StorageError as error:
            self._say(error)
            self._loading = self.users.load()
            self._reactor.after(LOOK_SECONDS, self._load)
            return
        if graph is None:
            self._reactor.after(REST_SECONDS, self._load)
            return
        self._loading = None
        self.use(graph)
        log.info("the social graph has changed: %d users now", len(graph))
        if self._load_again:
            self._load()
        else:
            self.look()

    def use(self, graph: SocialGraph) -> None:
        """Another graph from now on."""
        self.graph = graph
        self._fan_outs = FanOuts(graph, self._inboxes, self._reactor.system.bounds.part)

    def _say(self, error: StorageError | MemoryError) -> None:
        """Say what is wrong with the users' file, once."""
        trouble = str(error) or f"there is no memory to use {self.users.path}"
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

    def _all_is_well(self) -> None:
        if self._trouble:
            log.warning("%s can be used again", self.users.path)
            self._trouble = ""


def _removed(path: Path) -> str:
    return (
        f"{path} was removed or replaced while it was in use: who follows whom stays as it was, and nobody "
        "can follow; put it back, or end the suite and start it with the new one"
    )
