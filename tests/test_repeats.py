"""An inbox that gets a bark a second time, in other parts than before, with a restart between."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from barker.amqp.handlers import ConnectionHandler
from barker.amqp.links import Place
from barker.amqp.message import KEY, RECIPIENTS, encode_bark, with_delivery_annotations
from barker.amqp.outbound import Accepted, Outbound, Outcome
from barker.amqp.service import Serving
from barker.core.barks import Bark
from barker.core.fan_out import part_key, parts
from barker.manifolds.readers import TimelineManifold
from barker.store.journal import TimelineJournal
from tests.amqp.memory import MemoryReactor

THERE = Place("there", 1)
BARK = encode_bark(Bark("id", "ann", "woof", 1))


class Inbox:
    """An inbox, and who sends to it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.start()

    def start(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("barker.amqp.process.Reactor", MemoryReactor)
            serving = Serving("inbox", "here", 1, (Place("nowhere", 1),))
            self.manifold = TimelineManifold(serving, TimelineJournal(self.file), 25)
        self.reactor = cast(MemoryReactor, self.manifold.reactor)
        self.bizlogic = MemoryReactor("bizlogic")
        self.bizlogic.places[THERE] = cast(ConnectionHandler, self.manifold)
        self.outbound = Outbound(self.bizlogic.network, "inbox")

    def restart(self) -> None:
        self.manifold.on_stop()
        self.start()

    def take(self, part: str, names: list[str]) -> None:
        outcomes: list[Outcome] = []
        key = part_key("ann", "id", part)
        data = with_delivery_annotations(BARK, {RECIPIENTS: " ".join(names), KEY: key})
        self.outbound.send(data, outcomes.append)
        for _ in range(5):
            self.bizlogic.turn()
            self.reactor.turn()
        assert outcomes == [Accepted()]

    @property
    def served(self) -> dict[str, int]:
        return {name: len(timeline) for name, timeline in self.manifold.timelines if timeline}


@pytest.mark.parametrize("restarts", [False, True])
def test_half_of_the_parts_then_all_in_one_serves_everyone_once(tmp_path: Path, restarts: bool) -> None:
    inbox = Inbox(tmp_path / "inbox.sqlite3")
    names = [f"user{at}" for at in range(11)]
    halves = parts(names, 10)
    steps = [
        ("1/2", halves[1]),
        ("0/1", names[:10]),
        ("0/1", names[:10]),
        ("0/2", halves[0]),
        ("1/2", halves[1]),
    ]
    for part, recipients in steps:
        inbox.take(part, recipients)
        if restarts:
            inbox.restart()
    assert inbox.served == dict.fromkeys({*names[:10], *halves[1]}, 1)
    inbox.manifold.on_stop()
