"""An inbox that follows a broker's stream: no sockets, and what comes is what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from barker.amqp import bundle
from barker.amqp.message import (
    KEY,
    RECIPIENTS,
    encode_bark,
    with_delivery_annotations,
    with_message_annotation,
)
from barker.core.barks import Bark
from barker.core.broker import Broker
from barker.core.errors import StorageError
from barker.manifolds.copies import TimelineCopy
from barker.store.journal import CopyJournal
from tests.stage import FlakyJournal, Stage, serving

BROKER = Broker.parse("amqp://127.0.0.1:9")


def annotated(data: bytes, offset: int) -> bytes:
    """A message as a stream gives it, with its place there."""
    # A map with a symbol, and an unsigned number of eight bytes.
    entry = b"\xa3\x0fx-stream-offset\x80" + offset.to_bytes(8, "big")
    annotations = b"\x00\x53\x72\xd1" + (len(entry) + 4).to_bytes(4, "big") + b"\0\0\0\x02" + entry
    return data[:7] + annotations + data[7:]


def barks(*numbers: int) -> list[bytes]:
    """Barks to rex and ann, as bizlogic sends them."""
    return [
        with_delivery_annotations(
            encode_bark(Bark(f"id-{number}", "rex", f"woof {number}", 1_700_000_000_000)),
            {RECIPIENTS: "rex ann", KEY: f"rex\nid-{number}\n0/1"},
        )
        for number in numbers
    ]


class Copies(Stage):
    """An inbox with a broker, of which the test gives it what it wants."""

    def __init__(self, path: Path) -> None:
        self.disk = FlakyJournal(CopyJournal(path))
        journal: Any = self.disk
        self.copy = TimelineCopy(serving("inbox"), journal, BROKER, 10, 1_000, 1 << 20)
        super().__init__(self.copy)
        self.accepted: list[int] = []
        self.stream: Any = self.copy._stream
        self.link: Any = SimpleNamespace(connection=SimpleNamespace(peer="broker:9", close=self._closed))
        self.closed = 0
        self.attach()

    def _closed(self) -> None:
        self.closed += 1

    def attach(self) -> None:
        """A link to the stream stands; where it begins, it has asked for before."""
        self.asked = self.copy._from()
        self.stream.link = self.link
        self.stream._handler.on_found(self.link)

    def give(self, offset: int, messages: list[bytes]) -> None:
        delivery = SimpleNamespace(accept=lambda: self.accepted.append(offset))
        self.stream._handler.on_message(self.link, delivery, annotated(bundle.pack(messages), offset))

    def texts(self, user: str = "rex") -> list[bytes]:
        """What stands on a timeline."""
        found = dict(self.copy.timelines)
        return [message.data[-6:] for message in found.get(user, [])]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Copies]]:
    stages: list[Copies] = []

    def make() -> Copies:
        stages.append(Copies(tmp_path / "j.sqlite3"))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def test_what_comes_is_committed_with_its_place(opened: Callable[[], Copies]) -> None:
    stage = opened()
    assert stage.asked == {"rabbitmq:stream-offset-spec": "first"}
    stage.give(5, barks(1, 2))
    stage.give(6, barks(2, 3))
    assert stage.accepted == []
    stage.turn(1)
    assert stage.accepted == [5, 6]
    assert stage.disk.commits == 1
    assert stage.texts() == stage.texts("ann") == [b"woof 1", b"woof 2", b"woof 3"]
    stage.close()
    again = opened()
    assert again.asked == {"rabbitmq:stream-offset-spec": 7}
    assert again.texts() == [b"woof 1", b"woof 2", b"woof 3"]


def test_what_the_disk_does_not_take_is_read_once_more(opened: Callable[[], Copies]) -> None:
    stage = opened()
    stage.give(0, barks(1))
    stage.turn(1)
    stage.disk.error = StorageError("the disk is full")
    stage.give(1, barks(2))
    stage.turn(1)
    assert (stage.closed, stage.accepted) == (1, [0])
    stage.disk.error = None
    stage.attach()
    assert stage.asked == {"rabbitmq:stream-offset-spec": 1}
    stage.give(1, barks(2))
    stage.turn(1)
    assert stage.texts() == [b"woof 1", b"woof 2"]


def test_a_stream_that_begins_anew(opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture) -> None:
    """Its places are others: it is read from its start, and what was there before is known by its key."""
    stage = opened()
    stage.give(40, barks(1))
    stage.turn(1)
    stage.attach()
    stage.give(3, barks(3))
    assert stage.closed == 1
    assert "begins anew" in caplog.text
    stage.attach()
    assert stage.asked == {"rabbitmq:stream-offset-spec": "first"}
    for number in range(4):
        stage.give(number, barks(number))
    stage.turn(1)
    assert stage.texts() == [b"woof 1", b"woof 0", b"woof 2", b"woof 3"]


def test_what_the_stream_has_forgotten_is_told(
    opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture
) -> None:
    stage = opened()
    stage.give(40, barks(1))
    stage.turn(1)
    stage.give(50, barks(2))
    assert "has forgotten 9 messages that were not read" in caplog.text


def test_readers_are_sent_here_when_it_has_caught_up(opened: Callable[[], Copies]) -> None:
    stage = opened()
    assert stage.copy.own_routes() == []
    stage.give(0, barks(1))
    stage.give(1, [stage.copy.mark])
    assert stage.copy.own_routes() == []
    stage.turn(1)
    assert [route.address for route in stage.copy.own_routes()] == ["inbox"]


def test_what_is_no_fan_out_is_left_out(opened: Callable[[], Copies]) -> None:
    stage = opened()
    bad = with_delivery_annotations(encode_bark(Bark("x", "rex", "woof", 1)), {KEY: "rex\nx\n0/1"})
    other = with_message_annotation(encode_bark(Bark("y", "rex", "a mark", 1)), "x-opt-other", "1")
    stage.give(0, [*barks(1), bad, other, *barks(2)])
    stage.turn(1)
    assert stage.texts() == [b"woof 1", b"woof 2"]
    assert stage.accepted == [0]
    assert stage.copy.state()["rejected"] == 1
