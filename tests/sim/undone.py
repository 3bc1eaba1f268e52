"""What was mended of what the simulation has found, undone again: each kept case still has to find it.

``python -m tests.sim.undone [SEED]`` makes a new case of each that no longer does, by seeds from that one on.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from barker.amqp._proton import ACCEPTED
from barker.amqp.link import Sender
from barker.amqp.reactor import Reactor
from barker.core.barks import Follow
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import PeerError
from barker.core.work_ledger import WorkLedger
from barker.manifolds.queues import QueueManifold
from barker.sim import simulation
from barker.sim.plan import read
from barker.sim.shrink import shrink
from barker.sim.simulation import simulate
from barker.sim.suite import SimulatedSuite
from barker.trial.run import Run
from barker.work.following import Following
from tests.sim.mutants import EVENTS, MUTANTS, Plant, hunt

SEEDS = 500
"""By so many seeds each is looked for."""

CASES = Path(__file__).parent / "cases"

UNDONE: dict[str, Plant] = {
    name: MUTANTS[name]
    for name in (
        "an_acceptance_before_the_inbox_has_it",
        "no_deduplication",
        "what_a_full_disk_has_left_goes_behind_what_came_since",
    )
}
"""By the names of their cases."""


def undoes(plant: Plant) -> Plant:
    """One of them."""
    UNDONE[plant.__name__] = plant
    return plant


@undoes
def a_batch_of_one_is_a_batch(patch: pytest.MonkeyPatch) -> None:
    agree = Sender._agree

    def agreed(self: Any) -> None:
        agree(self)
        self.batches = self.batch_messages > 1

    patch.setattr(Sender, "_agree", agreed)


@undoes
def a_connection_that_breaks_at_the_end_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    drop = Reactor._drop

    def dropping(self: Any, *args: Any) -> None:
        drop(self, *args)
        *_, timer = max(self._timers, key=lambda entry: entry[1])
        timer.cancel()

    patch.setattr(Reactor, "_drop", dropping)


@undoes
def a_follow_that_memory_was_short_for_is_done_later(patch: pytest.MonkeyPatch) -> None:
    apply = Following.apply

    def applying(self: Any, follows: list[Follow]) -> list[PeerError | None]:
        try:
            return apply(self, follows)
        except MemoryError:
            return [PeerError("there is no memory")] * len(follows)

    patch.setattr(Following, "apply", applying)


@undoes
def a_queue_that_was_forgotten_takes_another_with_it(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Any) -> None:
        unused, self._unused = self._unused, {}
        for queue in unused:
            if not queue.work.depth and not queue.links and queue.address != self.serving.address:
                self._queues.pop(queue.address, None)

    patch.setattr(QueueManifold, "_forget", forget)


@undoes
def a_reader_who_has_just_come_again_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    change = dataclasses.replace

    def changed(values: Any, **others: Any) -> Any:
        return values if values is DEFAULT_BOUNDS else change(values, **others)

    # Clients had less patience than services had sent heartbeats for, and lost their links again and again.
    patch.setattr(simulation, "replace", changed)
    left = Run._left
    patch.setattr(Run, "_left", lambda self: left(self) if self._step == "clients" else 0)


@undoes
def no_descriptor_is_left_to_dial_with(patch: pytest.MonkeyPatch) -> None:
    dial = Reactor._dial

    def dialling(self: Any, *args: Any) -> None:
        self.system.sockets.check_limit()
        dial(self, *args)

    patch.setattr(Reactor, "_dial", dialling)


@undoes
def of_what_was_sent_again_another_may_come_where_one_is_undeliverable(patch: pytest.MonkeyPatch) -> None:
    came = WorkLedger.came

    def coming(self: Any, link: Any, number: int, now: float) -> None:
        message = self._messages[self._links[link].queue][number]
        if message.sent > 1 and link in message.not_here:
            self._wrong.append(f"{number} came again to who had said that it is undeliverable there")
        came(self, link, number, now)

    patch.setattr(WorkLedger, "came", coming)


@undoes
def what_power_loss_took_is_excused_though_a_bit_has_flipped_since(patch: pytest.MonkeyPatch) -> None:
    excused = SimulatedSuite.excused.fget
    assert excused is not None

    def unless_flipped(self: Any) -> Any:
        flipped = any(child.simulated.disk.flips for child in self.children.values())
        return set() if flipped else excused(self)

    patch.setattr(SimulatedSuite, "excused", property(unless_flipped))


@undoes
def who_gives_back_a_dead_letter_waits_for_the_next(patch: pytest.MonkeyPatch) -> None:
    settled = QueueManifold.settled

    def settling(self: Any, queue: Any, link: Any, sequence: int, outcome: int, condition: object) -> None:
        if outcome == ACCEPTED or not queue.holds_dead_letters:
            settled(self, queue, link, sequence, outcome, condition)

    patch.setattr(QueueManifold, "settled", settling)


def finds(name: str) -> bool:
    """Whether the case still fails when what it has found is not mended."""
    with pytest.MonkeyPatch.context() as patch:
        UNDONE[name](patch)
        return bool(simulate(read(CASES / f"{name}.json")).wrong)


def remake(name: str, first: int, tell: Callable[[str], None]) -> None:
    """Find it again, by seeds from this one on, and keep what is left of that as its case."""
    with pytest.MonkeyPatch.context() as patch:
        UNDONE[name](patch)
        seed = next((seed for seed in range(first, first + SEEDS) if simulate(hunt(seed)).wrong), None)
        if seed is None:
            tell(f"not found by {SEEDS} seeds from {first} on")
            return
        tell(f"found by seed {seed}")
        small = shrink(hunt(seed), lambda plan: bool(simulate(plan).wrong), enough=EVENTS)
        small.write(CASES / f"{name}.json")
        tell(f"{small.events} events left: {simulate(small).wrong[0]}")


if __name__ == "__main__":
    first = int(sys.argv[1]) if sys.argv[1:] else Random().randrange(10**6)
    for case in sorted(path.stem for path in CASES.glob("*.json")):
        still = finds(case)
        print(f"{case}: {'still found' if still else 'no longer found'}", flush=True)
        if not still:
            remake(case, first, print)
