"""The Python that Barker needs, for who started another one. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def use_virtual_environment() -> None:
    """Go on with the Python of `.venv`, where `make` has put what Barker needs, if this one lacks it."""
    try:
        import proton  # noqa: F401
    except ImportError:
        python = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
        if not python.exists():
            sys.exit("Barker is not set up yet: run 'make setup', or 'make run' to set it up and start it.")
        os.execv(python, [str(python), *sys.argv])
