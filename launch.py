#!/usr/bin/env python3
"""Start Barker: `python launch.py`; `python launch.py --help` says what it takes."""

from __future__ import annotations

from barker.environment import use_virtual_environment

if __name__ == "__main__":
    use_virtual_environment()
    from barker.launcher import main

    main()
