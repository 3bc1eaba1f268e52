"""What tests with foreign engines share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scale.postgresql import Postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that the tests of a file share."""
    server = Postgres()
    try:
        yield server
    finally:
        server.end()
