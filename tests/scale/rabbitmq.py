"""A RabbitMQ 4 of a test's own: a node with its port and its data, on loopback, that may be killed.

`setup/engines.sh` has put it into a Debian of its own, below BARKER_RABBITMQ or ~/.rabbitmq4.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from barker.amqp.rabbitmq import BrokerNetwork
from barker.amqp.reactor import Reactor
from barker.core.broker import Broker
from tests.dockerfile import PATH, Stage
from tests.harness import free_port, wait_for
from tests.scale.hosts import Host

ROOT = Path(os.environ.get("BARKER_RABBITMQ") or Path.home() / ".rabbitmq4")

SECONDS = 120
"""The deadline for all that a node takes some seconds for."""

_BIN = "/usr/lib/rabbitmq/bin"
_EPMD = "/usr/bin/epmd"


class Names:
    """Where nodes find each other, epmd: RabbitMQ would start one by itself that outlives it."""

    def __init__(
        self, address: str = "127.0.0.1", within: Sequence[str] = (), port: int | None = None
    ) -> None:
        """At that address, on the host that commands are run `within`; of one cluster all have one port."""
        self.address, self.port = address, port or free_port()
        command = [*within, "chroot", str(ROOT), _EPMD, "-address", address, "-port", str(self.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which nodes find it."""
        return {"ERL_EPMD_ADDRESS": self.address, "ERL_EPMD_PORT": str(self.port)}

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)


class Node:
    """One node; its users are guest, with that for a password, and whoever says nothing."""

    def __init__(
        self, port: int | None = None, names: Names | None = None, within: Sequence[str] = ()
    ) -> None:
        """At the address of `names`, else one of its own on loopback; on the host that commands are run
        `within`."""
        self.port, self._names, self._within = port or free_port(), names or Names(), within
        self.address = self._names.address
        self.name = f"barker-{self.port}@{'localhost' if self.address == '127.0.0.1' else self.address}"
        self._home = f"/var/lib/barker-tests/{self.port}"
        self.folder = ROOT / self._home.lstrip("/")
        self.folder.mkdir(parents=True, mode=0o700)
        self.place = f"{self.address}:{self.port}"
        self.url = f"amqp://guest:guest@{self.place}"
        self.configure(
            f"listeners.tcp.1 = {self.place}",
            "loopback_users = none",
            "anonymous_login_user = guest",
            "anonymous_login_pass = guest",
            "heartbeat = 2",  # Who is frozen is found soon.
            "log.console = false",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *lines: str) -> None:
        """Add lines to its configuration."""
        with (self.folder / "rabbitmq.conf").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    @property
    def command(self) -> list[str]:
        """What runs it, in the foreground."""
        variables = {
            "PATH": PATH,
            "HOME": self._home,
            **self._names.variables,
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": str("." in self.name).lower(),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": f"{self._home}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": f"{self._home}/data",
            "RABBITMQ_LOG_BASE": f"{self._home}/log",
            "RABBITMQ_PID_FILE": f"{self._home}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self._home}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface "
            f"{{{self.address.replace('.', ',')}}}",
        }
        return Stage(ROOT, variables, within=tuple(self._within)).command(f"{_BIN}/rabbitmq-server")

    @functools.cached_property
    def _distribution(self) -> int:
        """The port at which other nodes speak to it."""
        return free_port()

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        assert self._process is None
        process = self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def listens() -> bool:
            assert process.poll() is None, f"RabbitMQ did not start; see {self.folder}/log"
            return self._listens()

        wait_for(listens, "RabbitMQ takes connections", SECONDS)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; returns when it has ended of it."""
        process = self._process
        assert process is not None
        os.killpg(process.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(SECONDS)
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            wait_for(lambda: not self._listens(), "RabbitMQ has ended", SECONDS)

    def end(self) -> None:
        """End it, and remove what it kept."""
        if self._process is not None:
            self.signal()
        self._names.end()
        shutil.rmtree(self.folder)

    def request(self, verb: str, path: str, body: object = None) -> tuple[int, object]:
        """What its management node answers, over a connection of its own."""
        answers: list[tuple[int, object]] = []
        reactor = Reactor("test-management")
        network = BrokerNetwork(reactor, Broker.parse(self.url), [], lambda why: None)
        network.connection(network.directories[0])

        def ask() -> None:
            if network.management is None:
                reactor.after(0.01, ask)
            else:
                network.management.request(verb, path, body, answered)

        def answered(status: int, body: object) -> None:
            answers.append((status, body))
            reactor.stop()

        ask()
        reactor.after(SECONDS, reactor.stop)
        reactor.run()
        (answer,) = answers
        return answer


@contextlib.contextmanager
def cluster(machines: Sequence[Host]) -> Iterator[list[Node]]:
    """Nodes that are one broker as soon as all are started, each on a host of its own."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        made = [Node(names=Names(host.address, host.within, port), within=host.within) for host in machines]
        for node in made:
            stack.callback(node.end)
            cookie = node.folder / ".erlang.cookie"
            cookie.write_text("BARKERTESTS")
            cookie.chmod(0o400)
            node.configure(
                "cluster_formation.peer_discovery_backend = classic_config",
                *(
                    f"cluster_formation.classic_config.nodes.{number} = {each.name}"
                    for number, each in enumerate(made, 1)
                ),
                "cluster_partition_handling = pause_minority",
                "net_ticktime = 5",  # Who is cut off is found soon.
            )
        yield made


def url(nodes: Sequence[Node]) -> str:
    """The broker that these nodes are."""
    return f"amqp://guest:guest@{','.join(node.place for node in nodes)}"
