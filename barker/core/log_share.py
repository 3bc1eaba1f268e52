"""How much of a log is about one peer: so many lines within a minute, and of the others how many they were.

Who only has to connect to have a line written could else fill the disk, and hide what matters.
"""

from __future__ import annotations

LINES = 200
"""So many lines a minute are about one peer."""

SECONDS = 60.0

PEERS = 1_000
"""So many peers are counted, each for itself; when there are more within a minute, all others as one."""

OTHERS = "others"


class Peer(str):
    """Who has dialled this process, for its log: host:port, or a host alone.

    A peer is known by its host: with each connection it has another port.
    """

    __slots__ = ()

    @property
    def host(self) -> str:
        """Where it is."""
        host, colon, port = self.rpartition(":")
        return host if colon and port.isdecimal() else str(self)


class LogShare:
    """Counts lines. The clock is an argument: seconds, that of the line."""

    def __init__(self, most: int = LINES) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self._until = 0.0

    def admit(self, peer: Peer) -> bool:
        """Whether a line about `peer` is to be written."""
        host = peer.host
        if host not in self._counts and len(self._counts) >= PEERS:
            host = OTHERS
        count = self._counts[host] = self._counts.get(host, 0) + 1
        return count <= self._most

    def left_out(self, now: float) -> list[str]:
        """What is to be told at `now`, before any other line: of whom how many lines were left out.

        Nothing, until the minute is over in which they were.
        """
        if now < self._until and self._until - now <= SECONDS:
            return []
        told = [
            f"{host}: {count - self._most:,} more lines about it, within a minute, were left out"
            for host, count in self._counts.items()
            if count > self._most
        ]
        self._counts.clear()
        self._until = now + SECONDS
        return told
