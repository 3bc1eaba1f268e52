"""The units of systemd: it takes them, and what they start is a suite."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, wait_for
from tests.scale.linters import done, tool
from tests.units import FOLDER, Unit

pytestmark = pytest.mark.system

SERVICES = (
    *("barker-directory", "barker-inbox", "barker-outbox@5800", "barker-outbox@5801", "barker-outbox@5802"),
    *("barker-bizlogic@5680", "barker-bizlogic@5681", "barker-monitor", "barker-gateway"),
)
"""Those that docs/howto/deploy.rst has started."""

HOST = "127.0.0.77"
"""All of 127.0.0.0/8 is this machine: here the usual ports are free."""

PR_SET_MDWE = 65
"""What MemoryDenyWriteExecute= is, of Linux 6.3 on."""


@pytest.fixture
def unit_path(tmp_path: Path) -> Path:
    """The units, as installed; what they start is there, and so are two that come with every system."""
    for file in FOLDER.iterdir():
        if file.is_dir():
            shutil.copytree(file, tmp_path / file.name)
        elif file.suffix in (".service", ".target"):
            text = file.read_text().replace("/opt/barker/bin/barker", "/bin/true")
            (tmp_path / file.name).write_text(text)
    drop_in = tmp_path / "barker-.service.d" / "10-barker.conf"
    drop_in.write_text(drop_in.read_text().replace("/opt/barker/bin/barker", "/bin/true"))
    return tmp_path


def test_systemd_takes_them(unit_path: Path) -> None:
    names = ["barker.target", *(f"{name}.service" for name in SERVICES)]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{unit_path}:"}
    done(tool("systemd-analyze"), "verify", "--recursive-errors=yes", "--man=no", *names, env=environment)
    said = done(
        *(tool("systemd-analyze"), "security", "--offline=yes", "--no-pager", "--threshold=20"),
        *(f"{name}.service" for name in SERVICES), env=environment,
    )  # fmt: skip
    exposed = re.findall(r"Overall exposure level for (\S+): ([\d.]+)", said)
    assert [name for name, _ in exposed] == [f"{name}.service" for name in SERVICES]
    assert max(float(level) for _, level in exposed) < 2.0


def test_the_documentation_starts_these() -> None:
    page = (ROOT / "docs" / "howto" / "deploy.rst").read_text()
    listed = re.findall(r"systemctl enable --now barker-\{(.*)\}", page)
    assert {f"barker-{name}" for name in ",".join(listed).split(",")} == set(SERVICES)


def test_what_they_start_is_a_suite(tmp_path: Path) -> None:
    barker = [sys.executable, "-m", "barker"]
    here = {"BARKER_HOST": HOST, "BARKER_DIRECTORY": f"{HOST}:5672", "BARKER_DATA": str(tmp_path)}
    here |= {"BARKER_KEY": str(tmp_path / "key"), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    libc = ctypes.CDLL(None)
    running: list[subprocess.Popen[bytes]] = []

    def command(words: list[str]) -> list[str]:
        assert words[0] == "/opt/barker/bin/barker"
        return [*barker, *(word.replace("/var/lib/barker", str(tmp_path)) for word in words[1:])]

    def run(*words: str) -> str:
        return subprocess.run(
            [*barker, *words], env=here, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    run("users", "make", "--users", "5")
    try:
        for unit in map(Unit, SERVICES):
            environment = unit.environment | here
            with (tmp_path / f"{unit.name}.log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        command(unit.start), env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
                        stdout=log, stderr=log,
                        preexec_fn=lambda: libc.prctl(PR_SET_MDWE, 1, 0, 0, 0),
                    )
                )  # fmt: skip
            # systemd has it started when this ends; the gateway's way is by the directory.
            subprocess.run(command(unit.answers), env=environment, cwd=tmp_path, timeout=60, check=True)
        assert run("bark", "ark3", "Woof, says systemd").startswith("accepted by the outbox at")
        wait_for(lambda: "Woof, says systemd" in run("listen", "ark3", "--count", "1"), "the bark is there")
        assert [each.poll() for each in running] == [None] * len(SERVICES)
    finally:
        for each in reversed(running):
            each.terminate()
        ends = [each.wait(20) for each in running]
    assert ends == [0] * len(SERVICES)
