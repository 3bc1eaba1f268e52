"""A service that is kept busy: honest peers have their turns, and none of them is taken to be dead."""

from __future__ import annotations

import contextlib
import sys
import time

import pytest

from tests.harness import Client, Process, Suite, wait_for

pytestmark = pytest.mark.system

ATTACKERS = 3

SECONDS = 5.0
"""More than twice the idle time-out of Barker's own connections."""

FLOOD = """
import itertools, sys, types
from tests.security.raw import Attacker, attach, message, transfer

numbers = itertools.count()
attacker = Attacker(types.SimpleNamespace(port=int(sys.argv[1])))
attacker.send(attach(0, "outbox"))
with attacker.reading():
    while attacker.send(b"".join(transfer(0, next(numbers), message()) for _ in range(500)), 60.0):
        pass
"""
"""Messages that are no barks, without end; each is answered."""


def test_while_some_send_nonsense_without_end_others_bark_and_stay(suite: Suite) -> None:
    """Heartbeats that wait behind others' bytes are no silence: bizlogic and directory stay."""
    suite.users([("rex", "ann")]).close()
    inbox, outbox, bizlogic = suite.inbox(), suite.outbox(), suite.bizlogic()
    for process in (inbox, outbox, bizlogic):
        suite.wait_for_state(process)
    with contextlib.ExitStack() as stack, contextlib.closing(Client(suite.place)) as client:
        client.read("rex")
        for number in range(ATTACKERS):
            log = suite.folder / f"flood-{number}.log"
            stack.callback(Process(log, [sys.executable, "-c", FLOOD, str(outbox.port)]).kill)
        suite.wait_for_state(outbox, rejected=lambda count: count > 1_000)
        waits: list[float] = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            begun = time.monotonic()
            bark = client.bark("ann", f"bark {len(waits)}")
            wait_for(lambda bark=bark: bark.id in client.accepted, "it is accepted")
            waits.append(time.monotonic() - begun)
        assert suite.state(outbox)["rejected"] > 10_000, "it was busy"
        wait_for(lambda: len(client.texts("rex")) == len(waits), "all are on the timeline")
    # One turn of each that is before it, and not many.
    assert sorted(waits)[len(waits) // 2] < 1.0
    for process in (inbox, outbox, bizlogic, suite.directory):
        assert "idle time-out" not in process.log
        assert "stood still" not in process.log
