"""What an agent tells of its process, when, and to whom; time is told."""

from __future__ import annotations

import os
from typing import Any, cast

import pytest

from barker.amqp.agent import LAUNCHED, Agent, agent_alone, name_at
from barker.amqp.handlers import Condition, ConnectionHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import Network, Place
from barker.amqp.message import decode_map
from barker.amqp.reactor import Reactor
from tests.amqp.memory import MemoryReactor
from tests.amqp.pair import Pair, Peer, Recorder

ADDRESS = "agents/h-7"


class Stage:
    """An agent whose process has the figures `counts`, and a peer of it."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {"received": 0, "sent": 0}
        self.reactor = MemoryReactor()
        self.agent = Agent(cast(Reactor, self.reactor), "inbox", "inbox/1", "h", 7, lambda: self.counts)
        self.reactor.listener.handler = self.agent
        self.pair: Pair = self.reactor.dial(ConnectionHandler())

    def read(self, address: str = ADDRESS) -> tuple[Receiver, Recorder]:
        """A reader of `address`."""
        handler = Recorder(1_000)
        link = self.pair.client.receiver(address, handler, 1_000)
        self.reactor.turn()
        return link, handler


@pytest.fixture
def stage() -> Stage:
    return Stage()


def told(handler: Recorder) -> list[dict[str, Any]]:
    """The reports that came."""
    assert all(decode_map(data)[0] == "report" for data in handler.messages)
    return [cast("dict[str, Any]", decode_map(data)[1]) for data in handler.messages]


def test_a_reader_is_told_at_once_and_then_each_second(stage: Stage) -> None:
    _, early = stage.read()
    assert len(early.messages) == 1
    stage.reactor.turn(3)
    _, late = stage.read()
    stage.reactor.turn(2)
    assert (len(early.messages), len(late.messages)) == (6, 3)


def test_who_does_not_know_where_it_is_asks_for_agents_alone(stage: Stage) -> None:
    _, handler = stage.read("agents")
    [report] = told(handler)
    assert report["name"] == "inbox/1-7@h"


def test_a_report_says_which_process_it_is_and_how_it_does(stage: Stage) -> None:
    stage.counts |= {"received": 5, "depth": 3}
    _, handler = stage.read()
    [report] = told(handler)
    expected = {"name": "inbox/1-7@h", "type": "inbox", "address": "inbox/1", "host": "h", "port": 7}
    assert expected.items() <= report.items()
    assert (report["pid"], report["received"], report["depth"]) == (os.getpid(), 5, 3)
    assert report["memory"] > 1_000_000
    assert report["files"] > 0


def test_its_name_is_what_the_launcher_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAUNCHED, "inbox-1")
    assert Stage().agent.report()["name"] == "inbox-1"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "outbox-5800"),
        ("localhost", "outbox-5800"),
        ("outbox-2", "outbox-5800@outbox-2"),
        ("outbox-2.outbox.barker.svc.cluster.local", "outbox-5800@outbox-2"),
        ("10.0.0.7", "outbox-5800@10.0.0.7"),
        ("fd00::7", "outbox-5800@fd00::7"),
    ],
)
def test_services_of_several_machines_have_the_same_port_and_not_the_same_name(host: str, name: str) -> None:
    assert name_at("outbox", host, 5800) == name


def test_rates_are_of_the_last_ten_seconds(stage: Stage) -> None:
    _, handler = stage.read()
    for second in range(1, 31):
        stage.counts["received"] = 40 * min(second, 10)  # Nothing more comes after ten seconds.
        stage.reactor.turn(1)
    rates = [report["received_rate"] for report in told(handler)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(40, rel=0.15)
    assert 0 < rates[15] < rates[10]
    assert rates[30] == 0
    assert {report["sent_rate"] for report in told(handler)} == {0}


def test_the_processors_share_is_of_the_last_second(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    used = 100.0
    monkeypatch.setattr("barker.amqp.system.Own.cpu_seconds", property(lambda own: used))
    stage = Stage()
    _, handler = stage.read()
    used += 0.25
    stage.reactor.turn(1)
    stage.reactor.turn(1)
    assert [report["cpu"] for report in told(handler)] == [0, 0.25, 0]


def test_a_reader_that_went_is_told_nothing_more(stage: Stage) -> None:
    link, handler = stage.read()
    link.close()
    stage.reactor.turn(5)
    assert len(handler.messages) == 1


@pytest.mark.parametrize(
    ("sends", "address", "condition", "words"),
    [
        pytest.param(True, ADDRESS, "amqp:not-allowed", f"{ADDRESS} can be received from", id="who sends"),
        pytest.param(False, "agents/h-8", "amqp:not-found", f"this is {ADDRESS}", id="another's address"),
        pytest.param(False, "inbox/1", "amqp:not-found", f"this is {ADDRESS}", id="its service's address"),
    ],
)
def test_who_wants_something_else_is_told_what_is_here(
    stage: Stage, sends: bool, address: str, condition: str, words: str
) -> None:
    refused: list[Condition | None] = []

    class Asker(Recorder):
        def on_closed(self, link: Sender | Receiver, condition: Condition | None) -> None:
            refused.append(condition)

    if sends:
        stage.pair.client.sender(address, Asker())
    else:
        stage.pair.client.receiver(address, Asker(), 10)
    stage.reactor.turn()
    [found] = refused
    assert found is not None
    assert found.name == condition
    assert words in found.description
    _, handler = stage.read()
    assert len(handler.messages) == 1, "others are told as before"


def test_a_process_that_serves_nothing_else_registers_its_agent_and_is_found_there() -> None:
    reactor = MemoryReactor()
    directory = Peer(lambda link: Recorder())
    reactor.places[Place("d", 1)] = cast(ConnectionHandler, directory)
    network = Network(cast(Reactor, reactor), Place("d", 1))
    agent = agent_alone(cast(Reactor, reactor), network, "autobark", "h", lambda: {"rate": 3.0})
    reactor.turn(1)
    [registration] = directory.links
    assert registration.properties["address"] == agent.address == "agents/h-1"
    assert (registration.properties["host"], registration.properties["port"]) == ("h", 1)
    handler = Recorder()
    reactor.dial(ConnectionHandler()).client.receiver(agent.address, handler, 10)
    reactor.turn()
    assert told(handler)[0]["rate"] == 3.0
