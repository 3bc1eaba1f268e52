"""`barker chaos`, for a minute: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", "chaos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)


@pytest.mark.timeout(180)
def test_a_minute_of_chaos(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    done = chaos("--minutes", "1", "--faults", "40", "--seed", "7", "--data", str(folder), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    figures = json.loads(done.stdout)
    assert (figures["lost"], figures["twice"], figures["out_of_order"], figures["strange"]) == (0, 0, 0, 0)
    assert figures["kept"] is True
    assert figures["faults"] > 15
    assert sum(of["count"] for of in figures["by_fault"].values()) == figures["faults"]
    assert figures["accepted"] > 0.9 * 60 * 500
    assert figures["delivered"] == figures["due"] == 4 * figures["accepted"]
    assert (folder / "users.sqlite3").exists()


def test_it_takes_no_folder_that_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = chaos("--data", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert "Traceback" not in done.stderr
