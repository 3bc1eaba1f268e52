"""Who is where: the directory's table and the four policies. No sockets here.

An address is served by whoever registered its longest prefix: ``inbox/ark3`` by a registration of
``inbox/ark3``, else by one of ``inbox``. Among several, the policy of the oldest decides; where each has a
partition of the names below the prefix, among those that have the name.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from random import Random

from barker.core.errors import InvalidField, Mistake
from barker.core.partitions import Partition

POLICIES = ("ordered", "round-robin", "random", "consistent")
"""``ordered``: the oldest (failover). ``round-robin``: each in turn. ``random``: by chance.
``consistent``: the same for the same address as long as it lives (rendezvous hashing)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One service's word that it serves an address."""

    address: str
    host: str
    port: int
    policy: str = "round-robin"
    since: float = 0.0
    """When the service started, in seconds since 1970: who is oldest survives the directory's restart."""
    partition: str = ""
    """Which of the names below the address it serves, such as ``2/4`` (`partitions.py`); empty: all."""

    @property
    def place(self) -> tuple[str, str, int]:
        """What makes it this route and no other: address, host and port."""
        return self.address, self.host, self.port

    def to_map(self) -> dict[str, str | int | float]:
        """As an AMQP map, for a registration or a watcher."""
        return {
            "address": self.address,
            "host": self.host,
            "port": self.port,
            "policy": self.policy,
            "since": self.since,
            "partition": self.partition,
        }

    @staticmethod
    def from_map(fields: object) -> Route:
        """The route that a map describes.

        :raises InvalidField: when a field is missing or wrong, naming it.
        """
        if not isinstance(fields, dict):
            raise InvalidField("a registration is a map of address, host, port, policy and since")
        address, host, port = fields.get("address"), fields.get("host"), fields.get("port")
        policy, since = fields.get("policy", "round-robin"), fields.get("since", 0.0)
        partition = fields.get("partition", "")
        if not isinstance(address, str) or not normalised(address):
            raise InvalidField(f"address must be a name; it is {address!r:.80}")
        if not isinstance(host, str) or not host:
            raise InvalidField(f"host must be a name or a number; it is {host!r:.80}")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise InvalidField(f"port must be a number from 1 to 65535; it is {port!r:.80}")
        if policy not in POLICIES:
            raise InvalidField(f"policy must be one of {', '.join(POLICIES)}; it is {policy!r:.80}")
        if not isinstance(since, int | float) or not 0 <= since < math.inf:
            raise InvalidField(f"since must be seconds since 1970; it is {since!r:.80}")
        if not isinstance(partition, str):
            raise InvalidField(f"partition must be such as 2/4, or empty; it is {partition!r:.80}")
        try:
            partition = str(Partition.parse(partition)) if partition else ""
        except Mistake as mistake:
            raise InvalidField(str(mistake)) from None
        return Route(normalised(address), str(host), int(port), str(policy), float(since), partition)


class Routes:
    """The table: every live route, with who holds it."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str, int], tuple[Route, Hashable]] = {}
        self._turns: dict[str, deque[Route]] = {}

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(sorted((route for route, _ in self._routes.values()), key=_age))

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, route: Route, holder: Hashable = None) -> None:
        """`holder` (a link) serves `route`; who held the same place before holds it no more."""
        self._forget(route)
        self._routes[route.place] = route, holder
        self._turns.setdefault(route.address, deque()).appendleft(route)

    def remove(self, route: Route, holder: Hashable = None) -> bool:
        """Take `route` away, if `holder` is still the one who holds it; whether it was."""
        current = self._routes.get(route.place)
        if current is None or current[1] != holder:
            return False
        self._forget(route)
        return True

    def choose(self, address: str, chance: Random) -> Route | None:
        """The route that serves `address` now, by the policy of its longest prefix; None if there is none."""
        prefix = normalised(address)
        while prefix not in self._turns:
            prefix, found, _ = prefix.rpartition("/")
            if not found:
                return None
        turns = self._turns[prefix]
        name = normalised(address)[len(prefix) + 1 :]
        candidates = [route for route in turns if _holds(route, name)]
        if not candidates:
            return None
        oldest = min(candidates, key=_age)
        if oldest.policy == "ordered":
            return oldest
        if oldest.policy == "random":
            return chance.choice(candidates)
        if oldest.policy == "consistent":
            return max(candidates, key=lambda route: _weight(route, address))
        turns.remove(candidates[0])
        turns.append(candidates[0])
        return candidates[0]

    def _forget(self, route: Route) -> None:
        known = self._routes.pop(route.place, None)
        if known is not None:
            turns = self._turns[route.address]
            turns.remove(known[0])
            if not turns:
                del self._turns[route.address]


def normalised(address: str) -> str:
    """An address without ``//host/``, without a leading ``/``: ``//any/inbox/ark3`` is ``inbox/ark3``."""
    if address.startswith("//"):
        address = address[2:].partition("/")[2]
    return address.strip("/")


def _holds(route: Route, name: str) -> bool:
    """Whether it serves a name below its address; the address alone is served by all."""
    return not (name and route.partition) or Partition.parse(route.partition).holds(name)


def _age(route: Route) -> tuple[float, str, int]:
    return route.since, route.host, route.port


def _weight(route: Route, address: str) -> float:
    """Rendezvous hashing (Thaler and Ravishankar, 1998): the highest weight serves the address."""
    # A generator with a text for a seed is a good hash of it. Not hashlib: it brings OpenSSL, 2 MB a process.
    return Random(f"{route.host}:{route.port} {normalised(address)}").random()
