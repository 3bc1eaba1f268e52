"""The pages' JavaScript that needs no browser, by node's own test runner: the ``test_*.mjs`` here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness import node

FILES = sorted(Path(__file__).parent.glob("test_*.mjs"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_pages_functions(file: Path) -> None:
    done = subprocess.run(
        [node(), "--test", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
