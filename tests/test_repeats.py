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
from barker.core.partitions import Partition, number_of
from barker.manifolds.readers import TimelineManifold
from barker.store.journal import Post, TimelineJournal
from barker.store.moves import divide_timelines
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

    def take(self, part: str, names: list[str], id: str = "id") -> None:
        outcomes: list[Outcome] = []
        key = part_key("ann", id, part)
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


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("known", [False, True], ids=["outboxes elsewhere", "outboxes here"])
def test_what_one_of_two_inboxes_had_comes_to_the_others_users_alone_when_there_is_one(
    tmp_path: Path, restarts: bool, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What came last may come again, wherever outboxes are; of what came before, those here tell.
    monkeypatch.setattr("barker.store.moves.RECENT", 0 if known else 1)
    names = [f"user{at}" for at in range(11)]
    here = [name for name in names if number_of(name, 2) == 0]
    old = [(Partition(number, 2), TimelineJournal(tmp_path / f"old-{number}.sqlite3")) for number in range(2)]
    old[0][1].commit([Post(part_key("ann", "before", "0/1"), " ".join(here), BARK)])
    old[0][1].commit([Post(part_key("ann", "id", "0/1"), " ".join(here), BARK)])
    file = tmp_path / "inbox.sqlite3"
    divide_timelines(old, [file], {"ann/id" if known else ""}.__contains__)
    inbox = Inbox(file)
    assert inbox.served == dict.fromkeys(here, 2)
    for part, recipients in (
        ("0/1", names),
        ("0/1", names),
        *((f"{at}/2", parts(names, 10)[at]) for at in (0, 1)),
    ):
        if restarts:
            # As if the history were full by now: the journal keeps no more than what has come.
            inbox.manifold.journal.forget([1, 2], 0)
            inbox.restart()
        inbox.take(part, recipients)
    there = dict.fromkeys(set(names) - set(here), 1)
    assert inbox.served == (there if restarts else {**dict.fromkeys(here, 2), **there})
    # Of what no outbox has any more, nothing comes again.
    inbox.take("0/1", names, "before")
    assert inbox.served == (there if restarts else {**dict.fromkeys(here, 2), **there})
    inbox.manifold.on_stop()
    for _, journal in old:
        journal.close()
