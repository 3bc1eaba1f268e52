"""The forms that keys of timelines once had, for journals that an older Barker has left.

=====================  =============================================================================
``author/id``          a whole fan-out; long ago the first of several parts as well
``author/id\\nN``       long ago: another of several parts, however many
``author/id\\nN/COUNT`` the N-th of COUNT parts: today's form, in which a whole fan-out is ``0/1``
``user\\nid``           what came to one timeline alone; in today's form there is another ``\\n`` behind it
=====================  =============================================================================

A bark that was on its way when that Barker ended comes again with a key in today's form.
"""

from __future__ import annotations

import zlib

from barker.core.barks import is_user
from barker.core.fan_out import part_key

TELLING = 64
"""That so many names are in one of several parts by chance, when they are all there are, never happens."""


def in_todays_form(key: str, users: str | None) -> str:
    """A key as it would be made now, if it has an old form; `users`: whom it came to, if that is known."""
    head, line, rest = key.partition("\n")
    author, slash, id = head.partition("/")
    if line and (head == users or not slash):
        return key if rest.endswith("\n") else f"{key}\n"
    if not is_user(author) or not id or (line and not rest.isdecimal()):
        return key
    number = int(rest or 0)
    return part_key(author, id, f"{number}/{_count(number, users or '')}")


def _count(number: int, users: str) -> int:
    """Into how many parts a fan-out went, 1, 2, 4 …, of which one with that number came to these users."""
    hashes = [zlib.crc32(name.encode()) for name in users.split()]
    count = 1
    # As fan-outs are divided: by the rest of a name's checksum.
    while count <= number or (
        len(hashes) >= TELLING and all(each % (2 * count) == number for each in hashes)
    ):
        count *= 2
    return count
