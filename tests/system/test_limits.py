"""What one peer may take of a service, and that the service goes on."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from proton import Message
from proton.utils import BlockingConnection, LinkDetached

from tests.harness import Client, Process, Suite, wait_for

pytestmark = pytest.mark.system

HEADER = b"AMQP\x00\x01\x00\x00"


@pytest.fixture
def orders(suite: Suite) -> Process:
    """A small manifold with low limits."""
    sizes = ("--max-connections", "8", "--max-links", "3", "--max-frame-size", "4096")
    process = suite.start("manifold", "orders", *sizes, "--open-seconds", "0.5")
    suite.wait_for_state(process, depth=0)
    return process


@contextlib.contextmanager
def dialled(process: Process) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", process.port or 0), timeout=10) as sock:
        yield sock


def ended(sock: socket.socket) -> bytes:
    """What the service still says before it closes the connection; fails if it does not within 10 s."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            said += data
    return said


def test_connections_above_the_limit_are_turned_away(orders: Process, suite: Suite) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(dialled(orders))
        wait_for(lambda: "is turned away: 8 connections" in orders.log, "it says so in its log")
    # Those who have gone leave room.
    suite.wait_for_state(orders, depth=0)


def test_links_above_the_limit_are_refused(orders: Process) -> None:
    connection = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=10)
    for number in range(3):
        connection.create_receiver("orders", name=str(number))
    with pytest.raises(LinkDetached, match="may have 3 links"):
        connection.create_receiver("orders", name="one too many")
    connection.close()


@pytest.mark.parametrize("drip", [b"", b"A", HEADER, HEADER + b"\x00\x00"])
def test_who_does_not_open_a_connection_in_time_is_closed(orders: Process, drip: bytes) -> None:
    with dialled(orders) as sock:
        sock.sendall(drip)
        ended(sock)


def test_a_trickle_of_bytes_keeps_nothing_open(orders: Process) -> None:
    with dialled(orders) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.settimeout(0.05)
        # An open frame that claims to be long, a byte at a time.
        for byte in HEADER + struct.pack(">IBBH", 4000, 2, 0, 0) + bytes(400):
            sock.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if sock.recv(65536) == b"":
                    return
        pytest.fail("it was never closed")


def test_a_frame_above_the_limit_ends_its_connection(orders: Process, suite: Suite) -> None:
    with dialled(orders) as sock:
        sock.sendall(HEADER + struct.pack(">IBBH", 2**31 - 1, 2, 0, 0) + b"x" * 8192)
        said = ended(sock)
    assert said.startswith(HEADER)
    suite.wait_for_state(orders, depth=0)


def test_queues_that_nobody_uses_are_forgotten(orders: Process, suite: Suite, client: Client) -> None:
    connection = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=10)
    for number in range(50):
        connection.create_receiver(f"orders/{number}").close()
    kept = connection.create_sender("orders/kept")
    kept.send(Message(body="stays"))
    state = suite.wait_for_state(orders, queues=1)
    assert state["depth"] == 1
    connection.close()
    messages = client.receive_raw("orders/kept")
    wait_for(lambda: messages, "the message is still there")
