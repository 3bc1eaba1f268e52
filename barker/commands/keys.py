"""Whose key a program has: that of the suite it belongs to, or speaks to."""

from __future__ import annotations

import os
from pathlib import Path

import click

from barker.amqp.links import Place
from barker.commands.session import read_session, running
from barker.core.access import OPERATOR, Credentials, service
from barker.environment import DATA
from barker.store.key import FILE_NAME, made_key, read_key

KEY, SESSION = "barker.key", "barker.session"
"""Where click keeps the values of ``--key`` and ``--session`` (`options.py`)."""


def key_file(place: Place, data: Path | None = None) -> tuple[Path, bool]:
    """The file with the key of the suite that has its directory or launcher there; whether that is a guess.

    It is the one that ``--key`` names, or that of the running suite, as its launcher has told in its session
    file. Where no launcher has, it is guessed: in the folder `data`, or BARKER_DATA, or the usual one.
    """
    context = click.get_current_context(silent=True)
    meta = context.meta if context is not None else {}
    if meta.get(KEY) is not None:
        return Path(meta[KEY]), False
    for suite in [read_session(meta[SESSION])] if meta.get(SESSION) is not None else running():
        if suite.data and str(place) in (suite.directory, suite.launcher):
            return Path(suite.data) / FILE_NAME, False
    return (data or Path(os.environ.get("BARKER_DATA", DATA))) / FILE_NAME, True


def service_credentials(address: str, directory: Place, data: Path | None = None) -> Credentials:
    """Those of a service; the suite's key is made if there is none yet.

    :raises Mistake: when it cannot be, or others can read it.
    """
    file, _ = key_file(directory, data)
    return Credentials(service(address), made_key(file), str(file))


def operator_credentials(directory: Place) -> Credentials | None:
    """Those of a person at a terminal; None for who has no key.

    :raises Mistake: for a key that others can read, or that is not where it was said to be.
    """
    file, guessed = key_file(directory)
    if guessed and not file.exists():
        return None
    return Credentials(OPERATOR, read_key(file), str(file), guessed=guessed)
