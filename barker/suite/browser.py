"""Opens pages in the browser, in a process of its own: some browsers are slow, and some are no windows."""

from __future__ import annotations

import html
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from barker.core.errors import BarkerError

_OPEN = """
import sys, webbrowser
sys.exit(not all([webbrowser.open(page) for page in sys.argv[1:]]))
"""

_DOOR = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={link}">
"""


def browse(links: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Begin to open these addresses; the process ends with status 0 if they could be opened.

    They have a key in them, and everybody on the machine can read command lines. So a browser is given files
    in `folder` that lead there, which only this user can read.

    Python finds the browser; the variable BROWSER names another one.

    :raises BarkerError: when the files cannot be written.
    """
    doors = [folder / f"open-{number}.html" for number, _ in enumerate(links, 1)]
    for door, link in zip(doors, links, strict=True):
        try:
            door.unlink(missing_ok=True)
            with os.fdopen(os.open(door, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(_DOOR.format(link=html.escape(link)))
        except OSError as error:
            raise BarkerError(f"{door}: {error.strerror}; open the page yourself") from None
    return subprocess.Popen(
        [sys.executable, "-c", _OPEN, *[door.resolve().as_uri() for door in doors]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the suite; what was opened stays.
    )
