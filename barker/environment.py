"""Where this Barker is and what it has: Python, packages, pages. Standard library only."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

DATA = ".barker"
"""The folder where data is kept, unless one is told otherwise."""

_HERE = Path(__file__).resolve().parent

INSTALLED = (_HERE / "pages").is_dir()
"""Whether it came as a wheel, which has the pages inside, and is no checkout."""

PAGES = _HERE / "pages" if INSTALLED else _HERE.parent
"""The folder with webui/ and monitoring/."""

OLDEST = (3, 11)
"""No older Python will do."""

PROTON = ("0.39.", "0.40.")
"""The versions of Proton that `barker/amqp` works with begin so."""

CORE = ("click", "psutil", "proton")
"""What every program imports."""

EXTRAS = {
    "web": ("aiohttp", "prometheus_client"),
    "terminal": ("rich",),
    "tls": ("cryptography",),
    "scale": ("psycopg",),
}
"""What some programs import, by the extra that brings it."""

_VENV = _HERE.parent / ".venv"

_SETUP = "pip install 'barker[all]'" if INSTALLED else "make setup"


def use_virtual_environment(*command: str) -> None:
    """Go on with the Python of `.venv`, where `make` has put what Barker needs, if this one lacks it.

    `command`: what that Python is given; nothing: what this one was given.
    """
    if all(map(find_spec, CORE)):
        return
    python = _VENV / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != _VENV.resolve():
        os.execv(python, [str(python), *(command or sys.argv)])
    if sys.argv[1:2] == ["doctor"]:
        for what in lacks():
            print(f"missing: {what}", flush=True)
        preflight = _HERE.parent / "setup" / "preflight.py"
        if preflight.exists():  # Of a checkout: whether the machine has what `make setup` needs.
            subprocess.run([sys.executable, str(preflight)], check=False)
    begin = "run 'make setup', or 'make run' to set it up and start it"
    sys.exit(f"Barker is not set up yet: {_SETUP if INSTALLED else begin}.")


def lacks() -> Iterator[str]:
    """What is missing here for Barker to work, each in a line with what brings it."""
    if sys.version_info < OLDEST:
        yield f"Python {'.'.join(map(str, OLDEST))} or newer: {sys.executable} is {sys.version.split()[0]}"
    if find_spec("_sqlite3") is None:
        yield "SQLite: this Python was built without it; take another one"
    for package in CORE:
        if find_spec(package) is None:
            yield f"the package {package}: {_SETUP}"
    for name, packages in EXTRAS.items():
        for package in packages:
            if find_spec(package) is None:
                yield f"the package {package}: {_SETUP.replace('all', name)}"
    with contextlib.suppress(PackageNotFoundError):
        if not version("python-qpid-proton").startswith(PROTON):
            yield f"Proton {PROTON[-1]}0; there is {version('python-qpid-proton')}: {_SETUP}"
    files = runpy.run_path(str(_HERE / "web" / "files.py"))["FILES"].values()
    missing = sorted({file for file in files if not (PAGES / file).is_file()})
    if missing:
        yield f"of the pages' files {len(missing)}, such as {missing[0]}: {_SETUP}"


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Within it, what barker[NAME] brings is imported; where it lacks, that is said, and the program ends."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("barker"):
            raise
        package = (error.name or "").partition(".")[0]
        sys.exit(f"barker: this needs {package}, which is not installed: pip install 'barker[{name}]'")
