"""A broker in place of the outboxes' journals and the push: what is declared there, and where it is.

Barks go from the outboxes into a quorum queue for each partition of the authors, whose bizlogic takes them;
and from there into a stream for each partition of the users, which any number of inboxes follow. All names
and bounds of theirs are here. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from barker.core.errors import Mistake
from barker.core.partitions import addresses

PREFIX = "barker-"
"""How the names begin of all that is Barker's at a broker; two suites there have a virtual host each."""

DEAD_LETTERS = PREFIX + "outbox-dead-letters"
"""The queue of what bizlogic rejects, until somebody takes it away."""

SUITE = PREFIX + "suite"
"""A queue that nothing is ever in: by its argument it says which suite's all others are."""

OWNER, MADE = "x-barker-suite", "x-barker-made"
"""Arguments that nobody but Barker knows: whose a queue is; and which one, of all that ever had its name."""

DAYS = 7
"""So long streams keep what was said: an inbox that has lost its journal has that much again."""

STREAM_BYTES = 20_000_000_000
"""And of each stream so many bytes at most, on each of the broker's machines."""

SEGMENT_BYTES = 100_000_000
"""A stream forgets its oldest so many bytes at a time."""

_NO_URL = "is no broker's URL; write it as amqp://USER:PASSWORD@HOST:PORT, or amqp://HOST:PORT for a stranger"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are there."""

    places: tuple[tuple[str, int], ...]
    """The hosts and ports of its nodes: whichever answers will do."""
    user: str = ""
    """Empty: a stranger (SASL ANONYMOUS)."""
    password: str = field(default="", repr=False)
    virtual_host: str = ""
    """Empty: the broker's default one."""

    @staticmethod
    def parse(url: str) -> Broker:
        """The broker that ``amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/VIRTUAL-HOST`` names.

        :raises Mistake: when it names none; what is said of it does not have the password.
        """
        scheme, separator, rest = url.partition("://")
        # A password may have an @ in it, whether that is allowed or not: it is not to be shown.
        authority, _, virtual_host = rest.rpartition("@")[2].partition("/")
        shown = f"{scheme}://{authority}" if separator else "what --broker says"
        if scheme == "amqps":
            raise Mistake(f"{shown}: a broker is spoken to without TLS here; write it as amqp://")
        if scheme != "amqp" or not separator:
            raise Mistake(f"{shown} {_NO_URL}")
        if {"/", "?", "#"} & set(virtual_host):
            raise Mistake(f"{shown}: behind the port there may be a virtual host's name, and nothing else")
        user, _, password = rest.rpartition("@")[0].partition(":")
        if password and not user:
            raise Mistake(f"{shown}: there is a password, and no user whose it is")
        places = tuple(_place(each, shown) for each in authority.split(","))
        return Broker(places, unquote(user), unquote(password), unquote(virtual_host))

    @property
    def url(self) -> str:
        """The URL without the password, for people to read."""
        return self._url(quote(self.user, safe=""))

    @property
    def secret(self) -> str:
        """The whole URL."""
        return self._url(":".join(quote(each, safe="") for each in (self.user, self.password) if each))

    def _url(self, who: str) -> str:
        hosts = ((f"[{host}]" if ":" in host else host, port) for host, port in self.places)
        where = ",".join(f"{host}:{port}" for host, port in hosts)
        below = f"/{quote(self.virtual_host, safe='')}" if self.virtual_host else ""
        return f"amqp://{who}{'@' if who else ''}{where}{below}"


def _place(text: str, shown: str) -> tuple[str, int]:
    try:
        found = urlsplit(f"//{text}")
        port = found.port or 5672
    except ValueError:
        raise Mistake(f"{shown} {_NO_URL}") from None
    if not found.hostname or found.path or found.query or found.fragment:
        raise Mistake(f"{shown} {_NO_URL}")
    return found.hostname, port


Arguments = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue or a stream that is to be there."""

    name: str
    arguments: Arguments

    @property
    def address(self) -> str:
        """Where links attach to it (RabbitMQ's address format, version 2)."""
        return address_of(self.name)

    @property
    def declaration(self) -> dict[str, Any]:
        """What is asked for when it is declared."""
        return {"durable": True, "exclusive": False, "auto_delete": False, "arguments": dict(self.arguments)}

    def made(self, which: str) -> Queue:
        """The same, to be known as this one: whoever finds it there already is told by which it was made."""
        return Queue(self.name, {**self.arguments, MADE: which})


def address_of(name: str) -> str:
    """Where links attach to the queue or stream of that name."""
    return f"/queues/{name}"


def outbox_names(authors: int = 1) -> list[str]:
    """The queues that bizlogic takes barks from: one for each of so many partitions of the authors."""
    return [PREFIX + name for name in addresses("outbox", authors)]


def inbox_names(users: int = 1) -> list[str]:
    """The streams that inboxes follow: one for each of so many partitions of the users."""
    return [PREFIX + name for name in addresses("inbox", users)]


def queue_of(suite: str) -> Queue:
    """What a suite has there for others to see that the virtual host is taken."""
    return Queue(SUITE, {"x-queue-type": "quorum", OWNER: suite})


def outboxes(authors: int = 1) -> list[Queue]:
    """What barks wait in for bizlogic, and what those it rejects go to."""
    # Without a limit of deliveries: one that is given back again and again is not to be dropped.
    kept: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": -1}
    alone: Arguments = {**kept, "x-single-active-consumer": True}
    return [*(Queue(name, alone) for name in outbox_names(authors)), Queue(DEAD_LETTERS, kept)]


def inboxes(users: int = 1) -> list[Queue]:
    """What barks with their recipients go through to the inboxes."""
    bounds: Arguments = {
        "x-queue-type": "stream",
        "x-max-age": f"{DAYS}D",
        "x-max-length-bytes": STREAM_BYTES,
        "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
    }
    return [Queue(name, bounds) for name in inbox_names(users)]


# How it does, for the monitor

KINDS = ("queue", "stream")
"""The types of what reports on a broker's are of."""


def used(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """The queues and streams that services say they use, in order."""
    return sorted({name for report in reports for name in str(report.get("broker", "")).split()})


def reports_of(
    broker: Broker, answers: Mapping[str, Mapping[str, Any]], reports: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """How queues and streams do, as if each were a service that reports, by the broker's `answers` by name.

    Who takes from each, and how much, is told by the services' own `reports`. Depths are in the broker's
    messages, each of up to a hundred barks.
    """
    host, port = broker.places[0]
    found = []
    for name, answer in answers.items():
        attached = [each for each in reports if each.get("takes") == name]
        takers = [each for each in attached if each.get("active") is not False]
        depth = int(answer.get("message_count") or 0)
        kind = "stream" if answer.get("type") == "stream" else "queue"
        found.append(
            {
                "name": name,
                "type": kind,
                "host": host,
                "port": port,
                "pid": 0,
                # RabbitMQ 4.0 counts those alone that are active, and of streams none.
                "consumers": max(int(answer.get("consumer_count") or 0), len(attached)),
                "consumer": " ".join(f"{each['host']}:{each['port']}" for each in takers),
                **{
                    key: sum(each.get(of) or 0 for each in takers)
                    for key, of in (("sent_rate", "received_rate"), ("sent_rate_now", "received_rate_now"))
                },
                **({"dead_letters": depth} if name == DEAD_LETTERS else {}),
                **({"depth": depth, "depth_peak": depth} if kind == "queue" and name != DEAD_LETTERS else {}),
            }
        )
    return found
