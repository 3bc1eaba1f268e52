"""Real conversations, recorded, and what can be done to them."""

from __future__ import annotations

import random
from collections.abc import Callable

from barker.amqp.batch import pack
from barker.amqp.connection import Connection
from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.message import KEY, RECIPIENTS, encode_bark, encode_command, encode_map
from barker.amqp.message import with_delivery_annotations as annotated
from barker.core.barks import Bark, Follow

Conversation = list[bytes]
"""What a client sends, piece by piece: each after it has had the answer to the one before."""

BARKS = [
    Bark(f"id{number}", "ann", f"Woof {number}, @rex!", 1_700_000_000_000 + number) for number in range(5)
]

MESSAGES = [
    *map(encode_bark, BARKS),
    encode_bark(Follow("id9", "ann", "rex", 1_700_000_000_000, True)),
    annotated(encode_bark(BARKS[0]), {RECIPIENTS: "ann rex spot", KEY: "ann/id0"}),
    encode_map(
        "report", {"name": "x-1", "type": "x", "host": "127.0.0.1", "port": 1, "depth": 0, "cpu": 0.5}
    ),
    encode_map("routes", [{"address": "a", "host": "h", "port": 1, "policy": "ordered", "since": 1.5}]),
    encode_command("kill", {"name": "bizlogic-5680", "rate": 5.0}),
    pack([encode_bark(bark) for bark in BARKS]),
]
"""One of each message that a service reads."""

ROUTE = {"address": "billing", "host": "127.0.0.1", "port": 5950, "policy": "ordered", "since": 1.5}

INTERESTING = bytes.fromhex("00010f407f80a0a1a3b0b1b3c0c1d0d1e0f0ff")


class _Peer(LinkHandler):
    """Does what a well-behaved peer does, so that there is something to record."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages

    def on_credit(self, link: Sender) -> None:
        while self._messages and link.credit:
            link.send(self._messages.pop(0), 0)

    def on_opened(self, link: Sender | Receiver) -> None:
        if isinstance(link, Receiver):
            link.window = 10

    def on_message(self, link: Receiver, delivery: object, data: bytes) -> None:
        delivery.accept()  # type: ignore[attr-defined]


class _Server(ConnectionHandler):
    """Takes every link, and sends to who receives."""

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        return _Peer(MESSAGES[:2] if isinstance(link, Sender) else [])


def record(begin: Callable[[Connection], object]) -> Conversation:
    """What a client sends that begins so, and goes on until nobody has anything to say."""
    client = Connection(ConnectionHandler(), "client", server=False)
    server = Connection(_Server(), "server", server=True)
    begin(client)
    conversation: Conversation = []
    ends = [(client, server), (server, client)]
    for _ in range(20):
        for source, target in ends:
            while output := source.output():
                data = bytes(output)
                source.sent(len(data))
                if source is client:
                    conversation.append(data)
                target.receive(data)
    client.close()
    conversation.append(bytes(client.output() or b""))
    for connection, _ in ends:
        connection.lost()
    return conversation


def conversations() -> dict[str, list[Conversation]]:
    """One of each thing that clients do, by the service they do it with."""
    made: dict[str, list[Conversation]] = {}
    for address in ("outbox", "inbox", "inbox/rex", "orders/eu", "directory", "bizlogic", "monitor"):
        sends = record(lambda client, at=address: client.sender(at, _Peer(list(MESSAGES)), ROUTE))  # type: ignore[misc]
        batches = record(lambda client, at=address: client.sender(at, _Peer([MESSAGES[-1]]), ROUTE, True))  # type: ignore[misc]
        reads = record(lambda client, at=address: client.receiver(at, _Peer([]), 10))  # type: ignore[misc]
        made.setdefault(address.partition("/")[0], []).extend([sends, batches, reads])
    return made


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    """The bytes with one thing wrong."""
    if not data:
        return chance.randbytes(chance.randrange(1, 20))
    changed = bytearray(data)
    at = chance.randrange(len(changed))
    kind = chance.randrange(7)
    if kind == 0:
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        changed[at] = chance.choice(INTERESTING)
    elif kind == 2:
        del changed[at:]
    elif kind == 3:
        del changed[at : at + chance.randrange(1, 9)]
    elif kind == 4:
        changed[at:at] = chance.randbytes(chance.randrange(1, 9))
    elif kind == 5:
        changed[at : at + 4] = chance.choice(
            [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x08"]
        )
    else:
        start = chance.randrange(len(data))
        changed[at:at] = data[start : start + chance.randrange(1, 64)]
    return bytes(changed)


def mutated(chance: random.Random, mine: list[Conversation], others: list[Conversation]) -> Conversation:
    """One of `mine` with a few things wrong: within pieces, or in which pieces there are."""
    pieces = list(chance.choice(mine))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(pieces))
        kind = chance.randrange(10)
        if kind < 6:
            pieces[at] = mutated_bytes(chance, pieces[at])
        elif kind == 6:
            pieces.insert(at, pieces[chance.randrange(len(pieces))])
        elif kind == 7:
            pieces.insert(at, chance.choice(chance.choice(others)))
        elif kind == 8 and len(pieces) > 1:
            del pieces[at]
        else:
            pieces[at:] = [b"".join(pieces[at:])]
    return pieces
