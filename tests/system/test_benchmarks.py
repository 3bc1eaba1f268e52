"""The benchmarks run, and tell right from wrong; their figures are for larger runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.short import SHORT
from benchmarks.whole import OPTIONS
from tests.harness import ROOT

pytestmark = pytest.mark.system


def run(tmp_path: Path, name: str, *arguments: str, status: int = 0) -> Any:
    figures = run_alone(name, "--data", str(tmp_path), *arguments, status=status)
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    return figures


def run_alone(name: str, *arguments: str, status: int = 0) -> Any:
    command = [sys.executable, "-m", "benchmarks", name, "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == status, done.stderr
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
    figures = run(tmp_path, "sync", "--runs", "1", "--seconds", "0.3")
    for how in ("many at once", "one by one"):
        assert set(figures["barks_per_second"][how]) == {"normal", "full"}
        assert figures["full_to_normal"][how] > 0


def test_failover_loses_nothing() -> None:
    figures = run_alone("failover", "--kills", "3", "--freezes", "1")
    assert figures["doubles"] == 0
    assert {name: of["times"] for name, of in figures["seconds"].items()} == {"SIGKILL": 3, "SIGSTOP": 1}
    assert all(0 < of["p50"] <= of["max"] < 30 for of in figures["seconds"].values())


def test_readers_are_served_and_bounded() -> None:
    few = "--readers", "1", "--readers", "200", "--stalled", "200", "--messages", "100"
    figures = run_alone("readers", *few, "--runs", "1")
    assert {size: of["left"] for size, of in figures["live"].items()} == {"1": 1, "200": 200}
    assert 0 < figures["live"]["200"]["kb"] < 200
    assert figures["with_to_without"] > 0
    assert figures["reads_per_second"]["median"] > 0


def test_reporting_is_measured() -> None:
    figures = run_alone("reporting", "--runs", "1", "--seconds", "1")["percent_of_a_core"]
    assert set(figures["with"]) == {"directory", "outbox", "bizlogic", "inbox", "gateway"}
    assert all(0 <= share < 100 for share in figures["with"].values())


def test_fanout_delivers_everything(tmp_path: Path) -> None:
    graph = tmp_path / "few.edges"
    graph.write_text("\n".join(f"user{number} user{number + 1}" for number in range(50)))
    more = "--graph", str(graph), "--plot", str(tmp_path / "fanout.svg")
    figures = run_alone("fanout", "--seconds", "0.3", "--followers", "5", "--runs", "1", *more)
    for name in ("5 followers each", "few"):
        measured = figures["measured"][name]
        # That each delivery is there, and once, the benchmark sees for itself.
        assert measured["deliveries"]["median"] > measured["barks"]["median"] > 0
        assert measured["depth_second_half"]["median"] <= 6 * 2_000 + 3_000
        assert {"inbox 1", "bizlogic", "outbox 1"} <= figures["load"][name].keys()
    assert "<svg" in (tmp_path / "fanout.svg").read_text()


def test_what_a_load_takes_is_multiplied_and_simulated(tmp_path: Path) -> None:
    told = run_alone("plan", "--seconds", "0.3", "--read-timelines", "1000", "--times", "0.01")
    costs, needs = told["costs"], told["0.01"]["needs"]
    assert costs["bark_bytes"] > 100
    for cost in ("outbox_bark", "read"):
        assert costs[cost] > 0
    assert needs["inbox"]["memory"] > 0.01 * 150e6 * 8 * 800
    assert told["0.01"]["simulated"]["busy"].keys() == needs.keys()
    (tmp_path / "plan.json").write_text(json.dumps(told))
    again = run_alone("plan", "--costs", str(tmp_path / "plan.json"), "--times", "0.01", "--core-price", "40")
    assert again["costs"] == costs
    assert again["0.01"]["needs"] == needs
    assert again["0.01"]["money"]["outbox"] > told["0.01"]["money"]["outbox"]


def test_what_has_no_costs_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"costs": {"bark": 1}}')
    command = [sys.executable, "-m", "benchmarks", "plan", "--costs", str(tmp_path / "other.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 1
    assert "other.json has no costs: write it with" in done.stderr
    assert "Traceback" not in done.stderr


def test_hop_is_compared_with_a_direct_link() -> None:
    figures = run_alone("hop", "--seconds", "0.1", "--runs", "1")
    rates = {name: of["median"] for name, of in figures["messages_per_second"].items()}
    assert {"Barker's engine: direct link", "Proton's classes: push"} <= rates.keys()
    assert all(rate > 100 for rate in rates.values())
    assert figures["load"]["Barker's engine: push"]["manifold"]["cpu_seconds"] > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("hop", "--vs-rabbitmq", "127.0.0.1:1"), "no RabbitMQ"),
        (
            ("plan", "--broker", "amqp://127.0.0.1:1"),
            "127.0.0.1:1: not all who are to listen there can be seen",
        ),
    ],
)
def test_without_the_peer_it_says_so(asked: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "benchmarks", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_celebrity_is_timed_to_the_last_timeline() -> None:
    figures = run_alone("celebrity", "--followers", "60000", "--runs", "2")
    assert len(figures["seconds"]["the next"]["all"]) == 2
    assert 0 < figures["seconds"]["the next"]["least"] < 30


@pytest.mark.browser
def test_latency_to_a_reader_and_to_the_page() -> None:
    figures = run_alone("latency", "--rate", "300", "--seconds", "2", "--runs", "1", "--page")["milliseconds"]
    for name in ("300 barks/s", "300 barks/s, to the page"):
        assert 0 < figures[name]["p50"] <= figures[name]["p99"] <= figures[name]["most"]
        assert figures[name]["barks"] > 5


@pytest.mark.browser
def test_the_dashboard_draws_and_its_memory_is_bounded() -> None:
    figures = run_alone("dashboard", "--seconds", "0.5", "--runs", "1", "--minutes", "8")
    assert all(of["median"] > 0 for of in figures["frames_per_second"].values())
    assert 0 < figures["memory_mb"]["8 minutes"] < 2 * figures["memory_mb"]["2 minutes"] + 1


@pytest.mark.parametrize("name", SHORT)
def test_a_short_form_is_one_of_its_benchmark(name: str) -> None:
    command = importlib.import_module(f"benchmarks.{name}").main
    short, usual = (command.make_context(name, [*options]).params for options in (SHORT[name], ()))
    assert short != usual


def test_a_whole_run_is_of_all_benchmarks() -> None:
    assert {*OPTIONS, "whole"} == {*NAMES}


def test_startup_is_timed_and_weighed() -> None:
    figures = run_alone("startup", "--runs", "1", "--seconds", "0.5")
    assert all(0 < of["median"] < 30 for of in figures["seconds"].values())
    assert len(figures["processes"]) == 14
    assert figures["suite"]["pss_mb"]["median"] < figures["suite"]["memory_mb"]["median"]


def test_scale_measures_the_shape_that_is_named() -> None:
    figures = run_alone("scale", "--seconds", "0.3", "--runs", "1", "--only=inboxes: 2")
    assert figures["measured"].keys() == {"inboxes: 2"}
    assert all(of["deliveries"]["median"] > of["barks"]["median"] > 0 for of in figures["measured"].values())
