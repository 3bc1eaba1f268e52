"""The tools that look at what is deployed: `make test-scale` brings them, into a folder of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.harness import ROOT

FOLDER = ROOT / ".venv-linters"


def tool(name: str) -> str:
    """The path of a tool; a test that wants it is skipped where it is not."""
    found = shutil.which(name, path=f"{FOLDER / 'bin'}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {name}: make test-scale brings it")
    return found


def done(*words: str, seconds: float = 60, **options: Any) -> str:
    """What a tool has printed, that has found nothing."""
    ran = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False,
        cwd=ROOT, **options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def documents(text: str) -> list[Any]:
    """What YAML says."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        pytest.skip("there is nothing that reads YAML: make test-scale brings it")
    script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
    ran = subprocess.run(
        [str(python), "-c", script], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    found: list[Any] = json.loads(ran.stdout)
    return found
