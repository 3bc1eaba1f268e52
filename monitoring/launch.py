"""Start the monitor of a running suite: `cd monitoring && python launch.py`; then open index.html here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from barker.environment import use_virtual_environment

if __name__ == "__main__":
    use_virtual_environment()
    from barker.monitor import main

    print(
        f"Open {Path(__file__).with_name('index.html').resolve().as_uri()}; Ctrl-C ends the monitor.",
        flush=True,
    )
    main()
