"""Two suites of one checkout: the terminal finds each by its session file, with its directory or without."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from barker.commands.session import read_session, running
from barker.suite.ports import free_offset
from tests.harness import ROOT, wait_for

pytestmark = pytest.mark.system


class Checkout:
    """A copy of Barker, with a suite or two that were started from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "barker", folder / "barker", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "launch.py", folder)
        (folder / "webui").mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(folder)}
        self.suites: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self) -> int:
        """A suite more, which is ready; its port offset."""
        offset = free_offset()
        options = ("--outboxes", "1", "--bizlogics", "1", "--autobarks", "0", "--users", "3")
        options += ("--port-offset", str(offset), "--data", f"data-{offset}")
        with self.log(offset).open("w") as log:
            self.suites[offset] = subprocess.Popen(
                [sys.executable, "launch.py", *options], cwd=self.folder, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=self.environment,
            )  # fmt: skip
        wait_for(lambda: "Ctrl-C ends" in self.log(offset).read_text(), "the suite is ready")
        return offset

    def log(self, offset: int) -> Path:
        return self.folder / f"launch-{offset}.log"

    def run(self, offset: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, for the suite with that offset."""
        return subprocess.run(
            [sys.executable, "-m", "barker", *arguments], cwd=self.folder, capture_output=True, text=True,
            timeout=30, check=False,
            env={**self.environment, "BARKER_DIRECTORY": f"127.0.0.1:{5672 + offset}"},
        )  # fmt: skip

    def end_process(self, offset: int, verb: str, name: str) -> None:
        """Have a process end, and wait until it has."""
        before = self.log(offset).read_text().count(f"{name} (pid")
        assert self.run(offset, verb, name).returncode == 0
        wait_for(lambda: self.log(offset).read_text().count(f"{name} (pid") > before, "it has ended")

    def state(self, offset: int, name: str) -> str:
        done = self.run(offset, "ps")
        assert done.returncode == 0, done.stderr
        return next(line for line in done.stdout.splitlines() if line.startswith(f"{name} "))

    def end(self, offset: int) -> None:
        suite = self.suites.pop(offset)
        suite.send_signal(signal.SIGINT)
        assert suite.wait(15) == 0


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    try:
        for _ in range(2):
            checkout.launch()
        yield checkout
    finally:
        for offset in list(checkout.suites):
            checkout.end(offset)


def test_a_directory_that_was_killed_is_started_again_from_the_terminal(checkout: Checkout) -> None:
    for offset in checkout.suites:
        name = f"directory-{5672 + offset}"
        checkout.end_process(offset, "kill", name)
        assert " gone " in checkout.state(offset, name)
    for offset in checkout.suites:
        name = f"directory-{5672 + offset}"
        done = checkout.run(offset, "start", name)
        assert (done.stdout, done.stderr) == (f"{name} is ready\n", "")
        # It is: what asks it has an answer at once.
        assert f"agents/127.0.0.1-{5672 + offset} " in checkout.run(offset, "routes").stdout


def test_what_is_started_is_ready_or_it_is_said_why_not(checkout: Checkout) -> None:
    offset = min(checkout.suites)
    name, port = f"bizlogic-{5680 + offset}", 5680 + offset
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        checkout.end_process(offset, "stop", name)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        done = checkout.run(offset, "start", name)
        assert done.returncode == 2
        assert f"its port {port} is taken, process {os.getpid()} has it" in done.stderr
        assert f"process {os.getpid()} has it" in checkout.state(offset, name)
    assert checkout.run(offset, "start", name).stdout == f"{name} is ready\n"
    assert f"agents/127.0.0.1-{port} " in checkout.run(offset, "routes").stdout
    # One that cannot begin for another reason.
    checkout.end_process(offset, "stop", name)
    users = checkout.folder / f"data-{offset}" / "users.sqlite3"
    kept = users.read_bytes()
    for file in users.parent.glob("users.sqlite3*"):
        file.unlink()
    users.write_bytes(b"no users at all" * 1_000)
    done = checkout.run(offset, "start", name)
    assert done.returncode == 2
    assert f"{name} ended with status 1 before it was ready" in done.stderr
    users.write_bytes(kept)
    assert checkout.run(offset, "start", name).returncode == 0


def test_each_suite_has_a_file_until_it_ends(checkout: Checkout) -> None:
    offset, webui = checkout.launch(), checkout.folder / "webui"
    found = {session.directory: session for session in running(webui)}
    assert set(found) == {f"127.0.0.1:{5672 + other}" for other in checkout.suites}
    assert len({session.key for session in found.values()}) == 3
    place = f"127.0.0.1:{5672 + offset}"
    assert read_session(webui / "session.js") == found[place]
    assert (
        f"export BARKER_DIRECTORY={place} BARKER_DATA={found[place].data}\n"
        in checkout.log(offset).read_text()
    )
    assert f"index.html?gateway=127.0.0.1:{5673 + offset}\n" in checkout.log(offset).read_text()
    checkout.end(offset)
    assert place not in {session.directory for session in running(webui)}
    assert not (webui / f"session-{5673 + offset}.js").exists()


def test_what_a_process_has_written_is_kept_and_told(checkout: Checkout) -> None:
    offset = min(checkout.suites)
    name, other = f"gateway-{5673 + offset}", f"inbox-{5820 + offset}"
    with (checkout.folder / "followed").open("w") as out:
        following = subprocess.Popen(
            [sys.executable, "-m", "barker", "logs", "-f", "--json"], cwd=checkout.folder, stdout=out,
            env={**checkout.environment, "BARKER_DIRECTORY": f"127.0.0.1:{5672 + offset}"},
        )  # fmt: skip
    try:
        with socket.create_connection(("127.0.0.1", 5820 + offset)) as stranger:
            stranger.sendall(b"no AMQP at all")
            wait_for(lambda: f" {other} " in checkout.log(offset).read_text(), "the launcher passes it on")
        wait_for(lambda: f'"name": "{other}"' in (checkout.folder / "followed").read_text(), "it is followed")
    finally:
        following.terminate()
        assert following.wait(10) == 0
    told = checkout.run(offset, "logs", other).stdout.splitlines()
    assert told
    assert all(f" {other} " in line for line in told)
    assert set(told) <= set(checkout.run(offset, "logs").stdout.splitlines())
    assert not any(other in line for line in checkout.run(offset, "logs", name).stdout.splitlines())
    wrong = checkout.run(offset, "logs", "nobody")
    assert wrong.returncode == 2
    assert f"no process here is called 'nobody'; there are directory-{5672 + offset}, " in wrong.stderr
