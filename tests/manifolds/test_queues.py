"""Queues between producers, consumers and a disk: no sockets, and every turn is the test's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from barker.amqp._proton import ACCEPTED, RELEASED, lib
from barker.amqp.handlers import UNDELIVERABLE, Condition
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import cut, decode_bark, decode_map, encode_bark
from barker.core.access import DEAD_LETTERS
from barker.core.barks import Bark, Follow
from barker.core.errors import Mistake, NotAllowed, StorageError
from barker.core.partitions import number_of as partition_of
from barker.core.reports import QUEUES, QueueReport, queues_in
from barker.manifolds.queues import FORGET_SECONDS, QueueManifold
from barker.store.journal import QueueJournal
from barker.store.memory import QueueMemory
from tests.amqp.pair import Pair, Recorder
from tests.stage import FlakyJournal, Stage, serving

FULL = StorageError("the disk is full")
MESSAGE = b"\x00\x53\x77\xa1\x06"
"""The beginning of an AmqpValue string of six characters."""


def message(number: int) -> bytes:
    return MESSAGE + b"%06d" % number


def number_of(data: bytes) -> int:
    return int(cut(data).rest[-6:])


class Queues(Stage):
    """A manifold of queues at ``orders``."""

    def __init__(self, journal: Any, **options: Any) -> None:
        self.disk = FlakyJournal(journal)
        self.manifold = QueueManifold(serving("orders"), self.disk, **options)  # type: ignore[arg-type]
        super().__init__(self.manifold)

    @property
    def state(self) -> dict[str, Any]:
        return self.manifold.state()


Open = Callable[..., Queues]


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def open_queues(**options: Any) -> Queues:
            journal = QueueJournal(tmp_path / "orders.sqlite3")
            return stack.enter_context(contextlib.closing(Queues(journal, **options)))

        yield open_queues


def numbers(handler: Recorder) -> list[int]:
    return [number_of(data) for data in handler.messages]


def test_a_consumer_that_gives_credit_late_gets_what_was_there_and_what_comes(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    consumer, got = stage.receiver(pair, "orders/eu")
    stage.wait(3 * FORGET_SECONDS)
    producer, _ = stage.sender(pair, "orders/eu")
    producer.send(message(1), 1)
    stage.turn()
    producer.close()
    stage.wait(3 * FORGET_SECONDS)
    consumer.window = 10
    stage.turn()
    assert numbers(got) == [1]


def test_a_queue_with_a_producer_alone_stays_and_one_with_nobody_is_forgotten(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders/eu")
    assert stage.state["queues"] == 1
    stage.wait(3 * FORGET_SECONDS)
    assert stage.state["queues"] == 1
    producer.close()
    stage.wait(3 * FORGET_SECONDS)
    assert stage.state["queues"] == 0


def test_a_queue_that_is_forgotten_takes_no_other_of_its_address_with_it(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    consumer, _ = stage.receiver(pair, "orders/eu")
    consumer.window = 10
    stage.turn()
    consumer.close()
    pair.pump()
    # In the turn in which its last consumer goes: at its end it is looked at once more.
    stage.clock.now += FORGET_SECONDS
    stage.service.reactor.call_due()
    producer, _ = stage.sender(pair, "orders/eu")
    producer.send(message(1), 1)
    stage.wait(3 * FORGET_SECONDS)
    consumer, got = stage.receiver(pair, "orders/eu")
    consumer.window = 10
    stage.turn()
    assert numbers(got) == [1]


def test_what_a_consumer_cannot_deliver_goes_to_others_and_not_to_it_again(queues: Open) -> None:
    # AMQP 1.0 §3.4.5: such a message must not be sent again to the link that has modified it.
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders")
    first, got = stage.receiver(pair, "orders")
    first.window = 10
    producer.send(message(1), 1)
    producer.send(message(2), 2)
    stage.turn()
    got.deliveries[0].modify(undeliverable_here=True)
    got.deliveries[1].modify(failed=True)
    stage.turn()
    assert numbers(got) == [1, 2, 2]
    second, others = stage.receiver(pair, "orders")
    second.window = 10
    stage.turn()
    assert numbers(others) == [1]
    second.close()
    first.close()
    third, rest = stage.receiver(pair, "orders")
    third.window = 10
    stage.turn()
    assert numbers(rest) == [1, 2]


def test_what_the_one_service_behind_push_cannot_deliver_is_a_dead_letter(queues: Open) -> None:
    stage = queues(push="billing")
    connection = SimpleNamespace(peer="127.0.0.1:1")
    sent: Any = type("Link", (), {"answer": lambda self: None, "connection": connection})()
    with contextlib.closing(QueueMemory()) as memory:
        (entry,) = memory.commit([("orders", message(1))], [])
    queue = stage.manifold._queue("orders")
    queue.work.push(entry)
    queue.work.lease(sent, 1)
    stage.manifold.settled(queue, sent, entry.sequence, UNDELIVERABLE, None)
    stage.turn()
    assert (stage.state["depth"], stage.state["dead_letters"]) == (0, 1)


def test_a_dead_letter_made_while_its_reader_waits_without_credit_comes(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    reader, letters = stage.receiver(pair, "orders" + DEAD_LETTERS)
    stage.wait(3 * FORGET_SECONDS)
    producer, _ = stage.sender(pair, "orders")
    consumer, got = stage.receiver(pair, "orders")
    consumer.window = 10
    producer.send(message(1), 1)
    stage.turn()
    got.deliveries[0].reject(NotAllowed("never"))
    stage.turn()
    assert stage.state["dead_letters"] == 1
    reader.window = 10
    stage.turn()
    assert numbers(letters) == [1]


def test_who_gives_back_a_dead_letter_gets_the_next_and_it_when_he_comes_again(queues: Open) -> None:
    stage = queues()
    stage.manifold._most_in_flight = 1
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders" + DEAD_LETTERS)
    for number in (1, 2):
        producer.send(message(number), number)
    for _ in range(2):
        reader, letters = stage.receiver(pair, "orders" + DEAD_LETTERS)
        reader.window = 10
        stage.turn()
        assert numbers(letters) == [1]
        letters.deliveries[0].release()
        stage.turn()
        assert numbers(letters) == [1, 2]
        reader.close()
        stage.turn()


def reject_five_on_a_full_disk(stage: Queues, pair: Pair) -> None:
    """Five messages are stored and rejected by their consumer, and the disk takes none of that."""
    producer, _ = stage.sender(pair, "orders")
    consumer, got = stage.receiver(pair, "orders")
    for number in range(5):
        producer.send(message(number), number)
    consumer.window = 10
    stage.turn()
    stage.disk.error = FULL
    for delivery in got.deliveries:
        delivery.reject(NotAllowed("never"))
    stage.turn()


def test_dead_letters_made_while_the_disk_is_full_are_seen_when_it_is_not(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    reject_five_on_a_full_disk(stage, pair)
    stage.wait(3 * FORGET_SECONDS)
    stage.disk.error = None
    stage.wait(3 * FORGET_SECONDS)
    reader, letters = stage.receiver(pair, "orders" + DEAD_LETTERS)
    reader.window = 10
    stage.turn()
    assert numbers(letters) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("heals", [True, False])
def test_an_end_while_the_disk_is_full_loses_no_dead_letter(tmp_path: Path, heals: bool) -> None:
    """What is settled and the dead letters made of it are written together, or not at all."""
    stage = Queues(QueueJournal(tmp_path / "orders.sqlite3"))
    pair = stage.connect()
    reject_five_on_a_full_disk(stage, pair)
    stage.disk.error = None if heals else FULL
    stage.close()
    journal = QueueJournal(tmp_path / "orders.sqlite3")
    with contextlib.closing(journal):
        assert journal.queues() == ({"orders" + DEAD_LETTERS: 5} if heals else {"orders": 5})


def test_who_settles_second_is_answered_when_it_is_on_the_disk(queues: Open) -> None:
    # AMQP 1.0 §2.8.3: until then it may have to be told that the message comes again.
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders")
    consumer, got = stage.receiver(pair, "orders")
    consumer.window = 10
    for number in (1, 2):
        producer.send(message(number), number)
    stage.turn()
    accepted, released = (delivery._delivery for delivery in got.deliveries)
    stage.disk.error = FULL
    lib.pn_delivery_update(accepted, ACCEPTED)
    consumer.connection._touch()
    stage.turn()
    assert not lib.pn_delivery_settled(accepted)
    stage.disk.error = None
    stage.wait(1)
    assert lib.pn_delivery_settled(accepted)
    lib.pn_delivery_update(released, RELEASED)
    consumer.connection._touch()
    stage.turn()
    assert lib.pn_delivery_settled(released)
    assert stage.state["depth"] == 1


def test_a_disk_that_is_full_for_a_moment_changes_no_order(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, sent = stage.sender(pair, "orders")
    for number in range(300):
        stage.disk.error = FULL if number % 7 == 3 else None
        if producer.credit:
            producer.send(message(number), number)
        stage.turn(1)
        if number % 11 == 0:
            stage.wait(1.1)
    stage.disk.error = None
    stage.wait(1.1)
    accepted = [token for token, outcome, _ in sent.outcomes if outcome == ACCEPTED]
    assert len(sent.outcomes) == len(accepted), "nothing is released"
    consumer, got = stage.receiver(pair, "orders")
    consumer.window = 1_000
    stage.turn()
    assert numbers(got) == sorted(accepted)


class Worker(Recorder):
    """A service that is pushed to, and accepts what it gets."""

    def on_message(self, link: Receiver, delivery: Any, data: bytes) -> None:
        super().on_message(link, delivery, data)
        delivery.accept()


def pushed_to(stage: Queues, max_message_size: int) -> tuple[Sender, Worker]:
    """The manifold's link to a service, and the service."""
    worker = Worker(10, max_message_size)
    pair = Pair(lambda link: worker)
    (handler,) = stage.manifold._services.values()
    link = pair.client.sender("billing", handler, batches=True)
    stage.pairs.append(pair)
    stage.turn()
    return link, worker


def test_a_message_too_large_for_the_service_is_a_dead_letter_and_those_behind_it_go_on(
    queues: Open, caplog: pytest.LogCaptureFixture
) -> None:
    stage = queues(push="billing")
    pair = stage.connect()
    pushed_to(stage, 1_000)
    producer, _ = stage.sender(pair, "orders")
    for data in (message(1), MESSAGE[:3] + b"\xb1" + (2_000).to_bytes(4, "big") + bytes(2_000), message(3)):
        producer.send(data, 0)
    stage.turn()
    worker = stage.pairs[1].server_peer.links[0].handler
    assert numbers(worker) == [1, 3]
    assert stage.state["dead_letters"] == 1
    assert "takes 1000 at most" in caplog.text


def test_a_consumer_that_takes_no_message_of_that_size_is_told_so_and_others_get_it(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders")
    producer.send(bytes(MESSAGE[:3]) + b"\xb1" + (2_000).to_bytes(4, "big") + bytes(2_000), 0)
    stage.turn()
    small = Recorder(10)
    link = pair.client.receiver("orders", small, 10, max_message_size=1_000)
    stage.turn()
    assert small.closed == ["amqp:link:message-size-exceeded"]
    assert not link.live
    large, got = stage.receiver(pair, "orders")
    large.window = 1
    stage.turn()
    assert len(got.messages) == 1


def test_one_consumer_that_settles_nothing_does_not_starve_the_others(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders")
    hoarder, hoard = stage.receiver(pair, "orders")
    hoarder.window = 2_000
    megabyte = MESSAGE[:3] + b"\xb1" + (2**20).to_bytes(4, "big") + bytes(2**20)
    for _ in range(60):
        producer.send(megabyte, 0)
        stage.turn(1)
    assert len(hoard.messages) < 60, "it has its share"
    other, got = stage.receiver(pair, "orders")
    other.window = 2_000
    for _ in range(30):
        stage.turn()
        for delivery in got.deliveries:
            delivery.accept()
    assert len(hoard.messages) + len(got.messages) == 60


def test_who_reads_nothing_costs_no_more_than_its_share(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders")
    kilobytes = MESSAGE[:3] + b"\xb1" + (100_000).to_bytes(4, "big") + bytes(100_000)
    for _ in range(100):
        producer.send(kilobytes, 0)
        stage.turn(1)
    reader = Pair(server_peer=stage.service)  # type: ignore[arg-type]
    reader.client.receiver("orders", Recorder(), 1_000, settled=True)
    reader.pump()
    stage.service.reactor.end_turn()
    (link,) = reader.server.links
    assert isinstance(link, Sender)
    unread = stage.manifold.sent
    assert 10 <= unread <= 12, "a megabyte, and what is over it"
    assert link.credit == 0


def test_totals_are_those_of_all_queues(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    for number in range(20):
        producer, _ = stage.sender(pair, f"orders/{number}")
        for each in range(number):
            producer.send(message(each), each)
            if not producer.credit:
                stage.turn()
    consumer, _ = stage.receiver(pair, "orders/7")
    consumer.window = 3
    stage.turn()
    assert (stage.state["depth"], stage.state["in_flight"]) == (sum(range(20)), 3)


# A life of queues


class Life(RuleBasedStateMachine):
    """Producers, consumers and a disk, each doing whatever they may, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Queues(QueueMemory())
        self.pair = self.stage.connect()
        self.producer, self.sent = self.stage.sender(self.pair, "orders")
        self.made = 0
        self.consumers: list[tuple[Receiver, Recorder]] = []
        self.settled: set[int] = set()

    @rule(count=st.integers(1, 30))
    def send(self, count: int) -> None:
        for _ in range(min(count, self.producer.credit)):
            self.producer.send(message(self.made), self.made)
            self.made += 1

    @rule(fails=st.booleans())
    def disk(self, fails: bool) -> None:
        self.stage.disk.error = FULL if fails else None

    @rule(window=st.integers(0, 20))
    def attach(self, window: int) -> None:
        if len(self.consumers) < 4:
            link, handler = self.stage.receiver(self.pair, "orders")
            link.window = window
            self.consumers.append((link, handler))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), window=st.integers(0, 20))
    def grant(self, data: st.DataObject, window: int) -> None:
        link, _ = data.draw(st.sampled_from(self.consumers))
        link.window = window

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), outcome=st.sampled_from(["accept", "release", "reject"]))
    def settle(self, data: st.DataObject, outcome: str) -> None:
        _, handler = data.draw(st.sampled_from(self.consumers))
        live = [at for at, delivery in enumerate(handler.deliveries) if delivery.live]
        if not live:
            return
        at = data.draw(st.sampled_from(live))
        number = number_of(handler.messages[at])
        assert number not in self.settled, "a message that was settled comes again"
        if outcome == "accept":
            handler.deliveries[at].accept()
            self.settled.add(number)
        elif outcome == "reject":
            handler.deliveries[at].reject(NotAllowed("never"))
            self.settled.add(number)
        else:
            handler.deliveries[at].release()

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.consumers) - 1))
        self.consumers.pop(at)[0].close(Condition("bye"))

    @rule(seconds=st.sampled_from([0.0, 1.1, 2.2]))
    def wait(self, seconds: float) -> None:
        self.stage.wait(seconds)

    @rule()
    def turn(self) -> None:
        self.stage.turn()

    @invariant()
    def totals_are_true(self) -> None:
        depth = sum(
            queue.work.depth
            for queue in self.stage.manifold._queues.values()
            if not queue.holds_dead_letters and queue not in self.stage.manifold._changed
        )
        counted = sum(
            queue.counted[0]
            for queue in self.stage.manifold._queues.values()
            if not queue.holds_dead_letters and queue not in self.stage.manifold._changed
        )
        assert depth == counted

    def teardown(self) -> None:
        """In the end all that was accepted is there, once, and in order."""
        try:
            self.stage.disk.error = None
            self.stage.wait(1.1)
            accepted = {token for token, outcome, _ in self.sent.outcomes if outcome == ACCEPTED}
            assert accepted == set(range(self.made))
            for link, _ in self.consumers:
                link.close()
            self.stage.turn()
            assert self.stage.state["in_flight"] == 0
            drain, rest = self.stage.receiver(self.pair, "orders")
            drain.window = 2_000
            letters, dead = self.stage.receiver(self.pair, "orders" + DEAD_LETTERS)
            letters.window = 2_000
            self.stage.turn()
            left = numbers(rest)
            assert left == sorted(accepted - self.settled)
            assert set(numbers(dead)) <= self.settled
            assert len(set(numbers(dead))) == len(dead.messages) == self.stage.state["dead_letters"]
        finally:
            self.stage.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=40)


def test_whoever_asks_is_told_how_each_queue_does(queues: Open) -> None:
    stage = queues()
    pair = stage.connect()
    producer, _ = stage.sender(pair, "orders/eu")
    for number in range(3):
        producer.send(message(number), number)
    consumer, got = stage.receiver(pair, "orders/eu")
    consumer.window = 2
    stage.turn()
    got.deliveries[0].reject(NotAllowed("never"))
    link, told = stage.receiver(pair, f"{stage.manifold.agent.address}{QUEUES}")
    link.window = 1
    stage.turn()
    queue = QueueReport("orders/eu", depth=2, in_flight=2, consumers=1, dead_letters=1)
    assert queues_in(decode_map(told.messages[0])[1]) == ([QueueReport("orders"), queue], 0)


BARK = Bark("b", "ark3", "woof", 1)
COUNTS = ("handed_on_before", "handed_on", "held", "held_tried")


class Judge(Recorder):
    """A bizlogic that rejects the fourth it gets, keeps the fifth, and accepts the others."""

    def on_message(self, link: Receiver, delivery: Any, data: bytes) -> None:
        super().on_message(link, delivery, data)
        number = len(self.messages)
        if number == 4:
            delivery.reject(NotAllowed("never"))
        elif number != 5:
            delivery.accept()


def test_an_outbox_counts_the_barks_that_it_has_handed_on_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    def outbox() -> Queues:
        stage = Queues(QueueJournal(tmp_path / "orders.sqlite3"), push="bizlogic", check=decode_bark)
        stage.manifold.reactor.wall = stage.clock
        return stage

    def counts(stage: Queues) -> list[int]:
        stage.clock.now += 1
        state = stage.state
        assert state["counted_at"] == int(stage.clock.now)
        return [state[name] for name in COUNTS]

    stage = outbox()
    producer, _ = stage.sender(stage.connect(), "orders")
    words: list[Bark | Follow] = [BARK._replace(id=str(number), text="I follow you") for number in range(5)]
    for number, word in enumerate([Follow("f", "ark3", "rex", 1, wanted=True), *words]):
        producer.send(encode_bark(word), number)
    stage.turn()
    assert counts(stage) == [0, 0, 6, 0]
    worker = Judge(10)
    pair = Pair(lambda link: worker)
    (service,) = stage.manifold._services.values()
    pair.client.sender("bizlogic", service, batches=True)
    stage.pairs.append(pair)
    stage.turn()
    assert len(worker.messages) == 6
    # Neither the follow nor the dead letter; the one that has no outcome is held.
    assert counts(stage) == [0, 3, 1, 1]
    assert (stage.state["depth"], stage.state["dead_letters"]) == (1, 1)
    stage.disk.error = FULL
    worker.deliveries[4].accept()
    stage.turn()
    assert counts(stage) == [0, 3, 1, 1], "what the disk does not know yet is not counted"
    stage.service.reactor.close()
    stage.manifold.journal.close()
    after = outbox()
    assert counts(after) == [3, 3, 1, 1]
    after.close()


def test_follows_go_in_transfers_of_their_own(queues: Open) -> None:
    # One that waits for a database, and would hold up the barks of its transfer: they are settled together.
    stage = queues(push="bizlogic", check=decode_bark)
    producer, _ = stage.sender(stage.connect(), "orders")
    bark, follow = BARK._replace(text="I follow you"), Follow("f", "ark3", "rex", 1, wanted=True)
    for number, word in enumerate([bark, bark, follow, follow, follow._replace(wanted=False), bark]):
        producer.send(encode_bark(word._replace(id=str(number))), number)
    worker = Recorder(10)
    worker.batches = True
    pair = Pair(lambda link: worker)
    (service,) = stage.manifold._services.values()
    link = pair.client.sender("bizlogic", service, batches=True)
    stage.pairs.append(pair)
    stage.turn()
    assert [len(tokens) for tokens in link.unsettled.values()] == [2, 3, 1]


def test_an_outbox_with_a_journal_from_before_it_counted_begins_at_nothing(tmp_path: Path) -> None:
    with contextlib.closing(QueueJournal(tmp_path / "orders.sqlite3")) as journal:
        journal.commit([("orders", encode_bark(BARK))], [])
    stage = Queues(QueueJournal(tmp_path / "orders.sqlite3"), push="bizlogic", check=decode_bark)
    assert [stage.state[name] for name in COUNTS] == [0, 0, 1, 1]
    stage.close()


class Partitioned:
    """An outbox whose authors are divided, and the bizlogic of each partition that has come."""

    def __init__(self, folder: Path, count: int) -> None:
        journal = QueueJournal(folder / "outbox.sqlite3")
        self.stage = Queues(journal, push="bizlogic", check=decode_bark, partitions=count)
        self.producer, _ = self.stage.sender(self.stage.connect(), "orders")
        self.sent = 0

    def bark(self, *authors: str) -> None:
        for author in authors:
            self.sent += 1
            self.producer.send(encode_bark(BARK._replace(id=str(self.sent), user=author)), self.sent)
        self.stage.turn()

    def serve(self, number: int, worker: Recorder) -> Sender:
        """A bizlogic of that partition comes."""
        address, service = list(self.stage.manifold._services.items())[number]
        pair = Pair(lambda link: worker)
        link = pair.client.sender(address, service, batches=True)
        self.stage.pairs.append(pair)
        self.stage.turn()
        return link

    def queues(self) -> dict[str, QueueReport]:
        return {queue.address: queue for queue in self.stage.manifold.queues()}


def said_by(handler: Recorder) -> list[tuple[str, int]]:
    words = [decode_bark(data) for data in handler.messages]
    return [(word.user, int(word.id)) for word in words]


AUTHORS = [f"dog{number}" for number in range(9)]


@pytest.fixture
def partitioned(tmp_path: Path) -> Iterator[Partitioned]:
    outbox = Partitioned(tmp_path, 3)
    yield outbox
    outbox.stage.close()


def test_each_partition_gets_the_barks_of_its_authors_in_order(partitioned: Partitioned) -> None:
    workers = [Worker(10) for _ in range(3)]
    partitioned.bark(*AUTHORS * 5)
    for number, worker in enumerate(workers):
        partitioned.serve(number, worker)
    partitioned.bark(*AUTHORS * 5)
    for number, worker in enumerate(workers):
        mine = [name for name in AUTHORS if partition_of(name, 3) == number]
        assert mine, "the names are so that each has some"
        expected = [(name, at) for at, name in enumerate(AUTHORS * 10, 1) if name in mine]
        assert said_by(worker) == expected
    assert partitioned.stage.state["depth"] == 0


def test_a_partition_without_a_service_holds_up_no_other_and_loses_nothing(partitioned: Partitioned) -> None:
    partitioned.serve(0, Worker(100))
    gone = Worker(100)
    link = partitioned.serve(1, gone)
    partitioned.bark(*(name for name in AUTHORS if partition_of(name, 3) == 1))
    assert gone.messages
    partitioned.stage.service.reactor._running = True  # Else the loss of a link is nothing to act upon.
    link.close()
    partitioned.stage.wait(3 * FORGET_SECONDS)
    # A queue that is empty and that nobody serves is not forgotten: it is the one that will be pushed.
    partitioned.bark(*AUTHORS)
    others = [name for name in AUTHORS if partition_of(name, 3) != 0]
    assert partitioned.stage.state["depth"] == len(others)
    workers = Worker(100), Worker(100)
    for number, worker in enumerate(workers, 1):
        partitioned.serve(number, worker)
    assert sorted(name for worker in workers for name, _ in said_by(worker)) == sorted(others)
    assert partitioned.stage.state["depth"] == 0


def test_what_is_told_of_partitions_adds_up_and_dead_letters_are_in_one_queue(
    partitioned: Partitioned,
) -> None:
    stage = partitioned.stage
    stage.manifold.reactor.wall = stage.clock
    partitioned.bark(*[AUTHORS[0]] * 5)
    number = partition_of(AUTHORS[0], 3)
    partitioned.serve(number, Judge(10))
    mine = f"orders-{number + 1}-of-3"
    queues = partitioned.queues()
    assert queues[mine] == QueueReport(mine, 1, 1, 1)
    assert queues["orders"] == QueueReport("orders", dead_letters=1)
    assert {queue.depth for address, queue in queues.items() if address != mine} == {0}
    stage.clock.now += 1
    state = stage.state
    assert [state[key] for key in ("depth", "in_flight", "dead_letters")] == [1, 1, 1]
    assert [state[name] for name in COUNTS] == [0, 3, 1, 1]


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2)])
def test_what_waits_for_another_number_of_partitions_is_refused_in_words(
    tmp_path: Path, before: int, after: int
) -> None:
    outbox = Partitioned(tmp_path, before)
    outbox.stage.close()
    Partitioned(tmp_path, after).stage.close()  # As long as nothing waits.
    outbox = Partitioned(tmp_path, before)
    outbox.bark("ark3")
    outbox.stage.close()
    told = rf"1 messages wait .* {before} partition\(s\) of authors, not for {after}: "
    journal = QueueJournal(tmp_path / "outbox.sqlite3")
    with contextlib.closing(journal), pytest.raises(Mistake, match=told):
        Queues(journal, push="bizlogic", check=decode_bark, partitions=after)
    Partitioned(tmp_path, before).stage.close()


def test_queues_that_are_no_outbox_count_no_barks(queues: Open) -> None:
    assert "handed_on" not in queues().state
