"""`launch.py --broker`: a whole suite with a real RabbitMQ 4."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from barker.amqp.message import decode_map
from barker.core.reports import reports_in
from tests.harness import ROOT, Client, Launched, wait_for
from tests.scale.rabbitmq import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

USERS = 12


def queues_are_told(messages: list[bytes]) -> bool:
    """Whether the monitor's last message tells of each queue and stream what is so."""
    told = reports_in(decode_map(messages[-1])[1])[1] if messages else []
    reports = {report["name"]: report for report in told}
    queues = {name: report for name, report in reports.items() if report["type"] in ("queue", "stream")}
    active = [f"{each['host']}:{each['port']}" for each in told if each.get("active")]
    if {name: (each["type"], each["consumers"]) for name, each in queues.items()} != {
        "barker-outbox-1-of-2": ("queue", 2),
        "barker-outbox-2-of-2": ("queue", 2),
        "barker-outbox-dead-letters": ("queue", 0),
        "barker-inbox-1-of-2": ("stream", 2),
        "barker-inbox-2-of-2": ("stream", 2),
    }:
        return False
    outboxes, inboxes = (
        [queues[f"barker-{name}-{part}-of-2"] for part in (1, 2)] for name in ("outbox", "inbox")
    )
    return (
        sorted(active) == sorted(queue["consumer"] for queue in outboxes)
        and all(len(stream["consumer"].split()) == 2 for stream in inboxes)
        and all(queue["sent_rate"] > 0 for queue in outboxes)
        and queues["barker-outbox-dead-letters"]["dead_letters"] == 0
    )


def check_queues(suite: Launched) -> None:
    """`barker queues` shows the same."""
    places = "--directory", suite.directory, "--key", str(suite.data / "key")
    command = [sys.executable, "-m", "barker", "queues", "--json", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    shown = {each["address"]: each for each in map(json.loads, done.stdout.splitlines())}
    for part in (1, 2):
        outbox, inbox = (shown[f"barker-{name}-{part}-of-2"] for name in ("outbox", "inbox"))
        assert outbox["active"].startswith(f"bizlogic-{part}-of-2-")
        assert [name.rpartition("-")[0] for name in inbox["active"].split()] == ["inbox", "inbox"]
        assert (outbox["consumers"], inbox["consumers"], inbox["depth"]) == (2, 2, None)
        assert outbox["depth"] >= 0
    assert shown["barker-outbox-dead-letters"]["dead_letters"] == 0


def test_launched(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its barks arrive, also when broker and one inbox of each part start again; nobody sees the password."""
    monkeypatch.setenv("BARKER_BROKER", node.url)
    shape = (
        "--users",
        str(USERS),
        "--inboxes",
        "2",
        "--copies",
        "2",
        "--partitions",
        "2",
        "--keep-alive",
        "--monitoring",
    )
    suite = Launched(tmp_path, "launch.py", *shape, "--rate", "20")
    try:
        suite.wait_until_ready()
        client = Client(suite.directory)
        children = suite.children()
        commands = [" ".join(child.cmdline()) for child in children]
        assert not any("guest" in command for command in commands)
        assert sum("--history" in command for command in commands) == 4
        assert not list(suite.data.glob("outbox*"))
        client.read("ark3")
        told = client.receive_raw("monitor")
        wait_for(lambda: queues_are_told(told), "the monitor tells of the broker's queues")
        check_queues(suite)
        first = client.bark("ark3", "before")
        wait_for(lambda: first.id in client.arrived, "a bark arrives")
        node.signal(signal.SIGTERM)
        for child, command in zip(children, commands, strict=True):
            if "--journal inbox-1-of-2 " in command or "--journal inbox-2-of-2 " in command:
                child.kill()
        node.start()
        second = client.bark("ark3", "after")
        wait_for(lambda: second.id in client.arrived, "another one arrives")
        assert next(bark.text for bark in client.timelines["ark3"] if bark.user == "ark3") == "before"
        client.close()
    finally:
        suite.end()
    assert "Traceback" not in suite.output
