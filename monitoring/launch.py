#!/usr/bin/env python3
"""Start the monitor of a running suite: `cd monitoring && python launch.py`; say where the dashboard is."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from barker.environment import use_virtual_environment

if __name__ == "__main__":
    use_virtual_environment()
    from barker.monitor import main

    main()
