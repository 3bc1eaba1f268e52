"""The peer: a RabbitMQ 4, over AMQP 1.0, with durable queues.

Queues and exchanges are declared over AMQP as well: requests as HTTP has them, to the node ``/management``,
over a pair of links of the same name.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import psutil
from proton import Link, Message, ProtonException, symbol
from proton.reactor import LinkOption
from proton.utils import BlockingConnection

from barker.amqp.links import Place
from barker.core import broker as core
from barker.core.errors import BarkerError

TIMEOUT = 10.0
"""The broker may take so many seconds to answer."""


@contextlib.contextmanager
def between(url: str | None, authors: int = 1, users: int = 1) -> Iterator[dict[str, int]]:
    """A broker between the services, for so many parts of each: empty before, and deleted afterwards.

    Gives its process ids, if it can be seen; those of no broker, if the URL is None.
    """
    if url is None:
        yield {}
        return
    place = Place(*core.Broker.parse(url).places[0])
    names = [core.SUITE, *(queue.name for queue in (*core.outboxes(authors), *core.inboxes(users)))]
    with Broker(place) as broker:
        broker.delete(names)
        pids = broker.pids
    try:
        yield pids
    finally:
        with Broker(place) as broker:
            broker.delete(names)


class _Paired(LinkOption):
    """One of the two links to the management node."""

    def apply(self, link: Any) -> None:
        link.properties = {symbol("paired"): True}
        link.source.address = link.target.address = "/management"
        link.snd_settle_mode = Link.SND_SETTLED


class _Request(Message):
    """A request; one without a body has the value null, which Proton does not write."""

    def encode(self) -> bytes:
        """The message, with the body that RabbitMQ expects."""
        return bytes(super().encode()) + (b"\x00\x53\x77\x40" if self.body is None else b"")


class Broker:
    """A RabbitMQ; what is declared here is deleted at the end."""

    def __init__(self, place: Place) -> None:
        """Connect.

        :raises BarkerError: when there is none.
        """
        self.place = place
        self._made: list[str] = []
        self._numbers = itertools.count(1)
        self._connect()

    def _connect(self) -> None:
        try:
            self._connection = BlockingConnection(
                str(self.place), timeout=TIMEOUT, allowed_mechs="ANONYMOUS", reconnect=False
            )
            link = {"name": "management", "options": _Paired()}
            self._sender = self._connection.create_sender("/management", **link)
            self._receiver = self._connection.create_receiver("/management", credit=10, **link)
        except ProtonException as error:
            raise BarkerError(
                f"there is no RabbitMQ 4 at {self.place} that lets anybody in: {error}"
            ) from None

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what was declared, and end the connection."""
        if self._made:
            # Nobody has sent heartbeats over the one before: meanwhile, it may have been closed.
            self._connect()
        for path in reversed(self._made):
            self._request("DELETE", path)
        self._connection.close()

    @property
    def pids(self) -> dict[str, int]:
        """The broker's process, if it runs on this machine where it can be seen."""
        beams = [
            process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == "beam.smp"
        ]
        return {"broker": beams[0]} if len(beams) == 1 else {}

    def queue(self, name: str, **arguments: Any) -> str:
        """Declare a durable classic queue; its address."""
        path = f"/queues/{name}"
        self._request("PUT", path, {"durable": True, "arguments": {"x-queue-type": "classic", **arguments}})
        self._made.append(path)
        return path

    def fanout(self, name: str, queues: list[str]) -> str:
        """Declare a durable fanout exchange, bound to queues of these addresses; its own."""
        path = f"/exchanges/{name}"
        self._request("PUT", path, {"durable": True, "type": "fanout", "auto_delete": False, "arguments": {}})
        self._made.append(path)
        for queue in queues:
            bound = queue.rpartition("/")[2]
            binding = {"source": name, "destination_queue": bound, "binding_key": "", "arguments": {}}
            self._request("POST", "/bindings", binding)
        return path

    def delete(self, names: Iterable[str]) -> None:
        """Have no queues of these names, whatever is in them."""
        for name in names:
            self._request("DELETE", f"/queues/{name}", also="404")

    def _request(self, verb: str, path: str, body: Any = None, also: str = "2") -> None:
        number = str(next(self._numbers))
        try:
            self._sender.send(_Request(id=number, subject=verb, address=path, reply_to="$me", body=body))
            answer = self._receiver.receive(timeout=TIMEOUT)
        except ProtonException as error:
            raise BarkerError(f"RabbitMQ at {self.place}: {verb} {path}: {error}") from None
        if not str(answer.subject).startswith(("2", also)):
            raise BarkerError(f"RabbitMQ at {self.place}: {verb} {path}: {answer.subject} {answer.body}")
