"""The simulation: the same seed is the same run; the code as it is passes; planted bugs are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from barker.core.errors import Mistake
from barker.core.faults import Fault
from barker.sim import simulation
from barker.sim.plan import Plan, read
from barker.sim.simulation import planned, simulate
from barker.trial.run import Run
from tests.harness import ROOT
from tests.seed import SEED, seeded
from tests.sim.mutants import EVENTS, MUTANTS, SECONDS, crashes, find, search
from tests.sim.undone import CASES, UNDONE, finds


def command(hash_seed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "barker", "simulate", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_same_seed_is_the_same_run_to_the_byte_in_another_process() -> None:
    arguments = ("--seed", str(SEED), "--minutes", "0.2", "--rate", "5", "--faults", "60", "--json")
    first, second = (json.loads(command(seed, *arguments).stdout) for seed in ("1", "2"))
    assert first["digest"] == second["digest"]
    assert first["events"] == second["events"]
    other = json.loads(command("1", *arguments[2:], "--seed", str(SEED + 1)).stdout)
    assert other["digest"] != first["digest"]


def test_three_minutes_with_every_fault_break_no_promise() -> None:
    # Another seed each run; which, stands in the first lines, and in what fails.
    for seed in range(SEED, SEED + 3):
        outcome = simulate(planned(seed, 60, 2, 40))
        assert outcome.wrong == [], f"barker simulate --seed {seed} --minutes 1 --faults 40"
        figures = outcome.figures
        assert figures["delivered"] + figures["excused"] == figures["due"] == 4 * figures["accepted"] > 0


def test_with_commits_that_power_loss_may_take_nothing_else_is_missing() -> None:
    faults = {"power": 20.0, "kill": 10.0}
    outcomes = [simulate(planned(seed, 30, 5, faults, sync="normal")) for seed in range(SEED, SEED + 3)]
    assert [outcome.wrong for outcome in outcomes] == [[]] * 3, f"from seed {SEED} on"
    assert sum(outcome.figures["excused"] for outcome in outcomes) > 0


def test_with_several_inboxes() -> None:
    plan = planned(SEED, 60, 5, 200, inboxes=3)
    assert {"inbox-1", "inbox-2", "inbox-3"} <= {name for fault in plan.faults for name in fault.names}
    outcome = simulate(planned(SEED, 30, 2, 40, inboxes=3))
    assert outcome.wrong == [], f"barker simulate --seed {SEED} --minutes 0.5 --faults 40 --inboxes 3"


def test_with_authors_in_partitions() -> None:
    plan = planned(SEED, 60, 5, 200, partitions=2)
    assert {f"bizlogic-{number}" for number in range(1, 5)} <= {
        name for fault in plan.faults for name in fault.names
    }
    outcome = simulate(planned(SEED, 30, 5, 40, inboxes=2, partitions=2))
    told = f"barker simulate --seed {SEED} --minutes 0.5 --rate 5 --faults 40 --inboxes 2 --partitions 2"
    assert outcome.wrong == [], told


def test_over_tls_no_promise_breaks_and_the_same_seed_is_the_same_run() -> None:
    plan = planned(SEED, 12, 5, 60, tls=True)
    first, second = simulate(plan), simulate(plan)
    assert first.wrong == [], f"barker simulate --seed {SEED} --minutes 0.2 --rate 5 --faults 60 --tls"
    assert (first.digest, first.events, first.bytes) == (second.digest, second.events, second.bytes)
    assert first.bytes > simulate(planned(SEED, 12, 5, 60)).bytes
    refused = command("1", "--tls", "--diagram", "run.html")
    assert refused.returncode == 2
    assert "what is encrypted cannot be shown" in refused.stderr


# All of them take minutes: python -m tests.sim.mutants
@pytest.mark.parametrize("name", seeded().sample(sorted(MUTANTS), 4))
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    found = search(SEED)
    assert found is not None, f"not found within {SECONDS:g} s of a processor, by seeds from {SEED} on"
    _, outcome = found
    assert not crashes(outcome), outcome.wrong


def test_a_run_that_ends_before_its_time_is_judged_whatever_lasts_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = "outbox-1", "outbox-2", "outbox-3", "inbox-1", "bizlogic-1"
    lasting = [Fault(1.0, kind, names, 30.0) for kind in ("unreadable", "read-only", "full", "slow", "cut")]
    look = Run._look

    def looking(self: Run) -> None:
        look(self)
        if self._step == "faults" and self.now > 5:
            self.fail("enough")

    monkeypatch.setattr(Run, "_look", looking)
    assert simulate(Plan(SEED, seconds=30, rate=20, faults=lasting)).wrong[0] == "enough"


def test_what_goes_in_circles_is_not_watched_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS["what_a_consumer_has_accepted_comes_again"](monkeypatch)
    outcome = simulate(Plan(SEED, seconds=60, rate=20))
    assert outcome.wrong[0].startswith("something goes in circles")
    assert outcome.seconds < 60


class ComesAgain:
    """A reader who loses his link when timelines are read at last, and has seen all of it anew 3 s later."""

    def __init__(self, run: Run) -> None:
        self._run, self._lost, self._back = run, 0.0, False

    def begin(self) -> None: ...

    def end(self) -> None: ...

    @property
    def left(self) -> int:
        if not self._run.timelines:
            return 0
        self._lost = self._lost or self._run.now
        self._back = self._run.now - self._lost >= 3
        return int(not self._back)

    def judge(self) -> list[str]:
        return [] if self._back else ["nobody has waited for him"]

    def figures(self) -> dict[str, int]:
        return {}


def test_a_reader_who_has_just_come_again_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "workloads", lambda plan, suite, run: [ComesAgain(run)])
    assert simulate(Plan(SEED, seconds=2, rate=5)).wrong == []


@pytest.mark.parametrize("name", sorted(UNDONE))
def test_what_was_found_once_is_mended_and_would_be_found_again(name: str) -> None:
    case = CASES / f"{name}.json"
    assert simulate(read(case)).wrong == []
    assert finds(case), "it finds nothing any more: with more faults or messages it may"


def test_no_case_is_left_of_what_nobody_can_undo() -> None:
    assert {case.stem for case in CASES.iterdir()} == set(UNDONE)


@pytest.mark.parametrize(
    "name",
    ["forget_to_release_what_was_in_flight"],
)
def test_a_run_that_fails_is_shrunk_to_few_events_and_is_had_again_from_its_file(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # All of them: python -m tests.sim.mutants
    found = find(name, SEED)
    assert found is not None, f"not found within {SECONDS:g} s of a processor, by seeds from {SEED} on"
    assert found.events <= EVENTS, list(found.small.told())
    found.small.write(tmp_path / "case.json")
    assert read(tmp_path / "case.json") == found.small
    MUTANTS[name](monkeypatch)
    assert simulate(read(tmp_path / "case.json")).wrong
    assert len(found.small.faults) <= len(list(found.small.told())) - 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"faults": [{"kind": "flood"}]}', "\x00"])
def test_a_file_that_is_no_run_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(Mistake, match=r"x.json is no run"):
        read(tmp_path / "x.json")
    with pytest.raises(Mistake, match="No such file"):
        read(tmp_path / "none.json")


def test_the_command_shows_what_it_did() -> None:
    done = command("1", "--minutes", "0.2", "--seed", "5", "--runs", "2")
    assert done.returncode == 0, done.stderr
    assert "from seed 5 on" in done.stdout
    assert "All promises were kept." in done.stdout
