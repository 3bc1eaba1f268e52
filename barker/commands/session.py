"""A suite's session file: tells the terminal where the suite is, and pages from the disk how they get in.

It is a script that the pages load, so any page from the disk can load it, too: it tells what it has only
where the page's own address is that of one of ours, which no page can change.

Each suite has a file of its own, named after its gateway's port, which differs as the port offset does. What
the last launcher wrote is in ``session.js`` as well, for pages that are opened without a gateway's name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from barker.amqp.links import Place, Places
from barker.amqp.reactor import taken_port
from barker.commands.output import show
from barker.core.errors import Mistake
from barker.environment import INSTALLED, PAGES

FOLDER = Path(".barker") if INSTALLED else PAGES / "webui"
"""Where the pages look for it when they are opened from the disk, as those of a checkout can be."""

LAST = "session.js"
"""The last launcher's."""

GATEWAY_PORT, DIRECTORY_PORT = 5673, 5672
"""Without an offset."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a launcher tells of its suite."""

    gateway: str
    key: str = ""
    """The pages' (`core/access.py`); the suite's own is in a file of its data folder."""
    directory: str = ""
    """Where it is, as the other places are: HOST:PORT, or several; empty in a file of an older Barker."""
    launcher: str = ""
    pid: int = 0
    data: str = ""
    tls: str = ""
    """The folder with its certificates; empty without TLS."""

    @property
    def directories(self) -> Places:
        """Where they are."""
        return Places.parse(self.directory) if self.directory else Places()

    @property
    def runs(self) -> bool:
        """Whether its launcher is there: one that is killed leaves its file behind."""
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass
        place = Place.parse(self.launcher)
        return self.pid > 0 and taken_port(place.host, place.port) is not None


def file_of(directory: Place, folder: Path | None = None) -> Path:
    """The session file of the suite whose directory is there."""
    return (folder or FOLDER) / f"session-{directory.port + GATEWAY_PORT - DIRECTORY_PORT}.js"


def page_link(gateway: object, key: str, secure: bool, path: str = "", **search: str) -> str:
    """A page's address at the gateway, with the pages' key behind the #, where nobody is sent it.

    `secure`: whether the gateway speaks TLS.
    """
    return f"http{'s' * secure}://{gateway}/{path}{query(search)}#key={key}"


def query(search: dict[str, str]) -> str:
    """The part of an address that begins with a question mark; empty for nothing."""
    return f"?{urlencode(search, safe=':')}" if search else ""


def write_session(file: Path, gateway: Place, key: str, **more: Any) -> Session:
    """Write it, readable by this user only; `more`: the other fields of :class:`Session`."""
    session = Session(str(gateway), key, **more)
    fields = ", ".join(f"{name}: {json.dumps(getattr(session, name))}" for name in Session.__slots__)
    # Only ===, and only on what no page can define anew: a hostile one may have replaced any function before.
    ours = " || ".join(f"location.pathname === {json.dumps(path)}" for path in _paths())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(f'if (location.protocol === "file:" && location.host === "" && ({ours})) {{\n')
            out.write(f"    window.BARKER_SESSION = {{{fields}}};\n}}\n")
    except OSError as error:
        show(f"barker: {file}: {error.strerror}; pages from the disk lack the key: open the links", err=True)
    return session


def remove_session(file: Path, session: Session) -> None:
    """The suite has ended: its file, unless another has written it since, is of no use."""
    with contextlib.suppress(Mistake, OSError):
        if read_session(file) == session:
            file.unlink()


def read_session(file: Path) -> Session:
    """What is in the file.

    :raises Mistake: when it is not there, or tells of no suite.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}; it tells of a suite that 'barker up' began") from None
    found = re.findall(r'(\w+)"?: ("(?:[^"\\]|\\.)*"|\d+)', text)
    fields = {name: json.loads(value) for name, value in found if name in Session.__slots__}
    if not fields.get("gateway"):
        raise Mistake(f"{file} tells of no suite; a new 'barker up' writes it")
    return Session(**fields)


def _paths() -> list[str]:
    """What ``location.pathname`` may be in our pages from the disk."""
    pages = [os.fsencode(PAGES / folder / "index.html") for folder in ("webui", "monitoring")]
    return sorted({quote(page, safe) for page in pages for safe in _SAFE})


_SAFE = ("/", "/!$&'()*+,:=@~", "/!$&'()*+,:=@~[]", "/!$&'()*+,:=@~[];")
"""Besides letters and digits, what is left as it is in the path of an address: by Python, and so in what the
launcher prints; by desktops; and by Chromium, of a file that it is told to open, and of an address."""


def running(folder: Path | None = None) -> list[Session]:
    """The suites that run here, as far as their launchers have told the pages of this Barker."""
    found = []
    for file in sorted((folder or FOLDER).glob("session-*.js")):
        with contextlib.suppress(Mistake):
            session = read_session(file)
            if session.launcher and session.runs:
                found.append(session)
    return found
