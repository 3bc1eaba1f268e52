"""Readers who come and go all the while, with little credit and late: of timelines that are short, on which
somebody writes, and of barks.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import MISSED, annotations_in, cut, encode_bark, message_id
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.watch import Watcher
from barker.core.barks import Bark
from barker.core.reading_ledger import ReadingLedger, astray
from barker.trial.workload import Bursts, Chances

MOST_PENDING = 50
"""A writer with so many messages that are not accepted writes no more."""

NAMES = ("ann", "bob")
"""Whose short timelines there are."""

READERS_OF_EACH = 2


class _Reader(ABC, PeerHandler[Receiver]):
    """One reader, who comes and goes until :meth:`stay`."""

    def __init__(self, network: Network, chance: Chances, name: str, address: str) -> None:
        self._reactor, self._network, self._address = network.reactor, network, address
        self._visits, self._pace = chance(f"visits of {name}"), chance(f"pace of {name}")
        self._in_hand: list[Delivery] = []
        self._stays = False
        self._window = 0
        self._come()

    def stay(self) -> None:
        """Come, if away, and go no more."""
        self._stays = True

    @abstractmethod
    def saw(self, link: Receiver, data: bytes, missed: int) -> None:
        """A message has come."""

    def gone(self, link: Receiver) -> None:
        """A link has ended."""

    def _come(self) -> None:
        # Who gives no credit at first gives it late.
        settled = self._visits.random() < 0.5
        self._window = self._visits.randint(1, 6)
        self._late = self._visits.random() < 0.5
        self._peer = receiver_from(
            self._network, self._address, self, 0 if self._late else self._window, settled
        )
        self._reactor.after(self._visits.expovariate(1 / 8), self._go)

    def _go(self) -> None:
        if self._stays:
            return
        link = self._peer.link
        self._peer.close()
        if link is not None:
            self.gone(link)
        self._reactor.after(self._visits.expovariate(1.0), self._come)

    def on_found(self, link: Receiver) -> None:
        if self._late:
            self._reactor.after(self._pace.expovariate(1.0), functools.partial(self._give_credit, link))

    def _give_credit(self, link: Receiver) -> None:
        if link.live:
            link.window = self._window

    def on_lost(self, link: Receiver, condition: object) -> None:
        self.gone(link)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        missed = annotations_in(cut(data).delivery_annotations).get(MISSED, 0)
        self.saw(link, data, missed)
        if self._stays:
            delivery.accept()
            return
        if not self._in_hand:
            self._reactor.after(self._pace.expovariate(2.0), self._settle)
        self._in_hand.append(delivery)

    def _settle(self) -> None:
        """In any order; how makes no difference."""
        deliveries, self._in_hand = self._in_hand, []
        self._pace.shuffle(deliveries)
        for delivery in deliveries:
            settle = delivery.accept if self._pace.random() < 0.7 else delivery.release
            settle()


class Notes:
    """Short timelines, each with one who writes there and some who read."""

    def __init__(
        self,
        network: Network,
        chance: Chances,
        address: str,
        history: int,
        rate: float,
        which: range,
    ) -> None:
        """`address`: the manifold's, which keeps `history` messages of each.

        `rate`: messages/s, of all; `which` are sent, by number.
        """
        self._network, self._chance = network, chance
        self._timelines = [f"{address}/{name}" for name in NAMES]
        self._rate, self._which = rate, which
        self._ledger = ReadingLedger(history)
        self._outbounds: dict[str, Outbound] = {}
        self._readers: list[_NoteReader] = []
        self._rejected: list[str] = []

    def begin(self) -> None:
        """Write now and then, and read."""
        for timeline in self._timelines:
            self._outbounds[timeline] = Outbound(self._network, timeline)
            self._readers += [
                _NoteReader(self._network, self._chance, f"{timeline} {number}", timeline, self._ledger)
                for number in range(READERS_OF_EACH)
            ]
        self._bursts = Bursts(
            self._network.reactor,
            self._chance("writing"),
            self._rate,
            self._timelines,
            self._write,
            self._which,
        )

    def end(self) -> None:
        """Write no more; read all that there is."""
        self._bursts.end()
        for reader in self._readers:
            reader.stay()

    @property
    def left(self) -> int:
        """What is not accepted, and what readers have still to see."""
        away = sum(not reader.there for reader in self._readers)
        return sum(map(len, self._outbounds.values())) + away + self._ledger.left

    def judge(self) -> list[str]:
        """What readers should not have seen, and what they have not."""
        return self._rejected + self._ledger.judge()

    def figures(self) -> dict[str, int]:
        """How much was written, seen and missed."""
        ledger = self._ledger
        return {"notes": ledger.accepted, "notes_seen": ledger.seen, "notes_missed": ledger.missed}

    def _write(self, timeline: str) -> None:
        if len(self._outbounds[timeline]) >= MOST_PENDING:
            return
        number = self._ledger.next(timeline)
        note = Bark(
            f"{timeline}:{number}", "writer", f"Note {number}.", int(self._network.reactor.wall() * 1000)
        )

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self._ledger.accept(timeline)
            else:
                self._rejected.append(f"{note.id} was rejected: {outcome}")

        self._outbounds[timeline].send(encode_bark(note), then)


class _NoteReader(_Reader):
    """Reads a short timeline."""

    def __init__(
        self, network: Network, chance: Chances, name: str, address: str, ledger: ReadingLedger
    ) -> None:
        self._ledger = ledger
        self._accepted = ledger.accepted_on(address)
        super().__init__(network, chance, name, address)

    @property
    def there(self) -> bool:
        """Whether its link stands."""
        return self._peer.link is not None

    def on_found(self, link: Receiver) -> None:
        self._ledger.attached(self._address, link, self._accepted)
        super().on_found(link)

    def saw(self, link: Receiver, data: bytes, missed: int) -> None:
        self._ledger.came(link, int(message_id(data).rpartition(":")[2]), missed)

    def gone(self, link: Receiver) -> None:
        self._ledger.ended(link)
        self._accepted = self._ledger.accepted_on(self._address)


class Lookers:
    """Readers of barks: what each link has shown is the beginning of the timeline as it is in the end."""

    def __init__(
        self,
        network: Network,
        chance: Chances,
        users: Sequence[str],
        timelines: Mapping[str, list[tuple[str, int]]],
        excused: Callable[[], Container[tuple[str, int]]],
    ) -> None:
        """`users`: who reads; `timelines`: what each of these is in the end.

        `excused` tells which barks may be missing or late there, though somebody has seen them before.
        """
        self._network, self._chance = network, chance
        self._users, self._timelines, self._excused = users, timelines, excused
        self._readers: list[_Looker] = []

    def begin(self) -> None:
        """Read; and watch the directory, as who has many readers does."""
        self._watcher = Watcher(self._network, lambda change, route: None)
        for user in self._users:
            self._readers.append(_Looker(self._network, self._chance, user))

    def end(self) -> None:
        """Go no more."""
        for reader in self._readers:
            reader.stay()

    @property
    def left(self) -> int:
        """Nothing is waited for: what they have seen is what is judged."""
        return 0

    def judge(self) -> list[str]:
        """Where a link has shown something else than the timeline."""
        wrong, excused = [], self._excused()
        for reader in self._readers:
            timeline = [bark for bark in self._timelines.get(reader.user, []) if bark not in excused]
            for shown in reader.seen:
                seen = [bark for bark in shown if bark not in excused]
                place = astray(seen, timeline)
                if place is not None:
                    wrong.append(f"{seen[place]} is at place {place} for a reader of {reader.user}")
            if reader.missed:
                wrong.append(f"a reader of {reader.user} was told of {reader.missed} missed, and none were")
        if not self._watcher.current:
            wrong.append("who watches the directory does not know what it has now")
        return wrong

    def figures(self) -> dict[str, int]:
        """How many links there were, and what they have shown."""
        seen = [seen for reader in self._readers for seen in reader.seen]
        return {"reader_links": len(seen), "barks_read": sum(map(len, seen))}


class _Looker(_Reader):
    """Reads a user's timeline."""

    def __init__(self, network: Network, chance: Chances, user: str) -> None:
        self.user = user
        self.seen: list[list[tuple[str, int]]] = []
        """What each link has shown."""
        self.missed = 0
        super().__init__(network, chance, user, f"inbox/{user}")

    def on_found(self, link: Receiver) -> None:
        self.seen.append([])
        super().on_found(link)

    def saw(self, link: Receiver, data: bytes, missed: int) -> None:
        author, _, number = message_id(data).partition(":")
        self.seen[-1].append((author, int(number)))
        self.missed += missed
