"""Bugs, planted one at a time while a simulation runs, each of a kind that real systems have had.

``python -m tests.sim.mutants [SEED [NAME…]]`` finds each, by seeds that were not chosen for it, and makes
what fails small; it tells how long that took, and how much is left.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import pytest

from barker.amqp._proton import RELEASED
from barker.amqp.links import PeerLink
from barker.amqp.outbound import Outbound
from barker.amqp.reactor import Reactor
from barker.core.graph import SocialGraph
from barker.core.timelines import Cursor, Seen, Timelines
from barker.core.work_queue import WorkQueue
from barker.manifolds import readers
from barker.manifolds.intake import Intake
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.sim.plan import Plan
from barker.sim.shrink import shrink
from barker.sim.simulation import Outcome, fails_like, planned, simulate
from barker.store.journal import QueueJournal
from barker.store.social import Users
from barker.work.spreading import Bizlogic, Course, Outbox

SECONDS = 60.0
"""Of a processor: within so many each is found, by seeds that were not chosen for it."""

EVENTS = 20
"""So many barks, other messages and faults are left of what fails, at most."""

Plant = Callable[[pytest.MonkeyPatch], None]

MUTANTS: dict[str, Plant] = {}


def mutant(plant: Plant) -> Plant:
    """One of them, by its name."""
    MUTANTS[plant.__name__] = plant
    return plant


@mutant
def accept_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    take = Intake.take

    def taking(self: Any) -> Any:
        for arrival in self._arrivals:
            arrival.delivery.accept()
        return take(self)

    patch.setattr(Intake, "take", taking)


@mutant
def accept_what_a_commit_has_failed_with(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Intake, "fail", lambda self, arrivals, error: self.accept(arrivals))


@mutant
def what_a_full_disk_has_left_goes_behind_what_came_since(patch: pytest.MonkeyPatch) -> None:
    fail = Intake.fail

    def failing(self: Any, arrivals: Any, error: Exception) -> None:
        fail(self, arrivals, error)
        self._arrivals, self._resting = self._arrivals[::-1], False

    patch.setattr(Intake, "fail", failing)


@mutant
def release_without_order(patch: pytest.MonkeyPatch) -> None:
    def release_all(self: WorkQueue, consumer: Any) -> int:
        held = self._in_flight.pop(consumer, None)
        entries = list(held.entries.values())[::-1] if held else []
        for entry in entries:
            self._in_flight_count -= 1
            self._bytes += len(entry.data)
            self._fresh.append(entry)
        return len(entries)

    patch.setattr(WorkQueue, "release_all", release_all)


@mutant
def forget_to_release_what_was_in_flight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkQueue, "release_all", lambda self, consumer: 0)


@mutant
def no_deduplication(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "__contains__", lambda self, key: False)


@mutant
def what_was_seen_is_forgotten_with_the_process(patch: pytest.MonkeyPatch) -> None:
    init = TimelineManifold.__init__

    def forgetful(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._seen = Seen()

    patch.setattr(TimelineManifold, "__init__", forgetful)


@mutant
def a_wake_up_lost(patch: pytest.MonkeyPatch) -> None:
    leave = QueueManifold.leave

    def leaving(self: Any, queue: Any, link: Any) -> None:
        leave(self, queue, link)
        self._awake.pop(queue, None)

    patch.setattr(QueueManifold, "leave", leaving)
    patch.setattr(QueueManifold, "join", lambda self, queue, link: queue.consumers.append(link))


@mutant
def a_redirect_that_is_never_asked_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PeerLink, "_again", lambda self, why, peer: None)


@mutant
def a_timer_on_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    init = Reactor.__init__

    def walled(self: Any, container: str, *args: Any) -> None:
        init(self, container, *args)
        if container != "chaos":  # Who sets the clock has to know when to.
            self.clock = self.wall

    patch.setattr(Reactor, "__init__", walled)


@mutant
def a_readers_cursor_off_by_one(patch: pytest.MonkeyPatch) -> None:
    init = Cursor.__init__

    def beginning(self: Any, *args: Any) -> None:
        init(self, *args)
        self.read()

    patch.setattr(Cursor, "__init__", beginning)


@mutant
def an_acceptance_before_the_inbox_has_it(patch: pytest.MonkeyPatch) -> None:
    message = Outbox.on_message

    def hasty(self: Any, link: Any, delivery: Any, data: bytes) -> None:
        message(self, link, delivery, data)
        if isinstance(self.waiting[-1], Course):
            self.waiting[-1].delivery = _Settled(delivery)

    class _Settled:
        def __init__(self, delivery: Any) -> None:
            delivery.accept()
            self.live, self.link = True, delivery.link

        def accept(self) -> None: ...

    patch.setattr(Outbox, "on_message", hasty)


@mutant
def what_was_in_flight_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outbound, "on_lost", lambda self, link, condition: self._in_flight.clear())


@mutant
def what_comes_back_is_sent_in_any_order(patch: pytest.MonkeyPatch) -> None:
    def on_lost(self: Any, link: Any, condition: Any) -> None:
        for entry in self._in_flight:
            entry.number = -entry.number
        self._returned += self._in_flight
        self._in_flight.clear()

    patch.setattr(Outbound, "on_lost", on_lost)


@mutant
def what_is_settled_stays_in_the_journal(patch: pytest.MonkeyPatch) -> None:
    commit = QueueJournal.commit
    patch.setattr(QueueJournal, "commit", lambda self, add, remove, tally=None: commit(self, add, [], tally))


@mutant
def an_inbox_that_is_full_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    def spread(self: Any, course: Any) -> bool:
        course.delivery.accept()
        return True

    patch.setattr(Bizlogic, "_spread", spread)


@mutant
def a_dead_letter_that_is_never_written(patch: pytest.MonkeyPatch) -> None:
    def bury(self: Any, queue: Any, link: Any, sequence: int, condition: object) -> None:
        if queue.work.settle(link, sequence) is not None:
            self._settled.append((queue.address, sequence))

    patch.setattr(QueueManifold, "_bury", bury)


@mutant
def a_dead_letter_for_another_reason(patch: pytest.MonkeyPatch) -> None:
    bury = QueueManifold._bury
    patch.setattr(
        QueueManifold, "_bury", lambda self, queue, link, number, _: bury(self, queue, link, number, None)
    )


@mutant
def what_is_released_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkQueue, "release", lambda self, consumer, sequence: self.settle(consumer, sequence))


@mutant
def what_is_released_goes_behind_what_came_since(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkQueue, "_give_back", lambda self, entry: self._fresh.append(entry))


@mutant
def what_is_undeliverable_here_comes_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkQueue, "refuse", WorkQueue.release)


@mutant
def what_a_consumer_has_accepted_comes_again(patch: pytest.MonkeyPatch) -> None:
    settled = QueueManifold.settled

    def settling(self: Any, queue: Any, link: Any, sequence: int, outcome: int, condition: object) -> None:
        # One in twenty.
        settled(self, queue, link, sequence, RELEASED if sequence % 20 == 0 else outcome, condition)

    patch.setattr(QueueManifold, "settled", settling)


@mutant
def an_agent_tells_an_old_depth(patch: pytest.MonkeyPatch) -> None:
    leave = QueueManifold.leave

    def leaving(self: Any, queue: Any, link: Any) -> None:
        leave(self, queue, link)
        queue.counted = queue.work.depth, queue.work.in_flight

    patch.setattr(QueueManifold, "leave", leaving)


@mutant
def what_was_missed_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(readers, "_annotated", lambda data, missed: data)


@mutant
def a_reader_who_rests_is_not_woken(patch: pytest.MonkeyPatch) -> None:
    def follow(self: Any, user: str, link: Any) -> None:
        if link not in self._readers:
            self._readers[link] = self.timelines.follow(user, link)
        self._pump(link)

    patch.setattr(TimelineManifold, "follow", follow)


@mutant
def a_reader_who_comes_back_sees_only_what_is_new(patch: pytest.MonkeyPatch) -> None:
    follow = Timelines.follow

    def following(self: Any, user: str, reader: Any) -> Any:
        cursor = follow(self, user, reader)
        cursor.position += min(cursor.behind, 1)
        return cursor

    patch.setattr(Timelines, "follow", following)


@mutant
def a_follow_is_done_each_time_it_comes(patch: pytest.MonkeyPatch) -> None:
    insert = Users._insert

    def inserting(self: Any, table: str, values: Any) -> bool:
        return insert(self, table, values) or table.startswith("words")

    patch.setattr(Users, "_insert", inserting)


@mutant
def follows_are_done_in_any_order(patch: pytest.MonkeyPatch) -> None:
    apply = Users.apply
    patch.setattr(Users, "apply", lambda self, words: apply(self, words[::-1])[::-1])


@mutant
def a_follow_is_accepted_before_it_is_done(patch: pytest.MonkeyPatch) -> None:
    apply = Bizlogic._apply

    def applying(self: Any, outbox: Any) -> None:
        for word in outbox.words:
            word.delivery.accept()
        outbox.words = deque(outbox.words)
        self.reactor.after(0.2, lambda: apply(self, outbox) if outbox.words else None)

    patch.setattr(Bizlogic, "_apply", applying)


@mutant
def an_unfollow_that_memory_does_not_know(patch: pytest.MonkeyPatch) -> None:
    change = SocialGraph.change

    def changing(self: Any, user: str, other: str | None, wanted: bool) -> None:
        if wanted:
            change(self, user, other, wanted)

    patch.setattr(SocialGraph, "change", changing)


def hunt(seed: int) -> Plan:
    """A run in which much happens in a short time."""
    return planned(seed, 40, 5, 60, follows=4.0)


class Found(NamedTuple):
    """What became of a planted bug."""

    seeds: int
    outcome: Outcome
    """Of the run that has found it."""
    small: Plan
    found_seconds: float
    """Of a processor, until it was found."""
    seconds: float
    """The same until it was small."""

    @property
    def events(self) -> int:
        """Barks, other messages and faults that are left."""
        return self.small.events


def search(seed: int) -> tuple[Plan, Outcome] | None:
    """The first run that fails, by seeds from this one on; None when it takes too long."""
    begun = time.process_time()
    for number in itertools.count(seed):
        plan = hunt(number)
        outcome = simulate(plan)
        if outcome.wrong:
            return plan, outcome
        if time.process_time() - begun > SECONDS:
            break
    return None


def find(name: str, seed: int, tell: Callable[[str], None] = lambda text: None) -> Found | None:
    """Plant a bug, find it by seeds from this one on, and make small what fails."""
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        begun = time.process_time()
        found = search(seed)
        if found is None:
            return None
        plan, outcome = found
        seconds, seeds = time.process_time() - begun, plan.seed - seed + 1
        kinds = ", ".join(sorted(outcome.broken))
        tell(f"found after {seconds:5.1f} s, by {seeds:2} seed(s): {kinds}")
        small = shrink(plan, fails_like(outcome), enough=EVENTS)
        return Found(seeds, outcome, small, seconds, time.process_time() - begun)


def crashes(outcome: Outcome) -> bool:
    """Whether there were errors of ours in a run: what is planted has to break promises, not the code."""
    return any("Error in " in kind for kind in outcome.broken)


def tell(text: str) -> None:
    """Say it at once, in the same line."""
    print(text, end="", flush=True)


def measure(name: str, seed: int) -> None:
    """Say what becomes of a planted bug, in a line, as soon as it is known."""
    tell(f"{name:57} ")
    found = find(name, seed, tell=tell)
    if found is None:
        tell("NOT FOUND\n")
        return
    small = found.small
    left = f"{len(small.faults)} faults, {small.barks} barks, {small.besides} other messages"
    tell(f"; shrunk to {found.events:3} events in {found.seconds - found.found_seconds:5.1f} s ({left})\n")


if __name__ == "__main__":
    first = int(sys.argv[1]) if sys.argv[1:] else Random().randrange(10**6)
    print(f"from seed {first} on; seconds are of a processor")
    for name in sys.argv[2:] or MUTANTS:
        measure(name, first)
