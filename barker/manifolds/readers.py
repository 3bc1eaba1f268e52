"""The manifold as timelines: every reader sees the last messages, then what comes.

A message arrives with the names of those who must see it (the delivery annotations that bizlogic adds), or
over a link to ``ADDRESS/USER`` for that one timeline. It is journaled once, put on all the timelines, then
accepted; one that was here before is accepted and dropped.

Who has what to read is `core/timelines.py`; what lasts is `store/journal.py`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from barker.amqp.batch import PROPERTY
from barker.amqp.handlers import Condition, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import (
    KEY,
    MISSED,
    RECIPIENTS,
    annotations_in,
    check_sections,
    cut,
    message_id,
    with_delivery_annotations,
)
from barker.amqp.service import Service, Serving, only_send, too_large
from barker.core.barks import MAX_ID
from barker.core.claims import Claims
from barker.core.errors import (
    Damaged,
    DecodeError,
    InvalidField,
    LimitExceeded,
    StorageError,
    not_here,
)
from barker.core.fan_out import checked_key, marks, names_author, unserved
from barker.core.gauges import AtSecond
from barker.core.partitions import Partition
from barker.core.routing import Route
from barker.core.timelines import MAX_NAME, Cursor, Seen, Timelines
from barker.manifolds.intake import Intake, Producer
from barker.store.journal import Post, TimelineEntry, TimelineJournal
from barker.store.members import Roll

log = logging.getLogger(__name__)

FORGET_AT = 500
"""When so many messages are on no timeline any more, the journal forgets them: few, so that nobody waits."""

FORGET_BYTES = 16 * 1024 * 1024
"""It forgets them earlier when the names on what came since take so much: SQLite goes through all of that."""

MOST_RECIPIENTS = 200_000
"""How many timelines one message may name; bizlogic names about 100,000 (`core/fan_out.py`)."""


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
        max_timelines: int = 2_000_000,
        members: Roll | None = None,
    ) -> None:
        """`history`: messages kept for each timeline. `remember`: how many keys, to know what comes twice.

        `partition`: the users whose timelines are here; None: all of them. `max_timelines`: beyond so many,
        the quietest are forgotten. `members`: who alone has a timeline; None: whoever is asked for.
        """
        super().__init__(serving)
        self.journal = journal
        self.timelines: Timelines[Sender] = Timelines(history, max_timelines)
        self._seen = Seen(remember)
        self._divided = False
        self._max_message_size = max_message_size
        self._most_in_flight = self.reactor.system.bounds.in_flight
        self._partition, self._members = partition, members
        self.own_address = partition.address(serving.address) if partition else serving.address
        self.intake: Intake[Post] = Intake(self.reactor, self.fail)
        """All its producers."""
        self._readers: dict[Sender, Cursor[Sender]] = {}
        self._repeated = 0
        self._own = journal.tally  # Barks put on their authors' timelines, ever.
        self._own_again = self._own_again_before = journal.again  # Those that came once more, ever.
        self._delivered = 0
        self._missed = 0
        self._forget_at = FORGET_AT
        self._named = 0  # Characters of names on what came since the journal forgot something.
        self._warned = False
        claims = Claims()
        for entry in journal.load():
            self._put(entry._replace(key="") if claims.add(entry.key) else entry)
            self._own += entry.sequence > journal.tally_until and _is_own(entry)
        self._claims = claims if len(claims) else None
        self._own_before = self._own
        self._own_at_second = AtSecond(lambda: self._own, self.reactor.wall())
        self.reactor.each_turn(self._end_turn)

    # Links

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """A producer: bizlogic, or someone who writes on one timeline."""
        link.max_message_size = self._max_message_size
        if address == self.own_address:
            # Bizlogic sends batches, and knows who is where.
            ours = link.properties.get(PROPERTY) is True
            return Producer(self.intake, read_fan_out if ours else self.read_others, batches=True)
        user = self.user(address)
        return Producer(self.intake, lambda data: read_single(data, user))

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """A reader."""
        if address == self.serving.address:
            raise only_send(f"{address}, but {address}/USER")
        return _Reader(self, self.user(address))

    def read_others(self, data: bytes) -> Post:
        """A stranger's message: it must be one, and may name no one whose timeline is elsewhere."""
        check_sections(data)
        post = read_fan_out(data)
        if self._partition is not None:
            for user in post.users.split(" "):
                if not self._partition.holds(user):
                    raise InvalidField(f"{user!r:.80} is not of partition {self._partition}, which this is")
        return post

    def user(self, address: str) -> str:
        """Whose timeline is at that address.

        :raises PeerError: when none is.
        """
        own, _, user = address.partition("/")
        if own != self.serving.address or not user:
            raise not_here(address, f"this manifold serves {self.serving.address}/USER")
        if any(character.isspace() for character in user):
            raise InvalidField(f"{user!r} is no timeline's name: there is a space in it")
        if len(user) > MAX_NAME:
            raise InvalidField(
                f"a timeline's name has {MAX_NAME} characters at most; this one has {len(user)}"
            )
        if self._partition is not None and not self._partition.holds(user):
            raise not_here(address, f"this is partition {self._partition} of {own}")
        if self._members is not None:
            self._members.require(user)
        return user

    def own_routes(self) -> list[Route]:
        """How the directory finds it, and whose timelines are here; of a partition, its own address too."""
        (whole,) = super().own_routes()
        if self._partition is None:
            return [whole]
        own = dataclasses.replace(whole, address=self.own_address)
        return [dataclasses.replace(whole, partition=str(self._partition)), own]

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
        self.commit()
        gone = len(self.timelines.gone)
        if gone >= self._forget_at or (gone and self._named >= FORGET_BYTES):
            self._forget()
        if self.timelines.forgotten and not self._warned:
            self._warned = True
            log.warning(
                "there are more than %d timelines: the quietest that nobody reads are forgotten from now on; "
                "--max-timelines allows for more (some 220 bytes each, empty)",
                self.timelines.most,
            )

    def commit(self) -> None:
        """What came, in one transaction; then onto the timelines; only then is it accepted."""
        arrivals = self.intake.take()
        if not arrivals:
            return
        again = self._own_again
        posts = self.fresh(arrival.what for arrival in arrivals)
        try:
            # An outbox will count what is accepted here, be it for the second time.
            entries = self.journal.commit(posts, again=self._own_again if self._own_again > again else None)
        except Exception as error:
            self._own_again = again
            self.intake.fail(arrivals, error)
            return
        with self.as_on_disk():
            self.put(entries)
            self.intake.accept(arrivals)

    def put(self, entries: Sequence[TimelineEntry]) -> None:
        """These were committed: have them on their timelines."""
        self._own_at_second.at(self.reactor.wall())
        self._own += sum(map(_is_own, entries))
        for entry in entries:
            self._put(entry)

    def fresh(self, posts: Iterable[Post]) -> list[Post]:
        """Those that have not been here before."""
        fresh: list[Post] = []
        keys: set[str] = set()

        def seen(key: str) -> bool:
            return key in self._seen or key in keys

        for post in posts:
            users = unserved(post.key, post.users, seen, self._divided) if post.key else post.users
            if users and self._claims is not None:
                users = self._claims.unserved(post.key, users)
            if users:
                keys.update(self._marks(post.key))
                fresh.append(post if users is post.users else post._replace(users=users))
            else:
                self._repeated += 1
            if users is not post.users and names_author(post.key, post.users):
                self._own_again += not names_author(post.key, users)
        return fresh

    def _marks(self, key: str) -> Sequence[str]:
        found = marks(key)
        if len(found) > 1:
            self._divided = True
        return found

    def _put(self, entry: TimelineEntry) -> None:
        if entry.key:
            for mark in self._marks(entry.key):
                self._seen.add(mark, entry.sequence)
        if entry.data is not None:
            audience = self.timelines.audience(entry.users)
            self._delivered += len(audience)
            self._named += len(entry.users)
            # At once: of a long turn, readers would miss all but the last of the history otherwise.
            for link in self.timelines.deliver(entry.sequence, entry.data, audience):
                self._pump(link)

    def _pump(self, link: Sender) -> None:
        """Send a reader what it has credit for."""
        cursor = self._readers[link]
        settled = link.wants_settled
        # Credit is looked at each time: it is none, too, while much waits for the peer's socket.
        while link.credit and link.in_flight < self._most_in_flight:
            found = cursor.read()
            if found is None:
                return
            message, missed = found
            data = message.data
            if missed:
                self._missed += missed
                data = _annotated(data, missed)
            if link.max_message_size and len(data) > link.max_message_size:
                link.refuse(too_large(data, link))
                return
            link.send(data, None, settled)
            self.sent += 1
        # Until it gives more credit, or settles what it has.
        cursor.rest()

    def _forget(self) -> None:
        gone = self.timelines.gone
        self._named = 0
        try:
            self.journal.forget(gone, self._seen.since, self._own)
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
        """Timelines, those forgotten, deliveries, readers and what these missed; journal size in bytes.

        And what `core/balance.py` compares: barks put on their authors' timelines when this second began.
        """
        second, own = self._own_at_second.at(self.reactor.wall())
        return {
            "counted_at": second,
            "put": own,
            "put_before": self._own_before,
            "put_again": self._own_again,
            "put_again_before": self._own_again_before,
            "mode": "history",
            "received": self.intake.received,
            "timelines": len(self.timelines),
            "forgotten": self.timelines.forgotten,
            "delivered": self._delivered,
            "repeated": self._repeated,
            "readers": len(self._readers),
            "missed": self._missed,
            "rejected": self.intake.rejected,
            "journal_bytes": self.journal.size,
        }

    def on_ending(self) -> None:
        """Take nothing more."""
        super().on_ending()
        self.intake.close()

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


def _is_own(entry: TimelineEntry) -> bool:
    """Whether with this a bark comes to its author's timeline, which it does once."""
    return entry.data is not None and names_author(entry.key, entry.users)


def read_fan_out(data: bytes) -> Post:
    """A message that names its recipients."""
    sections = cut(data)
    annotations = annotations_in(sections.delivery_annotations)
    users, key = annotations.get(RECIPIENTS), annotations.get(KEY, "")
    if not isinstance(users, str) or not isinstance(key, str):
        raise InvalidField(
            f"who is it for? Annotate it with {RECIPIENTS} (a string of names), or attach to one timeline"
        )
    # So many have so many spaces between them, at least.
    if len(users) > MOST_RECIPIENTS and users.count(" ") >= MOST_RECIPIENTS:
        raise LimitExceeded(
            f"{users.count(' ') + 1} recipients are more than the {MOST_RECIPIENTS} that a message may name: "
            f"send it in parts, each with its own {KEY}, which ends in a newline and 0/2, 1/2 or such"
        )
    return Post(checked_key(key), users, sections.header + sections.rest)


def read_single(data: bytes, user: str) -> Post:
    """A message for one timeline: the same message-id is the same message."""
    sections = cut(data)
    found = message_id(data)
    # It ends as no part of a fan-out does.
    if len(found) > MAX_ID:
        raise InvalidField(f"a message-id has {MAX_ID} characters at most here; this one has {len(found)}")
    return Post(f"{user}\n{found}\n" if found else "", user, sections.header + sections.rest)


def _annotated(data: bytes, missed: int) -> bytes:
    """A message that tells how many its reader has missed before it."""
    try:
        return with_delivery_annotations(data, {MISSED: missed})
    except DecodeError:
        return data  # Some sender's fault, and not the reader's.
