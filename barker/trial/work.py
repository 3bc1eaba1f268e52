"""Queues from which several consumers pull, who accept, reject, give back, and now and then go with what they
hold; and who reads the dead letters.
"""

from __future__ import annotations

import functools
from collections import Counter
from random import Random

from barker.amqp.handlers import Condition
from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import REASON, annotations_in, cut, decode_map, encode_bark, message_id
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.core.access import DEAD_LETTERS
from barker.core.barks import Bark
from barker.core.errors import InvalidField
from barker.core.work_ledger import UNDELIVERABLE, WorkLedger
from barker.trial.workload import Bursts, Chances

MOST_PENDING = 50
"""A producer with so many messages that are not accepted makes no more."""

MOMENT = 1.0
"""So much longer than its peer one end of a link may take to notice that it has ended, in seconds."""

CONSUMERS = 2
"""So many compete for each queue."""

OUTCOMES = {"accepted": 70, "rejected": 8, "released": 10, "modified": 6, UNDELIVERABLE: 6}
"""What consumers do, so many times of a hundred."""


class Work:
    """The workload."""

    def __init__(
        self,
        network: Network,
        chance: Chances,
        address: str,
        agent: str,
        rate: float,
        which: range,
        idle_seconds: float,
    ) -> None:
        """`address`: the manifold's; `agent`: that of its agent; `rate`: messages/s, of all producers;
        `which` of them are sent, by number.

        `idle_seconds`: how long the manifold takes to notice that a peer is silent.
        """
        self.reactor, self.network, self.chance = network.reactor, network, chance
        self.ledger = WorkLedger(1.5 * idle_seconds + MOMENT)
        self.over = False
        """Whether consumers are to do what is left, and no more."""
        self._queues = [address, f"{address}/eu"]
        self._agent, self._rate, self._which = agent, rate, which
        self._outbounds: dict[str, Outbound] = {}
        self._consumers: list[_Consumer] = []
        self._stored = _Stored()
        self._rejected: list[str] = []

    def begin(self) -> None:
        """Produce now and then, and consume."""
        for queue in self._queues:
            self._outbounds[queue] = Outbound(self.network, queue)
            self._consumers += [_Consumer(self, queue, number) for number in range(CONSUMERS)]
            self._consumers.append(_LetterReader(self, queue))
        receiver_from(self.network, self._agent, self._stored, settled=True)
        self._bursts = Bursts(
            self.reactor, self.chance("producing"), self._rate, self._queues, self._produce, self._which
        )

    def end(self) -> None:
        """Produce no more; do all that is left."""
        self.over = True
        self._bursts.end()
        for consumer in self._consumers:
            consumer.come_again()

    @property
    def left(self) -> int:
        """What is not accepted, what no consumer has had, and what is stored."""
        return sum(map(len, self._outbounds.values())) + self.ledger.left + self._stored.messages

    def judge(self) -> list[str]:
        """What was lost, came again, out of order, or where it should not."""
        return self._rejected + self.ledger.judge()

    def figures(self) -> dict[str, int]:
        """How many messages there were, and what consumers did."""
        outcomes = self.ledger.outcomes
        return {
            "work": self.ledger.accepted,
            "work_done": self.ledger.done,
            **{f"work_{name.replace(' ', '_')}": count for name, count in sorted(outcomes.items())},
        }

    def _produce(self, queue: str) -> None:
        if len(self._outbounds[queue]) >= MOST_PENDING:
            return
        number = self.ledger.next(queue)
        bark = Bark(f"{queue}:{number}", "producer", f"Do {number}.", int(self.reactor.wall() * 1000))
        data = encode_bark(bark)

        def sent() -> bytes:
            self.ledger.sent(queue, number)
            return data

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Accepted):
                self.ledger.accept(queue, number)
            else:
                self._rejected.append(f"{bark.id} was rejected: {outcome}")

        self._outbounds[queue].send(sent, then)


class _Consumer(PeerHandler[Receiver]):
    """One of those who compete for a queue; the first has connections of his own, which go with him."""

    def __init__(self, work: Work, queue: str, number: int = 1) -> None:
        self._work, self._queue = work, queue
        self._name = f"{number} of {self._address}"
        self._visits = work.chance(f"visits of {self._name}")
        self._times: Counter[int] = Counter()  # How often each message has come here.
        self._network = work.network if number else Network(work.reactor, *work.network.directories)
        self._away = True
        self._come()

    @property
    def _address(self) -> str:
        return self._queue

    def come_again(self) -> None:
        """Go, with all that is in hand, and come back in a moment."""
        if self._away:
            return
        self._away, link = True, self._peer.link
        self._peer.close()
        if link is not None:
            self._work.ledger.ended(link, self._work.reactor.clock())
        self._work.reactor.after(self._visits.expovariate(1.0), self._come)

    def _come(self) -> None:
        self._away = False
        window = self._visits.randint(1, 12)
        self._peer = receiver_from(self._network, self._address, self, window)
        peer = self._peer

        def go() -> None:
            if peer is self._peer and not self._work.over:
                self.come_again()

        self._work.reactor.after(self._visits.expovariate(1 / 15), go)

    def on_found(self, link: Receiver) -> None:
        self._work.ledger.attached(self._queue, link)

    def on_lost(self, link: Receiver, condition: Condition | None) -> None:
        self._work.ledger.ended(link, self._work.reactor.clock())

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        number = int(message_id(data).rpartition(":")[2])
        self._came(link, number, data)
        self._times[number] += 1
        chance = self._work.chance(f"{number} for the {self._times[number]}th time for {self._name}")
        # Now and then it takes long.
        seconds = chance.expovariate(3.0) if chance.random() < 0.95 else chance.uniform(2.0, 8.0)
        self._work.reactor.after(seconds, functools.partial(self._settle, link, delivery, number, chance))

    def _came(self, link: Receiver, number: int, data: bytes) -> None:
        self._work.ledger.came(link, number, self._work.reactor.clock())

    def _settle(self, link: Receiver, delivery: Delivery, number: int, chance: Random) -> None:
        if not delivery.live:
            return
        (outcome,) = chance.choices(list(OUTCOMES), list(OUTCOMES.values()))
        if self._work.over:
            outcome = "accepted"
        error = InvalidField(f"no {chance.randrange(1000)} is done here")
        self._work.ledger.settled(
            link,
            number,
            outcome,
            self._work.reactor.clock(),
            str(Condition(error.condition, error.description)),
        )
        match outcome:
            case "accepted":
                delivery.accept()
            case "rejected":
                delivery.reject(error)
            case "released":
                delivery.release()
            case "modified":
                delivery.modify(failed=True)
            case _:
                delivery.modify(failed=True, undeliverable_here=True)


class _LetterReader(_Consumer):
    """Who reads a queue's dead letters, and accepts most: those that it gives back it has until it goes."""

    @property
    def _address(self) -> str:
        return self._queue + DEAD_LETTERS

    def _came(self, link: Receiver, number: int, data: bytes) -> None:
        reason = annotations_in(cut(data).delivery_annotations).get(REASON, "")
        self._work.ledger.letter_came(link, number, reason, self._work.reactor.clock())

    def _settle(self, link: Receiver, delivery: Delivery, number: int, chance: Random) -> None:
        if not delivery.live:
            return
        if self._work.over or chance.random() < 0.7:
            self._work.ledger.letter_accepted(link, number, self._work.reactor.clock())
            delivery.accept()
        else:
            delivery.release()


class _Stored(PeerHandler[Receiver]):
    """Reads how much the manifold says that it has."""

    messages = 0

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        delivery.accept()
        report = decode_map(data)[1]
        self.messages = report["depth"] + report["dead_letters"]
