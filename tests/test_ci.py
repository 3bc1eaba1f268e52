"""What continuous integration runs, and that real engines that cannot be had are no failure of its."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import ROOT

LEFT_OUT = "test-scale is left out: "


def run(*words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, input=given, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("engines", "scale", "printed", "status"),
    [
        ("echo Installing", 0, "make test\nInstalling\nmake test-scale\n", 0),
        ("true", 2, "make test\nmake test-scale\n", 2),
        ("echo there is no network >&2; exit 75", 0, f"make test\n{LEFT_OUT}there is no network\n", 0),
        ("exit 124", 0, f"make test\n{LEFT_OUT}what it needs was not there after ten minutes\n", 0),
        ("nonsense", 0, "make test\n", 127),
    ],
)
def test_real_engines_are_left_out_only_where_they_cannot_be_had(
    tmp_path: Path, engines: str, scale: int, printed: str, status: int
) -> None:
    for folder in (".ci", "setup", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "setup" / "engines.sh").write_text(engines)
    make = tmp_path / "bin" / "make"
    make.write_text(f'#!/bin/sh\necho "make $*"; [ "$1" = test ] || exit {scale}\n')
    make.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run("bash", str(tmp_path / ".ci" / "run"), PATH=path, CHROMIUM="sh")
    assert (done.stdout, done.returncode) == (printed, status)


@pytest.mark.parametrize(
    ("as_whom", "said"),
    [
        (["--reuid=65534", "--regid=65534", "--clear-groups"], "only root "),
        (["--bounding-set=-sys_admin"], "this machine lets nobody make namespaces, mount and change the "),
    ],
    ids=["nobody", "a container without rights"],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have less rights")
def test_where_engines_cannot_be_had_it_is_said_why_in_one_line(as_whom: list[str], said: str) -> None:
    done = run("setpriv", *as_whom, "sh", given=(ROOT / "setup" / "engines.sh").read_text())
    assert done.returncode == 75
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
