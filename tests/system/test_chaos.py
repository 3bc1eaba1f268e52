"""`barker chaos`, for some seconds: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from barker.core.faults import Fault, Gap
from barker.suite.ports import free_offset
from barker.suite.shape import Shape
from barker.trial.population import Population, Victims
from barker.trial.tables import show_tables

pytestmark = pytest.mark.system


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", "chaos", *arguments]
    # A folder of certificates is another suite's: this one makes its own, if it is to have some.
    environment = {**os.environ, "BARKER_TLS": "/nowhere"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170, check=False)


@pytest.mark.timeout(180)
def test_some_seconds_of_chaos(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    # Another seed each time; which, is in what it prints.
    done = chaos("--minutes", "0.3", "--faults", "70", "--data", str(folder), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    figures = json.loads(done.stdout)
    assert (figures["lost"], figures["twice"], figures["out_of_order"], figures["strange"]) == (0, 0, 0, 0)
    assert figures["kept"] is True
    assert figures["faults"] > 3
    assert sum(of["count"] for of in figures["by_fault"].values()) == figures["faults"]
    assert figures["accepted"] > 0.5 * 18 * 500
    assert figures["delivered"] == figures["due"] == 4 * figures["accepted"]
    assert (folder / "users.sqlite3").exists()


@pytest.mark.timeout(180)
def test_some_seconds_of_chaos_over_tls_with_authors_in_partitions() -> None:
    done = chaos("--minutes", "0.1", "--faults", "90", "--json", "--tls", "--partitions", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    figures = json.loads(done.stdout)
    assert figures["kept"] is True
    assert figures["accepted"] > 0.3 * 6 * 500


def test_a_gap_that_several_faults_overlapped_is_told_once_and_held_against_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = {
        "kill inbox": (0.5, 0.0, ()),
        "freeze inbox": (None, 6.5, ("freeze inbox", "kill gateway")),
        "kill gateway": (0.25, 6.5, ("freeze inbox", "kill gateway")),
        "kill outbox": (None, 0.0, ()),
    }
    figures = dict.fromkeys(("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange"), 0)
    by_fault = {label: {"count": 1, "gap": Gap(*gap)._asdict()} for label, gap in kinds.items()}
    show_tables(Console(width=100), {**figures, "faults": 4, "by_fault": by_fault})
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[4:8] == [
        ["kill inbox", "1", "0.50"],
        ["freeze inbox", "1", "unknown; 6.50 at most"],
        ["kill gateway", "1", "0.25, or 6.50"],
        ["kill outbox", "1", "unknown"],
    ]
    assert rows.count(["6.50", "freeze inbox, kill gateway"]) == 1


def test_it_takes_no_folder_that_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = chaos("--data", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the disk of one process alone is full on Linux only")
def test_a_disk_is_full_until_it_heals_whatever_befalls_its_process_meanwhile(tmp_path: Path) -> None:
    shape = Shape(port_offset=free_offset(), data=tmp_path, log_level="error")
    suite = Victims(shape, Population(1, 1, random.Random()))
    names = ("outbox-1", "inbox-1")
    full, kill = Fault(0, "full", names, 1), Fault(0, "kill", names, 1)
    processes = [suite.children[name] for name in names]

    def may_write() -> list[bool]:
        limits = [psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE) for process in processes]
        return [soft == hard for soft, hard in limits]

    try:
        for process in processes:
            process.start()
        assert may_write() == [True, True]
        suite.strike(full)
        assert may_write() == [False, False]
        suite.strike(kill)
        suite.heal(kill)
        assert may_write() == [False, False], "they are started again on the full disk"
        suite.strike(kill)
        suite.heal(full)
        suite.heal(kill)
        assert may_write() == [True, True]
        assert suite.dead() == ""
    finally:
        suite.end()
