"""Orders to a suite's processes, of which none is started here."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from barker.core.errors import NotAllowed, NotFound
from barker.store.journal import QueueJournal
from barker.suite.child import Child
from barker.suite.ports import free_offset
from barker.suite.shape import Shape
from barker.suite.supervisor import Supervisor


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of those that seem to run."""
    names: set[str] = set()
    monkeypatch.setattr(Child, "start", lambda child: names.add(child.program.name))
    monkeypatch.setattr(Child, "runs", property(lambda child: child.program.name in names))
    return names


@pytest.fixture
def suite(tmp_path: Path) -> Supervisor:
    nobody: Any = None
    shape = Shape(data=tmp_path, port_offset=free_offset())
    return Supervisor(shape, nobody, False, lambda: None, lambda name, line: None)


def at(suite: Supervisor, port: int) -> str:
    """The name of a service at a port, which is that of the first suite."""
    return f"{'bizlogic' if port < 5800 else 'outbox'}-{port + suite.shape.port_offset}"


def test_one_that_was_added_and_is_gone_can_be_removed(suite: Supervisor, running: set[str]) -> None:
    before = [*suite.children]
    names = {"bizlogic": at(suite, 5682), "outbox": at(suite, 5803), "autobark": "autobark-6"}
    for kind, name in names.items():
        suite.add(kind)
        with pytest.raises(NotAllowed, match="kill or stop it first"):
            suite.remove(name)
        assert suite.children[name].added
        running.clear()
        suite.remove(name)
    assert [*suite.children] == before
    suite.add("bizlogic")
    assert at(suite, 5682) in suite.children, "its place is free"


def test_none_that_was_there_from_the_start_can_be_removed(suite: Supervisor, running: set[str]) -> None:
    with pytest.raises(NotAllowed, match="from its start"):
        suite.remove(at(suite, 5680))
    with pytest.raises(NotFound):
        suite.remove(at(suite, 5682))
    assert not any(process["added"] for process in suite.processes())


def test_an_outbox_that_leaves_barks_is_not_removed(
    suite: Supervisor, running: set[str], tmp_path: Path
) -> None:
    suite.add("outbox")
    running.clear()
    with closing(QueueJournal(tmp_path / "outbox-4.sqlite3")) as journal:
        journal.commit([("outbox", b"woof")], [])
    with pytest.raises(NotAllowed, match="start it, and it hands them on"):
        suite.remove(at(suite, 5803))
    with closing(QueueJournal(tmp_path / "outbox-4.sqlite3")) as journal:
        journal.commit([], [("outbox", 1)])
    suite.remove(at(suite, 5803))
