"""What is next for whom, and that nothing is lost or handed out twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from barker.core.work_queue import Entry, WorkQueue


def entry(sequence: int, size: int = 1) -> Entry:
    return Entry(sequence, bytes(size))


def queue_of(*sequences: int) -> WorkQueue:
    queue = WorkQueue()
    for sequence in sequences:
        queue.push(entry(sequence))
    return queue


def lease_one(queue: WorkQueue, consumer: str) -> Entry | None:
    """The next entry, now in flight to `consumer`; None if there is none for it."""
    found = queue.lease(consumer, 1)
    return found[0] if found else None


def leased(queue: WorkQueue, consumer: str, most: int = 100) -> list[int]:
    """The sequence numbers of up to `most` entries, now in flight to `consumer`."""
    found: list[int] = []
    for _ in range(most):
        next_one = lease_one(queue, consumer)
        if next_one is None:
            break
        found.append(next_one.sequence)
    return found


# Leasing and settling


def test_an_empty_queue_has_nothing_for_anybody() -> None:
    queue = WorkQueue()
    assert lease_one(queue, "a") is None
    assert (queue.depth, queue.ready, queue.waiting, queue.in_flight, queue.memory) == (0, 0, 0, 0, 0)
    assert queue.wanted() is None


def test_entries_go_out_in_order_each_to_one_consumer() -> None:
    queue = queue_of(1, 2, 3, 4)
    assert leased(queue, "a", 1) == [1]
    assert leased(queue, "b", 2) == [2, 3]
    assert leased(queue, "a", 5) == [4]
    assert queue.in_flight == 4


@pytest.mark.parametrize(
    ("count", "memory", "sizes", "taken"),
    [
        (10, 100, [10, 10, 10], 3),
        (2, 100, [10, 10, 10], 2),
        (10, 26, [10, 10, 10], 2),  # 13 each, with their overhead
        (10, 25, [10, 10, 10], 1),
        (10, 0, [10, 10], 1),  # one, however large
        (0, 100, [10], 0),
        (10, 100, [], 0),
    ],
)
def test_some_are_leased_as_far_as_they_are_few_and_small(
    count: int, memory: int, sizes: list[int], taken: int
) -> None:
    queue = WorkQueue()
    for sequence, size in enumerate(sizes, 1):
        queue.push(entry(sequence, size))
    assert queue.lease("a", count, memory, overhead=3) == [
        entry(sequence, size) for sequence, size in enumerate(sizes[:taken], 1)
    ]
    assert (queue.in_flight, queue.ready) == (taken, len(sizes) - taken)


def test_some_are_what_was_given_back_and_what_is_fresh_in_order() -> None:
    queue = queue_of(1, 2, 3, 4)
    leased(queue, "a", 3)
    queue.release("a", 3)
    queue.release("a", 1)
    assert [each.sequence for each in queue.lease("b", 10, 100)] == [1, 3, 4]


def test_some_are_of_one_kind() -> None:
    queue = WorkQueue()
    for sequence, size in enumerate([1, 1, 2, 2, 2, 1], 1):
        queue.push(entry(sequence, size))
    rows = iter(lambda: [each.sequence for each in queue.lease("a", 10, 100, kind=len)], [])
    assert list(rows) == [[1, 2], [3, 4, 5], [6]]


def test_what_is_settled_is_gone_for_good() -> None:
    queue = queue_of(1, 2)
    leased(queue, "a")
    assert queue.settle("a", 1) == entry(1)
    assert queue.settle("a", 1) is None
    assert queue.depth == 1
    assert queue.release_all("a") == 1
    assert leased(queue, "b") == [2]


def test_nobody_settles_or_releases_what_another_holds() -> None:
    queue = queue_of(1)
    leased(queue, "a")
    assert queue.settle("b", 1) is None
    queue.release("b", 1)
    assert queue.in_flight == 1
    assert lease_one(queue, "b") is None


def test_a_released_entry_goes_before_all_that_is_younger() -> None:
    queue = queue_of(1, 2, 3, 4)
    leased(queue, "a", 2)
    queue.release("a", 2)
    queue.release("a", 1)
    assert leased(queue, "b") == [1, 2, 3, 4]


def test_what_a_lost_consumer_held_goes_out_again_in_order() -> None:
    queue = queue_of(*range(1, 8))
    assert leased(queue, "a", 2) == [1, 2]
    assert leased(queue, "b", 2) == [3, 4]
    assert leased(queue, "a", 1) == [5]
    queue.settle("a", 2)
    assert queue.release_all("a") == 2
    assert leased(queue, "c", 3) == [1, 5, 6]
    assert queue.release_all("a") == 0, "it holds nothing any more"
    assert queue.release_all("b") == 2
    assert leased(queue, "c") == [3, 4, 7]


def test_release_all_of_somebody_unknown_is_nothing() -> None:
    assert queue_of(1).release_all("nobody") == 0


def test_an_entry_that_would_break_the_order_is_refused() -> None:
    queue = queue_of(5)
    for sequence in (5, 4):
        with pytest.raises(ValueError, match="order"):
            queue.push(entry(sequence))
    assert leased(queue, "a") == [5]


def test_an_entry_older_than_what_was_loaded_is_refused() -> None:
    queue = WorkQueue()
    queue.expect(1)
    queue.refill([entry(5)])
    with pytest.raises(ValueError, match="order"):
        queue.push(entry(4))


def test_its_length_is_its_depth_and_its_text_says_where_entries_are() -> None:
    queue = WorkQueue(entries=2)
    for sequence in range(1, 6):
        queue.push(entry(sequence))
    lease_one(queue, "a")
    assert len(queue) == queue.depth == 5
    assert repr(queue) == "<WorkQueue ready 1, waiting 3, in flight 1>"


# Memory and disk


class Disk(dict[int, bytes]):
    """What a journal does for a queue, in a dict: sequence number to data."""

    def write(self, queue: WorkQueue, *entries: Entry) -> None:
        for each in entries:
            self[each.sequence] = each.data
            queue.push(each)

    def load(self, after: int, count: int) -> Iterator[Entry]:
        for sequence in sorted(sequence for sequence in self if sequence > after)[:count]:
            yield Entry(sequence, self[sequence])

    def serve(self, queue: WorkQueue) -> None:
        wanted = queue.wanted()
        if wanted is not None:
            queue.refill(self.load(*wanted))

    def drain(self, queue: WorkQueue) -> list[int]:
        """Take everything, one entry at a time."""
        gone: list[int] = []
        while True:
            self.serve(queue)
            next_one = lease_one(queue, "drain")
            if next_one is None:
                return gone
            assert queue.settle("drain", next_one.sequence) == next_one
            gone.append(next_one.sequence)


def test_entries_above_the_bound_wait_on_disk_and_come_in_order() -> None:
    queue, disk = WorkQueue(entries=3), Disk()
    disk.write(queue, *(entry(sequence) for sequence in range(1, 11)))
    assert (queue.ready, queue.waiting, queue.depth) == (3, 7, 10)
    assert queue.wanted() is None, "the head is in memory"
    assert disk.drain(queue) == list(range(1, 11))
    assert (queue.depth, queue.waiting, queue.memory) == (0, 0, 0)


def test_while_anything_waits_on_disk_new_entries_wait_behind_it() -> None:
    queue, disk = WorkQueue(entries=2), Disk()
    disk.write(queue, entry(1), entry(2), entry(3))
    assert leased(queue, "a") == [1, 2]
    disk.write(queue, entry(4))
    assert (queue.ready, queue.waiting) == (0, 2), "else 4 would go before 3"
    assert disk.drain(queue) == [3, 4]


def test_what_is_released_goes_before_what_waits_on_disk() -> None:
    queue, disk = WorkQueue(entries=2), Disk()
    disk.write(queue, *(entry(sequence) for sequence in range(1, 6)))
    assert leased(queue, "a") == [1, 2]
    disk.serve(queue)
    queue.release_all("a")
    assert disk.drain(queue) == [1, 2, 3, 4, 5]


def test_entries_of_an_earlier_life_come_before_new_ones() -> None:
    queue, disk = WorkQueue(entries=4), Disk({3: b"c", 5: b"e", 6: b"f"})
    queue.expect(3)
    assert (queue.depth, queue.waiting) == (3, 3)
    disk.write(queue, entry(7))
    assert disk.drain(queue) == [3, 5, 6, 7]


def test_bytes_are_bounded_like_entries() -> None:
    queue, disk = WorkQueue(memory=100), Disk()
    disk.write(queue, *(entry(sequence, 40) for sequence in range(1, 11)))
    assert (queue.ready, queue.waiting, queue.memory) == (3, 7, 120)
    assert disk.drain(queue) == list(range(1, 11))


def test_loading_large_entries_from_disk_keeps_to_the_bound_of_memory() -> None:
    queue, disk = WorkQueue(entries=1_000, memory=1_000), Disk({at: bytes(400) for at in range(1, 101)})
    queue.expect(100)
    disk.serve(queue)
    assert queue.ready > 0
    assert queue.memory <= 1_000 + 400, "it may be above the bound by one entry"
    assert disk.drain(queue) == list(range(1, 101))


def test_a_consumer_holds_no_more_than_its_share_of_bytes_and_one_entry_at_least() -> None:
    queue, disk = WorkQueue(memory=100), Disk()
    disk.write(queue, *(entry(sequence, 30) for sequence in range(1, 21)))
    assert leased(queue, "a") == [1, 2, 3, 4], "all of it, while it is alone"
    disk.serve(queue)
    assert leased(queue, "b") == [5, 6], "half of it"
    disk.serve(queue)
    assert leased(queue, "a") == []
    for sequence in (1, 2, 3):
        queue.settle("a", sequence)
    assert leased(queue, "a") == [7]
    assert leased(queue, "c") == [8, 9]
    disk.serve(queue)
    queue.push(entry(21, 1_000))
    assert leased(queue, "b") == []
    queue.release_all("a")
    queue.release_all("c")
    assert leased(queue, "b") == [4, 7], "what who has gone held is next again"


def test_an_entry_larger_than_the_bound_is_still_delivered() -> None:
    queue = WorkQueue(memory=10)
    queue.push(entry(1, 1_000))
    assert leased(queue, "a") == [1]


def test_a_queue_in_memory_has_no_bounds() -> None:
    queue = WorkQueue.in_memory()
    for sequence in range(1, 50):
        queue.push(entry(sequence, 1024 * 1024))
    assert (queue.ready, queue.waiting, queue.memory) == (49, 0, 49 * 1024 * 1024)
    assert queue.wanted() is None
    assert leased(queue, "a") == list(range(1, 50))


# Everything at once, against a model

ENTRIES, MEMORY, LARGEST = 6, 60, 20
CONSUMERS = st.sampled_from("abc")


class WorkQueueMachine(RuleBasedStateMachine):
    """The model: what is on disk and not settled is either pending or held by one consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue(ENTRIES, MEMORY)
        self.disk = Disk()
        self.held: dict[str, dict[int, Entry]] = {consumer: {} for consumer in "abc"}
        self.known: set[str] = set()
        self.newest = 0

    @property
    def pending(self) -> list[int]:
        return sorted(set(self.disk) - {sequence for held in self.held.values() for sequence in held})

    @property
    def bytes_in_flight(self) -> int:
        return sum(len(each.data) for held in self.held.values() for each in held.values())

    @initialize(sizes=st.lists(st.integers(0, LARGEST), max_size=15))
    def earlier_life(self, sizes: list[int]) -> None:
        for size in sizes:
            self.newest += 2
            self.disk[self.newest] = bytes(size)
        self.queue.expect(len(sizes))

    @rule(sizes=st.lists(st.integers(0, LARGEST), min_size=1, max_size=5), gap=st.integers(1, 3))
    def push(self, sizes: list[int], gap: int) -> None:
        for size in sizes:
            self.newest += gap
            self.disk.write(self.queue, entry(self.newest, size))

    @rule()
    def refill(self) -> None:
        self.disk.serve(self.queue)

    @rule(consumer=CONSUMERS, count=st.integers(1, 6), served=st.booleans())
    def lease(self, consumer: str, count: int, served: bool) -> None:
        for _ in range(count):
            if served:
                self.disk.serve(self.queue)
            due, held = self.pending, self.held[consumer]
            self.known.add(consumer)
            too_much = held and sum(len(each.data) for each in held.values()) >= MEMORY / len(self.known)
            found = lease_one(self.queue, consumer)
            if too_much or not due:
                assert found is None
            elif found is None:
                assert not served, "the oldest was on disk, and could be loaded"
            else:
                assert found == Entry(due[0], self.disk[due[0]]), "the oldest that nobody holds"
                self.held[consumer][found.sequence] = found

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), count=st.integers(1, 3), give_back=st.booleans())
    def finish(self, data: st.DataObject, count: int, give_back: bool) -> None:
        for _ in range(count):
            consumer = data.draw(st.sampled_from([each for each, held in self.held.items() if held]))
            sequence = data.draw(st.sampled_from(sorted(self.held[consumer])))
            expected = self.held[consumer].pop(sequence)
            if give_back:
                self.queue.release(consumer, sequence)
            else:
                assert self.queue.settle(consumer, sequence) == expected
                del self.disk[sequence]
            if not any(self.held.values()):
                return

    @rule(consumer=CONSUMERS, sequence=st.integers(0, 60))
    def settle_what_is_not_held(self, consumer: str, sequence: int) -> None:
        if sequence not in self.held[consumer]:
            assert self.queue.settle(consumer, sequence) is None
            self.queue.release(consumer, sequence)

    @rule(consumer=CONSUMERS)
    def lose(self, consumer: str) -> None:
        assert self.queue.release_all(consumer) == len(self.held[consumer])
        self.held[consumer].clear()
        self.known.discard(consumer)

    @invariant()
    def counts_agree(self) -> None:
        queue = self.queue
        assert queue.in_flight == sum(len(held) for held in self.held.values())
        assert queue.ready + queue.waiting == len(self.pending)
        assert queue.depth == len(queue) == len(self.disk)

    @invariant()
    def memory_is_bounded(self) -> None:
        # One that is alone may hold all of it, when a second comes that may hold half, and so on.
        assert self.bytes_in_flight < MEMORY * (1 + 1 / 2 + 1 / 3) + 3 * LARGEST
        assert self.bytes_in_flight <= self.queue.memory
        # Besides, what is ready: what was given back is there, however much that is.
        assert self.queue.memory < MEMORY * (2 + 1 / 2 + 1 / 3) + 4 * LARGEST

    def teardown(self) -> None:
        for consumer in self.held:
            self.lose(consumer)
        due = self.pending
        assert self.disk.drain(self.queue) == due, "nothing is lost, and all is in order"
        assert self.queue.memory == 0


TestWorkQueueMachine = WorkQueueMachine.TestCase
TestWorkQueueMachine.settings = settings(max_examples=100, stateful_step_count=40)
