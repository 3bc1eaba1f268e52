"""`launch.py --broker`: a whole suite with a real RabbitMQ 4."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Client, Launched, wait_for
from tests.scale.rabbitmq import Node

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

USERS = 12


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    try:
        node.start()
        yield node
    finally:
        node.end()


def test_launched(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its barks arrive, also when broker and one inbox of each part start again; nobody sees the password."""
    monkeypatch.setenv("BARKER_BROKER", node.url)
    shape = ("--users", str(USERS), "--inboxes", "2", "--copies", "2", "--partitions", "2", "--keep-alive")
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
