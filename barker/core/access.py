"""Who may do what: services by what they serve, operators, and strangers. No I/O here.

A suite has one secret, its key (`store/key.py`). Who proves to have it (`amqp/sasl.py`) is what it says it
is: a service, or an operator, which is whoever runs a command. All others are strangers; on one machine they
may do what any client does: bark, read timelines, use a manifold that somebody has started. They may not be
taken for a service, hand something to one in the name of another, read or take dead letters, or give orders.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from barker.core.errors import Unauthorized
from barker.core.partitions import whole_of
from barker.core.reports import AGENTS
from barker.core.scram import Verifier

PROOF = "barker:proof"
"""The property of a link by which who has no SCRAM shows to have the key (:func:`proof`)."""

OWN = ("directory", "outbox", "bizlogic", "inbox", "launcher", "monitor", "gateway")
"""The addresses of Barker's own services: nobody serves them who has not the suite's key."""

DEAD_LETTERS = "/dead-letters"
"""How the address of a queue's dead letters ends."""

_SENDERS: dict[str, tuple[str, ...]] = {
    "inbox": ("bizlogic",),
    "bizlogic": ("outbox",),
    "launcher": ("gateway",),
}
"""By address: which services send to it, besides operators. To all others everyone may send."""

_RECEIVERS: dict[str, tuple[str, ...]] = {"launcher": ("gateway",)}
"""By address: which services receive from it, besides operators. From all others everyone may receive."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a connection."""

    kind: str
    """``operator``, ``service`` or ``stranger``."""
    name: str = ""
    """A service's: the address it serves, up to its first slash."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @staticmethod
    def parse(text: str) -> Identity:
        """Who somebody says it is, such as ``service:inbox``; a stranger, if that is nobody's name."""
        kind, _, name = text.partition(":")
        if text == str(OPERATOR):
            return OPERATOR
        return Identity(kind, name) if kind == "service" and name else STRANGER


OPERATOR = Identity("operator")
STRANGER = Identity("stranger")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a process is, and the key by which it proves that."""

    identity: Identity
    key: bytes
    file: str = ""
    """Where the key is from, for who reads what went wrong."""
    guessed: bool = False
    """Whether it may be another suite's: nobody has said that it is this one's."""

    def verifier(self) -> Verifier:
        """What a service has to have to know who has the key."""
        # A salt keeps two passwords that are the same from looking so; of this key there is no second one.
        return Verifier.of(self.key, b"barker suite key")


def service(address: str) -> Identity:
    """The identity of who serves an address, or a partition of it."""
    return Identity("service", whole_of(address))


def proof(key: bytes, *words: object) -> str:
    """What shows that a link with these words is by somebody who has the key.

    They are the link's address; for a registration, the route's address, host and port, so that what somebody
    has overheard registers no other place.
    """
    return hmac.digest(key, " ".join(map(str, words)).encode(), "sha256").hex()


def pages_key(key: bytes) -> str:
    """What a page shows to be let in by the gateway; the suite's key itself is no page's business."""
    return proof(key, "pages")


def pages_cookie(pages: str) -> str:
    """What the gateway gives a page that has shown the `pages`' key, and knows it by from then on.

    A browser sends it to whoever serves at another port of the same host, too: so it is not that key.
    """
    return proof(pages.encode(), "cookie")


def identified(who: Identity, key: bytes, properties: dict[str, Any], *words: object) -> Identity:
    """Who attaches a link with these properties: an operator, if they prove it; else who is connected."""
    given = properties.get(PROOF)
    if isinstance(given, str) and hmac.compare_digest(given.encode(), proof(key, *words).encode()):
        return OPERATOR
    return who


def check_registration(who: Identity, address: str) -> None:
    """See that `who` may serve `address`.

    :raises Unauthorized: when it may not.
    """
    if who != OPERATOR and not (who.kind == "service" and service(address) in (who, service(AGENTS))):
        raise Unauthorized(
            f"a {who} may not serve {address}: start it with the --key of this suite, or prove that you have "
            f"it by the link property {PROOF}"
        )


def check_send(who: Identity, address: str) -> None:
    """See that `who` may send to `address`.

    :raises Unauthorized: when it may not.
    """
    _check(who, address, "send to", _SENDERS)


def check_receive(who: Identity, address: str) -> None:
    """See that `who` may receive from `address`.

    :raises Unauthorized: when it may not.
    """
    _check(who, address, "receive from", _RECEIVERS)


def _check(who: Identity, address: str, what: str, allowed: dict[str, tuple[str, ...]]) -> None:
    services = allowed.get(whole_of(address))
    if address.endswith(DEAD_LETTERS):
        services = ()
    if services is None or who == OPERATOR or (who.kind == "service" and who.name in services):
        return
    whose = " or ".join([*(f"the suite's {name}" for name in services), "an operator"])
    raise Unauthorized(f"a {who.kind} may not {what} {address}: it takes the suite's key, which {whose} has")
