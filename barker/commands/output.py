"""What commands print: to a terminal, a file, or another program that may have ended."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
from typing import Any

import click

from barker.amqp.agent import LAUNCHED
from barker.core.errors import BarkerError


class OutputLost(BarkerError):
    """What is to be printed goes nowhere. Of a reader that has ended nothing is said: it wanted no more."""

    def __init__(self, error: OSError, where: str) -> None:
        broken = error.errno == errno.EPIPE
        super().__init__("" if broken else f"cannot write to {where}: {error.strerror or error}")
        self.status = 128 + signal.SIGPIPE if broken else 1


def show(text: str, err: bool = False, end: str = "\n") -> None:
    """Print a line, at once; with `err` on standard error.

    :raises OutputLost: when it cannot be written.
    """
    try:
        click.echo(text + end, err=err, nl=False)
    except OSError as error:
        _discard(sys.stderr if err else sys.stdout)
        raise OutputLost(error, "standard error" if err else "standard output") from None


def styled(text: str, **style: Any) -> str:
    """A text in bold and the like, where a terminal is and it is wanted (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, **style)


def as_json(fields: dict[str, Any]) -> str:
    """One object in one line, for other programs."""
    return json.dumps(fields, ensure_ascii=True, default=str)


def announce(what: str) -> None:
    """Say that a service is there, if somebody has started it by hand: what, where, and how it is ended."""
    if not os.environ.get(LAUNCHED):
        with contextlib.suppress(OutputLost):  # It serves, whoever looks on.
            show(f"{what}; process {os.getpid()}, Ctrl-C ends it")


def _discard(stream: object) -> None:
    """What is left in a buffer would fail once more as Python ends, and be told then."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)
