"""`barker listen`: barks of any time are shown."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from barker.amqp.system import new_id
from barker.core.barks import LAST_TIME, Bark
from barker.listen import clock
from tests.harness import ROOT, Client, Suite, wait_for


def test_the_time_of_day() -> None:
    assert clock(1_700_000_000_000) == time.strftime("%H:%M:%S", time.localtime(1_700_000_000))
    assert len(clock(LAST_TIME)) == len(clock(1)) == 8


@pytest.mark.parametrize("created", [-(2**63), -1, 0, LAST_TIME + 1, 2**62, 2**63 - 1])
def test_a_time_that_no_calendar_has(created: int) -> None:
    assert clock(created) == "--:--:--"


def test_the_outbox_rejects_it_and_a_timeline_that_has_it_is_shown(suite: Suite, client: Client) -> None:
    suite.users([("rex", "ark3")]).close()
    for _ in (suite.inbox(), suite.outbox(), suite.bizlogic()):
        pass
    # As those that stood on timelines before the outbox looked at the time.
    odd = [Bark(new_id(), "ark3", f"made at {created}", created) for created in (2**62, -(2**62), -5)]
    for bark in odd:
        client.send(bark, "outbox")
        client.send(bark, "inbox/rex")
    client.bark("ark3", "now")
    wait_for(lambda: len(client.rejected) == 3, "the outbox has rejected them")
    assert "the year 9999" in client.rejected[odd[0].id].description
    command = [sys.executable, "-m", "barker.listen", "rex", "--count", "4", "--directory", suite.place]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert [f"--:--:-- ark3: {bark.text}" for bark in odd] == [
        line for line in done.stdout.splitlines() if line.startswith("--")
    ]
    assert "ark3: now" in done.stdout
