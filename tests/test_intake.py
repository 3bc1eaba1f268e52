"""What becomes of arrivals when the journal does not take them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from barker.amqp.engine import Delivery
from barker.amqp.reactor import Reactor
from barker.core.errors import Damaged, StorageError
from barker.intake import Arrival, Intake


class FakeDelivery:
    """Keeps its outcome."""

    outcome = ""

    def accept(self) -> None:
        self.outcome = "accepted"

    def release(self) -> None:
        self.outcome = "released"


class Stage:
    """An intake before a journal that raises what it is told."""

    def __init__(self) -> None:
        self.damage: list[Damaged] = []
        self.reactor = Reactor("test")
        self.intake: Intake[str] = Intake(self.reactor, self.damage.append)

    def commit(self, error: StorageError | None) -> str:
        delivery = FakeDelivery()
        self.intake.arrivals.append(Arrival(cast(Delivery, delivery), "a message"))

        def write(arrivals: Any) -> None:
            if error is not None:
                raise error

        self.intake.commit(write)
        return delivery.outcome

    def turn_until(self, seconds: float) -> None:
        self.reactor.after(seconds, self.reactor.stop)
        self.reactor.run()


def test_what_a_full_disk_does_not_take_is_released_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(3):
        assert stage.commit(StorageError("the disk is full")) == "released"
        assert stage.intake.failing
    assert [record.message for record in caplog.records] == ["the disk is full"], "told once"
    stage.turn_until(1.1)
    assert not stage.intake.failing
    assert stage.commit(None) == "accepted"
    assert "accepted" in caplog.records[-1].message
    assert not stage.damage


def test_behind_damage_nothing_is_taken_any_more() -> None:
    stage = Stage()
    damage = Damaged("j.sqlite3", "malformed", "start again")
    assert stage.commit(damage) == "released"
    assert stage.damage == [damage]
    stage.turn_until(1.1)
    assert stage.intake.failing
