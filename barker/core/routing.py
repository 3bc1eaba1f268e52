"""Who is where: the directory's table and the four policies. No sockets here.

An address is served by whoever registered its longest prefix: ``inbox/ark3`` by a registration of
``inbox/ark3``, else by one of ``inbox``. Among several, the policy of the oldest decides; where each has a
partition of the names below the prefix, among those that have the name.

A place (address, host and port) has one holder. Another who wants it is refused for as long as it is held,
but for the same container over a new connection: its old connection is dead, and only not yet known to be.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from barker.core.errors import Held, InvalidField, LimitExceeded, Mistake, OtherData
from barker.core.partitions import Partition, whole_of

MAX_ADDRESS = 256
"""The longest address, in bytes."""

MAX_LEVELS = 8
"""The most words of an address, between slashes."""

MOST_ROUTES = 50
"""So many routes may be registered over one connection: a service has two, or three."""

MAX_HOST = 255
"""The longest name of a host, in characters (RFC 1035 §2.3.4)."""

MAX_DATA = 5_000
"""The longest word on what a service works on, in characters; a path has 4,096."""

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
    """When the service started, in seconds since 1970, as far as it is believed (:class:`Ages`)."""
    partition: str = ""
    """Which of the names below the address it serves, such as ``2/4`` (`partitions.py`); empty: all."""
    data: str = ""
    """What it works on, if all who serve the address have to share that: an id, and where it is, such as
    ``5f0c33a1 rex:/home/ann/.barker/users.sqlite3`` (:class:`Shared`)."""

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
            "data": self.data,
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
        partition, data = fields.get("partition", ""), fields.get("data", "")
        if not isinstance(address, str) or not normalised(address):
            raise InvalidField(f"address must be a name; it is {address!r:.80}")
        if not isinstance(host, str) or not 1 <= len(host) <= MAX_HOST:
            raise InvalidField(f"host must be a name or a number; it is {host!r:.80}")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise InvalidField(f"port must be a number from 1 to 65535; it is {port!r:.80}")
        if policy not in POLICIES:
            raise InvalidField(f"policy must be one of {', '.join(POLICIES)}; it is {policy!r:.80}")
        if not isinstance(since, int | float) or not 0 <= since < math.inf:
            raise InvalidField(f"since must be seconds since 1970; it is {since!r:.80}")
        if not isinstance(partition, str):
            raise InvalidField(f"partition must be such as 2/4, or empty; it is {partition!r:.80}")
        if not isinstance(data, str) or len(data) > MAX_DATA:
            raise InvalidField(f"data must be {MAX_DATA} characters at most; it is {data!r:.80}")
        try:
            partition = str(Partition.parse(partition)) if partition else ""
        except Mistake as mistake:
            raise InvalidField(str(mistake)) from None
        address = checked_address(address)
        return Route(address, str(host), int(port), str(policy), float(since), partition, data)


Place = tuple[str, str, int]


class Holder(NamedTuple):
    """Who serves a route: the link that registered it, its connection, and the container at the other end."""

    link: Any = None
    connection: Hashable = None
    container: str = ""
    """The peer's own word (AMQP 1.0 §2.7.1): enough against accidents, not against malice."""

    def follows(self, other: Holder) -> bool:
        """Whether this is the same container as `other`, back over a new connection."""
        same = bool(self.container) and self.container == other.container
        return same and self.connection != other.connection


NOBODY = Holder()


class Routes:
    """The table: every live route, with who holds it. Other threads may iterate over it."""

    def __init__(self) -> None:
        self._routes: dict[Place, tuple[Route, Holder]] = {}
        self._held: Counter[Hashable] = Counter()  # By connection: how many routes are registered over it.
        self._root = _Node()

    def __iter__(self) -> Iterator[Route]:
        """The routes of this moment, the oldest first."""
        return iter(sorted((route for route, _ in list(self._routes.values())), key=_age))

    def __len__(self) -> int:
        return len(self._routes)

    def add(self, route: Route, holder: Holder = NOBODY) -> Holder | None:
        """`holder` serves `route`; the one whose place it takes, if there is one: its link is to be ended.

        :raises Held: when another holds the place and keeps it.
        :raises LimitExceeded: when too many are registered over its connection.
        """
        current = self._routes.get(route.place)
        if current is not None and holder != current[1] and not holder.follows(current[1]):
            raise Held(
                f"{route.address} at {route.host}:{route.port} is held by another registration, which "
                "keeps it while its link stands: try again later, or register another port"
            )
        mine = current is not None and holder.connection == current[1].connection
        if holder.connection is not None and self._held[holder.connection] - mine >= MOST_ROUTES:
            raise LimitExceeded(f"a connection may register {MOST_ROUTES} routes")
        if current is not None:
            self._forget(*current)
        self._held[holder.connection] += 1
        self._routes[route.place] = route, holder
        self._root.grown(route.address).turns.appendleft(route)
        return current[1] if current is not None and current[1] != holder else None

    def remove(self, route: Route, holder: Holder = NOBODY) -> bool:
        """Take `route` away, if `holder` is still the one who holds it; whether it was."""
        current = self._routes.get(route.place)
        if current is None or current[1] != holder:
            return False
        self._forget(*current)
        return True

    def choose(self, address: str, chance: Random, avoid: str = "") -> Route | None:
        """The route that serves `address` now, by the policy of its longest prefix; None if there is none.

        `avoid`: a HOST:PORT that does not answer, and is chosen only if there is no other.
        """
        address = normalised(address)
        turns, name = self._root.longest(address)
        candidates = [route for route in turns if _holds(route, name)]
        if avoid:
            candidates = [each for each in candidates if f"{each.host}:{each.port}" != avoid] or candidates
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

    def _forget(self, route: Route, holder: Holder) -> None:
        del self._routes[route.place]
        self._held[holder.connection] -= 1
        if not self._held[holder.connection]:
            del self._held[holder.connection]
        self._root.pruned(route)


class _Node:
    """One word of the tree of all addresses, which is walked once to find the longest prefix of one."""

    __slots__ = ("below", "turns")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.turns: deque[Route] = deque()
        """The routes of the address that ends here, in the order of their turns."""

    def grown(self, address: str) -> _Node:
        """The node where `address` ends, made if need be."""
        node = self
        for word in address.split("/"):
            node = node.below.setdefault(word, _Node())
        return node

    def longest(self, address: str) -> tuple[deque[Route], str]:
        """The routes of the longest prefix of `address` that has any, and what of the address is below it."""
        node, turns, rest = self, self.turns, 0
        words = address.split("/")
        for at, word in enumerate(words, 1):
            below = node.below.get(word)
            if below is None:
                break
            node = below
            if node.turns:
                turns, rest = node.turns, at
        return turns, "/".join(words[rest:])

    def pruned(self, route: Route) -> None:
        """Take `route` away, and what leads nowhere any more."""
        way = [(self, "")]
        for word in route.address.split("/"):
            way.append((way[-1][0].below[word], word))
        way[-1][0].turns.remove(route)
        while len(way) > 1 and not way[-1][0].turns and not way[-1][0].below:
            _, word = way.pop()
            del way[-1][0].below[word]


class Ages:
    """How old each service is held to be, which decides who is first: by the directory's own clock.

    Who registers has started now, as services register at once; but one that comes again, to the same place
    and from the same container, is as old as it was, or younger if it says so. So nobody comes before those
    who were there, whatever it says. A directory that has just begun knows nobody: for its first
    :data:`START_SECONDS` it believes what it is told, as all come again then, and the order survives its
    restart on their word.
    """

    def __init__(self, now: float) -> None:
        """`now` is in seconds since 1970, here as below."""
        self._began = now
        self._known: dict[tuple[Place, str], float] = {}

    def believed(self, route: Route, container: str, now: float) -> Route:
        """`route` with the age that it is held to have."""
        key = route.place, container
        young = 0 <= now - self._began < START_SECONDS
        told, known = min(route.since, now), self._known.pop(key, 0.0)
        since = max(told, known) if known else (young and told) or now
        self._known[key] = since
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return replace(route, since=since)


class Shared:
    """What those work on who serve an address together: who works on something else would contradict them.

    It is remembered for as long as the directory lives, so that nobody else takes over when all have died.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def check(self, route: Route) -> None:
        """A service registers; the first one's word is taken.

        :raises OtherData: when those before it worked on something else.
        """
        if not route.data:
            return
        # All partitions of an address share it.
        address = route.address if "/" in route.address else whole_of(route.address)
        known = self._known.setdefault(address, route.data)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        if known.partition(" ")[0] != route.data.partition(" ")[0]:
            ours, theirs = (data.partition(" ")[2] for data in (known, route.data))
            raise OtherData(
                f"{route.address} works on {ours} here, and {theirs} is something else: start it with the "
                "--data of the others; or, if theirs are wrong, end all of them and the directory"
            )


START_SECONDS = 30.0
"""All services have registered again within so long of the directory's start."""

REMEMBERED = 10_000
"""So many places' ages are remembered, the last ones that registered."""


def normalised(address: str) -> str:
    """An address without ``//host/``, without a leading ``/``: ``//any/inbox/ark3`` is ``inbox/ark3``."""
    if address.startswith("//"):
        address = address[2:].partition("/")[2]
    return address.strip("/")


def checked_address(address: str) -> str:
    """An address, :func:`normalised`.

    :raises LimitExceeded: when it is longer than any is.
    """
    size = len(address.encode(errors="replace"))
    if size > MAX_ADDRESS:
        raise LimitExceeded(f"an address has {MAX_ADDRESS} bytes at most; this one has {size}")
    address = normalised(address)
    if address.count("/") >= MAX_LEVELS:
        raise LimitExceeded(f"an address has {MAX_LEVELS} levels at most; this has {address.count('/') + 1}")
    return address


def _holds(route: Route, name: str) -> bool:
    """Whether it serves a name below its address; the address alone is served by all."""
    return not (name and route.partition) or Partition.parse(route.partition).holds(name)


def _age(route: Route) -> tuple[float, str, int]:
    return route.since, route.host, route.port


def _weight(route: Route, address: str) -> float:
    """Rendezvous hashing (Thaler and Ravishankar, 1998): the highest weight serves the address."""
    # A generator with a text for a seed is a good hash of it. Not hashlib: it brings OpenSSL, 2 MB a process.
    return Random(f"{route.host}:{route.port} {address}").random()
