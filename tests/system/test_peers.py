"""Other people's AMQP: Proton and rhea, many connections, large messages, and bytes that are no AMQP."""

from __future__ import annotations

import hmac
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from proton import (
    UNDESCRIBED,
    Array,
    Data,
    Described,
    Event,
    Link,
    Message,
    Terminus,
    byte,
    char,
    decimal32,
    decimal64,
    decimal128,
    float32,
    int32,
    short,
    symbol,
    timestamp,
    ubyte,
    uint,
    ulong,
    ushort,
)
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption
from proton.utils import BlockingConnection, LinkDetached

from barker.amqp.connection import Connection
from barker.amqp.handlers import Condition, ConnectionHandler
from barker.amqp.reactor import Reactor
from barker.store.key import read_key
from tests.harness import ROOT, Client, Process, Suite, free_port, node, wait_for
from tests.seed import seeded

pytestmark = pytest.mark.system

PEERS = Path(__file__).resolve().parent.parent / "peers"


@pytest.fixture
def orders(suite: Suite) -> Process:
    """A manifold that consumers pull from."""
    return suite.start("manifold", "orders")


def run(*command: str) -> str:
    """What it prints. On a machine so busy that a service is silent for 2 s, the directory does not know it
    for a moment: who asks just then has to ask again."""

    def done() -> str:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        printed = ended.stdout + ended.stderr
        assert ended.returncode == 0 or "amqp:not-found" in printed, printed
        return ended.stdout if ended.returncode == 0 else ""

    return str(wait_for(done, " ".join(command)))


@pytest.mark.parametrize("through", ["port", "directory"])
def test_protons_simple_send_and_recv_work(suite: Suite, orders: Process, through: str) -> None:
    suite.wait_for_state(orders, depth=0)
    wait_for(lambda: "directory: found" in orders.log, "orders is registered")
    place = f"127.0.0.1:{orders.port}" if through == "port" else suite.place
    assert run(sys.executable, str(PEERS / "simple_send.py"), f"{place}/orders", "50") == "sent 50\n"
    suite.wait_for_state(orders, depth=50)
    output = run(sys.executable, str(PEERS / "simple_recv.py"), f"{place}/orders", "50")
    assert output.split() == [str(number) for number in range(50)]
    suite.wait_for_state(orders, depth=0)


@pytest.mark.parametrize("through", ["port", "directory"])
def test_rhea_works(suite: Suite, orders: Process, through: str) -> None:
    suite.wait_for_state(orders, depth=0)
    wait_for(lambda: "directory: found" in orders.log, "orders is registered")
    port = orders.port if through == "port" else suite.directory.port
    rhea = ROOT / "webui" / "node_modules" / "rhea"
    assert rhea.exists(), "rhea is not installed: make setup"
    output = run(node(), str(PEERS / "rhea_peer.js"), str(rhea), str(port), "orders", "200")
    assert output == "received 200 in order\n"


def full_message(body: object) -> bytes:
    """A message with every header, annotation and property set."""
    message = Message(
        id=uuid.UUID(int=7),
        durable=True,
        priority=9,
        ttl=12.5,
        first_acquirer=True,
        delivery_count=3,
        user_id=b"somebody",
        address="orders",
        subject="all of it",
        reply_to="elsewhere",
        correlation_id=ulong(2**64 - 1),
        content_type="text/plain",
        content_encoding="none",
        expiry_time=2_000_000_000.0,
        creation_time=1_700_000_000.125,
        group_id="group",
        group_sequence=4,
        reply_to_group_id="other group",
        instructions={symbol("x-opt-in"): "delivery annotation"},
        annotations={symbol("x-opt-an"): ulong(5)},
        properties={"text": "ä€😀", "number": -5, "bytes": b"\x00\xff"},
        body=body,
    )
    return bytes(message.encode())


EVERY_TYPE = [
    None,
    True,
    False,
    ubyte(255),
    ushort(65535),
    uint(2**32 - 1),
    ulong(2**64 - 1),
    byte(-128),
    short(-32768),
    int32(-(2**31)),
    -(2**63),
    float32(1.5),
    2.5,
    decimal32(7),
    decimal64(8),
    decimal128(b"0123456789abcdef"),
    char("€"),
    timestamp(1_700_000_000_000),
    uuid.UUID(int=2**127),
    b"\x00binary\xff",
    "string ä€😀",
    symbol("symbol"),
    [1, "two", [3.0]],
    {"map": {"in": "map"}, symbol("s"): None},
    Array(UNDESCRIBED, Data.INT, 1, 2, 3),
    Described(symbol("described"), "value"),
    "long " * 100,
]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(full_message(EVERY_TYPE), id="every type"),
        pytest.param(full_message(b"data section"), id="data"),
        pytest.param(full_message("x" * 300_000), id="300 kB"),
        pytest.param(full_message(b"y" * 15_000_000), id="15 MB"),
        # Two data sections, a sequence, a footer: what Proton's Message cannot make.
        pytest.param(b"\x00\x53\x75\xa0\x01a\x00\x53\x75\xa0\x01b", id="two data sections"),
        pytest.param(b"\x00\x53\x76\xc0\x03\x02\x54\x01\x00\x53\x78\xc1\x01\x00", id="sequence"),
    ],
)
def test_a_message_comes_out_of_a_pull_manifold_bit_for_bit(
    suite: Suite, client: Client, orders: Process, data: bytes
) -> None:
    client.send_raw("orders", data)
    wait_for(lambda: data in client.accepted, "the manifold accepts it")
    orders.restart()  # So that it comes from the journal.
    received = client.receive_raw("orders")
    wait_for(lambda: received, "the message comes")
    assert received == [data]


@pytest.mark.parametrize("data", [b"abc", b"no AMQP at all", full_message("cut short")[:-3]])
def test_what_is_no_amqp_is_rejected_where_it_enters(
    suite: Suite, client: Client, orders: Process, data: bytes
) -> None:
    client.send_raw("orders", data)
    wait_for(lambda: data in client.rejected, "it is rejected")
    assert "amqp:decode-error" in str(client.rejected[data])
    client.send_raw("orders", full_message("sound"))
    received = client.receive_raw("orders")
    wait_for(lambda: received, "a sound one comes")
    assert received == [full_message("sound")]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"distribution_mode": Terminus.DIST_MODE_COPY}, "browsing"),
        (
            {"filter": {symbol("selector"): Described(symbol("apache.org:selector-filter:string"), "a = 1")}},
            "filter",
        ),
    ],
)
def test_what_a_source_cannot_do_is_refused_with_a_sentence(
    suite: Suite, orders: Process, wanted: dict[str, Any], why: str
) -> None:
    suite.wait_for_state(orders, depth=0)

    class Wants(LinkOption):
        def apply(self, link: Any) -> None:
            link.source.distribution_mode = wanted.get("distribution_mode", link.source.distribution_mode)
            if "filter" in wanted:
                link.source.filter.put_dict(wanted["filter"])

    connection = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=5)
    with pytest.raises(LinkDetached, match=f"amqp:not-implemented.*{why}"):
        connection.create_receiver("orders", options=Wants())
    connection.close()


def test_a_stock_consumer_that_takes_its_time_gets_each_message_once(
    suite: Suite, client: Client, orders: Process
) -> None:
    """One thread, 10 messages in hand, each takes longer than our own services may be silent."""
    for number in range(4):
        client.send_raw("orders", full_message(f"number {number}"))
    wait_for(lambda: len(client.accepted) == 4, "all are there")
    got: list[str] = []

    class Slow(MessagingHandler):
        def __init__(self) -> None:
            super().__init__(prefetch=10)

        def on_start(self, event: Any) -> None:
            event.container.create_receiver(f"127.0.0.1:{orders.port}/orders")

        def on_message(self, event: Any) -> None:
            time.sleep(3 if not got else 0.25)  # Its work: while it lasts, it says nothing.
            got.append(event.message.body)
            if len(got) == 4:
                event.connection.close()

    thread = threading.Thread(target=Container(Slow()).run, daemon=True)
    thread.start()
    thread.join(15)
    assert not thread.is_alive()
    assert got == [f"number {number}" for number in range(4)]
    suite.wait_for_state(orders, depth=0)


def test_consumers_compete_and_an_unsettled_message_goes_to_another(suite: Suite, orders: Process) -> None:
    suite.wait_for_state(orders, depth=0)
    place = f"127.0.0.1:{orders.port}"
    sender = BlockingConnection(place, timeout=5).create_sender("orders/eu")
    first_connection = BlockingConnection(place, timeout=5)
    first = first_connection.create_receiver("orders/eu", credit=10)
    second = BlockingConnection(place, timeout=5).create_receiver("orders/eu", credit=10)
    other = BlockingConnection(place, timeout=5).create_receiver("orders", credit=10)
    for number in range(6):
        sender.send(Message(body=number))
    mine = [first.receive(timeout=5).body for _ in range(3)]
    yours = []
    for _ in range(3):
        yours.append(second.receive(timeout=5).body)
        second.accept()
    assert sorted(mine + yours) == list(range(6))
    first_connection.close()
    for _ in range(3):
        yours.append(second.receive(timeout=5).body)
        second.accept()
    assert sorted(yours) == list(range(6))
    assert yours[3:] == sorted(mine)
    assert other.fetcher.has_message == 0
    for blocking in (sender, second, other):
        blocking.connection.close()
    suite.wait_for_state(orders, depth=0)


def test_a_message_above_the_limit_ends_its_link_only(suite: Suite, client: Client) -> None:
    small = suite.start("manifold", "small", "--max-message-size", "1000")
    suite.wait_for_state(small, depth=0)
    connection = BlockingConnection(f"127.0.0.1:{small.port}", timeout=5)
    sender, other = (connection.create_sender("small", name=name) for name in ("one", "other"))
    with pytest.raises(LinkDetached, match="1000 bytes at most"):
        sender.send(Message(body="x" * 2000))
    other.send(Message(body="fits"))
    connection.close()
    suite.wait_for_state(small, depth=1)


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("elsewhere", "amqp:not-found"),
        (None, "amqp:invalid-field"),
    ],
)
def test_a_wrong_address_is_refused_with_a_reason(
    suite: Suite, orders: Process, address: str | None, condition: str
) -> None:
    suite.wait_for_state(orders, depth=0)
    connection = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=5)
    with pytest.raises(LinkDetached, match=condition):
        connection.create_sender(address)
    connection.create_sender("orders").send(Message(body="the connection lives on"))
    connection.close()


class _Billing(MessagingHandler):
    """A service on Proton, found through the directory, that gives back each terminus as it was asked for."""

    def __init__(self, directory: str, key: bytes, port: int, count: int) -> None:
        super().__init__()
        self._directory, self._key, self._port, self._count = directory, key, port, count
        self.bodies: list[object] = []

    def on_start(self, event: Event) -> None:
        proof = hmac.digest(self._key, f"billing 127.0.0.1 {self._port}".encode(), "sha256").hex()
        route = {"address": "billing", "host": "127.0.0.1", "port": self._port, "barker:proof": proof}

        class Registration(LinkOption):
            def apply(self, link: Link) -> None:
                link.properties = route

        event.container.listen(f"127.0.0.1:{self._port}")
        event.container.create_sender(f"{self._directory}/directory", options=Registration())
        event.container.schedule(20, self)

    def on_link_opening(self, event: Event) -> None:
        event.link.source.copy(event.link.remote_source)
        event.link.target.copy(event.link.remote_target)

    def on_message(self, event: Event) -> None:
        self.bodies.append(event.message.body)
        if len(self.bodies) == self._count:
            event.container.stop()

    def on_timer_task(self, event: Event) -> None:
        event.container.stop()


def test_a_service_on_proton_gets_each_message_alone_from_a_deep_queue(suite: Suite, client: Client) -> None:
    invoices = suite.start("manifold", "invoices", "--push", "billing")
    for number in range(300):
        client.send_raw("invoices", bytes(Message(body=number).encode()))
    wait_for(lambda: len(client.accepted) == 300, "the manifold has them all")
    billing = _Billing(suite.place, read_key(suite.key), free_port(), 300)
    Container(billing).run()
    assert billing.bodies == list(range(300))
    suite.wait_for_state(invoices, dead_letters=0)


class _Many(ConnectionHandler):
    def __init__(self) -> None:
        self.connected, self.lost = 0, 0

    def on_connected(self, connection: Connection) -> None:
        self.connected += 1

    def on_lost(self, connection: Connection, condition: Condition | None) -> None:
        self.lost += 1


def test_two_thousand_connections_at_once_to_one_manifold(
    suite: Suite, client: Client, orders: Process
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    suite.wait_for_state(orders, depth=0)
    many = _Many()
    for dialled in range(100, 2001, 100):  # A busy machine takes its time; they all stand at once in the end.
        for _ in range(100):
            client.reactor.call_from_thread(lambda: client.reactor.connect("127.0.0.1", orders.port, many))
        wait_for(lambda: many.connected + many.lost >= dialled, f"{dialled} connections are open", 30)  # noqa: B023
    assert many.lost == 0
    suite.wait_for_state(orders, connections=lambda count: count >= 2000)
    # They are not only there: they live on heartbeats, and others are served.
    client.send_raw("orders", full_message("among thousands"))
    wait_for(lambda: client.accepted, "a message is accepted meanwhile")
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > 3, "longer than the idle time-out")
    assert many.lost == 0


FRAME_HEADER = b"AMQP\x00\x01\x00\x00"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(seeded().randbytes(5000), id="noise"),
        pytest.param(FRAME_HEADER + struct.pack(">IBBH", 100_000_000, 2, 0, 0), id="100 MB frame header"),
        pytest.param(FRAME_HEADER + struct.pack(">IBBH", 3, 2, 0, 0), id="frame of 3 bytes"),
        pytest.param(FRAME_HEADER + struct.pack(">IBBH", 100, 2, 0, 0) + b"\xff" * 92, id="frame of noise"),
        pytest.param(b"AMQP\x00\x09\x00\x00", id="another version"),
    ],
)
def test_garbage_costs_only_the_one_who_sends_it(suite: Suite, orders: Process, garbage: bytes) -> None:
    suite.wait_for_state(orders, depth=0)
    standing = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=5)
    sender = standing.create_sender("orders")
    with socket.create_connection(("127.0.0.1", orders.port), timeout=10) as peer:
        peer.sendall(garbage)
        while peer.recv(4096):  # An AMQP header and a close with a reason may come; then the end must.
            pass
        name = f"127.0.0.1:{peer.getsockname()[1]}"
    wait_for(lambda: name in orders.log, "the log has a line about it")
    assert len([line for line in orders.log.splitlines() if name in line]) == 1
    assert "Traceback" not in orders.log
    sender.send(Message(body="still here"))
    standing.close()
    suite.wait_for_state(orders, depth=1)


def test_half_a_frame_and_then_nothing_costs_only_itself(suite: Suite, orders: Process) -> None:
    suite.wait_for_state(orders, depth=0)
    with socket.create_connection(("127.0.0.1", orders.port), timeout=15) as peer:
        peer.sendall(FRAME_HEADER + struct.pack(">IBBH", 100, 2, 0, 0) + b"\x00\x53\x10")
        begun = time.monotonic()
        while peer.recv(4096):
            pass
        assert time.monotonic() - begun < 12
    sender = BlockingConnection(f"127.0.0.1:{orders.port}", timeout=5).create_sender("orders")
    sender.send(Message(body="still here"))
    sender.connection.close()


def test_a_second_process_on_the_same_port_says_what_to_do(suite: Suite, orders: Process) -> None:
    suite.wait_for_state(orders, depth=0)
    command = [sys.executable, "-m", "barker.directory", "--port", str(orders.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"barker: port {orders.port} on 127.0.0.1 is in use")
    assert "Traceback" not in done.stderr


def test_reactor_connects_by_name_and_reports_what_cannot_be_reached() -> None:
    handler, reactor = _Many(), Reactor("test")
    reactor.connect("no-such-host.invalid", 5672, handler)
    reactor.every(0.01, lambda: handler.lost and reactor.stop())
    reactor.after(10, reactor.stop)
    reactor.run()
    assert handler.lost == 1
