"""A fuzzer: ``python -m tests.fuzz --inputs 1000000``.

``connections``: recorded conversations, mutated, with Barker's own services in this process, over the engine
without sockets. Every hundred inputs an honest client barks through the same outbox, and must be accepted.
``messages``: mutated messages for every function that decodes one.

The work is done in child processes, so that a crash of C code is seen: a batch that ends badly is told
with the seed that runs it again.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psutil
from rich.progress import Progress

from barker.amqp._proton import ACCEPTED
from barker.amqp.batch import unpack
from barker.amqp.connection import Connection
from barker.amqp.handlers import DEFAULT_LIMITS, Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Sender
from barker.amqp.links import Place
from barker.amqp.message import (
    annotations_in,
    cut,
    decode_bark,
    decode_command,
    decode_map,
    encode_bark,
    message_id,
    with_delivery_annotations,
)
from barker.amqp.service import Service, Serving
from barker.core.barks import Bark
from barker.core.errors import PeerError
from barker.core.routing import Route
from barker.directory import Directory
from barker.manifolds.queues import QueueManifold
from barker.manifolds.readers import TimelineManifold, read_fan_out, read_single
from barker.monitor import Monitor
from barker.store.journal import QueueJournal, TimelineJournal
from barker.store.social import Users
from barker.work.spreading import Bizlogic
from tests.fuzz.mutations import MESSAGES, conversations, mutated, mutated_bytes

BATCH = 20_000
"""Inputs of one child process's work; its seed runs it again."""

BATCH_SECONDS = 120
"""A batch that takes longer hangs."""

LEAK_BYTES = 16 * 1024 * 1024
"""A service that has grown by more, between its first quarter and its end, leaks."""

NOWHERE = Place("127.0.0.1", 9)


class Findings(logging.Handler):
    """What services log as an error of their own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """An error with a traceback is a bug."""
        if record.exc_info:
            self.found.append(self.format(record))


def services(folder: Path) -> list[Service]:
    """One of each service, none of which runs: their handlers are called here."""
    users = Users(folder / "users.sqlite3", create=True)
    users.add(["ann", "rex", "spot"], [("rex", "ann")])

    def serving(address: str) -> Serving:
        return Serving(address, "127.0.0.1", 0, (NOWHERE,))

    return [
        QueueManifold(serving("outbox"), QueueJournal(folder / "outbox"), "bizlogic", decode_bark),
        QueueManifold(serving("orders"), QueueJournal(folder / "orders")),
        TimelineManifold(serving("inbox"), TimelineJournal(folder / "inbox"), 25, 10_000),
        Bizlogic(serving("bizlogic"), users),
        Monitor(serving("monitor")),
        Directory("127.0.0.1", 0, DEFAULT_LIMITS),
    ]


def turn(service: Service) -> None:
    """What the reactor does at the end of a turn."""
    service.reactor.end_turn()


def converse(service: Service, pieces: list[bytes]) -> None:
    """A peer says these things, one after the other."""
    connection = Connection(service, "fuzzed", server=True)
    connection.peer = "fuzz"
    try:
        for piece in pieces:
            going = connection.receive(piece)
            turn(service)
            while output := connection.output():
                connection.sent(len(output))
            if not going or not connection.live:
                return
    finally:
        connection.lost()
        turn(service)


class _Honest(LinkHandler):
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.outcome: int | None = None

    def on_credit(self, link: Sender) -> None:
        if self._data and link.credit:
            link.send(self._data, 0)
            self._data = b""

    def on_outcome(self, link: Sender, token: object, outcome: int, condition: Condition | None) -> None:
        self.outcome = outcome


def bark_through(outbox: Service, number: int) -> bool:
    """Whether an honest client's bark is accepted."""
    server, client = Connection(outbox, "s", server=True), Connection(ConnectionHandler(), "c", server=False)
    honest = _Honest(encode_bark(Bark(f"honest{number}", "ann", "Woof", 1_700_000_000_000)))
    client.sender("outbox", honest)
    for _ in range(20):
        for source, target in ((client, server), (server, client)):
            turn(outbox)
            while output := source.output():
                data = bytes(output)
                source.sent(len(data))
                target.receive(data)
    client.lost()
    server.lost()
    return honest.outcome == ACCEPTED


def fuzz_connections(seed: int, inputs: int) -> list[str]:
    """So many conversations; what was found."""
    findings, chance = Findings(), random.Random(seed)
    logging.getLogger().addHandler(findings)
    logging.getLogger("barker").setLevel(logging.ERROR)
    recorded = conversations()
    everything = [conversation for some in recorded.values() for conversation in some]
    with tempfile.TemporaryDirectory() as folder:
        cast = services(Path(folder))
        depth = 0
        quarter = 0
        for number in range(inputs):
            service = chance.choice(cast)
            converse(service, mutated(chance, recorded[service.serving.address], everything))
            if number % 100 == 0:
                before = cast[0].state()["depth"]
                if before < depth:
                    findings.found.append(f"a bark was lost: depth {before} after {depth}")
                if not bark_through(cast[0], number):
                    findings.found.append("an honest client's bark was not accepted")
                depth = cast[0].state()["depth"]
                if depth != before + 1:
                    findings.found.append(f"a bark was lost: depth {depth}, not {before + 1}")
            if number == inputs // 4:
                quarter = psutil.Process().memory_info().rss
        grown = psutil.Process().memory_info().rss - quarter
        if grown > LEAK_BYTES:
            findings.found.append(f"memory has grown by {grown:,} bytes")
        for service in cast:
            service.on_stop()
    return findings.found


def _route(data: bytes) -> object:
    body = decode_map(data)[1]
    return Route.from_map(body if isinstance(body, dict) else {})


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "decode_bark": decode_bark,
    "decode_map": decode_map,
    "decode_command": decode_command,
    "message_id": message_id,
    "annotations": lambda data: annotations_in(cut(data).delivery_annotations),
    "with_annotations": lambda data: with_delivery_annotations(data, {"x-opt-missed": 1}),
    "fan-out": read_fan_out,
    "single": lambda data: read_single(data, "rex"),
    "batch": unpack,
    "route": _route,
}


def fuzz_messages(seed: int, inputs: int) -> list[str]:
    """So many messages, each for one decoder; what was found."""
    found, chance = [], random.Random(seed)
    names = list(DECODERS)
    for _ in range(inputs):
        data = chance.choice(MESSAGES)
        for _ in range(chance.randrange(1, 5)):
            data = mutated_bytes(chance, data)
        name = chance.choice(names)
        try:
            DECODERS[name](data)
        except PeerError:
            pass
        except Exception as error:
            found.append(f"{name}({data!r}): {type(error).__name__}: {error}")
    return found


TARGETS = {"connections": fuzz_connections, "messages": fuzz_messages}


def _work(target: str, seed: int, inputs: int, results: Any) -> None:
    results.send(TARGETS[target](seed, inputs))


def batch(target: str, seed: int, inputs: int) -> list[str]:
    """One batch in a process of its own: what was found, a crash and a hang included."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(target, seed, inputs, send))
    worker.start()
    send.close()
    again = f"again: python -m tests.fuzz --target {target} --seed {seed} --inputs {inputs}"
    try:
        found: list[str] = receive.recv() if receive.poll(BATCH_SECONDS) else ["it hangs"]
    except EOFError:
        worker.join()
        found = [f"it ended with status {worker.exitcode}"]
    finally:
        worker.kill()
        worker.join()
    return [f"{what}\n    {again}" for what in found]


@click.command()
@click.option("--inputs", type=click.IntRange(1), default=20_000, show_default=True, help="How many in all.")
@click.option("--target", type=click.Choice(list(TARGETS)), help="Only this (default: half of each).")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the first batch.")
def main(inputs: int, target: str | None, seed: int) -> None:
    """Send mutated input to everything that reads any, and see that nothing breaks."""
    found: list[str] = []
    with Progress() as progress:
        for name in [target] if target else list(TARGETS):
            mine = inputs if target else inputs // len(TARGETS)
            task = progress.add_task(name, total=mine)
            for at in range(0, mine, BATCH):
                count = min(BATCH, mine - at)
                found += batch(name, seed + at // BATCH, count)
                progress.advance(task, count)
    for what in found:
        click.echo(what)
    click.echo(f"{inputs:,} inputs, {len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
