"""What was mended of what the simulation has found, undone again: each kept case still has to find it.

A case is a plan in which what was found happens with any luck, so that it goes on finding it when chance is
another: many faults of one kind, or many messages, rather than the few events that were left of one run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from barker.amqp._proton import ACCEPTED
from barker.amqp.link import Sender
from barker.amqp.reactor import Reactor
from barker.core.barks import Follow
from barker.core.errors import PeerError
from barker.core.work_ledger import WorkLedger
from barker.manifolds.queues import QueueManifold
from barker.sim.plan import read
from barker.sim.simulation import simulate
from barker.sim.suite import SimulatedSuite
from barker.work.following import Following
from tests.sim.mutants import MUTANTS, Plant

CASES = Path(__file__).parent / "cases"


class Undone(NamedTuple):
    """A mend that is undone."""

    plant: Plant
    breaks: str
    """Which kind of promise is not kept then."""


UNDONE = {
    name: Undone(MUTANTS[name], breaks)
    for name, breaks in (
        ("an_acceptance_before_the_inbox_has_it", "lost"),
        ("no_deduplication", "twice"),
        ("what_a_full_disk_has_left_goes_behind_what_came_since", "disordered"),
    )
}
"""By the names of their cases."""


def undoes(breaks: str) -> Callable[[Plant], Plant]:
    """One of them, by its name."""

    def add(plant: Plant) -> Plant:
        UNDONE[plant.__name__] = Undone(plant, breaks)
        return plant

    return add


@undoes("lost")
def a_batch_of_one_is_a_batch(patch: pytest.MonkeyPatch) -> None:
    agree = Sender._agree

    def agreed(self: Any) -> None:
        agree(self)
        self.batches = self.batch_messages > 1

    patch.setattr(Sender, "_agree", agreed)


@undoes("Follows")
def a_follow_that_memory_was_short_for_is_done_later(patch: pytest.MonkeyPatch) -> None:
    write = Following._write

    def writing(self: Any, follows: list[Follow]) -> list[bool | PeerError]:
        try:
            return write(self, follows)
        except MemoryError:
            return [PeerError("there is no memory")] * len(follows)

    patch.setattr(Following, "_write", writing)


@undoes("contradictions")
def a_queue_that_was_forgotten_takes_another_with_it(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Any) -> None:
        unused, self._unused = self._unused, {}
        for queue in unused:
            if not queue.work.depth and not queue.links and queue.address != self.serving.address:
                self._queues.pop(queue.address, None)

    patch.setattr(QueueManifold, "_forget", forget)


@undoes("OSError in check_limit")
def no_descriptor_is_left_to_dial_with(patch: pytest.MonkeyPatch) -> None:
    dial = Reactor._dial

    def dialling(self: Any, *args: Any) -> None:
        self.system.sockets.check_limit()
        dial(self, *args)

    patch.setattr(Reactor, "_dial", dialling)


@undoes("Work")
def of_what_was_sent_again_another_may_come_where_one_is_undeliverable(patch: pytest.MonkeyPatch) -> None:
    came = WorkLedger.came

    def coming(self: Any, link: Any, number: int, now: float) -> None:
        message = self._messages[self._links[link].queue][number]
        if message.sent > 1 and link in message.not_here:
            self._wrong.append(f"{number} came again to who had said that it is undeliverable there")
        came(self, link, number, now)

    patch.setattr(WorkLedger, "came", coming)


@undoes("lost")
def what_power_loss_took_is_excused_though_a_bit_has_flipped_since(patch: pytest.MonkeyPatch) -> None:
    excused = SimulatedSuite.excused.fget
    assert excused is not None

    def unless_flipped(self: Any) -> Any:
        flipped = any(child.simulated.disk.flips for child in self.children.values())
        return set() if flipped else excused(self)

    patch.setattr(SimulatedSuite, "excused", property(unless_flipped))


@undoes("waits")
def who_gives_back_a_dead_letter_waits_for_the_next(patch: pytest.MonkeyPatch) -> None:
    settled = QueueManifold.settled

    def settling(self: Any, queue: Any, link: Any, sequence: int, outcome: int, condition: object) -> None:
        if outcome == ACCEPTED or not queue.holds_dead_letters:
            settled(self, queue, link, sequence, outcome, condition)

    patch.setattr(QueueManifold, "settled", settling)


def finds(case: Path) -> bool:
    """Whether a case fails, as it did, when what it has found is not mended."""
    plant, breaks = UNDONE[case.stem]
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        return breaks in simulate(read(case)).broken
