#!/usr/bin/env python3
"""Start Barker without a bizlogic, for the failover demo: start those by hand, and kill them."""

from __future__ import annotations

import sys

from barker.environment import use_virtual_environment

if __name__ == "__main__":
    use_virtual_environment()
    from barker.launcher import main

    main([*sys.argv[1:], "--bizlogics", "0"])
