"""Several who do the same, as directories do: whom a process asks first, and whom then. No I/O here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Whom one search asks after the other, until one can help; shared by all searches of a process.

    Who has failed while it was asked first is asked last from then on: only who was searching just then has
    waited for it.
    """

    def __init__(self, those: Iterable[T]) -> None:
        """In the order in which they are asked at first."""
        self._those = deque(those)

    def __iter__(self) -> Iterator[T]:
        """All of them, in the order in which a search asks them that begins now."""
        return iter(tuple(self._those))

    def __contains__(self, one: object) -> bool:
        return one in self._those

    def failed(self, one: T) -> None:
        """It does not answer."""
        if self._those and self._those[0] == one:
            self._those.rotate(-1)
