"""A directory, launcher, inbox and outbox in one, which says and takes what a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.core.errors import NotFound
from tests.harness import ROOT, Client


class Fake(ConnectionHandler):
    """Everybody who reads an address gets its messages; what is sent is accepted."""

    def __init__(self, says: dict[str, list[bytes]] | None = None) -> None:
        self.says = says or {}
        self.took: list[bytes] = []
        self.place = ""

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        if isinstance(link, Receiver):
            return _Taking(self)
        if link.address not in self.says:
            raise NotFound(f"nobody serves {link.address} now")
        return _Saying(self.says[link.address])

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of Barker to its end."""
        command = [sys.executable, "-m", "barker", *arguments, "--directory", self.place]
        # Whose key may lie in the usual folder: this knows none.
        options["env"] = {"BARKER_DATA": "/nonexistent", **options.pop("env", os.environ)}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 30, **options}
        return subprocess.run(command, text=True, cwd=ROOT, check=False, **options)


class _Saying(LinkHandler):
    def __init__(self, messages: list[bytes]) -> None:
        self._left = deque(messages)

    def on_credit(self, link: Sender) -> None:
        while self._left and link.credit:
            link.send(self._left.popleft(), settled=True)


class _Taking(LinkHandler):
    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    def on_opened(self, link: Receiver) -> None:
        link.window = 10

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._fake.took.append(data)
        delivery.accept()


@contextmanager
def listening(fake: Fake) -> Iterator[Fake]:
    """It listens, and knows where."""
    with closing(Client("127.0.0.1:1")) as client:
        fake.place = f"127.0.0.1:{client.reactor.listen('127.0.0.1', 0, fake).port}"
        yield fake
