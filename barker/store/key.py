"""A suite's key, in a file of its data folder: who can read that file belongs to the suite."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from barker.core.access import check_alone
from barker.core.errors import Mistake

FILE_NAME = "key"

LEAST_BYTES = 16
"""A shorter key could be guessed."""


def read_key(file: Path) -> bytes:
    """The key in the file.

    :raises Mistake: when there is none, or others can read it.
    """
    try:
        mode = file.stat().st_mode
        key = file.read_bytes().strip()
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}; it has the key of the suite") from None
    check_alone(file, mode)
    if len(key) < LEAST_BYTES:
        raise Mistake(f"{file} has no key in it: remove it, and one is made when the suite starts")
    return key


def made_key(file: Path) -> bytes:
    """The key in the file, which is made with a new one if it is not there.

    :raises Mistake: when it cannot be, or others can read it.
    """
    if not file.exists():
        draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(f"{secrets.token_hex(32)}\n")
            try:
                os.link(draft, file)  # Whole, or not at all: several services may start at once.
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        except OSError as error:
            raise Mistake(f"{file}: {error.strerror}; the key of the suite is kept there") from None
    return read_key(file)
