"""What tests with foreign engines share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scale.postgresql import Postgres
from tests.scale.rabbitmq import Node


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that the tests of a file share."""
    server = Postgres()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A RabbitMQ of one node that the tests of a file share."""
    node = Node()
    try:
        node.start()
        yield node
    finally:
        node.end()
