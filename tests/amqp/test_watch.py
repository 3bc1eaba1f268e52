"""The copy of the directory's table that follows every change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from barker.amqp.link import Receiver
from barker.amqp.links import Network, Place
from barker.amqp.message import encode_map
from barker.amqp.reactor import Reactor
from barker.amqp.watch import Watcher
from barker.core.routing import Route
from tests.amqp.pair import Pair


class Stage:
    """A watcher, what it has told, and a link by which a directory tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, int | None]] = []
        self.pair = Pair()
        # The search for a directory is left out: the link stands.
        monkeypatch.setattr("barker.amqp.watch.receiver_from", lambda *_, **__: None)
        self.reactor = Reactor("test")
        self.watcher = Watcher(Network(self.reactor, Place("127.0.0.1", 1)), self._on_change)
        link, handler, self.directory, _ = self.pair.receiver("directory", window=1_000)
        self.link: Receiver = link
        handler.on_message = self.watcher.on_message  # type: ignore[method-assign]

    def _on_change(self, change: str, route: Route | None) -> None:
        self.told.append((change, route and route.port))

    def tell(self, change: str, body: Any) -> None:
        """The directory tells something."""
        self.tell_raw(encode_map(change, body))

    def tell_raw(self, data: bytes) -> None:
        self.directory.send(data, settled=True)
        self.pair.pump()

    @property
    def ports(self) -> list[int]:
        return sorted(route.port for route in self.watcher.routes)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(monkeypatch)
    yield stage
    stage.reactor.after(0, stage.reactor.stop)
    stage.reactor.run()


def fields(port: Any) -> dict[str, Any]:
    return {**Route("inbox", "127.0.0.1", 1).to_map(), "port": port}


def test_it_has_the_whole_and_follows_each_change(stage: Stage) -> None:
    assert not stage.watcher.current
    stage.tell("routes", [fields(1), fields(2)])
    assert stage.watcher.current
    stage.tell("added", fields(3))
    stage.tell("added", fields(3))
    stage.tell("removed", fields(1))
    stage.tell("removed", fields(9))
    assert stage.ports == [2, 3]
    assert stage.told == [("routes", None), ("added", 3), ("added", 3), ("removed", 1), ("removed", 9)]


def test_while_the_directory_is_away_it_has_what_was_known(stage: Stage) -> None:
    stage.tell("routes", [fields(1)])
    stage.watcher.on_lost(stage.link, None)
    assert not stage.watcher.current
    assert stage.ports == [1]
    stage.tell("routes", [fields(2)])
    assert stage.watcher.current
    assert stage.ports == [2]


@pytest.mark.parametrize("bad", [fields("x"), fields(0), None, 5, "inbox", [1], {}])
def test_a_route_that_is_none_is_left_out_with_a_warning(
    stage: Stage, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.tell("routes", [fields(1), bad, fields(2)])
    stage.tell("added", bad)
    stage.tell("removed", bad)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    stage.tell("added", fields(3))
    assert stage.ports == [1, 2, 3]
    assert stage.told == [("routes", None), ("added", 3)]


@pytest.mark.parametrize("body", [None, 5, "inbox", {"address": "inbox"}])
def test_a_table_that_is_none_is_empty(stage: Stage, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    stage.tell("routes", [fields(1)])
    stage.tell("routes", body)
    assert stage.ports == []
    assert "a route that is none" in caplog.text


@pytest.mark.parametrize("change", ["", "moved", "x" * 10_000])
def test_a_change_of_another_kind_changes_nothing(
    stage: Stage, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage.tell("routes", [fields(1)])
    stage.tell(change, fields(1))
    assert stage.ports == [1]
    assert stage.told == [("routes", None)]
    assert "not known here" in caplog.text
    assert len(caplog.text) < 1_000


def test_what_is_no_message_costs_nothing_else(stage: Stage) -> None:
    stage.tell("routes", [fields(1)])
    stage.tell_raw(b"\x00\x53\xff no message")
    stage.tell("added", fields(2))
    assert stage.link.live
    assert stage.ports == [1, 2]


def test_whoever_holds_an_old_table_sees_it_as_a_whole(stage: Stage) -> None:
    stage.tell("routes", [fields(port) for port in range(1, 50)])
    before = stage.watcher.routes
    stage.tell("routes", [fields(port) for port in range(50, 60)])
    assert len(before) == 49
    assert stage.ports == list(range(50, 60))
