"""The page "From a laptop to a cluster" is so, beside a RabbitMQ and a PostgreSQL at their usual ports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness import ROOT
from tests.printed import apart

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def test_the_page_is_so() -> None:
    command = apart([sys.executable, "-m", "tests.scale.cluster"])
    if command is None:
        pytest.skip("this machine gives no network namespace, in which the usual ports are free")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
