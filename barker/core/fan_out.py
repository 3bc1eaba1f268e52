"""The fan-out: how a bark goes to all who must see it, in as few transfers as that takes.

One transfer goes to each inbox; one that would name very many goes in parts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from barker.core.errors import InvalidField
from barker.core.graph import SocialGraph
from barker.core.partitions import number_of

PART = 100_000
"""How many recipients go with one transfer at most."""

REMEMBERED = 2_000_000
"""So many recipients are in fan-outs that are remembered: 10 to 20 bytes each."""

OVERHEAD = 20
"""What a fan-out takes besides, in recipients: many that are small are bounded as well."""


class Share(NamedTuple):
    """What one transfer is for."""

    inbox: int
    """Which inbox it goes to, counted from 0."""
    part: str
    """Which part of that inbox's recipients it names: ``0/1`` when it is all of them."""
    names: str
    """The recipients, with spaces between."""


class FanOuts:
    """Everybody's fan-outs. An author has the same one with each bark, so the last ones are remembered."""

    def __init__(self, graph: SocialGraph, inboxes: int = 1, size: int = PART) -> None:
        """`inboxes`: how many have a partition of the users each. `size`: recipients of one transfer."""
        self._graph, self._inboxes, self._size = graph, inboxes, size
        self._known: dict[str, list[Share]] = {}
        self._remembered = 0

    def shares(self, author: str, text: str) -> list[Share]:
        """The transfers that bring `text` to all who must see it."""
        if self._graph.mentioned(author, text):
            return self._divide(self._graph.recipients(author, text))
        found = self._known.get(author)
        if found is None:
            recipients = self._graph.recipients(author, "")
            found = self._divide(recipients)
            size = len(recipients) + OVERHEAD
            self._remembered += size
            if self._remembered > REMEMBERED:
                self._known.clear()
                self._remembered = size
            self._known[author] = found
        return found

    def forget(self, author: str) -> None:
        """The followers of `author` are others now."""
        self._known.pop(author, None)

    def _divide(self, recipients: list[str]) -> list[Share]:
        partitions: list[list[str]] = [[] for _ in range(self._inboxes)]
        if self._inboxes == 1:
            partitions = [recipients]
        else:
            for name in recipients:
                partitions[number_of(name, self._inboxes)].append(name)
        return [
            Share(inbox, f"{number}/{len(divided)}", " ".join(names))
            for inbox, partition in enumerate(partitions)
            if partition
            for divided in [parts(partition, self._size)]
            for number, names in enumerate(divided)
        ]


def parts(recipients: list[str], size: int) -> list[list[str]]:
    """`recipients` in 1, 2, 4 … parts of about `size` at most, for one transfer each.

    Who is in which part depends on the name alone, not on who else is there: when a fan-out is repeated
    after somebody new began to follow, nobody moves to another part and is served twice or not at all.
    """
    count = 1
    while count * size < len(recipients):
        count *= 2
    if count == 1:
        return [recipients]
    divided: list[list[str]] = [[] for _ in range(count)]
    for name in recipients:
        divided[zlib.crc32(name.encode()) % count].append(name)
    return divided


def part_key(author: str, id: str, part: str) -> str:
    """What makes a part of a bark's fan-out the same when it comes again; `part` is such as ``0/1``."""
    return f"{author}/{id}\n{part}"


def checked_key(key: str) -> str:
    """A key, as one may be: what stands behind its last newline, if there is one, is a part or empty.

    :raises InvalidField: when it is too long, or that is no part.
    """
    if len(key) > MAX_KEY:
        raise InvalidField(f"a key has {MAX_KEY} characters at most; this one has {len(key)}")
    _, newline, part = key.rpartition("\n")
    # Nearly all fan-outs are one part.
    if newline and part and part != "0/1":
        found = _PART.fullmatch(part)
        if found is None or int(found[1]) >= int(found[2]):
            raise InvalidField(
                "a key with a newline ends in its part, k/n (n is 1, 2, 4 … 65536; k is less), or in nothing "
                f"behind it; this one ends in {part!r:.80}"
            )
    return key


MAX_KEY = 600
"""The longest key, in characters: a timeline's name, an id, and a part."""

_PART = re.compile(rf"([0-9]{{1,5}})/({'|'.join(str(1 << power) for power in range(17))})")


def same_or_wider(key: str) -> Iterator[str]:
    """The key, and those of the larger parts that hold all of that part's recipients.

    A fan-out that is cut off and repeated after many began to follow has more parts than before: each lies
    within one of the old ones. (If so many have left meanwhile that it has fewer, some get it twice.)
    """
    yield key
    bark, _, part = key.rpartition("\n")
    number, _, count = part.partition("/")
    if bark and number.isdecimal() and count.isdecimal():
        at, of = int(number), int(count)
        while of > 1:
            of //= 2
            at %= of
            yield f"{bark}\n{at}/{of}"
