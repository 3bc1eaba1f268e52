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
from barker.manifolds import copies
from barker.manifolds.copies import TimelineCopy
from barker.manifolds.intake import RETRY_SECONDS
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


def test_what_the_disk_does_not_take_waits(
    opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture
) -> None:
    stage = opened()
    stage.give(0, barks(1))
    stage.turn(1)
    stage.disk.error = StorageError("the disk is full")
    stage.give(1, barks(2))
    stage.turn()
    stage.wait(RETRY_SECONDS)
    assert (stage.closed, stage.accepted, stage.disk.commits) == (0, [0], 3)
    assert caplog.text.count("the disk is full") == 1
    stage.disk.error = None
    stage.give(2, barks(3))
    stage.turn()
    assert stage.accepted == [0]
    stage.wait(RETRY_SECONDS)
    assert stage.accepted == [0, 1, 2]
    assert stage.texts() == [b"woof 1", b"woof 2", b"woof 3"]


def test_what_waits_for_the_disk_comes_again_over_another_link(opened: Callable[[], Copies]) -> None:
    stage = opened()
    stage.disk.error = StorageError("the disk is full")
    stage.give(0, barks(1))
    stage.turn()
    stage.stream._handler.on_lost(stage.link, None)
    stage.disk.error = None
    stage.attach()
    assert stage.asked == {"rabbitmq:stream-offset-spec": "first"}
    stage.give(0, barks(1))
    stage.wait(RETRY_SECONDS)
    assert stage.texts() == [b"woof 1"]
    assert stage.copy.state()["repeated"] == 0


def test_an_error_of_ours_has_the_stream_read_again(
    opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture
) -> None:
    stage = opened()
    stage.disk.error = RuntimeError("a bug")
    stage.give(0, barks(1))
    stage.turn(1)
    assert stage.closed == 1
    assert "an error of ours in a commit" in caplog.text
    stage.disk.error = None
    stage.attach()
    stage.give(0, barks(1))
    stage.turn(1)
    assert stage.texts() == [b"woof 1"]


STREAM = "barker-inbox"


def test_another_stream_of_the_same_name(
    opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture
) -> None:
    """Its places are others: it is read from its start, and what was there before is known by its key."""
    stage = opened()
    stage.copy.declared(STREAM, "one")
    stage.give(40, barks(1))
    stage.turn(1)
    stage.close()
    stage = opened()
    stage.copy.declared(STREAM, "one")
    stage.copy.declared("barker-inbox-2-of-2", "three")
    assert stage.closed == 0
    assert stage.asked == {"rabbitmq:stream-offset-spec": 41}
    assert not caplog.records
    stage.copy.declared(STREAM, "two")
    assert stage.closed == 1
    assert "the broker has another stream than before: it is read from its start" in caplog.text
    stage.attach()
    assert stage.asked == {"rabbitmq:stream-offset-spec": "first"}
    for number in range(4):
        stage.give(number, barks(number))
    stage.turn(1)
    assert stage.texts() == [b"woof 1", b"woof 0", b"woof 2", b"woof 3"]
    stage.close()
    again = opened()
    again.copy.declared(STREAM, "two")
    assert (again.closed, again.asked) == (0, {"rabbitmq:stream-offset-spec": 4})


def test_another_stream_that_is_told_of_while_a_link_to_it_is_on_its_way(
    opened: Callable[[], Copies],
) -> None:
    """The link has asked for a place of the old one: it is given up as soon as it stands."""
    stage = opened()
    stage.copy.declared(STREAM, "one")
    stage.give(40, barks(1))
    stage.turn(1)
    stage.copy._from()
    stage.stream.link = None
    stage.copy.declared(STREAM, "two")
    stage.stream.link = stage.link
    stage.stream._handler.on_found(stage.link)
    assert stage.closed == 1


def test_a_new_stream_is_no_other_one(opened: Callable[[], Copies], caplog: pytest.LogCaptureFixture) -> None:
    """What came of it before it was known which one it is counts."""
    stage = opened()
    stage.give(0, barks(1))
    stage.copy.declared(STREAM, "one")
    stage.turn(1)
    assert (stage.closed, stage.accepted, stage.texts()) == (0, [0], [b"woof 1"])
    assert not caplog.records


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (0, ""),
        (41, ""),  # The broker keeps notes of its own in a stream, at places that nobody is given.
        (45, "has forgotten 4 messages that were not read"),
        (50, "has forgotten 9 messages that were not read"),
        (60, "has forgotten 9 messages that were not read"),
    ],
)
def test_what_the_stream_has_forgotten_is_told(
    opened: Callable[[], Copies],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: int,
    told: str,
) -> None:
    """And nothing else is: where there is a gap, it is looked at what the stream begins with."""
    stage = opened()
    looks: list[tuple[Any, dict[str, Any]]] = []
    closed: list[bool] = []

    def look(network: Any, name: str, handler: Any, window: int, filters: Callable[[], Any]) -> Any:
        looks.append((handler, filters()))
        return SimpleNamespace(close=lambda: closed.append(True))

    monkeypatch.setattr(copies, "from_broker", look)
    stage.give(40, barks(1))
    stage.give(41, barks(2))
    stage.turn(1)
    assert looks == []
    stage.attach()
    stage.give(51, barks(3))
    stage.turn(1)
    assert stage.accepted == [40, 41, 51]
    [(handler, asked)] = looks
    assert asked == {"rabbitmq:stream-offset-spec": "first"}
    seen: list[bool] = []
    delivery: Any = SimpleNamespace(accept=lambda: seen.append(True))
    handler.on_message(stage.link, delivery, annotated(bundle.pack(barks(0)), first + (first > 0)))
    assert (seen, closed) == ([True], [True])
    assert [record.getMessage().removeprefix("the broker's stream ") for record in caplog.records] == (
        [told] if told else []
    )


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
