"""How a peer is reached over a network that is slow, or loses things. On virtual time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from barker.amqp.agent import register
from barker.amqp.connection import Connection
from barker.amqp.handlers import ConnectionHandler
from barker.amqp.links import Network as Links
from barker.amqp.links import Place
from barker.amqp.reactor import DIAL_SECONDS, Reactor
from barker.core.access import OPERATOR, Credentials, service
from barker.core.routing import Route
from barker.sim.network import Network, Port
from barker.sim.simulated import Simulated
from barker.sim.world import World
from tests.amqp.pair import Peer, Recorder
from tests.certified import certificates, credentials
from tests.seed import SEED

PORT = 5672


class Wire(Network):
    """A network that takes its time, and loses first packets: TCP would send them again after a second."""

    def __init__(self, latency: float = 0.001) -> None:
        super().__init__(World(SEED))
        self.seconds = latency

    def latency(self, source: Port, target: Port) -> float:
        return self.seconds

    def cut_off(self, joined: bool = False) -> None:
        """Who dials the port gets no answer; until it is joined again."""
        self.dark = {} if joined else {PORT: self.listeners[PORT].owner}


class Machine:
    """One process on the network."""

    def __init__(self, wire: Wire, name: str, who: Credentials | None = None) -> None:
        def make(system: Any, _: Any) -> Any:
            self.reactor = Reactor(name, system, who)
            return SimpleNamespace(reactor=self.reactor, stop=self.reactor.stop)

        self.simulated = Simulated(wire, name, make)
        self.dialled: list[float] = []
        new = self.simulated.port.new

        def counted(*what: object) -> Any:
            if what:  # Not for its pair, by which it wakes itself.
                self.dialled.append(wire.world.now)
            return new(*what)

        self.simulated.port.new = counted  # type: ignore[method-assign]
        self.simulated.start()

    def listens(self, port: int, handler: ConnectionHandler) -> None:
        self.reactor.listen("127.0.0.1", port, handler)


def dialled(seconds: float) -> tuple[Wire, Machine, Connection, Peer]:
    """A client that has dialled a server for so long, while nothing comes through between them."""
    wire, peer = Wire(), Peer(lambda link: Recorder())
    server, client = Machine(wire, "server"), Machine(wire, "client")
    server.listens(PORT, Peer(lambda link: Recorder()))
    wire.cut_off()
    connection = client.reactor.connect("127.0.0.1", PORT, peer)
    wire.world.run(seconds)
    return wire, client, connection, peer


def test_a_first_packet_that_is_lost_is_not_waited_for() -> None:
    wire, client, connection, _ = dialled(0.1)
    wire.cut_off(joined=True)
    wire.world.run(0.5)
    assert connection.opened
    assert client.dialled == pytest.approx([0, 0.25], abs=0.01)
    assert len(client.simulated.port.sockets) == 3, "its own two, and the connection"


@pytest.mark.parametrize("security", ["none", "key", "tls"])
def test_a_slow_network_is_not_given_up(security: str, tmp_path: Path) -> None:
    """An answer takes 300 ms: more than an attempt is waited for."""
    whom: list[Credentials | None] = [None, None]
    if security == "key":
        whom = [Credentials(name, b"secret" * 8) for name in (service("directory"), OPERATOR)]
    elif security == "tls":
        folder = certificates(tmp_path)
        whom = [credentials(folder, name) for name in (service("directory"), OPERATOR)]
    wire, far, near = Wire(0.15), Peer(lambda link: Recorder()), Peer(lambda link: Recorder())
    server, client = (Machine(wire, name, who) for name, who in zip(("server", "client"), whom, strict=True))
    server.listens(PORT, far)
    connection = client.reactor.connect("127.0.0.1", PORT, near)
    wire.world.run(DIAL_SECONDS)
    assert connection.opened
    wire.world.run(10)
    assert connection.live
    assert len(client.dialled) == 2
    assert (near.connected, far.connected, near.lost, far.lost) == (1, 1, [], [])


def test_a_dial_that_nobody_wants_any_more_leaves_nothing_open() -> None:
    wire, client, connection, peer = dialled(0.3)
    assert len(client.simulated.port.sockets) == 4
    connection.close()
    wire.world.run(1)
    assert len(client.simulated.port.sockets) == 2
    assert len(peer.lost) == 1


class Registered:
    """A service that registers with two directories, the first of which it does not reach at first."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.directory, self.service = Machine(self.wire, "directory"), Machine(self.wire, "service")
        for port in (PORT, PORT + 1):
            self.directory.listens(port, Peer(lambda link: Recorder()))
        self.wire.cut_off()
        network = Links(self.service.reactor, *(Place("127.0.0.1", port) for port in (PORT, PORT + 1)))
        self.links = [
            register(network, Route(address, "127.0.0.1", 5680))[0]
            for address in ("bizlogic", "agents/127.0.0.1-5680")
        ]

    @property
    def is_known(self) -> bool:
        return all(link.link is not None for link in self.links)


@pytest.mark.parametrize("cut_off", [at * 0.17 for at in range(1, 30)])
def test_a_directory_that_is_reached_again_knows_of_a_service_within_half_a_second(cut_off: float) -> None:
    registered = Registered()
    world = registered.wire.world
    world.run(cut_off)
    assert not registered.is_known
    registered.wire.cut_off(joined=True)
    world.run(cut_off + 0.55)
    assert registered.is_known


def test_a_directory_that_is_not_reached_is_dialled_a_few_times_a_second() -> None:
    registered = Registered()
    registered.wire.world.run(60)
    dialled = [at for at in registered.service.dialled if at > 1]
    for since in dialled:
        assert sum(since <= at < since + 1 for at in dialled) <= 4
