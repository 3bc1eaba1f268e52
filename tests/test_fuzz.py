"""The fuzzer, for a moment; and that it sees what goes wrong."""

from __future__ import annotations

import os
import signal
import time

import pytest

from barker.directory import Directory
from tests.fuzz import __main__ as fuzz
from tests.seed import SEED


@pytest.mark.parametrize("target", ["connections", "messages"])
def test_nothing_breaks(target: str) -> None:
    assert fuzz.batch(target, seed=SEED, inputs=4_000) == []


def test_an_exception_in_a_decoder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzz.DECODERS, "decode_bark", lambda data: {}[data])
    [first, *_] = fuzz.batch("messages", seed=7, inputs=50)
    assert first.startswith("decode_bark(b")
    assert "--target messages --seed 7 --inputs 50" in first


def test_an_exception_in_a_handler_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "on_target", lambda self, link, address: {}[address])
    assert any("KeyError" in what for what in fuzz.batch("connections", seed=7, inputs=200))


def test_a_crash_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzz.TARGETS, "messages", lambda seed, inputs: os.kill(os.getpid(), signal.SIGKILL))
    [found] = fuzz.batch("messages", seed=7, inputs=50)
    assert "it ended with status -9" in found


def test_a_hang_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "BATCH_SECONDS", 0.2)
    monkeypatch.setitem(fuzz.TARGETS, "messages", lambda seed, inputs: time.sleep(60))
    [found] = fuzz.batch("messages", seed=7, inputs=50)
    assert "it hangs" in found


def test_a_lost_bark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "bark_through", lambda outbox, number: True)
    assert any("a bark was lost" in what for what in fuzz.batch("connections", seed=7, inputs=101))
