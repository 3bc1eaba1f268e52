"""The benchmarks with a real RabbitMQ 4 between the services; their figures are for larger runs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.harness import ROOT
from tests.scale.rabbitmq import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def run(node: Node, name: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks", name, "--json", "--broker", node.url, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for queue in ("barker-outbox", "barker-inbox", "barker-inbox-1-of-2"):
        assert node.request("GET", f"/queues/{queue}")[0] == 404, "nothing is left behind"
    return json.loads(done.stdout)


def test_fanout_is_beside_the_same_without_a_broker(node: Node) -> None:
    shape = "--inboxes", "2", "--partitions", "1"
    figures = run(node, "fanout", "--seconds", "0.3", "--followers", "5", "--runs", "1", *shape)
    for name in ("2 inboxes, 1 partitions", "2 inboxes, 1 partitions, broker"):
        measured = figures["measured"][name]
        assert measured["deliveries"]["median"] > measured["barks"]["median"] > 0
        assert {"inbox 1", "inbox 2", "bizlogic"} <= figures["load"][name].keys()
    assert figures["load"]["2 inboxes, 1 partitions, broker"]["broker"]["cpu_seconds"] > 0


def test_latency_and_failover_are_measured_in_turns(node: Node) -> None:
    figures = run(node, "latency", "--rate", "300", "--seconds", "1", "--runs", "1")["milliseconds"]
    assert list(figures) == ["300 barks/s", "300 barks/s, broker"]
    assert all(0 < of["p50"] <= of["p99"] and of["barks"] > 5 for of in figures.values())
    figures = run(node, "failover", "--kills", "1", "--freezes", "0")
    assert figures["doubles"] == 0
    times = {name: of["times"] for name, of in figures["seconds"].items()}
    assert times == {"SIGKILL": 1, "SIGKILL, broker": 1}


def test_what_a_load_takes_of_a_broker(node: Node) -> None:
    few = "--seconds", "0.3", "--read-timelines", "200", "--times", "0.01"
    told = run(node, "plan", *few)["broker"]
    broker = told["costs"]["broker"]
    for way in ("queue", "stream"):
        assert broker[way]["bundle"] > 10
        assert broker[way]["bundle_written"] > 100
        assert broker[way]["alone"] > 100
    assert broker["node_bytes"] > 50e6
    need = told["0.01"]["needs"]["broker"]
    assert need["processes"] >= 3
    assert need["disk"] > need["written"] > 0
    assert told["0.01"]["money"]["broker"] > 3 * 16 * 20
    assert told["0.01"]["simulated"]["busy"].keys() == told["0.01"]["needs"].keys()
