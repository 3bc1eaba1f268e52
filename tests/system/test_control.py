"""The monitor, and the commands that break a running suite: each is proved by its effect."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from proton import Message
from proton.utils import BlockingConnection, LinkDetached

from barker.amqp.message import decode_map, encode_command
from barker.store.key import made_key
from barker.suite.supervisor import END_SECONDS
from tests.harness import ROOT, Client, Launched, Proof, shown_key, wait_for

pytestmark = pytest.mark.system

Reports = Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def launched(folder: Path, *options: str) -> Iterator[Launched]:
    suite = Launched(folder, "launch.py", *options)
    try:
        suite.wait_until_ready()
        yield suite
    finally:
        suite.end()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """One for all tests, which leave all its processes running; those that add to them come last."""
    options = "--monitoring", "--autobarks", "2", "--rate", "20"
    with launched(tmp_path_factory.mktemp("suite"), *options) as suite:
        yield suite


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A suite whose launcher starts again what dies."""
    with launched(tmp_path_factory.mktemp("kept"), "--keep-alive", "--autobarks", "1") as suite:
        yield suite


@contextlib.contextmanager
def monitored(suite: Launched) -> Iterator[Reports]:
    """Gives what the monitor's newest message says."""
    with closing(Client(suite.directory)) as client:
        messages = client.receive_raw("monitor")
        wait_for(lambda: messages, "the monitor tells something")
        yield lambda: decode_map(messages[-1])[1]["reports"]


@pytest.fixture
def reports(suite: Launched) -> Iterator[Reports]:
    with monitored(suite) as reports:
        yield reports


def barker(suite: Launched, *arguments: str, session: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", *arguments, "--directory", suite.directory]
    command += ["--session", str(suite.session)] if session else ["--key", str(suite.data / "key")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def processes(suite: Launched) -> dict[str, tuple[int, str]]:
    """What `barker ps` shows: pid and state of each process, by name."""
    done = barker(suite, "ps", session=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    return {row[0]: (int(row[1]), row[3]) for row in rows}


def bizlogic(suite: Launched) -> str:
    return f"bizlogic-{5680 + suite.offset}"


def test_ps_shows_the_processes(suite: Launched) -> None:
    shown = processes(suite)
    assert {pid for pid, _ in shown.values()} == {child.pid for child in suite.children()}
    assert {state for _, state in shown.values()} == {"running"}


def test_kill_and_start(suite: Launched) -> None:
    name = bizlogic(suite)
    pid, _ = processes(suite)[name]
    assert barker(suite, "kill", name).returncode == 0
    wait_for(lambda: not psutil.pid_exists(pid), "the process is gone")
    wait_for(lambda: f"{name} (pid {pid}) is gone: killed by SIGKILL" in suite.output, "that is told")
    assert processes(suite)[name] == (pid, "gone")
    again = barker(suite, "kill", name)
    assert again.returncode == 2
    assert "gone already" in again.stderr
    assert barker(suite, "start", name).returncode == 0
    new, state = processes(suite)[name]
    assert state == "running"
    assert new != pid
    assert psutil.pid_exists(new)
    assert "runs already" in barker(suite, "start", name).stderr


def test_freeze_and_thaw(suite: Launched) -> None:
    name = bizlogic(suite)
    pid, _ = processes(suite)[name]
    assert barker(suite, "freeze", name).returncode == 0
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the process is stopped")
    assert processes(suite)[name] == (pid, "frozen")
    assert barker(suite, "thaw", name).returncode == 0
    wait_for(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, "the process goes on")
    assert processes(suite)[name] == (pid, "running")


def test_stop_ends_even_a_frozen_process_cleanly(suite: Launched) -> None:
    name = bizlogic(suite)
    pid, _ = processes(suite)[name]
    barker(suite, "freeze", name)
    assert barker(suite, "stop", name).returncode == 0
    wait_for(lambda: f"{name} (pid {pid}) is gone: ended with status 0" in suite.output, "it has ended")
    barker(suite, "start", name)


def test_rate_changes_what_the_autobarks_do(suite: Launched, reports: Reports) -> None:
    assert barker(suite, "rate", "60").returncode == 0

    def rates() -> list[float]:
        return [report["rate"] for report in reports() if report["type"] == "autobark"]

    wait_for(lambda: rates() == [60.0, 60.0], "both autobarks have the new rate")

    def sent() -> float:
        return sum(report["sent_rate"] for report in reports() if report["type"] == "autobark")

    wait_for(lambda: 100 < sent() < 140, "both together bark 120 times a second")
    assert barker(suite, "rate", "20").returncode == 0
    wait_for(lambda: rates() == [20.0, 20.0], "both bark as before")


def held(suite: Launched, pid: int, rate: float) -> list[float]:
    """How long commands take, each, after one that ends an autobark, which is kept frozen until it is killed.

    On a busy machine it may end before it is frozen again: then they are few.
    """

    def hold() -> None:
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.0005)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    connection = BlockingConnection(f"127.0.0.1:{5674 + suite.offset}", timeout=30)
    sender = connection.create_sender("launcher", options=Proof(suite.data / "key", "launcher"))

    def command(verb: str, **arguments: Any) -> float:
        begun = time.monotonic()
        sender.send(Message(subject=verb, body=arguments))
        return time.monotonic() - begun

    waits = [command("rate", rate=rate)]
    while holder.is_alive() and len(waits) < 1_000:
        waits += [command("freeze", name=bizlogic(suite)), command("thaw", name=bizlogic(suite))]
        time.sleep(0.05)
    connection.close()
    holder.join(10)
    return waits


def test_nobody_waits_for_an_autobark_that_does_not_end(suite: Launched, reports: Reports) -> None:
    for rate in range(60, 80):
        pid, _ = processes(suite)["autobark-1"]
        others = {pid for name, (pid, _) in processes(suite).items() if name != "autobark-1"}
        waits = held(suite, pid, rate)
        wait_for(
            lambda rate=rate: (
                [report["rate"] for report in reports() if report["type"] == "autobark"] == [rate, rate]
            ),
            "both autobarks have the new rate",
        )
        if len(waits) > 20:
            break
    assert len(waits) > 20, "it was held for a while"
    assert max(waits) < END_SECONDS / 2, "the launcher takes commands while it waits"
    killed = f"autobark-1 (pid {pid}) did not end within {END_SECONDS:g} s: killed"
    wait_for(lambda: killed in suite.output, "it is killed in the end")
    now = processes(suite)
    assert now["autobark-1"][1] == "running"
    assert len(others - {pid for pid, _ in now.values()}) == 1, "only the other autobark is another process"


def test_an_autobark_that_is_stopped_while_it_is_to_begin_anew_stays_away(suite: Launched) -> None:
    with closing(Client(f"127.0.0.1:{5674 + suite.offset}")) as client:
        commands = [encode_command("rate", {"rate": 30.0}), encode_command("stop", {"name": "autobark-1"})]
        for data in commands:
            client.send_raw("launcher", data)
        wait_for(lambda: len(client.accepted) == 2, "both are accepted")
    wait_for(lambda: processes(suite)["autobark-1"][1] == "gone", "it has ended")
    wait_for(lambda: processes(suite)["autobark-2"][1] == "running", "the other one barks again")
    assert processes(suite)["autobark-1"][1] == "gone"
    assert barker(suite, "start", "autobark-1").returncode == 0


NAMELESS = [None, 5, 1.5, True, ["x"], {"x": 1}, b"x", "x" * 60_000, "\x1b[2J\n"]

RATELESS = [
    None,
    True,
    ["x"],
    {"x": 1},
    b"x",
    "x" * 60_000,
    "5",
    float("nan"),
    float("inf"),
    1e300,
    2**62,
    0,
    -1,
]


def test_whatever_a_command_holds_it_is_refused_in_a_sentence(suite: Launched) -> None:
    messages = [
        *(encode_command("kill", {"name": name}) for name in NAMELESS),
        *(encode_command("start", {"name": name}) for name in NAMELESS),
        *(encode_command("add", {"kind": kind}) for kind in NAMELESS),
        *(encode_command("rate", {"rate": rate}) for rate in RATELESS),
        *(encode_command(verb, {}) for verb in ["kill", "start", "add", "rate", "", "x" * 60_000]),
        *(bytes(Message(subject="kill", body=other).encode()) for other in NAMELESS),
    ]
    with closing(Client(f"127.0.0.1:{5674 + suite.offset}")) as client:
        for data in messages:
            client.send_raw("launcher", data)
        wait_for(lambda: len(client.rejected) == len(set(messages)), "all are refused")
        assert not client.accepted
        for condition in client.rejected.values():
            assert condition is not None
            assert condition.name in {"amqp:not-found", "amqp:not-allowed", "amqp:invalid-field"}
            assert 10 < len(condition.description) < 1_000
            assert condition.description.isprintable()
    assert "Traceback" not in suite.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["kill", "nobody"], "no process here is called 'nobody'"),
        (["rate", "1e9"], "rate is a number of barks/s"),
        (["add", "directory"], "'directory' is not one of"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(suite: Launched, arguments: list[str], says: str) -> None:
    done = barker(suite, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_key_nothing_is_done(suite: Launched, tmp_path: Path) -> None:
    other = tmp_path / "other.js"
    other.write_text('window.BARKER_SESSION = {gateway: "x"};\n')
    command = [sys.executable, "-m", "barker", "kill", bizlogic(suite), "--session", str(other)]
    done = subprocess.run(
        [*command, "--directory", suite.directory], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "a stranger may not send to launcher: it takes the suite's key" in done.stderr
    connection = BlockingConnection(f"127.0.0.1:{5674 + suite.offset}", timeout=5)
    with pytest.raises(LinkDetached, match="unauthorized-access"):
        connection.create_sender("launcher")
    connection.close()
    assert processes(suite)[bizlogic(suite)][1] == "running"


def test_pages_prints_the_links_and_opens_them_with_no_key_on_a_command_line(
    suite: Launched, tmp_path: Path
) -> None:
    gateway, key = f"127.0.0.1:{5673 + suite.offset}", shown_key(suite.data / "key")
    links = [f"http://{gateway}/#key={key}", f"http://{gateway}/monitoring/#key={key}"]
    printed = f"The page: {links[0]}\nThe dashboard: {links[1]}\n"
    for session in (True, False):
        done = barker(suite, "pages", session=session)
        assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
    assert all(link in suite.output for link in links)
    script, asked = tmp_path / "browser", tmp_path / "asked"
    script.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    script.chmod(0o700)
    command = [sys.executable, "-m", "barker", "pages", "--open", "--session", str(suite.session)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, "BROWSER": str(script)}
    )
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert key not in asked.read_text()
    for door, link in zip(asked.read_text().split(), links, strict=True):
        file = Path(door.removeprefix("file://"))
        assert file.stat().st_mode & 0o777 == 0o600
        assert f'content="0; url={link}"' in file.read_text()


def test_pages_without_the_key_or_a_gateway_says_so(suite: Launched, tmp_path: Path) -> None:
    other = tmp_path / "key"
    made_key(other)
    command = [sys.executable, "-m", "barker", "pages"]
    for environment, says in (
        ({}, f"this takes the key of the suite at {suite.directory}, which is in its data folder"),
        ({"BARKER_KEY": str(other)}, "the peer does not know the key that was shown"),
    ):
        done = subprocess.run(
            [*command, "--directory", suite.directory], capture_output=True, text=True, timeout=30, cwd=ROOT,
            env={**os.environ, "BARKER_DATA": str(tmp_path), **environment},
        )  # fmt: skip
        assert done.returncode in (2, 69)
        assert says in done.stderr
        assert done.stdout == ""


def test_the_monitor_tells_how_every_service_does(suite: Launched, reports: Reports) -> None:
    def complete() -> list[dict[str, Any]] | None:
        now = reports()
        flowing = [report for report in now if report["type"] == "autobark" and report["sent_rate"] > 15]
        # Not yet without those that an earlier test has ended: each is told of for some seconds more.
        pids = {report["pid"] for report in now if report["type"] != "launcher"}
        return now if pids == {child.pid for child in suite.children()} and len(flowing) == 2 else None

    found = wait_for(complete, "all services report, and barks flow", 20)
    kinds = sorted(report["type"] for report in found)
    assert kinds == sorted(
        ["directory", "gateway", "launcher", "monitor"]
        + ["manifold"] * 4
        + ["bizlogic"] * 2
        + ["autobark"] * 2
    )
    children = {child.pid: child for child in suite.children()}
    for report in found:
        assert {"address", "command", "since", "received_rate", "sent_rate", "connections"} <= report.keys()
        assert report["memory"] > 5_000_000
        assert report["files"] > 3
        assert 0 <= report["cpu"] < 2
        if report["type"] != "launcher":
            assert report["pid"] in children
            assert re.search(r"-m barker\.", report["command"])
    manifolds = {report["address"]: report for report in found if report["type"] == "manifold"}
    assert manifolds["inbox"]["delivered"] > manifolds["inbox"]["received"] > 0
    assert {"depth", "depth_peak", "in_flight", "dead_letters", "journal_bytes"} <= manifolds["outbox"].keys()
    active = [report for report in found if report["type"] == "bizlogic" and report["active"]]
    assert len(active) == 1
    assert 0 < active[0]["latency_p50"] <= active[0]["latency_p99"] < 1


def test_the_monitor_keeps_the_past_and_drops_the_dead(suite: Launched, reports: Reports) -> None:
    with closing(Client(suite.directory)) as client:
        # Whoever comes late gets what was told before.
        messages = client.receive_raw("monitor")
        wait_for(lambda: len(messages) >= 5, "five messages")
        times = [decode_map(message)[1]["time"] for message in messages]
        assert times[0] < time.time() - 2
        assert all(0.5 < b - a < 2 for a, b in itertools.pairwise(times))
    pid = processes(suite)[bizlogic(suite)][0]
    barker(suite, "freeze", bizlogic(suite))
    wait_for(lambda: pid not in {report["pid"] for report in reports()}, "the frozen one is missing", 8)
    barker(suite, "thaw", bizlogic(suite))
    wait_for(lambda: pid in {report["pid"] for report in reports()}, "the thawed one is back", 8)


@pytest.mark.parametrize(
    ("kind", "name"), [("bizlogic", "bizlogic-5682"), ("outbox", "outbox-5803"), ("autobark", "autobark-3")]
)
def test_add_starts_one_more(suite: Launched, kind: str, name: str) -> None:
    if kind != "autobark":
        name = f"{kind}-{int(name.partition('-')[2]) + suite.offset}"
    assert name not in processes(suite)
    assert barker(suite, "add", kind).returncode == 0
    pid, state = processes(suite)[name]
    assert state == "running"
    # It does not only run: it works, and reports.
    with monitored(suite) as reports:
        wait_for(lambda: pid in {report["pid"] for report in reports()}, f"{name} reports to the monitor")


def test_keep_alive_starts_again_what_dies_but_not_what_was_stopped(kept: Launched) -> None:
    name, gateway = bizlogic(kept), f"gateway-{5673 + kept.offset}"
    pid, _ = processes(kept)[name]
    psutil.Process(pid).kill()
    wait_for(lambda: f"{name} is started again" in kept.output, "it is started again")
    new, state = processes(kept)[name]
    assert state == "running"
    assert new != pid
    with closing(Client(kept.directory)) as client:
        # Before it hears signals, one that is stopped is killed by it.
        told_by_itself = client.receive_raw(f"agents/127.0.0.1-{5680 + kept.offset}")
        wait_for(lambda: told_by_itself, "it works again")
    barker(kept, "stop", name)
    gone = f"{name} (pid {new}) is gone: ended with status 0"
    wait_for(lambda: gone in kept.output, "it has ended")
    barker(kept, "kill", gateway)
    wait_for(lambda: f"{gateway} is started again" in kept.output, "the gateway is back")
    assert processes(kept)[name] == (new, "gone")
    assert barker(kept, "start", name).returncode == 0


def bound(holder: socket.socket, port: int) -> bool:
    """Whether the socket has that port now, and listens."""
    with contextlib.suppress(OSError):
        holder.bind(("127.0.0.1", port))
        holder.listen()
        return True
    return False


def test_keep_alive_never_gives_up_what_dies_at_once(kept: Launched) -> None:
    name, port = bizlogic(kept), 5680 + kept.offset
    with socket.socket() as holder:
        # Somebody else takes its port while it is away.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        pid, _ = processes(kept)[name]
        psutil.Process(pid).kill()
        wait_for(lambda: bound(holder, port), "its port is taken, sooner than it begins again")
        told = f"{name} has died 6 times in a row, within 10 s of its start: again in 3.2 s"
        wait_for(lambda: told in kept.output, "it is tried ever less often", 30)
    with closing(Client(kept.directory)) as client:
        told_by_itself = client.receive_raw(f"agents/127.0.0.1-{port}")
        wait_for(lambda: told_by_itself, "it works again as soon as it can")


def test_monitoring_launch_starts_the_monitor_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "launch.py", "--help"],
        cwd=ROOT / "monitoring",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: launch.py")
    assert "monitor" in done.stdout
