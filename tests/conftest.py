"""Fixtures for all tests."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import harness, seed
from tests.certified import certificates
from tests.harness import Client, Suite

# How long an example takes says nothing on a machine that has other things to do.
settings.register_profile("barker", deadline=None)
settings.load_profile("barker")

# Many processes are started here: none is to compile Barker anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tls", action="store_true", help="Have the suites that tests start speak TLS.")


def pytest_configure(config: pytest.Config) -> None:
    """By the variable of the environment all programs, and commands, know the certificates."""
    if config.getoption("--tls") and harness.TLS is None:
        folder = tempfile.TemporaryDirectory(prefix="barker-tls-")
        config.add_cleanup(folder.cleanup)
        harness.TLS = certificates(Path(folder.name))
        os.environ["BARKER_TLS"] = folder.name


def pytest_report_header() -> str:
    """What a run that failed is had again with."""
    return f"{seed.NAME}={seed.SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that drive processes or a browser come first: no worker begins a long one at the end."""
    long = {item.path for item in items if any(map(item.get_closest_marker, ("system", "browser")))}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    suite = Suite(tmp_path)
    try:
        yield suite
    finally:
        suite.end()


@pytest.fixture
def client(suite: Suite) -> Iterator[Client]:
    client = Client(suite.place)
    with contextlib.closing(client):
        yield client
