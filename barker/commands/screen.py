"""A screen that is drawn again and again, and the keys that are pressed meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import termios
import tty
from collections.abc import Iterator, Sequence

from barker.commands.output import show

WHOLE, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""Have a screen of one's own without a cursor, and give it back."""

HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def is_screen() -> bool:
    """Whether standard output is a terminal on which lines can be drawn over others."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def screen() -> Iterator[None]:
    """Within it the screen is drawn by :func:`draw`, and keys come as they are pressed (:func:`keys`)."""
    before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    show(WHOLE, end="")
    try:
        if before is not None:
            tty.setcbreak(sys.stdin, termios.TCSANOW)
        yield
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
        with contextlib.suppress(OSError):
            sys.stdout.write(BACK)
            sys.stdout.flush()


def size() -> os.terminal_size:
    """Columns and lines of the screen, as it is now."""
    return shutil.get_terminal_size()


def draw(lines: Sequence[str]) -> None:
    """Show these lines, and nothing else; of too many the first.

    :raises OutputLost: when there is no screen any more.
    """
    shown = [f"{line}{REST_OF_LINE}" for line in lines[: size().lines]]
    show(HOME + "\n".join(shown) + REST_OF_SCREEN, end="")


def keys() -> str:
    """What was pressed; empty when there is no keyboard any more."""
    return os.read(sys.stdin.fileno(), 1024).decode(errors="ignore")
