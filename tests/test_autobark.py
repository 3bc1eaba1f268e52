"""Autobark as a process: who it barks as."""

from __future__ import annotations

import subprocess
import sys

from tests.harness import ROOT, Client, Suite, wait_for

COUNT = 30


def autobark(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Bark a few times, quickly."""
    command = [sys.executable, "-m", "barker.autobark", "500", "--count", str(COUNT), *arguments]
    command += ["--data", str(suite.data), *suite.places]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)


def test_it_never_barks_as_the_one_who_reads_the_page(suite: Suite, client: Client) -> None:
    # By chance alone, half of all barks would be those of ark3.
    suite.users([("ark3", "rex"), ("rex", "ark3")]).close()
    for _ in (suite.inbox(), suite.outbox(), suite.bizlogic()):
        pass
    client.read("rex")
    assert f"{COUNT} barks accepted" in autobark(suite).stdout
    wait_for(lambda: len(client.timelines["rex"]) == COUNT, "all are on the timeline")
    assert {bark.user for bark in client.timelines["rex"]} == {"rex"}
    assert autobark(suite, "--user", "ark3").returncode == 0


def test_without_anybody_else_it_says_so(suite: Suite) -> None:
    suite.users([]).add(["ark3"], [])
    done = autobark(suite)
    assert done.returncode == 2
    assert "there are no users but ark3" in done.stderr
    assert "Traceback" not in done.stderr
