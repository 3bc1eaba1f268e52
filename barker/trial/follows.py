"""Users who follow each other, and no longer, all the while; in the end each barks once.

What was done of it stands in the users' file, in order. Who then follows whom is seen on their timelines: the
last barks stand on those of followers, and on no others.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import encode_bark, message_id
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.core.barks import Bark, Follow
from barker.core.follow_ledger import Change, FollowLedger, changed_by, misled
from barker.store.social import Users
from barker.store.userbase import digest

USERS = 3
"""So many do it, and follow each other."""

MOST_PENDING = 100
"""A user with so many words that are not accepted says no more."""

SECOND_THOUGHTS = 0.3
"""So often a user says the opposite in the same breath: a word that is done again then is one too many."""

SETTLE_SECONDS = 2.0
"""So long after the last change every bizlogic has seen it, and what came of the last barks has come."""


class Follows:
    """The workload."""

    def __init__(
        self, network: Network, chance: random.Random, file: Path, rate: float, which: range
    ) -> None:
        """`file`: the users' file, in which they are; `rate`: follows and unfollows a second, of all.

        `which` of them are said, by number.
        """
        self._reactor, self._network = network.reactor, network
        self._chance, self._file, self._rate, self._which = chance, file, rate, which
        self._number = 0
        self._ledger = FollowLedger()
        self._said: dict[bytes, Follow] = {}  # By their digests, as the users' file has them.
        self._outbounds: dict[str, Outbound] = {}
        self._timelines: dict[str, list[str]] = {}
        self._last: dict[str, str] = {}
        self._ended = self._settled = False
        self._rejected: list[str] = []

    @staticmethod
    def users() -> list[str]:
        """Their names."""
        return [f"fan{number}" for number in range(USERS)]

    def begin(self) -> None:
        """Say something now and then, and read all the while."""
        for user in self.users():
            self._outbounds[user] = Outbound(self._network, "outbox")
            self._timelines[user] = []
            reader = _Reader(self._timelines[user])
            receiver_from(self._network, f"inbox/{user}", reader, settled=True)
        self._say_later()

    def end(self) -> None:
        """Say no more."""
        self._ended = True

    @property
    def left(self) -> int:
        """Words without outcome, or not yet done; then last barks that have not come."""
        pending = sum(map(len, self._outbounds.values()))
        if pending or not self._ended:
            return 1 + pending
        if not self._last:
            missing = self._ledger.accepted - len(self._done())
            if missing > 0:
                return 1 + missing
            self._later(self._bark)
            self._last = {user: f"{user}:last" for user in self.users()}
        missing = sum(missing for *_, missing in self._misled())
        return missing or int(not self._settled)

    def judge(self) -> list[str]:
        """What was done is what was accepted, once and in order; the last barks have come to followers."""
        verdict = self._ledger.judge(self._done(), self._changes())
        wrong = [*self._rejected, *verdict.examples]
        for reader, author, missing in self._misled():
            how = "not there" if missing else "there and should not, or there twice"
            wrong.append(f"the last bark of {author} on the timeline of {reader}: {how}")
        return wrong

    def figures(self) -> dict[str, int]:
        """How many were accepted."""
        return {"follows": self._ledger.accepted}

    # Saying

    def _say_later(self) -> None:
        self._reactor.after(self._chance.expovariate(self._rate / (1 + SECOND_THOUGHTS)), self._say_some)

    def _say_some(self) -> None:
        if not self._ended:
            self._say_later()
            user, other = self._chance.sample(self.users(), 2)
            wanted = self._chance.random() < 0.5
            self._say(user, other, wanted)
            if self._chance.random() < SECOND_THOUGHTS:
                self._say(user, other, not wanted)

    def _say(self, user: str, other: str, wanted: bool) -> None:
        number = self._number
        self._number += 1
        if number not in self._which or len(self._outbounds[user]) >= MOST_PENDING:
            return
        word = Follow(f"{user}:{number}", user, other, int(self._reactor.wall() * 1000), wanted)
        outbound = self._outbounds[user]
        self._ledger.say(word)
        self._said[digest(word)] = word

        def offered() -> bytes:
            self._ledger.offer(word, outbound.place)
            return encode_bark(word)

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self._ledger.accept(word, outbound.place)
            else:
                self._rejected.append(f"{word} was rejected: {outcome}")

        outbound.send(offered, then)

    def _bark(self) -> None:
        for user, id in self._last.items():
            bark = Bark(id, user, "Whom do I have?", int(self._reactor.wall() * 1000))
            self._outbounds[user].send(encode_bark(bark))
        self._later(self._settle)

    def _settle(self) -> None:
        self._settled = True

    def _later(self, call: Callable[[], None]) -> None:
        self._reactor.after(SETTLE_SECONDS, call)

    # What became of it

    def _done(self) -> list[Follow]:
        """The words that were done, in order."""
        with contextlib.closing(Users(self._file)) as users:
            return [self._said[done] for done in users.words() if done in self._said]

    def _changes(self) -> list[Change]:
        """What they have changed, as it stands in the file."""
        ours = set(self.users())
        with contextlib.closing(Users(self._file)) as users:
            return [
                (change.user, change.other, change.wanted)
                for change in users.changes()
                if change.other is not None and change.user in ours
            ]

    def _misled(self) -> list[tuple[str, str, bool]]:
        return list(misled(changed_by(self._done()), self._last, self._timelines))


class _Reader(PeerHandler[Receiver]):
    """Reads one timeline; with each new link the history comes again."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def on_found(self, link: Receiver) -> None:
        self._seen.clear()

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        self._seen.append(message_id(data))
