"""Whose key or certificate a program has: that of the suite it belongs to, or speaks to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from barker.amqp.links import Place
from barker.commands.session import Session, read_session, running
from barker.core.access import AUTHORITY, OPERATOR, Credentials, Identity, service
from barker.environment import DATA
from barker.store.key import FILE_NAME, made_key, read_key

KEY, TLS, CERTIFICATE, SESSION = "barker.key", "barker.tls", "barker.certificate", "barker.session"
"""Where click keeps the values of ``--key`` and so on (`options.py`)."""


def _given(name: str) -> Path | None:
    """What an option of this program was given."""
    context = click.get_current_context(silent=True)
    return context.meta.get(name) if context is not None else None


def _suite(place: Place) -> Session | None:
    """The running suite that has its directory or launcher there, as its launcher has told."""
    session = _given(SESSION)
    for suite in [read_session(session)] if session is not None else running():
        if suite.data and str(place) in (suite.directory, suite.launcher):
            return suite
    return None


def key_file(place: Place, data: Path | None = None) -> tuple[Path, bool]:
    """The file with the key of the suite that has its directory or launcher there; whether that is a guess.

    It is the one that ``--key`` names, or that of the running suite. Where no launcher has told, it is
    guessed: in the folder `data`, or BARKER_DATA, or the usual one.
    """
    key = _given(KEY)
    if key is not None:
        return key, False
    if suite := _suite(place):
        return Path(suite.data) / FILE_NAME, False
    return (data or Path(os.environ.get("BARKER_DATA", DATA))) / FILE_NAME, True


def certified(credentials: Credentials, folder: Path | None) -> Credentials:
    """The same with a certificate: that in the `folder`, or the one that ``--certificate`` names.

    Without a folder there is no TLS.
    """
    if folder is None:
        return credentials
    own = _given(CERTIFICATE) or folder / credentials.identity.file_name
    return replace(credentials, file=str(own), authority=str(folder / AUTHORITY))


def _certificates(place: Place) -> Path | None:
    """The folder with certificates: that of ``--tls``, or of the suite that has its directory there."""
    if (folder := _given(TLS)) is not None or _given(KEY) is not None:
        return folder
    suite = _suite(place)
    return Path(suite.tls) if suite is not None and suite.tls else None


def service_credentials(address: str, directory: Place, data: Path | None = None) -> Credentials:
    """Those of a service; the suite's key is made if there is none yet.

    :raises Mistake: when it cannot be, or others can read it.
    """
    file, _ = key_file(directory, data)
    return certified(Credentials(service(address), made_key(file), str(file)), _certificates(directory))


def terminal_credentials(directory: Place, certificate: Identity = OPERATOR) -> Credentials | None:
    """Those of an operator; None for who has no key. With TLS, of whom the `certificate` is.

    :raises Mistake: for a key that others can read, or that is not where it was said to be.
    """
    if (folder := _certificates(directory)) is not None:
        return certified(Credentials(certificate, b""), folder)
    file, guessed = key_file(directory)
    if guessed and not file.exists():
        return None
    return Credentials(OPERATOR, read_key(file), str(file), guessed=guessed)
