"""What users are asked for in a thread beside the reactor."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, cast

import pytest

from barker.core.errors import Away, StorageError
from barker.store import beside
from barker.store.beside import Beside, Listening
from tests.harness import wait_for


class Database:
    """Tells of changes when a test writes into its pipe."""

    def __init__(self) -> None:
        self.file, self._tell = os.pipe()
        self.closed = False
        self.broken = 0

    def heard(self) -> bool:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("an error of ours")
        os.set_blocking(self.file, False)
        try:
            return bool(os.read(self.file, 100))
        except BlockingIOError:
            return False

    def change(self) -> None:
        os.write(self._tell, b"!")

    def close(self) -> None:
        self.closed = True
        os.close(self.file)
        os.close(self._tell)


class Stage:
    """A desk, and what it has called in the reactor's thread."""

    def __init__(self) -> None:
        self.database = Database()
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.news = 0
        self.answers: list[Any] = []
        self.desk = Beside(cast(Listening, self.database), self.calls.put, lambda: 0.0, self._on_news)

    def _on_news(self) -> None:
        self.news += 1

    def ask(self, call: Callable[[], object]) -> None:
        def then(done: Future[object]) -> None:
            self.answers.append(done.exception() or done.result())

        self.desk.do(call, then)

    def take(self, calls: int = 1) -> None:
        """As the reactor does, have so many calls done."""
        for _ in range(calls):
            self.calls.get(timeout=10)()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.desk.close()


def raises(error: Exception) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


def test_one_thing_is_done_after_the_other_in_a_thread_of_its_own(stage: Stage) -> None:
    for number in range(100):
        stage.ask(lambda number=number: (number, threading.current_thread().name))  # type: ignore[misc]
    stage.take(100)
    assert stage.answers == [(number, "users") for number in range(100)]


def test_an_error_is_an_answer_and_what_comes_after_it_is_done(stage: Stage) -> None:
    gate = threading.Event()
    full = StorageError("the disk is full")
    for call in (lambda: gate.wait(10), raises(full), lambda: "done"):
        stage.ask(call)
    gate.set()
    stage.take(3)
    assert stage.answers == [True, full, "done"]


def test_all_who_wait_for_a_database_that_is_away_are_told_at_once_and_then_it_is_tried_again(
    stage: Stage,
) -> None:
    gate, away, tried = threading.Event(), Away("it is away"), []
    stage.ask(lambda: gate.wait(10))
    stage.ask(raises(away))
    for number in range(3):
        stage.ask(lambda number=number: tried.append(number))  # type: ignore[misc]
    gate.set()
    stage.take(5)
    assert stage.answers == [True, away, away, away, away]
    assert tried == []
    stage.ask(lambda: "done")
    stage.take()
    assert stage.answers[-1] == "done"


def test_what_others_have_changed_is_told_at_once_and_asked_for_now_and_then(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        stage.database.change()
        stage.take()
        assert stage.news == number + 1
    monkeypatch.setattr(beside, "LOOK_SECONDS", 0.05)
    stage.ask(lambda: None)  # It wakes from a long wait.
    stage.take(4)
    assert stage.news >= 5


def test_an_error_of_ours_does_not_end_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beside, "MOST_SECONDS", 0.01)
    stage.database.broken = 2
    stage.database.change()
    stage.take()
    assert stage.news == 1
    assert caplog.text.count("RuntimeError: an error of ours") >= 1


def test_who_ends_waits_for_what_is_under_way_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, begun, gate = Stage(), threading.Event(), threading.Event()
    stage.ask(lambda: begun.set() or gate.wait(30))
    assert begun.wait(10)
    monkeypatch.setattr(beside, "END_SECONDS", 0.05)
    stage.desk.close()
    assert not stage.database.closed, "it is in use"
    gate.set()
    wait_for(lambda: stage.database.closed, "it is closed as soon as it is not")
