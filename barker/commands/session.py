"""A suite's session file: tells the pages where the gateway is, and them and the terminal the run's token."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import click

from barker.amqp.links import Place
from barker.commands.options import DATA
from barker.core.errors import Mistake
from barker.environment import INSTALLED, PAGES

FILE = Path(DATA, "session.js") if INSTALLED else PAGES / "webui" / "session.js"
"""Where the pages look for it when they are opened from the disk, as those of a checkout can be."""


def write_session(file: Path, gateway: Place, token: str) -> None:
    """Tell the pages where the gateway is, and the run's token; readable by this user only."""
    text = f'window.BARKER_SESSION = {{gateway: "{gateway}", token: "{token}"}};\n'
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        click.echo(f"barker: {file}: {error.strerror}; open the pages with ?gateway={gateway}", err=True)


def read_token(file: Path) -> str:
    """The run's token.

    :raises Mistake: when the file is not there or has none.
    """
    try:
        found = re.search(r'token: ("[^"]*")', file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistake(
            f"{file}: {error.strerror}; it has the token of a suite that barker launch began"
        ) from None
    if found is None:
        raise Mistake(f"{file} has no token in it; a new 'barker launch' writes one")
    return str(json.loads(found[1]))
