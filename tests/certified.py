"""Certificates for tests, by an authority of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from barker.amqp.system import wall
from barker.core.access import AUTHORITY, EVERYBODY, Credentials, Identity, service
from barker.store.authority import Authority

DAY = 86_400.0

ARK3 = Identity("person", "ark3")


def certificates(folder: Path, now: float | None = None, days: int = 1) -> Path:
    """A folder with those of a suite, of its operator, of ark3, and of services orders and news."""
    everybody = [*EVERYBODY, *map(service, ("orders", "news")), ARK3]
    Authority.make(folder, everybody, (), days, wall() if now is None else now)
    return folder


def credentials(folder: Path, who: Identity) -> Credentials:
    return Credentials(who, b"", file=str(folder / who.file_name), authority=str(folder / AUTHORITY))


def replace(file: Path, other: Path) -> None:
    """Put another in place of a file, whole at once."""
    draft = file.with_name("draft")
    shutil.copy(other, draft)
    os.replace(draft, file)
