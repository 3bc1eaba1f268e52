"""Who follows whom, for bizlogic: where users are kept (`store/`), and in memory (`core/graph.py`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from barker.amqp.reactor import Reactor
from barker.core.barks import Follow
from barker.core.errors import Away, NotFound, PeerError, StorageError
from barker.core.fan_out import FanOuts, Share
from barker.core.graph import SocialGraph
from barker.store.beside import Beside, Here, Listening
from barker.store.userbase import News, UserBase

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often it is asked whether somebody else has changed who follows whom."""

WHILE_AWAY = "; barks go on, and follows wait for it"
"""What is said with that, the first time."""

REST_SECONDS = 0.005
"""While all is loaded anew, others are served for so long after every few rows."""


class Following:
    """Who follows whom, where users are kept and in memory; here because of whoever changes them, too.

    What is asked of the users' file is done at once, and what of a database, beside the reactor: then who is
    to be told is told later, and in order.
    """

    def __init__(self, users: UserBase, reactor: Reactor, inboxes: int) -> None:
        """`inboxes`: how many there are, each with its partition of the users.

        `users` in a file should not wait for others who write (`patience`): nothing else is done meanwhile.
        """
        self.users, self._reactor, self._inboxes = users, reactor, inboxes
        self.use(users.graph())
        self._trouble = ""
        self._away = False
        self._unwritten = False
        self._gone = False
        self._loading: Iterator[SocialGraph | None] | None = None
        self._load_again = False
        self._looking = False
        self._askers: list[Callable[[], None]] = []
        self._desk: Here | Beside
        if isinstance(users, Listening):
            self._desk = Beside(users, reactor.call_from_thread, reactor.chance.random, self.look)
        else:
            self._desk = Here(users)
            reactor.every(LOOK_SECONDS, self.look)

    @property
    def troubled(self) -> bool:
        """Whether what was asked last of where users are kept was in vain."""
        return bool(self._trouble)

    def close(self) -> None:
        """Let go of the users."""
        self._desk.close()

    def shares(self, user: str, text: str) -> list[Share]:
        """Who must see a bark of this user, in the parts by which it goes to the inboxes."""
        return self._fan_outs.shares(user, text)

    def named(self, text: str) -> list[str]:
        """Who is mentioned in a text and exists."""
        return self.graph.named(text)

    def apply(self, follows: list[Follow], then: Callable[[list[PeerError | None] | None], None]) -> None:
        """Have done what users have said, in order, here and where users are kept.

        `then` is told of each why it cannot be; or None: they cannot be done now.
        """
        if not self.users.present:
            then([PeerError(_removed(self.users.place))] * len(follows))
            return

        def write() -> tuple[list[bool | PeerError], News]:
            return self._write(follows), self.users.news()

        def written(done: Future[tuple[list[bool | PeerError], News]]) -> None:
            try:
                found, news = done.result()
                self._take(news)
            except (StorageError, MemoryError) as error:
                self._unwritten = True
                self._say(error)
                then(None)
                return
            except Exception as error:
                log.exception("an error of ours over %s", follows)
                then([_bug(error)] * len(follows))
                return
            self._unwritten = False
            self._all_is_well()
            then([_refusal(follow, each) for follow, each in zip(follows, found, strict=True)])

        self._desk.do(write, written)

    def _write(self, follows: list[Follow]) -> list[bool | PeerError]:
        """Whether whom they name exists, or what is wrong with one that is not like others."""
        try:
            return list(self.users.apply(follows))
        except (StorageError, MemoryError):
            raise
        except Exception as error:
            if len(follows) > 1:  # One of them is at fault, and the others are not.
                return [each for follow in follows for each in self._write([follow])]
            log.exception("an error of ours over %s", follows)
            return [_bug(error)]

    def look(self, then: Callable[[], None] = lambda: None) -> None:
        """Has somebody changed who follows whom? `then` is told when it is known, or cannot be."""
        gone = not self.users.present
        if gone and not self._gone:
            log.error("%s", _removed(self.users.place))
        elif self._gone and not gone:
            log.warning("%s is there again: follows are done", self.users.place)
        self._gone = gone
        if gone:
            then()
            return
        self._askers.append(then)
        if not self._looking:
            self._looking = True
            askers, self._askers = self._askers, []
            self._desk.do(self.users.news, lambda done: self._looked(done, askers))

    def _looked(self, done: Future[News], askers: list[Callable[[], None]]) -> None:
        self._looking = False
        try:
            self._take(done.result())
        except StorageError as error:
            self._say(error)
        else:
            if not self._unwritten:
                self._all_is_well()
        for then in askers:
            then()
        if self._askers:  # They came when it had begun.
            self.look()

    def _take(self, news: News) -> None:
        """Change in memory what was changed, by whomever."""
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
        loading = self._loading
        self._desk.do(lambda: next(loading), self._loaded)

    def _loaded(self, done: Future[SocialGraph | None]) -> None:
        try:
            graph = done.result()
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
        """Say what is wrong with where users are kept, once."""
        trouble = str(error) or f"there is no memory to use {self.users.place}"
        # Of who is away, each try may end in other words.
        if trouble != self._trouble and not (self._away and isinstance(error, Away)):
            log.error("%s%s", trouble, WHILE_AWAY if isinstance(error, Away) else "")
        self._trouble, self._away = trouble, isinstance(error, Away)

    def _all_is_well(self) -> None:
        if self._trouble:
            log.warning("%s can be used again", self.users.place)
            self._trouble, self._away = "", False


def _bug(error: Exception) -> PeerError:
    return PeerError(f"an error of the service: {type(error).__name__}")


def _refusal(follow: Follow, found: bool | PeerError) -> PeerError | None:
    if isinstance(found, PeerError):
        return found
    return None if found else NotFound(f"there is no user {follow.other}")


def _removed(place: str) -> str:
    return (
        f"{place} was removed or replaced while it was in use: who follows whom stays as it was, and nobody "
        "can follow; put it back, or end the suite and start it with the new one"
    )
