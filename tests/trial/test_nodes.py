"""A broker's nodes as chaos has them: all of what runs one is stopped, killed, frozen and cut off."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from barker.core.broker import Broker
from barker.core.errors import BarkerError, Mistake
from barker.core.faults import Fault
from barker.suite.shape import Shape
from barker.trial.nodes import Node, nodes
from barker.trial.population import Population, Victims
from tests.harness import wait_for

pytestmark = pytest.mark.system

BROKER = Broker.parse("amqp://guest:secret@127.0.0.1:5692")

SCRIPT = "sleep 100 & echo begun $BARKER_BROKER; wait"
"""A node that is more than one process, as a shell's script is."""


def processes(node: Node) -> list[psutil.Process]:
    """All that the node is made of."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):  # It has just ended.
            if os.getpgid(each.pid) == node.pid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def states(node: Node) -> set[str]:
    """The states of these; none when one has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {each.status() for each in processes(node)}
    return set()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """One that runs."""
    monkeypatch.setenv("BARKER_BROKER", "secret")
    flag = shlex.quote(str(tmp_path / "cut"))
    (node,) = nodes(BROKER, [shlex.join(["sh", "-c", SCRIPT])], [(f"touch {flag}", f"rm {flag}")], tmp_path)
    node.start()
    try:
        wait_for(lambda: len(processes(node)) == 2, "it runs")
        yield node
    finally:
        node.signal(signal.SIGCONT)
        node.signal(signal.SIGKILL)
        node.wait(0)


def test_all_of_it_is_frozen(node: Node) -> None:
    node.signal(signal.SIGSTOP)
    wait_for(lambda: states(node) == {psutil.STATUS_STOPPED}, "it is frozen")
    node.signal(signal.SIGCONT)
    wait_for(lambda: states(node) == {psutil.STATUS_SLEEPING}, "it thaws")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_of_it_ends_and_begins_again(node: Node, number: int) -> None:
    before = node.pid
    node.signal(number)
    assert node.wait(1)
    wait_for(lambda: not processes(node), "all has ended")
    node.start()
    assert node.pid != before
    wait_for(lambda: len(processes(node)) == 2, "it runs again")


def test_what_it_leaves_behind_ends_with_it(node: Node) -> None:
    """A script may end before what it has started."""
    os.kill(node.pid, signal.SIGKILL)
    assert node.wait(1)
    wait_for(lambda: not processes(node), "all has ended")


def test_what_it_says_is_kept_and_it_is_told_no_secret(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "node-1.log"
    wait_for(lambda: log.read_text() == "begun\n", "its log")


def test_it_is_cut_off_and_joined(node: Node, tmp_path: Path) -> None:
    node.join()  # Nothing is done to one that is not cut off.
    node.cut_off()
    assert (tmp_path / "cut").exists()
    node.join()
    assert not (tmp_path / "cut").exists()


def test_chaos_strikes_it_and_joins_it_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    cut = (f"touch {tmp_path / 'cut'}", f"rm {tmp_path / 'cut'}")
    made = nodes(BROKER, ["sleep 100"], [cut], tmp_path)
    shape = Shape(data=tmp_path / "data", broker=BROKER, log_level="error")
    suite = Victims(shape, Population(1, 1, random.Random(1)), made)
    try:
        suite.children["node-1"].start()
        suite.strike(Fault(0, "freeze", ("node-1",), 1))
        process = psutil.Process(made[0].pid)
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "it is frozen")
        suite.heal(Fault(0, "freeze", ("node-1",), 1))
        suite.strike(Fault(0, "cut", ("node-1",), 1))
        assert (tmp_path / "cut").exists()
    finally:
        suite.end()
    assert not (tmp_path / "cut").exists()
    assert not made[0].runs


def test_a_cut_that_fails_is_told(tmp_path: Path) -> None:
    (node,) = nodes(BROKER, ["true"], [("sh -c 'echo no such device >&2; exit 1'", "nowhere")], tmp_path)
    with pytest.raises(BarkerError, match=r"--cut sh -c .*: no such device"):
        node.cut_off()
    with pytest.raises(BarkerError, match=r"--cut nowhere: .*No such file"):
        node.join()


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    (node,) = nodes(BROKER, ["nowhere --now"], (), tmp_path)
    with pytest.raises(Mistake, match="--node nowhere --now: No such file or directory"):
        node.start()


@pytest.mark.parametrize(
    ("broker", "commands", "cuts", "says"),
    [
        (None, ["true"], (), "they go with --broker"),
        (BROKER, ["true", "true"], (), "amqp://guest@127.0.0.1:5692 names 1 node(s), and there are 2 --node"),
        (BROKER, ["true"], [("a", "b")] * 2, "names 1 node(s), and there are 2 --cut"),
        (BROKER, [], [("a", "b")], "--cut goes with --node"),
        (BROKER, ["'"], (), '--node "\'" is no command: No closing quotation'),
        (BROKER, [""], (), "--node '' is no command"),
        (BROKER, ["true"], [("a", " ")], "--cut '' is no command"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path, broker: Broker | None, commands: list[str], cuts: list[tuple[str, str]], says: str
) -> None:
    with pytest.raises(Mistake) as raised:
        nodes(broker, commands, cuts, tmp_path)
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)
