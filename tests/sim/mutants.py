"""Bugs, planted one at a time while a simulation runs, each of a kind that real systems have had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from barker.amqp.links import PeerLink
from barker.amqp.outbound import Outbound
from barker.amqp.reactor import Reactor
from barker.core.timelines import Cursor, Seen
from barker.core.work_queue import WorkQueue
from barker.manifolds.intake import Intake
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold
from barker.store.journal import QueueJournal
from barker.work.spreading import Bizlogic, Course, Outbox

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
        held = self._held.pop(consumer, None)
        entries = list(held.entries.values())[::-1] if held else []
        for entry in entries:
            self._in_flight -= 1
            self._entries.append(entry)
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
    patch.setattr(PeerLink, "_again", lambda self, why: None)


@mutant
def a_timer_on_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    init = Reactor.__init__

    def walled(self: Any, container: str, system: Any = None) -> None:
        init(self, container, system)
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
    patch.setattr(QueueJournal, "commit", lambda self, add, remove: commit(self, add, []))


@mutant
def an_inbox_that_is_full_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    def spread(self: Any, course: Any) -> bool:
        course.delivery.accept()
        return True

    patch.setattr(Bizlogic, "_spread", spread)
