"""The fan-out: how a bark goes to all who must see it, in as few transfers as that takes.

One transfer goes to each inbox; one that would name very many goes in 2, 4, 8 … parts. In which one somebody
is depends on the name alone (:func:`parts`). So when a bark comes to the inbox a second time, and in another
number of parts, as many have begun to follow or have ceased to, it is known who has it already
(:func:`unserved`): a part that is finer than one that was here is a repeat; of one that is wider, only those
are served whose finer part was not here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import InvalidField
from barker.core.graph import SocialGraph
from barker.core.partitions import number_of

MOST_PARTS = 1_024
"""In so many parts a fan-out goes at most."""

REMEMBERED = 2_000_000
"""So many recipients are in fan-outs that are remembered: 10 to 20 bytes each."""

LEAST_FAN_OUT = 20
"""What a fan-out takes besides, in recipients: many that are small are bounded as well."""


class Share(NamedTuple):
    """What one transfer is for."""

    inbox: int
    """Which inbox it goes to, counted from 0."""
    part: str
    """Which part of that inbox's recipients it names: ``0/1`` when it is all of them."""
    names: str
    """The author and the followers, with spaces between: one string for all barks of an author."""
    also: str = ""
    """Who is there because this bark mentions them, likewise."""

    @property
    def recipients(self) -> str:
        """All of them, with spaces between."""
        return f"{self.names} {self.also}" if self.also else self.names


class FanOuts:
    """Everybody's fan-outs. An author has the same one with each bark, so the last ones are remembered."""

    def __init__(self, graph: SocialGraph, inboxes: int = 1, size: int = DEFAULT_BOUNDS.part) -> None:
        """`inboxes`: how many have a partition of the users each. `size`: recipients of one transfer."""
        self._graph, self._inboxes, self._size = graph, inboxes, size
        self._known: dict[str, list[Share]] = {}
        self._remembered = 0

    def shares(self, author: str, text: str) -> list[Share]:
        """The transfers that bring `text` to all who must see it."""
        shares = self._of(author)
        mentioned = self._graph.mentioned(author, text)
        return self._with(mentioned, shares) if mentioned else shares

    def _of(self, author: str) -> list[Share]:
        """Those of all barks that mention nobody."""
        found = self._known.get(author)
        if found is None:
            recipients = self._graph.recipients(author, "")
            found = self._divide(recipients)
            size = len(recipients) + LEAST_FAN_OUT
            self._remembered += size
            if self._remembered > REMEMBERED:
                self._known.clear()
                self._remembered = size
            self._known[author] = found
        return found

    def _with(self, mentioned: list[str], shares: list[Share]) -> list[Share]:
        """The shares, with those added who are mentioned: each to the part that the name belongs to."""
        added = {(share.inbox, share.part): share for share in shares}
        for name in mentioned:
            inbox = number_of(name, self._inboxes) if self._inboxes > 1 else 0
            count = sum(share.inbox == inbox for share in shares)
            part = f"{name_hash(name) % count if count else 0}/{count or 1}"
            share = added.get((inbox, part), Share(inbox, part, ""))
            also = f"{share.also} {name}" if share.also else name
            # Of an inbox that none of the others is in, those who are mentioned are all there are.
            added[inbox, part] = share._replace(also=also) if share.names else share._replace(names=name)
        return list(added.values())

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
    while count * size < len(recipients) and count < MOST_PARTS:
        count *= 2
    if count == 1:
        return [recipients]
    divided: list[list[str]] = [[] for _ in range(count)]
    for name in recipients:
        divided[name_hash(name) % count].append(name)
    return divided


def name_hash(name: str) -> int:
    """By which a user is in a part: of ``k/n``, if the rest of this by n is k."""
    return zlib.crc32(name.encode())


# What an inbox knows of the parts that were here


def part_key(author: str, id: str, part: str) -> str:
    """What makes a part of a bark's fan-out the same when it comes again; `part` is such as ``0/1``."""
    return f"{author}/{id}\n{part}"


def checked_key(key: str) -> str:
    """A key, as one may be: what stands behind its last newline, if there is one, is a part or empty.

    :raises InvalidField: when it is too long, or that is no part.
    """
    if key.endswith("\n0/1") and len(key) <= MAX_KEY:  # As nearly all.
        return key
    if len(key) > MAX_KEY:
        raise InvalidField(f"a key has {MAX_KEY} characters at most; this one has {len(key)}")
    _, newline, part = key.rpartition("\n")
    if newline and part and not read_key(key)[2]:
        raise InvalidField(
            f"a key with a newline ends in its part, k/n (n is 1, 2, 4 … {MOST_PARTS}; k is less), or in "
            f"nothing behind it; this one ends in {part!r:.80}"
        )
    return key


MAX_KEY = 600
"""The longest key, in characters: a timeline's name, an id, and a part."""


def unserved(key: str, names: str, seen: Callable[[str], bool], divided: bool = True) -> str:
    """Whom of a part's recipients the bark has not reached yet; empty if it has reached all.

    `seen` tells of the :func:`marks` of the parts that were here. Those of no fan-out have a key, too.
    `divided`: whether any bark was here in several parts. If none was, there is less to ask.
    """
    if not divided and key.endswith("\n0/1"):  # As nearly all.
        return "" if seen(key) else names
    if any(map(seen, same_or_wider(key))):
        return ""
    if not divided:
        return names
    bark, at, count = read_key(key)
    finer: list[tuple[int, set[int]]] = []
    of = count
    while count and of < MOST_PARTS and seen(_mark(bark, of)):
        of *= 2
        finer.append((of, {part for part in range(at, of, count) if seen(f"{bark}\n{part}/{of}")}))
    if not finer:
        return names
    # A part with many names, seldom: only when it comes again, with fewer parts than before.
    hashes = ((name, name_hash(name)) for name in names.split())
    return " ".join(name for name, hashed in hashes if not any(hashed % of in served for of, served in finer))


def names_author(key: str, names: str) -> bool:
    """Whether a part of a bark's fan-out is for its author, too: one is, and there the author is first."""
    end = key.find("/")
    if end < 0 or not names.startswith(key[:end]) or names[end : end + 1] not in ("", " "):
        return False
    return key.endswith("\n0/1") or read_key(key)[2] > 0


def marks(key: str) -> Sequence[str]:
    """What an inbox remembers of a part that was here: its key, and that there was a finer part than others.

    So whether some of a wider part's recipients have it already is asked once, and mostly not the case.
    """
    if key.endswith("\n0/1"):
        return (key,)
    bark, _, count = read_key(key)
    return [key, *(_mark(bark, of) for of in _halves(count))]


def same_or_wider(key: str) -> Sequence[str]:
    """The key, and those of the larger parts that hold all of that part's recipients.

    A fan-out that is cut off and repeated after many began to follow has more parts than before: each lies
    within one of the old ones.
    """
    if key.endswith("\n0/1"):
        return (key,)
    bark, at, count = read_key(key)
    return [key, *(f"{bark}\n{at % of}/{of}" for of in _halves(count))]


def _halves(count: int) -> Iterator[int]:
    """``8`` gives 4, 2 and 1."""
    while count > 1:
        count //= 2
        yield count


_KEY = re.compile(r"(.+)\n(0|[1-9]\d{0,3})/([1-9]\d{0,3})", re.DOTALL | re.ASCII)


def read_key(key: str) -> tuple[str, int, int]:
    """Whose part it is, which, and of how many; of none, if it is no part of a fan-out."""
    if key.endswith("\n0/1"):  # As nearly all.
        return key[:-4], 0, 1
    found = _KEY.fullmatch(key)
    if found is not None:
        at, count = int(found[2]), int(found[3])
        if at < count <= MOST_PARTS and not count & (count - 1):
            return found[1], at, count
    return key, 0, 0


def _mark(bark: str, count: int) -> str:
    """Remembered of a bark of which some part was here that is finer than `count` parts make."""
    return f"{bark}\n>{count}"
