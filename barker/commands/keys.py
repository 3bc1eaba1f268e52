"""Whose key or certificate a program has: that of the suite it belongs to, or speaks to."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from barker.amqp.links import Places
from barker.amqp.system import wall
from barker.commands.session import Session, read_session, running
from barker.core.access import AUTHORITY, EVERYBODY, OPERATOR, Credentials, Identity, service
from barker.core.barks import user_name
from barker.core.errors import Mistake
from barker.environment import DATA, extra
from barker.store import accounts
from barker.store.accounts import Accounts
from barker.store.key import FILE_NAME, made_key, read_key

KEY, TLS, CERTIFICATE = "barker.key", "barker.tls", "barker.certificate"
SESSION, AS = "barker.session", "barker.as"
"""Where click keeps the values of ``--key`` and so on (`options.py`)."""


def asked(name: str, again: bool = False) -> str:
    """The password of a user, as it is typed, `again` if it is new; or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    typed: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=again, err=True)
    return typed


def _given(name: str) -> Any:
    """What an option of this program was given."""
    context = click.get_current_context(silent=True)
    return context.meta.get(name) if context is not None else None


def _suite(places: Places) -> Session | None:
    """The running suite that has a directory or its launcher there, as its launcher has told."""
    session = _given(SESSION)
    for suite in [read_session(session)] if session is not None else running():
        if suite.data and {suite.launcher, *map(str, suite.directories)} & set(map(str, places)):
            return suite
    return None


def key_file(places: Places, data: Path | None = None) -> tuple[Path, bool]:
    """The file with the key of the suite that has a directory or its launcher there; whether that is a guess.

    It is the one that ``--key`` names, or that of the running suite. Where no launcher has told, it is
    guessed: in the folder `data`, or BARKER_DATA, or the usual one.
    """
    key = _given(KEY)
    if key is not None:
        return key, False
    if suite := _suite(places):
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


def _certificates(places: Places) -> Path | None:
    """The folder with certificates: that of ``--tls``, or of the suite that has a directory there."""
    if (folder := _given(TLS)) is not None or _given(KEY) is not None:
        return folder
    suite = _suite(places)
    return Path(suite.tls) if suite is not None and suite.tls else None


def service_credentials(address: str, directories: Places, data: Path | None = None) -> Credentials:
    """Those of a service; the suite's key is made if there is none yet.

    :raises Mistake: when it cannot be, or others can read it.
    """
    file, _ = key_file(directories, data)
    own, folder = Credentials(service(address), made_key(file), str(file)), _certificates(directories)
    passwords = Accounts(folder / accounts.FILE_NAME) if folder is not None else None
    return certified(replace(own, passwords=passwords), folder)


def terminal_credentials(directories: Places, certificate: Identity = OPERATOR) -> Credentials | None:
    """Those of an operator; None for who has no key. With TLS, of whom the `certificate` is.

    Or those of the person that ``--as`` names, whose password is asked for.

    :raises Mistake: for a key that others can read, or that is not where it was said to be.
    """
    folder = _certificates(directories)
    if (name := _given(AS)) is not None:
        if folder is None:
            raise Mistake("--as NAME signs in where the suite speaks TLS: say --tls DIR")
        who = Identity("person", user_name(str(name)))
        password = asked(who.name)
        if not password:
            raise Mistake("nobody signs in without a password")
        return Credentials(who, b"", authority=str(folder / AUTHORITY), password=password)
    if folder is not None:
        return certified(Credentials(certificate, b""), folder)
    file, guessed = key_file(directories)
    if guessed and not file.exists():
        return None
    return Credentials(OPERATOR, read_key(file), str(file), guessed=guessed)


def operator_of_new_suite(data: Path, tls: bool) -> Credentials:
    """Those of the operator of a suite that is made for a trial in the folder `data`; with certificates, too.

    :raises Mistake: when they cannot be written.
    """
    credentials = Credentials(OPERATOR, made_key(data / FILE_NAME))
    if not tls:
        return credentials
    with extra("tls"):
        from barker.store.authority import Authority
    Authority.make(data / "tls", EVERYBODY, (), days=1, now=wall())
    return certified(credentials, data / "tls")
