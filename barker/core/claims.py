"""What is left of a row of timelines when the number of inboxes changes: messages, recipients, keys.

An inbox that has a key has served all the recipients of that part who are in its own partition
(`fan_out.py`). In another partition this holds for those who are in both. So where all are, the key stays as
it is. It does, too, if the bark is not under way any more: then all of it is done. Of one that is, which may
come again, the key becomes a *claim*, with the partition behind it that it is true of:

=========================  ========================================================================
``author/id\\n0/1@2/4``     of the part ``0/1`` those are served who were in the second of four
``author/id\\n0/1@2/4@1/3`` those of them who then were in the first of three
``something\\n@2/4``        the same of a key that is no part's
=========================  ========================================================================

No key from outside has that form (:func:`barker.core.fan_out.checked_key`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from barker.core.barks import is_user
from barker.core.fan_out import name_hash, read_key
from barker.core.partitions import Partition, number_of

_CLAIM = re.compile(r"(.*\n(?:\d+/\d+)?)((?:@\d+/\d+)+)", re.DOTALL | re.ASCII)


class Claim(NamedTuple):
    """A key, and of whom it is true."""

    key: str
    partitions: tuple[Partition, ...]
    """Of those who are in all of these; of everybody, if there are none."""

    @staticmethod
    def parse(key: str) -> Claim:
        """What a key in a journal says; one without partitions, if it is an ordinary one."""
        _, line, end = key.rpartition("\n")
        found = _CLAIM.fullmatch(key) if line and "@" in end else None
        if found is None:
            return Claim(key, ())
        whole = found[1] if read_key(found[1])[2] else found[1][:-1]
        return Claim(whole, tuple(_partition(text) for text in found[2][1:].split("@")))

    def __str__(self) -> str:
        if not self.partitions:
            return self.key
        line = "" if read_key(self.key)[2] else "\n"
        return self.key + line + "".join(f"@{partition}" for partition in self.partitions)


def may_come_again(key: str, waiting: Callable[[str], bool]) -> bool:
    """Whether what has that key may come again; `waiting` tells whether outboxes still hold ``author/id``."""
    whole = Claim.parse(key).key
    head, _, count = read_key(whole)
    author, _, id = head.partition("/")
    if count and id and is_user(author):
        return waiting(head)
    # What was sent to one timeline alone is there or not. Of anything else, only who sent it knows.
    return not (whole.endswith("\n") and whole.count("\n") > 1)


class Row(NamedTuple):
    """A row of timelines without its message."""

    key: str
    users: str
    """Whose timelines have the message, separated by spaces; nobody's: only the key is remembered."""


class Division:
    """What becomes of the rows of one inbox when there are to be `count`."""

    def __init__(self, source: Partition, count: int) -> None:
        """`source`: whose rows they are."""
        self._source, self._count = source, count
        targets = [Partition(number, count) for number in range(count)]
        self._targets = {target.number: target.within(source) for target in targets if target.meets(source)}
        """By number, whether all of its users were in the source."""

    def rows(self, row: Row, under_way: bool) -> Iterator[tuple[int, Row]]:
        """Each inbox that gets something of a row, and what; `under_way`: whether it may come again."""
        names: dict[int, list[str]] = {}
        for name in row.users.split():
            names.setdefault(number_of(name, self._count), []).append(name)
        claim = Claim.parse(row.key)
        whole = str(claim) if under_way else claim.key
        part = str(Claim(claim.key, (*claim.partitions, self._source))) if under_way else claim.key
        for number, within in self._targets.items():
            users = " ".join(names.get(number, ()))
            if row.key or users:
                yield number, Row((whole if within else part) if row.key else "", users)


class Claims:
    """Those that an inbox has, of barks that may come again."""

    def __init__(self) -> None:
        self._known: defaultdict[str, list[Claim]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: str) -> bool:
        """Remember the key of a journal's row, if it is a claim; whether it is one."""
        claim = Claim.parse(key)
        if claim.partitions:
            self._known[read_key(claim.key)[0]].append(claim)
        return bool(claim.partitions)

    def unserved(self, key: str, names: str) -> str:
        """Whom of a part's recipients no claim says to have the bark already."""
        known = self._known.get(read_key(key)[0])
        if known is None:
            return names
        return " ".join(name for name in names.split() if not any(_true_of(claim, name) for claim in known))


def _true_of(claim: Claim, name: str) -> bool:
    _, at, count = read_key(claim.key)
    in_part = not count or name_hash(name) % count == at
    return in_part and all(partition.holds(name) for partition in claim.partitions)


def _partition(text: str) -> Partition:
    number, _, count = text.partition("/")
    return Partition(int(number) - 1, int(count))
