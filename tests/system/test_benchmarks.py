"""The benchmarks run, and tell right from wrong; their figures are for larger runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ROOT

pytestmark = pytest.mark.system


def run(tmp_path: Path, name: str, *arguments: str, status: int = 0) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", "--data", str(tmp_path), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    return json.loads(done.stdout)


def test_overload_drains_in_order(tmp_path: Path) -> None:
    figures = run(tmp_path, "overload", "--barks", "12000")
    assert figures["wrong"] == []
    assert list(figures["phases"]) == ["fill", "start again", "drain"]
    assert all(20 < phase["memory_mb"] < 200 for phase in figures["phases"].values())
    assert figures["journal_bytes"] > 12_000 * 100


def test_overload_fails_above_its_limit_of_memory(tmp_path: Path) -> None:
    figures = run(tmp_path, "overload", "--barks", "500", "--memory", "5", status=1)
    assert any("above 5" in wrong for wrong in figures["wrong"])


def test_sync_compares_both(tmp_path: Path) -> None:
    figures = run(tmp_path, "sync", "--turns", "1", "--seconds", "0.3")
    for how in ("many at once", "one by one"):
        assert set(figures["medians"][how]) == {"normal", "full"}
        assert figures["full_to_normal"][how] > 0
