"""Text that others wrote, as a terminal or a log may show it: nothing in it does anything there.

Control characters move the cursor, set titles, and begin lines that look like ours; marks of direction show
text in another order. They are shown as Python writes them: ``\\x1b``, ``\\n``, ``\\u202e``.
"""

from __future__ import annotations

import unicodedata

MOST = 2_000
"""So many characters are shown of a text."""

MOST_LINES = 200
"""So many lines are shown of a text of several."""

_JOINERS = "\u200c\u200d"
"""What joins letters or keeps them apart, as in families of emoji: no letters themselves, yet harmless."""


def printable(text: str, most: int = MOST) -> str:
    """One line that can be shown, of `most` characters at most; one that is cut ends with ``…``."""
    shown = text[: most + 1]
    if not shown.isprintable():
        shown = "".join(map(_shown, shown))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def printable_lines(text: str) -> str:
    """Lines of our own making, such as a traceback, that hold what others wrote: each can be shown."""
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES // 2], "…", *lines[-MOST_LINES // 2 :]]
    return "\n".join(map(printable, lines))


def _shown(character: str) -> str:
    # Python counts only one of the spaces (Zs) as printable.
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
