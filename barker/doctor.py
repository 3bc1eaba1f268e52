"""`barker doctor`: what keeps Barker from working here, in a few lines.

Without the packages that all programs import, `environment.py` says what is missing; the rest is told here.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import click

from barker.amqp.system import processes
from barker.commands import options
from barker.commands.output import show, styled
from barker.core.errors import InUse, StorageError
from barker.core.printable import printable
from barker.environment import lacks
from barker.store import contents, social
from barker.suite.found import Found, suites
from barker.suite.ports import elsewhere, holders
from barker.suite.shape import Shape

LARGE_BYTES = 200 * 1024 * 1024
"""Larger files are not looked through: their manifold does that, when it starts."""

COLOURS = {"ok": "green", "note": "yellow", "WRONG": "red"}
"""Of each kind of finding, where there are any."""


class Finding(NamedTuple):
    """What was looked at, and how it is."""

    kind: str
    """One of :data:`COLOURS`; WRONG is what a person has to do something about."""
    text: str


def machine() -> Iterator[Finding]:
    """Python, packages and pages."""
    missing = [Finding("WRONG", f"missing: {what}") for what in lacks()]
    has = f"Python {platform.python_version()}, Proton {version('python-qpid-proton')}"
    yield from missing or [Finding("ok", f"{has}, SQLite {sqlite3.sqlite_version}, the pages: all there")]


def running(found: list[Found]) -> Iterator[Finding]:
    """The suites that run on this machine."""
    for suite in found:
        yield Finding("ok", f"{suite} runs")
    if not found:
        yield Finding("ok", "no suite runs on this machine, as far as this user may see")


def ports(shape: Shape) -> Iterator[Finding]:
    """Whether a suite could be started; who has its ports, if not."""
    having, others = holders(shape)
    for suite in having:
        has = f"the suite at {suite.directory} has the ports from {shape.directory.port} on"
        yield Finding("note", f"{has}; another beside it: barker up {elsewhere(shape)}")
    for text in others:
        yield Finding("WRONG", f"{text}; end that, or take other ports: barker up {elsewhere(shape)}")
    if not having and not others:
        yield Finding("ok", f"the ports from {shape.directory.port} on are free")


def kept(data: Path, found: list[Found]) -> Iterator[Finding]:
    """What is in the data folder, whose that is, and whether it is as it was written."""
    if not data.exists():
        yield Finding("ok", f"{data} is not there yet: 'barker up' makes it")
        return
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("WRONG", f"{data} is {_owner(data)}'s, and this user may not write there")
        return
    users = data / social.FILE_NAME
    has = "no users yet"
    try:
        if users.exists() and users.stat().st_size > LARGE_BYTES:
            has = f"users, in a file too large to be looked through now: {users}"
        elif users.exists():
            has = f"{social.look_through(users):,} users"
        yield Finding("ok", f"{data} is {_owner(data)}'s, and has {has}")
    except StorageError as error:
        yield Finding("WRONG", str(error))
    owner = next((suite for suite in found if suite.data and suite.data.resolve() == data.resolve()), None)
    if owner is not None:
        yield Finding("ok", f"its journals are in use by the suite at {owner.directory}: not looked through")
    else:
        yield from _journals(data)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # As in a container, where a number may be all there is.
        return f"user {path.stat().st_uid}"


def _journals(data: Path) -> Iterator[Finding]:
    whole = {}
    for file in sorted(set(data.glob("*.sqlite3")) - {data / social.FILE_NAME}):
        try:
            if file.stat().st_size > LARGE_BYTES:
                yield Finding("note", f"{file} is large: it is looked through when its manifold starts")
            else:
                whole[file.stem] = contents.look_through(file)
        except InUse:
            yield Finding("ok", f"{file} is in use: not looked through")
        except StorageError as error:
            yield Finding("WRONG", str(error))
    if whole:
        held = ", ".join(f"{name} {count:,}" for name, count in whole.items())
        yield Finding("ok", f"its journals are as they were written; messages: {held}")
    for file in sorted(data.glob("*.damaged-*")):
        if not file.name.endswith(("-wal", "-shm")):
            yield Finding("note", f"{file} was damaged and is set aside: nobody but you deletes it")


@options.command("doctor")
@click.option(
    "--port-offset", type=click.IntRange(-5000, 59000), default=0, help="Look at the ports of that suite."
)
@options.suite_host
@options.data
@options.program
def main(port_offset: int, host: str, data: Path) -> None:
    """Say what this machine lacks, which suites run, who has their ports, and what the data folder holds.

    Nothing is changed, and no suite is disturbed. Ends with status 1 if there is something that you have to
    do something about.
    """
    found = suites(processes())
    shape = Shape(host=host, port_offset=port_offset, monitoring=True)
    findings = [*machine(), *running(found), *ports(shape), *kept(data, found)]
    for finding in findings:
        show(f"{styled(f'{finding.kind:<5}', fg=COLOURS[finding.kind])}  {printable(finding.text, 1_000)}")
    sys.exit(any(finding.kind == "WRONG" for finding in findings))


if __name__ == "__main__":
    main()
