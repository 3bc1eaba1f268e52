"""A wheel, in an empty folder with no checkout in sight: the suite starts, and both pages work."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from barker.suite.ports import free_offset
from tests.harness import ROOT, wait_for

pytestmark = pytest.mark.system

SOURCES = ("barker", "benchmarks", "webui", "monitoring", "pyproject.toml", "setup.py", "README.rst")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, made elsewhere, so that nothing of an earlier one is in it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder / "dist")]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(folder)], check=True, timeout=100)
    [made] = (folder / "dist").glob("barker-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the wheel installed, and what it depends on; this checkout is not in it."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, timeout=60)
    # Of folders named so, Python follows no .pth files: the one of the editable checkout is not seen.
    packages = f"{folder}{os.pathsep}{sysconfig.get_path('purelib')}"
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": packages, "PATH": path}


def test_it_has_the_pages_and_their_libraries_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for file in ("webui/index.html", "monitoring/index.html", "webui/node_modules/rhea/dist/rhea-umd.js"):
        assert f"barker/pages/{file}" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks")) or "session.js" in name]


def test_what_is_not_core_is_an_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    needs = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    core = sorted(re.split("[<>=]", need)[0] for need in needs if ";" not in need)
    assert core == ["click", "psutil", "python-qpid-proton"]
    assert {"web", "terminal", "tls", "scale", "all"} == {
        line[16:] for line in lines if line.startswith("Provides-Extra: ")
    }


@pytest.mark.parametrize(
    ("program", "lacks", "extra"),
    [
        ("gateway", "aiohttp", "web"),
        ("gateway", "prometheus_client", "web"),
        ("chaos", "rich", "terminal"),
        ("certs", "cryptography", "tls"),
    ],
)
def test_a_program_that_lacks_its_own_says_which(program: str, lacks: str, extra: str) -> None:
    code = f"import sys; sys.modules[{lacks!r}] = None; import barker.{program}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.returncode == 1
    assert (
        done.stderr == f"barker: this needs {lacks}, which is not installed: pip install 'barker[{extra}]'\n"
    )


def test_what_measures_and_what_looks_for_faults_come_with_it(
    installed: dict[str, str], tmp_path: Path
) -> None:
    command = ["barker", "bench", "sync", "--seconds", "0.1", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["barks_per_second"]["one by one"]) == {"normal", "full"}
    command = ["barker", "doctor", "--port-offset", str(free_offset())]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the pages: all there" in done.stdout
    done = subprocess.run(["barker", "bench", "sink"], cwd=tmp_path, env=installed, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.startswith(b"barker: there is no benchmark 'sink'; there are startup, ")


@pytest.mark.browser
def test_in_an_empty_folder_the_suite_starts_and_both_pages_work(
    installed: dict[str, str], tmp_path: Path, page: Page
) -> None:
    offset, output = free_offset(), tmp_path.with_name("output.txt")
    command = ["barker", "up", "--port-offset", str(offset), "--monitoring", "--autobarks", "1"]
    with output.open("w") as out:
        launcher = subprocess.Popen(command, cwd=tmp_path, env=installed, stdout=out, stderr=out)
    try:
        wait_for(lambda: "Ready after" in output.read_text(), "the suite is ready", 60)
        assert str(ROOT) not in output.read_text()
        assert "file://" not in output.read_text()
        link, dashboard = re.findall(r"http://\S+", output.read_text())
        page.goto(link)
        page.fill("#text", "Woof from a wheel")
        page.press("#text", "Enter")
        expect(page.locator("#barks")).to_contain_text("Woof from a wheel")
        page.goto(dashboard)
        expect(page.locator("body")).to_contain_text("bizlogic", timeout=60_000)
        killed = subprocess.run(
            ["barker", "kill", f"bizlogic-{5680 + offset}", "--directory", f"127.0.0.1:{5672 + offset}"],
            cwd=tmp_path,
            env=installed,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert killed.stdout == f"bizlogic-{5680 + offset} is killed\n", killed.stderr
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(20)
