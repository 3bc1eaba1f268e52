"""The image, made once for all tests that want it: `pytest_plugins` of theirs names this."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dockerfile import Build, NoDebian, Stage
from tests.harness import ROOT

STEP_SECONDS = 1200
"""One step of the Dockerfile takes no longer: packages are fetched, and Proton is compiled."""


@pytest.fixture(scope="session")
def image() -> Iterator[Stage]:
    """The image: the Dockerfile's steps are done for real, in a clean Debian, without an engine."""
    if os.getuid() != 0:
        pytest.skip("only root makes a Debian in a folder, and goes into it")
    if not shutil.which("debootstrap"):
        pytest.skip("there is no debootstrap: make test-scale brings it")
    folder = Path(tempfile.mkdtemp(prefix="barker-image-"))
    try:
        yield Build(ROOT, folder, STEP_SECONDS).image()
    except NoDebian as error:
        pytest.skip(f"no Debian can be made here: {error}")
    finally:
        shutil.rmtree(folder)
