"""`barker doctor`: it finds what is wrong, says so, and changes nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from barker.core.errors import Mistake
from barker.store.first_users import make_users
from barker.store.journal import Post, QueueJournal, TimelineJournal
from barker.store.social import FILE_NAME
from barker.suite.ports import check_ports, free_offset
from barker.suite.shape import Shape
from tests.commands.screen import Screen
from tests.harness import ROOT, Suite


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with users, an outbox's journal, an inbox's, and one of a queue of one's own."""
    folder = tmp_path / "data"
    make_users(folder / FILE_NAME, 5, 1).close()
    for name in ("outbox-1", "orders-5950"):
        with closing(QueueJournal(folder / f"{name}.sqlite3")) as queue:
            queue.commit([("outbox", b"woof" * 500)] * 20, [])
    with closing(TimelineJournal(folder / "inbox-1.sqlite3")) as timelines:
        timelines.commit([Post("a", "ark3", b"woof")])
    return folder


def doctor(data: Path, *arguments: str, offset: int | None = None) -> subprocess.CompletedProcess[str]:
    offset = free_offset() if offset is None else offset
    command = [sys.executable, "-m", "barker", "doctor", "--data", str(data), "--port-offset", str(offset)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def wrong(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What it says a person has to do something about."""
    assert done.stderr == ""
    found = [line.removeprefix("WRONG  ") for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert done.returncode == bool(found)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """All files but SQLite's index of a log; an empty log is none."""
    files = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    return {name: data for name, data in files.items() if data}


def test_where_all_is_well_it_says_so_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    done = doctor(data)
    assert wrong(done) == []
    assert "the pages: all there" in done.stdout
    assert " are free\n" in done.stdout
    assert f"{data} is {data.owner()}'s, and has 5 users" in done.stdout
    assert "as they were written; messages: inbox-1 1, orders-5950 20, outbox-1 20" in done.stdout
    assert contents(data) == before
    assert f"{tmp_path / 'none'} is not there yet" in doctor(tmp_path / "none").stdout
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_an_owner_without_a_name_is_told_by_number(data: Path) -> None:
    os.chown(data, 4_123_456, -1)
    assert f"{data} is user 4123456's, and has 5 users" in doctor(data).stdout


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("users.sqlite3", "end the suite; then 'barker users salvage'"),
        ("outbox-1.sqlite3", "start again, and what can be read of it is kept"),
        ("inbox-1.sqlite3", "start again, and what can be read of it is kept"),
    ],
)
def test_what_is_damaged_is_named_with_what_to_do(data: Path, file: str, remedy: str) -> None:
    path = data / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) - len(whole) // 2))
    before = contents(data)
    [line] = wrong(doctor(data))
    assert line.startswith(f"{path} is damaged (")
    assert f"): {remedy}" in line
    assert contents(data) == before


def test_who_has_a_port_and_whose_suite_runs_is_told(suite: Suite) -> None:
    suite.users([("ann", "bob")]).close()
    manifold = suite.outbox()
    state = suite.state(manifold)
    assert state["address"] == "outbox"
    offset = (suite.directory.port or 0) - 5672
    done = doctor(suite.data, offset=offset)
    assert f"the suite at {suite.place} (started by hand; data in {suite.data}) runs\n" in done.stdout
    assert f"journals are in use by the suite at {suite.place}: not looked through" in done.stdout
    assert f"the suite at {suite.place} has the ports from {suite.directory.port} on" in done.stdout
    # A launcher says it, too: once, and not for each port.
    with pytest.raises(Mistake, match=rf"the suite at {suite.place} .* has its ports\n"):
        check_ports(Shape(port_offset=offset))


def test_a_port_that_a_stranger_has_is_wrong(data: Path) -> None:
    offset = free_offset()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 5801 + offset))
        taken.listen()
        [line] = wrong(doctor(data, offset=offset))
    assert line.startswith(f"port {5801 + offset} (outbox-{5801 + offset}): process {os.getpid()} has it")
    assert line.endswith(f"barker up --port-offset {offset + 1000} --data .barker/second")


def test_on_a_terminal_what_is_wrong_is_seen(data: Path) -> None:
    (data / "outbox-1.sqlite3").write_bytes(b"cut short")
    command = [sys.executable, "-m", "barker", "doctor", "--data", str(data), "--port-offset"]
    screen = Screen([*command, str(free_offset())], columns=100)
    try:
        screen.wait_for("it is cut short")
        assert "\x1b[31mWRONG" in screen.output
        screen.wait(1)
    finally:
        screen.close()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout as it is cloned: nothing is installed."""
    for name in ("barker", "monitoring", "setup", "webui"):
        left_out = shutil.ignore_patterns("node_modules", "__pycache__", "session*.js")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    shutil.copy(ROOT / "launch.py", tmp_path)
    return tmp_path


def bare_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python without any package of others."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "BARKER"))
    }
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_with_nothing_installed_it_says_what_is_missing(bare: Path) -> None:
    done = bare_python(bare, "-m", "barker", "doctor")
    assert done.returncode == 1
    for package in ("click", "psutil", "proton", "aiohttp", "rich"):
        assert f"missing: the package {package}: make setup\n" in done.stdout
    assert "missing: of the pages' files 3, such as webui/node_modules/rhea" in done.stdout
    assert "Barker is not set up yet: run 'make setup'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["-m", "barker", "ps"], ["launch.py"]])
def test_with_nothing_installed_everything_says_how_that_is_changed(bare: Path, command: list[str]) -> None:
    done = bare_python(bare, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Barker is not set up yet: run 'make setup'")
    assert len(done.stderr.splitlines()) == 1


def test_a_virtual_environment_that_lacks_packages_is_not_asked_for_ever(bare: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare / ".venv")], check=True)
    done = bare_python(bare, "-m", "barker", "ps")
    assert done.returncode == 1
    assert done.stderr.startswith("Barker is not set up yet: run 'make setup'")
