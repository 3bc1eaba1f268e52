"""What others have made: a file that is not the one that was pinned is not installed, and not built with."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))


def blocks(file: Path) -> dict[str, str]:
    """By package: its lines in a file of requirements."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(?:[^\n]*\\\n)*[^\n]*$", file.read_text(), re.MULTILINE)
    texts = re.finditer(r"^[A-Za-z0-9_.-]+==(?:[^\n]*\\\n)*[^\n]*$", file.read_text(), re.MULTILINE)
    return dict(zip(found, (text.group() for text in texts), strict=True))


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: str(path.name))
def test_every_package_is_pinned_with_its_hashes(file: Path) -> None:
    packages = blocks(file)
    named = [line for line in file.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert len(packages) == len(named) > 0
    assert all("--hash=sha256:" in text for text in packages.values())


def test_what_is_built_is_built_with_what_is_pinned() -> None:
    assert {"pip", "setuptools", "cffi"} <= blocks(ROOT / "requirements-build.txt").keys()
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line or "pip wheel" in line]
    assert installs
    assert all("--no-build-isolation" in line for line in installs)


def test_every_package_of_the_pages_has_its_hash() -> None:
    packages = json.loads((ROOT / "webui" / "package-lock.json").read_text())["packages"]
    others = {name: package for name, package in packages.items() if name}
    assert others
    assert all(package["integrity"].startswith("sha512-") for package in others.values())


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A registry whose click is not the one that was pinned, though it bears its name and version."""
    version = blocks(ROOT / "requirements.txt")["click"].split("==")[1].split()[0]
    folder = tmp_path / "simple" / "click"
    folder.mkdir(parents=True)
    name, info = f"click-{version}-py3-none-any.whl", f"click-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("click/__init__.py", "raise SystemExit('owned')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: click\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.mark.parametrize("checked", [True, False])
def test_a_registry_that_gives_another_file_installs_nothing(
    tmp_path: Path, index: str, checked: bool
) -> None:
    wanted = tmp_path / "requirements.txt"
    block = blocks(ROOT / "requirements.txt")["click"]
    wanted.write_text(block if checked else block.split(" ")[0])
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-cache-dir", "-r", str(wanted)]
    command += ["--isolated", "--index-url", index, "--target", str(tmp_path / "installed")]
    settings = {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **settings})
    # Without hashes it is what everybody would have run.
    assert (tmp_path / "installed" / "click").exists() != checked
    assert ("DO NOT MATCH THE HASHES" in done.stderr) == checked


@pytest.mark.parametrize(
    ("said", "status", "told", "ends"),
    [
        ("No known vulnerabilities found", 0, "nothing is known", 0),
        ("click 8.5.1 PYSEC-1 8.5.2", 1, "click 8.5.1 PYSEC-1", 1),
        ("click: Dependency not found on PyPI and could not be audited", 1, "skipped, as the service", 0),
    ],
)
def test_an_audit_says_what_is_known_and_what_it_could_not_ask(
    tmp_path: Path, said: str, status: int, told: str, ends: int
) -> None:
    stub = tmp_path / "stub"
    stub.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    stub.chmod(0o700)
    settings = {"PYTHON": str(stub), "NPM": "true"}
    command = ["sh", "setup/audit.sh"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=ROOT, env={**os.environ, **settings}
    )
    assert done.returncode == ends
    assert done.stdout.count(told) == len(REQUIREMENTS) + (told == "nothing is known")
