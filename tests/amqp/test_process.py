"""How a process ends: well, if it may."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from barker.amqp.links import Place
from barker.amqp.process import END_SECONDS, Process
from barker.core.errors import BarkerError


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A process takes SIGTERM and SIGINT; the test's are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Busy(Process):
    """Has something in hand for so many seconds after it was told to end."""

    def __init__(self, seconds: float) -> None:
        super().__init__("busy", [Place("127.0.0.1", 9)])
        self.told: list[str] = []
        self._seconds, self._done = seconds, False
        self.reactor.after(0, lambda: signal.raise_signal(signal.SIGTERM))
        self.reactor.every(0.01, lambda: None)

    def on_ending(self) -> None:
        self.told.append("ending")
        self.reactor.after(self._seconds, self._finish)

    def _finish(self) -> None:
        self.told.append("done")
        self._done = True

    def in_hand(self) -> int:
        return int(self._seconds > 0 and not self._done)

    def on_stop(self) -> None:
        self.told.append("stop")


def run(process: Process) -> float:
    """Run it; how many seconds that took."""
    began = time.monotonic()
    process.run()
    return time.monotonic() - began


def test_with_nothing_in_hand_it_ends_at_once() -> None:
    process = Busy(0)
    assert run(process) < END_SECONDS / 2
    assert process.told == ["ending", "stop"]


def test_what_is_in_hand_is_finished_first() -> None:
    process = Busy(0.2)
    assert 0.2 <= run(process) < END_SECONDS
    assert process.told == ["ending", "done", "stop"]


def test_what_takes_too_long_is_left() -> None:
    process = Busy(100)
    assert run(process) >= END_SECONDS
    assert process.told == ["ending", "stop"]


def test_a_second_signal_ends_it_at_once() -> None:
    process = Busy(100)
    process.reactor.after(0.1, lambda: signal.raise_signal(signal.SIGTERM))
    assert run(process) < END_SECONDS
    assert process.told == ["ending", "stop"]


def test_an_error_is_raised_when_all_is_put_away() -> None:
    process = Busy(100)
    process.reactor.after(0, lambda: process.fail(BarkerError("it cannot go on")))
    with pytest.raises(BarkerError, match="it cannot go on"):
        process.run()
    assert process.told[-1] == "stop"
