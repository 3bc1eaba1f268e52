"""Start Barker: `python launch.py`; `python launch.py --help` says what it takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def use_virtual_environment() -> None:
    """Go on with the Python of `.venv`, where `make` has put what Barker needs, if this one lacks it."""
    try:
        import proton  # noqa: F401
    except ImportError:
        python = ROOT / ".venv" / "bin" / "python"
        if not python.exists():
            sys.exit("Barker is not set up yet: run 'make setup', or 'make run' to set it up and start it.")
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    use_virtual_environment()
    from barker.launcher import main

    main()
