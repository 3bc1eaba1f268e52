"""Runs what a page of the documentation prints, as printed: ``python -m tests.printed FILE``.

In order: a program (its first line is a comment with a file's name) is written to that file; each ``$``
command of a console block is run, and has to print what stands below it. Digits may be others, more or fewer
blanks may stand between words, and a line of ``...`` stands for any lines. A command that runs on, such as a
service, has to print that in time; it ends with the page.

The page has a checkout of its own, in a folder that is removed. It uses the usual ports, so it is run where
they are free, in a network namespace of its own (:func:`apart`); as with ``unshare --net`` before the above.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]

SECONDS = 60.0
"""How long a command may take until it has printed what it should."""

RUN_ON = re.compile(
    r"make run|(cd monitoring && )?python launch|barker up|python (shout|billing|depth)\.py"
    r"|(python barker/|barker )(directory|manifold|bizlogic|gateway|autobark|listen|routes --watch)"
    r"|node webui/timeline\.js"
)
"""Commands that do not end by themselves."""

NOT_RUN = {
    "python3 -m venv .venv": "make has made it",
    "pip install --require-hashes -r requirements-build.txt": "make has done it; it needs the network",
    "pip install --require-hashes --no-build-isolation -r requirements.txt": "make has done it, likewise",
    "pip install --no-deps --no-build-isolation -e .": "make has done it; it would change this Python",
    "(cd webui && npm ci)": "make has done it; it needs the network",
    "pip install --require-hashes -r requirements-dev.txt": "make has done it; it needs the network",
    "pytest": "it runs now",
    "make dist": "tests/browser/test_wheel.py builds a wheel",
    "pip install 'dist/barker-0.1.0-py3-none-any.whl[all]'": "tests/browser/test_wheel.py installs it",
    "barker up": "tests/browser/test_wheel.py starts it from a wheel",
    "python launch.py": "the same as make run",
    "barker bench sync": "tests/browser/test_wheel.py runs it, shorter",
    "python launch.py --data .barker/network": "the same as make run, with other users",
    "python launch.py --inboxes 4 --data .barker/four": "tests/system/test_inboxes.py starts such suites",
    "barker repartition --partitions 3 --inboxes 2 --data .barker/four": "tests/system/test_partitions.py",
    "python launch.py --partitions 2 --data .barker/halves": "tests/system/test_partitions.py starts these",
    "barker chaos --minutes 10 --seed 1": "ten minutes; tests/system/test_chaos.py has a shorter run",
    "barker simulate --seed 1 --minutes 10 --faults 20": "half a minute; tests/sim has shorter runs",
    "barker simulate --hours 8 --faults kill=10 --faults full=2 --jobs 2": "minutes; the same",
    "python -m benchmarks fanout --seconds 20": "minutes; tests/system/test_benchmarks.py has a shorter run",
}
"""Commands that are not run, and why."""

NOT_YET = "amqp:not-found"
"""A client that prints this is too early, and is started again, as a reader does: the service just starts."""

STAND_INS = {"make run": "python launch.py --autobarks 1"}
"""What is run in place of a command. For ``make run``, what that runs when all is set up (`Makefile`), with
fewer barks: on a slow machine, too, one's own are then among the last 25 of a timeline."""

FOLDER = "/home/ark3/barker"
"""The checkout's folder, in what pages print."""


class Program(NamedTuple):
    """A program that a page has its readers save."""

    file: str
    text: str


class Command(NamedTuple):
    """A command, and what it prints."""

    line: str
    output: list[str]


CTRL_C = "^C"
"""A line of a console block that ends all that runs."""


def blocks(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each literal block of a page: its language ("" for ``::`` alone) and its lines, without the margin."""
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        found = re.fullmatch(r"( *)\.\. code-block:: (\w+)|( *)(?!\.\. )(?:.*\S)?::", lines[at])
        at += 1
        if found is None:
            continue
        margin, block = len(found[1] or found[3] or ""), []
        while at < len(lines) and (not lines[at].strip() or lines[at].startswith(" " * (margin + 1))):
            block.append(lines[at])
            at += 1
        least = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
        yield found[2] or "", "\n".join(line[least:] for line in block).strip("\n").split("\n")


def steps(page: str) -> Iterator[Program | Command]:
    """What a reader of a page saves and runs, in order."""
    for language, lines in blocks(page):
        if language in ("python", "javascript"):
            yield Program(re.sub(r"^(#|//) ", "", lines[0]), "\n".join(lines) + "\n")
        elif language == "console":
            commands: list[Command] = []
            for line in lines:
                if line == CTRL_C or line.startswith("$ "):
                    commands.append(Command(line.removeprefix("$ "), []))
                else:
                    commands[-1].output.append(line)
            yield from commands


def pattern(output: list[str], folder: str = FOLDER) -> re.Pattern[str]:
    """What output is to be matched with, of a command in `folder`."""
    parts = []
    for line in output:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            words = map(re.escape, line.replace(FOLDER, folder).split())
            parts.append(" *" + re.sub(r"\d+", r"\\d+", " +".join(words)) + " *\n")
    return re.compile("".join(parts))


class Failure(Exception):
    """A command did not do what the page says."""


class Reader:
    """Somebody who does what a page says, in a checkout of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        left_out = shutil.ignore_patterns("node_modules", "session.js", "results")
        for name in ("barker", "webui", "monitoring", "benchmarks", "tests/peers"):
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        for name in ("launch.py", "launch-no-bizlogic.py"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "webui" / "node_modules").symlink_to((ROOT / "webui" / "node_modules").resolve())
        (folder / ".venv").symlink_to(sys.prefix)
        self.environment = {key: os.environ[key] for key in os.environ if not key.startswith("BARKER_")}
        self.environment |= {
            "PATH": f"{folder}/.venv/bin{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # The copy, not the checkout that is installed there.
            "PYTHONUNBUFFERED": "1",  # As at a terminal.
        }

    def do(self, step: Program | Command) -> None:
        """Save the program, or run the command and see what it prints.

        :raises Failure: when it does something else.
        """
        if isinstance(step, Program):
            (self.folder / step.file).write_text(step.text)
        elif step.line == CTRL_C:
            self.leave()
        elif step.line not in NOT_RUN:
            self._run(step)

    def _run(self, command: Command) -> None:
        wanted, deadline = pattern(command.output, str(self.folder)), time.monotonic() + SECONDS
        runs_on = RUN_ON.match(command.line) is not None
        process, log = self._start(command)
        while True:
            status, printed = process.poll(), log.read_text(errors="replace")
            late = time.monotonic() > deadline
            if runs_on and status is None and wanted.match(printed):
                return
            if not runs_on and status == 0 and wanted.fullmatch(printed):
                return
            if status and NOT_YET in printed and not late:
                process, log = self._start(command)
            elif status is not None or late:
                state = "runs" if status is None else f"ended with {status}"
                raise Failure(f"$ {command.line}\n{state}, and has printed\n{printed}")
            time.sleep(0.05)  # Between two looks at a file.

    def _start(self, command: Command) -> tuple[subprocess.Popen[bytes], Path]:
        """The command's process, and the file that has what it prints."""
        log = self.folder / f"output-{len(self.running)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", STAND_INS.get(command.line, command.line)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process, log

    def leave(self) -> None:
        """End what still runs, the last first, so that the launcher ends what it has started."""
        for process in reversed(self.running):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        for process in self.running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def apart(command: list[str]) -> list[str] | None:
    """`command` in a network namespace of its own; None where this machine gives none."""
    for options in (["--net"], ["--map-root-user", "--net"]):
        prefix = ["unshare", *options, "--"]
        with contextlib.suppress(OSError):
            if subprocess.run([*prefix, "true"], capture_output=True, timeout=10).returncode == 0:
                return prefix + command
    return None


def bring_up_loopback() -> None:
    """A new network namespace has 127.0.0.1, but it is down."""
    get, put, up = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, get, request))[1]
        if not flags & up:
            fcntl.ioctl(any_socket, put, struct.pack("16sh14x", b"lo", flags | up))


def main(page: Path) -> int:
    """Do what a page says; the exit status."""
    bring_up_loopback()
    with tempfile.TemporaryDirectory(prefix="barker-page-") as folder:
        reader = Reader(Path(folder))
        try:
            for step in steps(page.read_text()):
                begun = time.monotonic()
                reader.do(step)
                what = f"saved {step.file}" if isinstance(step, Program) else f"$ {step.line}"
                print(f"{time.monotonic() - begun:5.1f} s  {what}", flush=True)
        except Failure as failure:
            print(failure, flush=True)
            return 1
        finally:
            reader.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
