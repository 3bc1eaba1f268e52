"""What every service does for its peers, whatever it serves."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from barker.amqp.agent import AGENTS
from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.service import MOST_TOLD, TOLD_SECONDS, Service, Serving, only_send, too_large
from barker.core.advertised import Advertised
from barker.core.errors import BarkerError, Mistake, NotAllowed
from barker.core.routing import Route
from tests.amqp.memory import MemoryReactor
from tests.amqp.pair import Pair, Peer, Recorder
from tests.stage import Stage, serving


class Kennel(Service):
    """Serves ``kennel``, to senders, and ``kennel/door``, to receivers; has a bug at ``kennel/bug``."""

    kind = "kennel"

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        if address == "kennel/bug":
            raise ZeroDivisionError
        self.only_own(address)
        return Recorder()

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        if address == "kennel":
            raise only_send(address)
        if address == "kennel/door":
            return Recorder()
        return super().on_source(link, address)

    def state(self) -> dict[str, Any]:
        return {"dogs": 3}


@pytest.fixture
def stage() -> Any:
    stage = Stage(Kennel(serving("kennel")))
    yield stage
    stage.service.reactor.close()


def attach(pair: Pair, sends: bool, address: str) -> list[Condition | None]:
    """Attach a link; the conditions by which it was ended, if it was."""
    ended: list[Condition | None] = []

    class Asker(Recorder):
        def on_closed(self, link: Sender | Receiver, condition: Condition | None) -> None:
            ended.append(condition)

    if sends:
        pair.client.sender(address, Asker())
    else:
        pair.client.receiver(address, Asker(), 10)
    pair.pump()
    return ended


@pytest.mark.parametrize(("sends", "address"), [(True, "kennel"), (False, "kennel/door"), (True, "/kennel/")])
def test_a_link_to_what_is_served_stands(stage: Stage, sends: bool, address: str) -> None:
    assert attach(stage.connect(), sends, address) == []


@pytest.mark.parametrize(
    ("sends", "address", "name", "words"),
    [
        (True, "kennel/door", "amqp:not-found", "kennel/door is not here; this is kennel"),
        (True, "stable", "amqp:not-found", "stable is not here; this is kennel"),
        (False, "kennel", "amqp:not-allowed", "kennel can be sent to, not received from"),
        (False, "kennel/roof", "amqp:not-found", "there is nothing to receive from kennel/roof here"),
        (True, "x" * 5_000, "amqp:resource-limit-exceeded", "bytes"),
        (True, "", "amqp:invalid-field", "address"),
    ],
)
def test_any_other_is_refused_in_words_and_the_connection_stands(
    stage: Stage, sends: bool, address: str, name: str, words: str
) -> None:
    pair = stage.connect()
    [condition] = attach(pair, sends, address)
    assert condition is not None
    assert condition.name == name
    assert words in condition.description
    assert attach(pair, True, "kennel") == []


def test_a_bug_ends_the_connection_of_who_met_it_and_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    met, other = stage.connect(), stage.connect()
    attach(met, True, "kennel/bug")
    assert not met.client.live
    assert "ZeroDivisionError" in caplog.text
    assert attach(other, True, "kennel") == []


def test_its_agent_is_found_below_agents_and_tells_its_state(stage: Stage) -> None:
    pair = stage.connect()
    handler = Recorder()
    pair.client.receiver(f"{AGENTS}127.0.0.1-{stage.service.port}", handler, 10)
    stage.turn()
    [report] = handler.messages
    assert b"dogs" in report
    assert stage.service.agent.report()["dogs"] == 3
    assert stage.service.agent.report()["type"] == "kennel"


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Mistake, match=f"port {port} on 127.0.0.1 is in use"):
            Kennel(Serving("kennel", "127.0.0.1", port, (Place("127.0.0.1", 9),)))


def test_it_registers_for_its_address_and_its_agent_and_deregisters_first_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reactor = MemoryReactor()
    directory = Peer(lambda link: Recorder())
    reactor.places[Place("d", 1)] = directory  # type: ignore[assignment]
    monkeypatch.setattr("barker.amqp.process.Reactor", lambda container, system, credentials: reactor)
    closed: list[str] = []
    service = Kennel(Serving("kennel", "h", 5, (Place("d", 1),), "ordered"))
    service.listener.close = lambda: closed.append("listener")
    service.register()
    reactor.turn(1)
    told = [(link.properties["address"], link.properties["policy"]) for link in directory.links]
    assert sorted(told) == [("agents/h-5", "ordered"), ("kennel", "ordered")]
    assert all(link.live for link in directory.links)
    service.on_ending()
    reactor.turn(1)
    assert not any(link.live for link in directory.links)
    assert closed == ["listener"]


@pytest.mark.parametrize(("port", "dialled"), [(None, 5), (7, 7)])
def test_others_are_sent_to_where_it_is_advertised(
    port: int | None, dialled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reactor = MemoryReactor()
    directories = {place: Peer(lambda link: Recorder()) for place in (Place("d", 1), Place("e", 1))}
    reactor.places |= directories  # type: ignore[arg-type]
    containers: list[str] = []
    monkeypatch.setattr(
        "barker.amqp.process.Reactor",
        lambda container, system, credentials: containers.append(container) or reactor,
    )
    advertised = Advertised("kennel.example", port)
    service = Kennel(Serving("kennel", "0.0.0.0", 5, tuple(directories), advertised=advertised))
    service.register()
    reactor.turn(1)
    agent = f"agents/kennel.example-{dialled}"
    for directory in directories.values():
        routes = [Route.from_map(link.properties) for link in directory.links]
        places = {(route.address, route.host, route.port) for route in routes}
        assert places == {(address, "kennel.example", dialled) for address in ("kennel", agent)}
    assert containers == [f"kennel-kennel.example-{dialled}"], "others with the same --host have another"
    assert (service.agent.report()["host"], service.agent.report()["port"]) == ("kennel.example", dialled)


def test_an_error_of_ours_after_a_commit_ends_it_with_words(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with stage.service.as_on_disk():
        raise KeyError("a dog that is not there")
    assert "a dog that is not there" in caplog.text
    with pytest.raises(BarkerError, match=r"KeyError after a commit.*Nothing is lost: start it again"):
        stage.service.run()


@pytest.mark.parametrize(
    ("condition", "level"),
    [
        (None, None),
        (Condition("barker:connection-lost", "reset"), logging.INFO),
        (Condition("amqp:connection:framing-error", "no frame"), logging.WARNING),
    ],
)
def test_a_peer_that_goes_without_a_goodbye_is_a_line(
    stage: Stage, caplog: pytest.LogCaptureFixture, condition: Condition | None, level: int | None
) -> None:
    caplog.set_level(logging.INFO)
    pair = stage.connect()
    pair.server.peer = "h:9"
    caplog.clear()
    if condition is None:
        pair.client.close()
        pair.pump()
    pair.server.lost(condition)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    if condition is not None:
        assert caplog.records[0].getMessage() == f"h:9: connection ended: {condition}"


def test_who_is_turned_away_again_and_again_fills_no_log(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(stage.service.reactor, "clock", lambda: now)

    def level(peer: str, why: str) -> int:
        pair = stage.connect()
        pair.server.peer = peer
        caplog.clear()
        pair.server.lost(Condition("barker:not-authentic", why))
        (record,) = (record for record in caplog.records if "connection ended" in record.getMessage())
        return record.levelno

    assert level("h:9", "no certificate") == logging.WARNING
    assert level("h:10", "no certificate") == logging.INFO
    assert level("h:11", "an old certificate") == logging.WARNING
    assert level("other:9", "no certificate") == logging.WARNING
    now += TOLD_SECONDS
    assert level("h:12", "no certificate") == logging.WARNING
    for number in range(2 * MOST_TOLD):
        stage.service._told_lately(f"h{number}:1", Condition("barker:not-authentic", "x"))
    assert len(stage.service._turned_away) <= MOST_TOLD


def test_what_a_link_does_not_take_is_said_with_both_sizes(stage: Stage) -> None:
    link = stage.connect().client.sender("kennel", Recorder(max_message_size=10))
    stage.turn()
    words = f"a message of 11 bytes is next, and this link takes {link.max_message_size} at most"
    assert words in str(too_large(b"x" * 11, link))


def test_the_base_serves_nothing() -> None:
    service = Service(serving("nothing"))
    assert [service.on_lost(None, None), service.state()] == [None, {}]  # type: ignore[arg-type,func-returns-value]
    assert isinstance(only_send("x"), NotAllowed)
    assert isinstance(service, ConnectionHandler)
    service.reactor.close()
