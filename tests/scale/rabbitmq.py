"""A RabbitMQ 4 of a test's own: a node with its port and its data, on loopback, that may be killed.

`setup/engines.sh` has put it into a Debian of its own, below BARKER_RABBITMQ or ~/.rabbitmq4.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from barker.amqp.rabbitmq import BrokerNetwork
from barker.amqp.reactor import Reactor
from barker.core.broker import Broker
from tests.dockerfile import PATH, Stage
from tests.harness import free_port, wait_for

ROOT = Path(os.environ.get("BARKER_RABBITMQ") or Path.home() / ".rabbitmq4")

SECONDS = 120
"""The deadline for all that a node takes some seconds for."""

_BIN = "/usr/lib/rabbitmq/bin"
_EPMD = "/usr/bin/epmd"


class Node:
    """One node; its users are guest, with that for a password, and whoever says nothing."""

    def __init__(self, port: int | None = None) -> None:
        self.port, self._names, self._distribution = port or free_port(), free_port(), free_port()
        self.name = f"barker-{self.port}@localhost"
        self._home = f"/var/lib/barker-tests/{self.port}"
        self.folder = ROOT / self._home.lstrip("/")
        self.folder.mkdir(parents=True, mode=0o700)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "anonymous_login_user = guest\n"
            "anonymous_login_pass = guest\n"
            "heartbeat = 2\n"  # Who is frozen is found soon.
            "log.console = false\n"
        )
        # It would start one by itself that outlives it.
        self._mapper = self._run(_EPMD, "-address", "127.0.0.1", "-port", str(self._names))
        self._process: subprocess.Popen[bytes] | None = None

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": PATH,
            "HOME": self._home,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": f"{self._home}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": f"{self._home}/data",
            "RABBITMQ_LOG_BASE": f"{self._home}/log",
            "RABBITMQ_PID_FILE": f"{self._home}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self._home}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        return subprocess.Popen(
            Stage(ROOT, environment).command(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        assert self._process is None
        process = self._process = self._run(f"{_BIN}/rabbitmq-server")

        def listens() -> bool:
            assert process.poll() is None, f"RabbitMQ did not start; see {self.folder}/log"
            return self._listens()

        wait_for(listens, "RabbitMQ takes connections", SECONDS)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

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
        self._mapper.kill()
        self._mapper.wait(10)
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
