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


PLAIN = {
    "tests/browser/": "its pages are http; one has TLS of its own",
    "tests/commands/": "its services are stand-ins, without certificates",
    "tests/security/": "it has TLS of its own, or none",
    "tests/system/test_benchmarks.py": "what is measured has TLS of its own",
    "tests/system/test_control.py::test_an_autobark_that_is_stopped": "its client is Proton's",
    "tests/system/test_control.py::test_nobody_waits_for_an_autobark": "its client is Proton's",
    "tests/system/test_control.py::test_pages_": "it reads what is printed without TLS",
    "tests/system/test_control.py::test_without_the_key": "with TLS there is none",
    "tests/system/test_docs.py": "pages print what is so without TLS",
    "tests/system/test_launch.py::test_everything_starts": "its page is http",
    "tests/system/test_launch.py::test_in_a_real_network": "its page is from the disk",
    "tests/system/test_launch.py::test_the_pages_are_opened": "its pages are http",
    "tests/system/test_limits.py": "its clients are raw sockets, and Proton's",
    "tests/system/test_nginx.py": "it has TLS of its own",
    "tests/system/test_peers.py": "its clients are other libraries'",
    "tests/system/test_promises.py::test_a_rejected_bark": "its client is Proton's",
    "tests/system/test_sessions.py": "it reads what is printed without TLS",
    "tests/test_gateway.py": "it speaks HTTP",
    "tests/test_monitor.py": "its agents are stand-ins, without certificates",
}
"""What is left out with ``--tls``, and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tls", action="store_true", help="Have the suites that tests start speak TLS.")
    parser.addoption("--scale", action="store_true", help="Run tests/scale, too: engines and hosts it takes.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What takes a RabbitMQ, a PostgreSQL or several hosts is run only when asked for."""
    return True if collection_path.name == "scale" and not config.getoption("--scale") else None


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that drive processes or a browser come first: no worker begins a long one at the end."""
    long = {item.path for item in items if any(map(item.get_closest_marker, ("system", "browser")))}
    for item in items if config.getoption("--tls") else []:
        for plain in filter(item.nodeid.startswith, PLAIN):
            item.add_marker(pytest.mark.skip(reason=f"--tls: {PLAIN[plain]}"))
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
