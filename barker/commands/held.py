"""The options that bound what a manifold takes and holds, as one :class:`Held`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import click

from barker.amqp.link import MAX_MESSAGE
from barker.commands.options import Command
from barker.core.barks import LARGEST


@dataclass(frozen=True, slots=True)
class Held:
    """How much a manifold takes and holds."""

    message_size: int
    """Bytes of a message."""
    rate: float
    """Barks/s of an author; 0: any number."""
    depth: int
    """Messages in queues."""
    keys: int
    """How many messages a manifold of timelines knows again."""
    timelines: int


def held(command: Command) -> Command:
    """The options from --max-message-size to --max-timelines, as one `held`; beside --accept."""

    @click.option(
        "--max-message-size",
        type=click.IntRange(512),
        metavar="BYTES",
        help="Larger messages end their link (default: 16 MiB; with --accept bark 8 KiB).",
    )
    @click.option(
        "--max-rate",
        type=click.FloatRange(0),
        default=10_000,
        show_default=True,
        metavar="BARKS/S",
        help="With --accept bark: what an author sends above that is rejected (0: nothing is).",
    )
    @click.option(
        "--max-depth",
        type=click.IntRange(1),
        default=10_000_000,
        show_default=True,
        metavar="MESSAGES",
        help="Producers get no credit while the queues are longer.",
    )
    @click.option(
        "--remember",
        type=click.IntRange(1),
        default=1_000_000,
        show_default=True,
        metavar="KEYS",
        help="With --history: how many messages are known again when they come twice.",
    )
    @click.option(
        "--max-timelines",
        type=click.IntRange(1),
        default=2_000_000,
        show_default=True,
        metavar="TIMELINES",
        help="With --history: beyond so many, the quietest that nobody reads are forgotten.",
    )
    @functools.wraps(command)
    def run(
        *args: Any,
        accept: str | None,
        max_message_size: int | None,
        max_rate: float,
        max_depth: int,
        remember: int,
        max_timelines: int,
        **kwargs: Any,
    ) -> Any:
        size = max_message_size or (LARGEST if accept == "bark" else MAX_MESSAGE)
        held = Held(size, max_rate, max_depth, remember, max_timelines)
        return command(*args, accept=accept, held=held, **kwargs)

    return run  # type: ignore[return-value]
