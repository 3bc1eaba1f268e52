"""Opens pages in the browser, in a process of its own: some browsers are slow, and some are no windows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

_OPEN = """
import sys, webbrowser
sys.exit(not all([webbrowser.open(page) for page in sys.argv[1:]]))
"""


def browse(pages: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin to open these addresses; the process ends with status 0 if they could be opened.

    Python finds the browser; the variable BROWSER names another one.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _OPEN, *pages],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the suite; what was opened stays.
    )
