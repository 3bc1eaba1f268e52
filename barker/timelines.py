"""The manifold as timelines: every reader sees the last messages, then what comes.

A message arrives with the names of those who must see it (the delivery annotations that bizlogic adds), or
over a link to ``ADDRESS/USER`` for that one timeline. It is journaled once, put on all the timelines, then
accepted; one that was here before is accepted and dropped.

Who has what to read is `core/timelines.py`; what lasts is `store/journal.py`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from barker.amqp.agent import register
from barker.amqp.engine import Condition, LinkHandler, Receiver, Sender
from barker.amqp.message import (
    KEY,
    MISSED,
    RECIPIENTS,
    annotations_in,
    cut,
    message_id,
    with_delivery_annotations,
)
from barker.amqp.service import Service, Serving, only_send
from barker.core.errors import Damaged, InvalidField, NotFound, StorageError
from barker.core.fan_out import marks, unserved
from barker.core.partitions import Partition
from barker.core.routes import Route
from barker.core.timelines import Cursor, Seen, Timelines
from barker.intake import Arrival, Intake
from barker.store.journal import Post, TimelineEntry, TimelineJournal

log = logging.getLogger(__name__)

FORGET_AT = 500
"""When so many messages are on no timeline any more, the journal forgets them: few, so that nobody waits."""

MOST_UNSETTLED = 2_000
"""How many messages one reader may have unsettled, however much credit it gives."""


class TimelineManifold(Service):
    """The service."""

    kind = "manifold"

    def __init__(
        self,
        serving: Serving,
        journal: TimelineJournal,
        history: int,
        remember: int = 1_000_000,
        max_message_size: int = 16 * 1024 * 1024,
        partition: Partition | None = None,
    ) -> None:
        """`history`: messages kept for each timeline. `remember`: how many keys, to know what comes twice.

        `partition`: the users whose timelines are here; None: all of them.
        """
        super().__init__(serving)
        self.journal = journal
        self.timelines: Timelines[Sender] = Timelines(history)
        self._seen = Seen(remember)
        self._divided = False
        self._max_message_size = max_message_size
        self._partition = partition
        self._own_address = partition.address(serving.address) if partition else serving.address
        self._intake: Intake[Post] = Intake(self.reactor, self.fail)
        self._readers: dict[Sender, Cursor[Sender]] = {}
        self._repeated = 0
        self._delivered = 0
        self._missed = 0
        self._forget_at = FORGET_AT
        for entry in journal.load():
            self._put(entry)
        self.reactor.each_turn(self._end_turn)

    # Links

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A producer: bizlogic, or someone who writes on one timeline."""
        link.max_message_size = self._max_message_size
        if address == self._own_address:
            return self._intake.producer(link, _read_fan_out, batches=True)
        user = self._user(address)
        return self._intake.producer(link, lambda data: _read_single(data, user))

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A reader."""
        if address == self.serving.address:
            raise only_send(f"{address}, but {address}/USER")
        return _Reader(self, self._user(address))

    def _user(self, address: str) -> str:
        own, _, user = address.partition("/")
        if own != self.serving.address or not user:
            raise NotFound(f"{address} is not here; this manifold serves {self.serving.address}/USER")
        if any(character.isspace() for character in user):
            raise InvalidField(f"{user!r} is no timeline's name: there is a space in it")
        if self._partition is not None and not self._partition.holds(user):
            raise NotFound(f"{address} is not here; this is partition {self._partition} of {own}")
        return user

    def route(self) -> Route:
        """How the directory finds it, and whose timelines are here."""
        return dataclasses.replace(super().route(), partition=str(self._partition or ""))

    def register(self) -> None:
        """As every service; and with its partition's own address, if it has one."""
        super().register()
        if self._partition is not None:
            register(self.network, dataclasses.replace(super().route(), address=self._own_address))

    # Readers

    def follow(self, user: str, link: Sender) -> None:
        """A reader has come, and sees the history first."""
        if link not in self._readers:
            self._readers[link] = self.timelines.follow(user, link)
        self._readers[link].wake()
        self._pump(link)

    def leave(self, user: str, link: Sender) -> None:
        """A reader has gone."""
        if self._readers.pop(link, None) is not None:
            self.timelines.leave(user, link)

    # The end of a turn

    def _end_turn(self) -> None:
        if self._intake.arrivals:
            self._intake.commit(self._write)
        if len(self.timelines.gone) >= self._forget_at:
            self._forget()

    def _write(self, arrivals: list[Arrival[Post]]) -> None:
        """One commit, and onto the timelines."""
        fresh: list[Post] = []
        keys: set[str] = set()

        def seen(key: str) -> bool:
            return key in self._seen or key in keys

        for _, post in arrivals:
            users = unserved(post.key, post.users, seen, self._divided) if post.key else post.users
            if users:
                keys.update(self._marks(post.key))
                fresh.append(post if users is post.users else post._replace(users=users))
            else:
                self._repeated += 1
        for entry in self.journal.commit(fresh):
            self._put(entry)

    def _marks(self, key: str) -> Sequence[str]:
        found = marks(key)
        self._divided |= len(found) > 1
        return found

    def _put(self, entry: TimelineEntry) -> None:
        if entry.key:
            for key in self._marks(entry.key):
                self._seen.add(key, entry.sequence)
        if entry.data is not None:
            audience = self.timelines.audience(entry.users)
            self._delivered += len(audience)
            # At once: of a long turn, readers would miss all but the last of the history otherwise.
            for link in self.timelines.deliver(entry.sequence, entry.data, audience):
                self._pump(link)

    def _pump(self, link: Sender) -> None:
        """Send a reader what it has credit for."""
        cursor = self._readers[link]
        settled = link.wants_settled
        for _ in range(min(link.credit, MOST_UNSETTLED - link.in_flight)):
            found = cursor.read()
            if found is None:
                return
            message, missed = found
            data = message.data
            if missed:
                self._missed += missed
                data = with_delivery_annotations(data, {MISSED: missed})
            link.send(data, None, settled)
            self.sent += 1
        # Until it gives more credit, or settles what it has.
        cursor.rest()

    def _forget(self) -> None:
        gone = self.timelines.gone
        try:
            self.journal.forget(gone, self._seen.since)
        except StorageError as error:
            if isinstance(error, Damaged):
                self.fail(error)
            log.error("%s", error)
            self._forget_at = len(gone) + FORGET_AT
        else:
            gone.clear()
            self._forget_at = FORGET_AT

    # Its state

    def state(self) -> dict[str, Any]:
        """Timelines, deliveries to them, readers and what these missed; journal size in bytes."""
        self.received = self._intake.received
        return {
            "mode": "history",
            "depth": 0,
            "in_flight": 0,
            "dead_letters": 0,
            "timelines": len(self.timelines),
            "delivered": self._delivered,
            "repeated": self._repeated,
            "readers": len(self._readers),
            "missed": self._missed,
            "rejected": self._intake.rejected,
            "journal_bytes": self.journal.size,
        }

    def on_stop(self) -> None:
        """Close the journal."""
        self.journal.close()


class _Reader(LinkHandler):
    """Someone who reads a timeline. How they settle makes no difference: the timeline stays."""

    def __init__(self, manifold: TimelineManifold, user: str) -> None:
        self._manifold, self._user = manifold, user

    def on_credit(self, link: Sender) -> None:
        self._manifold.follow(self._user, link)

    def on_outcome(self, link: Sender, token: None, outcome: int, condition: Condition | None) -> None:
        self._manifold.follow(self._user, link)

    def on_closed(self, link: Sender, condition: Condition | None) -> None:
        self._manifold.leave(self._user, link)


def _read_fan_out(data: bytes) -> Post:
    """A message that names its recipients."""
    sections = cut(data)
    annotations = annotations_in(sections.delivery_annotations)
    users, key = annotations.get(RECIPIENTS), annotations.get(KEY, "")
    if not isinstance(users, str) or not isinstance(key, str):
        raise InvalidField(
            f"who is it for? Annotate it with {RECIPIENTS} (a string of names), or attach to one timeline"
        )
    return Post(key, users, sections.header + sections.rest)


def _read_single(data: bytes, user: str) -> Post:
    """A message for one timeline: the same message-id is the same message."""
    sections = cut(data)
    found = message_id(data)
    # It ends as no part of a fan-out does.
    return Post(f"{user}\n{found}\n" if found else "", user, sections.header + sections.rest)
