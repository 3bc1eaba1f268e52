"""Bizlogic: works out who must see a bark, and hands it to the inbox with their names.

Outboxes send barks here; each is accepted only when the inbox has accepted all of its fan-out. Nothing is
kept: what this process holds when it dies is still in the outboxes' journals. Several run, and the
directory sends everyone to the oldest, so the next takes over when it dies.

Who must see what is `core/graph.py`, in which transfers `core/fan_out.py`; users and who follows whom are
`store/users.py`.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import click

from barker import options
from barker.amqp.courier import Courier
from barker.amqp.engine import ACCEPTED, Condition, Delivery, Limits, LinkHandler, Receiver
from barker.amqp.links import Place
from barker.amqp.message import KEY, RECIPIENTS, decode_bark, with_delivery_annotations
from barker.amqp.service import Service, Serving
from barker.core.barks import Bark, Follow
from barker.core.errors import InvalidField, NotFound, PeerError, StorageError
from barker.core.fan_out import FanOuts, part_key
from barker.core.gauges import Latencies
from barker.core.partitions import MOST, addresses
from barker.store.users import FILE_NAME, Users

log = logging.getLogger(__name__)

ADDRESS = "bizlogic"

WINDOW = 500
"""How many barks of one outbox may be worked on at once."""

MEMORY = 64 * 1024 * 1024
"""Above this many bytes of fan-outs that the inbox has not accepted, outboxes get no more credit."""

LOOK_SECONDS = 0.5
"""How often it is asked whether somebody else has changed who follows whom."""


class FanOut:
    """A bark on its way to the inbox, or several, in one or more parts."""

    __slots__ = ("created", "delivery", "parts_left")

    def __init__(self, delivery: Delivery, parts_left: int, created: int) -> None:
        """`created`: when the bark was made, in milliseconds since 1970."""
        self.delivery, self.parts_left, self.created = delivery, parts_left, created


class Bizlogic(Service):
    """The service."""

    kind = "bizlogic"

    def __init__(self, serving: Serving, users: Users, inboxes: int = 1) -> None:
        """`inboxes`: how many there are, each with its partition of the users."""
        super().__init__(serving)
        self.users = users
        self.graph = users.graph()
        self._fan_outs = FanOuts(self.graph, inboxes)
        self.outboxes: set[Receiver] = set()
        # A fan-out whose outbox is lost is that outbox's to send again, here or elsewhere.
        self._inboxes = [
            Courier(self.network, address, self._on_outcome, lambda fan_out: fan_out.delivery.live)
            for address in addresses("inbox", inboxes)
        ]
        self.rejected = 0
        """How many messages were rejected since the start."""
        self._latencies = Latencies()
        self.reactor.every(LOOK_SECONDS, self._look)
        self.reactor.each_turn(self._set_windows)

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """An outbox."""
        if address != self.serving.address:
            raise NotFound(f"{address} is not here; this is {self.serving.address}")
        return _Outbox(self)

    # The work

    def on_bark(self, bark: Bark, delivery: Delivery, data: bytes) -> None:
        """Send a bark to all who must see it."""
        shares = self._fan_outs.shares(bark.user, bark.text)
        token = FanOut(delivery, len(shares), bark.created)
        for inbox, part, names in shares:
            key = part_key(bark.user, bark.id, part)
            self._inboxes[inbox].send(with_delivery_annotations(data, {RECIPIENTS: names, KEY: key}), token)

    def on_follow(self, follow: Follow, delivery: Delivery) -> None:
        """Change who follows whom."""
        if follow.other not in self.graph:
            raise NotFound(f"there is no user {follow.other}")
        if follow.wanted:
            self.users.follow(follow.user, follow.other)
            self.graph.follow(follow.user, follow.other)
        else:
            self.users.unfollow(follow.user, follow.other)
            self.graph.unfollow(follow.user, follow.other)
        self._fan_outs.forget(follow.other)
        delivery.accept()

    def on_work(self, delivery: Delivery, data: bytes) -> None:
        """Whatever an outbox sends.

        :raises PeerError: for what breaks the rules; it becomes a dead letter of the outbox.
        """
        self.received += 1
        work = decode_bark(data, any_time=True)  # The outbox has accepted it.
        try:
            if isinstance(work, Bark):
                self.on_bark(work, delivery, data)
            else:
                self.on_follow(work, delivery)
        except StorageError as error:
            log.error("%s", error)
            # Not at once: the outbox would send it again at once.
            self.reactor.after(1.0, delivery.release)

    def _on_outcome(self, fan_out: FanOut, outcome: int, condition: Condition | None) -> None:
        self.sent += 1
        if outcome != ACCEPTED:
            fan_out.delivery.reject(InvalidField(f"the inbox rejected it: {condition}"))
            return
        fan_out.parts_left -= 1
        if not fan_out.parts_left:
            fan_out.delivery.accept()
            self._latencies.add(time.monotonic(), time.time() - fan_out.created / 1000)

    # Around it

    def _set_windows(self) -> None:
        full = sum(inbox.memory for inbox in self._inboxes) > MEMORY
        window = 0 if full or self.ending else WINDOW
        for link in self.outboxes:
            if link.window != window:
                link.window = window

    def _look(self) -> None:
        if self.users.changed():
            self.graph = self.users.graph()
            self._fan_outs = FanOuts(self.graph, len(self._inboxes))
            log.info("the social graph has changed: %d users now", len(self.graph))

    def state(self) -> dict[str, Any]:
        """Whether it is the active one, what it holds, how long barks took to the inbox (seconds)."""
        p50, p99 = self._latencies.percentiles(time.monotonic(), 0.5, 0.99)
        return {
            "latency_p50": p50,
            "latency_p99": p99,
            "active": bool(self.outboxes),
            "in_flight": sum(len(inbox) for inbox in self._inboxes),
            "users": len(self.graph),
            "rejected": self.rejected,
            "inbox": " ".join(inbox.place for inbox in self._inboxes),
        }

    def on_ending(self) -> None:
        """Take nothing more."""
        super().on_ending()
        self._set_windows()

    def in_hand(self) -> int:
        """Barks that the inbox has not accepted yet."""
        return sum(len(inbox) for inbox in self._inboxes)

    def on_stop(self) -> None:
        """Close the users' file."""
        self.users.close()


class _Outbox(LinkHandler):
    """One outbox's link."""

    batches = True

    def __init__(self, bizlogic: Bizlogic) -> None:
        self._bizlogic = bizlogic

    def on_opened(self, link: Receiver) -> None:
        link.window = WINDOW
        self._bizlogic.outboxes.add(link)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._bizlogic.on_work(delivery, data)

    def on_rejected(self, link: Receiver, error: PeerError) -> None:
        self._bizlogic.rejected += 1

    def on_closed(self, link: Receiver, condition: Condition | None) -> None:
        self._bizlogic.outboxes.discard(link)


@click.command("bizlogic")
@click.option(
    "--inboxes",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many there are, each started with its --partition.",
)
@options.host
@options.port(5680)
@options.directory
@options.data
@options.limits
@options.program
def main(inboxes: int, host: str, port: int, directory_place: Place, data: Path, limits: Limits) -> None:
    """Run a bizlogic: it works out who must see each bark.

    Run several: the oldest is active, the others wait for it to die.
    """
    users = Users(data / FILE_NAME, create=True)
    bizlogic = Bizlogic(Serving(ADDRESS, host, port, directory_place, "ordered", limits), users, inboxes)
    bizlogic.register()
    bizlogic.run()


if __name__ == "__main__":
    main()
