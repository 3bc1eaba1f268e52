"""Partitions: which of several inboxes has whose timeline, and which of several bizlogics whose barks."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass

from barker.core.errors import Mistake

MOST = 100
"""So many partitions there may be."""


def number_of(name: str, count: int) -> int:
    """Which of `count` partitions, counted from 0, a user is in: always the same one."""
    # The upper half: parts of a fan-out (`fan_out.py`) go by the lower.
    return (zlib.crc32(name.encode()) >> 16) % count


@dataclass(frozen=True, slots=True)
class Partition:
    """One of several: the users that one inbox has, or the authors that one bizlogic has."""

    number: int
    """Counted from 0; people count from 1."""
    count: int

    @staticmethod
    def parse(text: str) -> Partition:
        """The partition that ``2/4`` is: the second of four.

        :raises Mistake: when it is none.
        """
        number, _, count = text.partition("/")
        digits = text.isascii() and number.isdecimal() and count.isdecimal()
        if not digits or not 0 < int(number) <= int(count) or not 2 <= int(count) <= MOST:
            raise Mistake(
                f"{text!r} is no partition; write it as 2/4, for the second of four (of 2 to {MOST})"
            )
        return Partition(int(number) - 1, int(count))

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.count}"

    def holds(self, name: str) -> bool:
        """Whether a user is in it."""
        return number_of(name, self.count) == self.number

    def meets(self, other: Partition) -> bool:
        """Whether a user can be in both, of other numbers of partitions."""
        return (self.number - other.number) % math.gcd(self.count, other.count) == 0

    def within(self, other: Partition) -> bool:
        """Whether each of its users is in the other, too."""
        return self.count % other.count == 0 and self.meets(other)

    def address(self, whole: str) -> str:
        """Where to send what is for this partition of `whole` alone; such as ``inbox-2-of-4``.

        One alone is no partition: it has the whole's own.
        """
        return f"{whole}-{self.number + 1}-of-{self.count}" if self.count > 1 else whole


_ONE_OF = re.compile(r"(.*)-(\d+)-of-(\d+)", re.DOTALL | re.ASCII)


def count_in(address: str, whole: str) -> int:
    """Of how many partitions of `whole` that is the address of one: of ``inbox-2-of-4``, 4; of all, 1.

    0 for any other.
    """
    found = _ONE_OF.fullmatch(address)
    if found is None or found[1] != whole:
        return int(address == whole)
    number, count = int(found[2]), int(found[3])
    return count if 1 <= number <= count and 2 <= count <= MOST else 0


def whole_of(address: str) -> str:
    """The first word of an address; of a partition's own, such as ``inbox-2-of-4``, that of the whole."""
    return re.sub(r"-\d+-of-\d+$", "", address.partition("/")[0])


def addresses(whole: str, count: int) -> list[str]:
    """Where to send what is for each of `count` partitions of `whole`."""
    return [Partition(number, count).address(whole) for number in range(count)]
