"""`barker chaos --broker`: nothing is lost, twice or out of order while a real RabbitMQ 4 is broken, too."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.scale.hosts import hosts, needs_hosts
from tests.scale.rabbitmq import Node, cluster, url

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def chaos(
    nodes: Sequence[Node], *arguments: str, within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Break a suite, and the broker that these nodes are."""
    started = [word for node in nodes for word in ("--node", shlex.join(node.command))]
    command = [*within, sys.executable, "-m", "barker", "chaos", "--broker", url(nodes), *started, "--json"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=200, check=False)


def kept(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Its figures; all promises were kept."""
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    assert (figures["lost"], figures["twice"], figures["out_of_order"], figures["strange"]) == (0, 0, 0, 0)
    assert figures["accepted"] > 5_000
    assert figures["delivered"] == figures["due"] > 0
    return figures


def befell(figures: dict[str, Any]) -> set[str]:
    """What befell the broker."""
    return {label.partition(" ")[0] for label in figures["by_fault"] if label.endswith(" node")}


def test_a_broker_that_is_stopped_killed_and_frozen(tmp_path: Path) -> None:
    """It is one node. With what is there then no other run begins."""
    node = Node()
    try:
        done = chaos([node], "--minutes", "0.6", "--faults", "90", "--seed", "23", "--copies", "2")
        assert befell(kept(done)) == {"kill", "restart", "freeze"}
        again = chaos([node], "--data", str(tmp_path))
        assert again.returncode == 1
        assert f"barker: amqp://guest@{node.place}: another suite is there" in again.stderr
    finally:
        node.end()


@needs_hosts
def test_a_cluster_of_which_one_is_killed_or_cut_off() -> None:
    """Each node is on a host of its own, and pulled from the switch: from the others, and from Barker."""
    with hosts(4) as machines, cluster(machines[:3]) as nodes:
        cuts = [word for host in machines[:3] for word in ("--cut", *map(shlex.join, host.cable))]
        options = ("--minutes", "0.5", "--faults", "90", "--seed", "48", *cuts)
        done = chaos(nodes, *options, within=machines[3].within)
        assert befell(kept(done)) == {"kill", "cut"}
