"""A service that others reach elsewhere than where it listens, as behind what translates addresses."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from barker.amqp.message import encode_bark
from barker.amqp.system import new_id, now
from barker.core.barks import Bark
from tests.harness import ROOT, Client, Suite, free_port, wait_for
from tests.relay import Relay

pytestmark = pytest.mark.system


def test_others_come_by_the_port_that_is_advertised(suite: Suite, client: Client) -> None:
    inside = free_port()
    with Relay(inside) as relay, contextlib.ExitStack() as ends:
        ends.callback(relay.shutdown)
        outside = relay.server_address[1]
        suite.start("manifold", "orders", "--advertise", f"127.0.0.1:{outside}", port=inside)
        client.send_raw("orders", encode_bark(Bark(new_id(), "ark3", "woof", now())))
        wait_for(lambda: client.accepted, "an order is accepted")
        assert relay.passed
        # So do those who ask its agent.
        before = relay.passed
        command = [sys.executable, "-m", "barker", "queues", "--json", *suite.places]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=True)
        (queue,) = [json.loads(line) for line in done.stdout.splitlines()]
        assert (queue["address"], queue["depth"], queue["port"]) == ("orders", 1, outside)
        assert relay.passed > before


def test_a_port_that_leads_nowhere_is_no_harm_to_others(suite: Suite, client: Client) -> None:
    suite.start("manifold", "orders", "--advertise", f"127.0.0.1:{free_port()}")
    suite.start("manifold", "news")
    client.send_raw("orders", b"for nobody")
    client.send_raw("news", encode_bark(Bark(new_id(), "ark3", "woof", now())))
    wait_for(lambda: client.accepted, "news is accepted")
    assert len(client.accepted) == 1
