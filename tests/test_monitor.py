"""The monitor with agents that say what they like: real processes, and liars in a thread of this one."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proton import Message

from barker.amqp.agent import register
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import Network, Place
from barker.amqp.message import decode_map, encode_map
from barker.amqp.reactor import Reactor
from barker.core.routing import Route
from tests.harness import Client, Suite, credentials_at, wait_for

Lies = Callable[[bytes], str]


class Liar(ConnectionHandler):
    """An agent that says `data`, five times a second."""

    def __init__(self, network: Network, data: bytes) -> None:
        self._readers = Broadcast(lambda: [data], Lag.GAP)
        port = network.reactor.listen("127.0.0.1", 0, self).port
        self.name = f"127.0.0.1-{port}"
        network.reactor.every(0.2, lambda: self._readers.send(data))
        register(network, Route(f"agents/{self.name}", "127.0.0.1", port, "ordered"))

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        return self._readers


@pytest.fixture
def liar(suite: Suite) -> Iterator[Lies]:
    """Makes an agent that says these bytes, and tells HOST-PORT of it."""
    reactor = Reactor("test-liars", credentials=credentials_at(suite.place))
    network = Network(reactor, Place.parse(suite.place))
    thread = threading.Thread(target=reactor.run, daemon=True)
    thread.start()
    made: list[Liar] = []

    def make(data: bytes) -> str:
        count = len(made)
        reactor.call_from_thread(lambda: made.append(Liar(network, data)))
        wait_for(lambda: len(made) > count, "the liar listens")
        return made[-1].name

    yield make
    reactor.call_from_thread(reactor.stop)
    thread.join(10)


def report(**changes: Any) -> bytes:
    sound = {"name": "x-1", "type": "x", "host": "127.0.0.1", "port": 1, "pid": 7, "received": 0, "sent": 0}
    return encode_map("report", sound | changes)


NONSENSE = {
    "name 5": report(name=5),
    "odd type": report(type=["x", 5]),
    "no number": report(depth="many", memory={"a": 1}),
    "a huge number": report(sent=2**62),
    "no map": encode_map("report", [1, 2, 3]),
    "no body": bytes(Message().encode()),
    "no AMQP": b"woof",
    "too large": report(command="x" * 100_000),
}


def test_nonsense_costs_only_its_own_report(suite: Suite, liar: Lies, client: Client) -> None:
    monitor, gateway = suite.start("monitor"), suite.start("gateway")
    liars = {liar(data): what for what, data in NONSENSE.items()}
    sound = liar(report(name="sound-1"))
    messages = client.receive_raw("monitor")

    def complaints(name: str) -> int:
        return monitor.log.count(f"agents/{name} is left out: ")

    wait_for(lambda: all(complaints(name) for name in liars), "the monitor has heard all of them")
    told = len(messages)
    wait_for(lambda: len(messages) >= told + 3, "the monitor goes on")

    def names() -> set[str]:
        return {each["name"] for each in decode_map(messages[-1])[1]["reports"]}

    ours = {f"directory-{suite.directory.port}", f"monitor-{monitor.port}", f"gateway-{gateway.port}"}
    wait_for(lambda: names() == {"sound-1"} | ours, "it tells of the sound ones, and of no others")
    assert {what: complaints(name) for name, what in liars.items()} == dict.fromkeys(NONSENSE, 1)
    assert f"{sound} is left out" not in monitor.log
    assert "Traceback" not in monitor.log

    def shown() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text if 'barker_up{pid="7",service="sound-1",type="x"} 1.0' in text else ""

    text = wait_for(shown, "the sound one is shown")
    assert text.count("barker_up{") == 4


def test_reports_come_in_the_order_of_their_names(suite: Suite, liar: Lies, client: Client) -> None:
    suite.start("monitor")
    names = ["autobark-10", "autobark-2", "autobark-1"]
    for name in names:
        liar(report(name=name, type="autobark"))
    messages = client.receive_raw("monitor")

    def autobarks() -> list[str]:
        reports = decode_map(messages[-1])[1]["reports"] if messages else []
        return [each["name"] for each in reports if each["type"] == "autobark"]

    wait_for(lambda: len(autobarks()) == 3, "all three report")
    assert autobarks() == ["autobark-1", "autobark-2", "autobark-10"]


def test_who_reports_is_known_by_the_route(suite: Suite, liar: Lies, client: Client) -> None:
    monitor = suite.start("monitor")
    port = suite.directory.port
    impostor = liar(report(name="impostor", host="127.0.0.1", port=port))
    messages = client.receive_raw("monitor")

    def places() -> dict[str, int]:
        reports = decode_map(messages[-1])[1]["reports"] if messages else []
        return {each["name"]: each["port"] for each in reports}

    def both() -> bool:
        return {"impostor", f"directory-{port}"} <= places().keys()

    wait_for(both, "both report, and neither takes the other's place")
    assert places()["impostor"] == int(impostor.rpartition("-")[2])
    assert places()[f"directory-{port}"] == port
    told = len(messages)
    wait_for(lambda: len(messages) >= told + 3, "three more seconds")
    assert all(len(decode_map(message)[1]["reports"]) == 3 for message in messages[told:])
    assert "Traceback" not in monitor.log
