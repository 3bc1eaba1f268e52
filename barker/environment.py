"""Where this Barker is and what it has: Python, packages, pages. Standard library only."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent

INSTALLED = (_HERE / "pages").is_dir()
"""Whether it came as a wheel, which has the pages inside, and is no checkout."""

PAGES = _HERE / "pages" if INSTALLED else _HERE.parent
"""The folder with webui/ and monitoring/."""


def use_virtual_environment() -> None:
    """Go on with the Python of `.venv`, where `make` has put what Barker needs, if this one lacks it."""
    try:
        import proton  # noqa: F401
    except ImportError:
        python = _HERE.parent / ".venv" / "bin" / "python"
        if not python.exists():
            sys.exit("Barker is not set up yet: run 'make setup', or 'make run' to set it up and start it.")
        os.execv(python, [str(python), *sys.argv])


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
