"""Who may do what: services by what they serve, operators, and strangers. No I/O here.

A suite has one secret, its key (`store/key.py`). Who proves to have it (`amqp/sasl.py`) is what it says it
is: a service, or an operator, which is whoever runs a command. All others are strangers; on one machine they
may do what any client does: bark, read timelines, use a manifold that somebody has started. They may not be
taken for a service, hand something to one in the name of another, read or take dead letters, or give orders.

With TLS there is no key: each is whom its certificate names (:func:`certified`), people among them, and
there are no strangers.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from barker.core.barks import Bark, Follow, is_user
from barker.core.errors import Mistake, Unauthorized
from barker.core.partitions import whole_of
from barker.core.passwords import Passwords
from barker.core.reports import AGENTS
from barker.core.scram import Verifier

PROOF = "barker:proof"
"""The property of a link by which who has no SCRAM shows to have the key (:func:`proof`)."""

OWN = ("directory", "outbox", "bizlogic", "inbox", "launcher", "monitor", "gateway")
"""The addresses of Barker's own services: nobody serves them who has not the suite's key."""

CERTIFIED = (*OWN, "autobark")
"""The services that a suite has certificates for; the last is a client, whose agent listens."""

AUTHORITY = "authority.pem"
"""The file in a folder of certificates by which all others are known."""

SCHEME = "barker:"
"""How the URI in a certificate begins that says whose it is, such as ``barker:service:inbox``."""

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


_SERVICE = re.compile(r"[A-Za-z0-9_.-]{1,48}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a connection."""

    kind: str
    """``operator``, ``service``, ``person`` or ``stranger``."""
    name: str = ""
    """A service's: the address it serves, up to its first slash; a person's: the user."""

    @property
    def file_name(self) -> str:
        """What its certificate's file is called, such as ``service-inbox.pem``."""
        return f"{str(self).replace(':', '-')}.pem"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @staticmethod
    def parse(text: str) -> Identity:
        """Who somebody says it is, such as ``service:inbox``; a stranger, if that is nobody's name."""
        kind, _, name = text.partition(":")
        if text == str(OPERATOR):
            return OPERATOR
        return Identity(kind, name) if kind in ("service", "person") and name else STRANGER


OPERATOR = Identity("operator")
STRANGER = Identity("stranger")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a process is, and by what it proves that: the suite's key, or with TLS a certificate."""

    identity: Identity
    key: bytes
    """With TLS it proves nothing, and may be empty."""
    file: str = ""
    """Where the key is from, for who reads what went wrong; with TLS, the certificate."""
    authority: str = ""
    """The file with the authority that certificates are of; empty without TLS."""
    password: str = field(default="", repr=False)
    """A person's who has no certificate."""
    passwords: Passwords | None = None
    """Those by which people may sign in at this service, with TLS."""
    guessed: bool = False
    """Whether it may be another suite's: nobody has said that it is this one's."""

    def verifier(self) -> Verifier:
        """What a service has to have to know who has the key."""
        # A salt keeps two passwords that are the same from looking so; of this key there is no second one.
        return Verifier.of(self.key, b"barker suite key")


def on_loopback(host: str) -> bool:
    """Whether who listens at `host` is reached from its own machine only; names but localhost may be any."""
    return ipaddress.ip_address(host).is_loopback if is_literal(host) else host.lower() == "localhost"


def is_literal(host: str) -> bool:
    """Whether it is an address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def from_here(host: str) -> str:
    """Where who listens at `host` is dialled from its own machine: it may listen at all its addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def service(address: str) -> Identity:
    """The identity of who serves an address, or a partition of it."""
    return Identity("service", whole_of(address))


EVERYBODY = (*map(service, CERTIFIED), OPERATOR)
"""Who has a certificate in a suite, besides people and services of one's own."""


def check_alone(file: object, mode: int) -> None:
    """See that a file of that mode, with a secret in it, is read by its owner alone.

    :raises Mistake: when others can read it.
    """
    if mode & 0o077:
        shown = f"mode {mode & 0o777:o}"
        raise Mistake(f"{file} can be read by others than its owner ({shown}): chmod 600 {file}")


def certified(certificate: Mapping[str, Any] | None) -> Identity:
    """Whose certificate that is, as `ssl` shows it; a stranger's, if it names nobody, or several."""
    names = [
        text.removeprefix(SCHEME)
        for kind, text in (certificate or {}).get("subjectAltName", ())
        if kind == "URI" and text.startswith(SCHEME)
    ]
    return Identity.parse(names[0]) if len(names) == 1 else STRANGER


def checked_name(who: Identity) -> Identity:
    """The same, if a certificate may have that name.

    :raises Mistake: when it may not.
    """
    if who.kind == "person" and not is_user(who.name):
        raise Mistake(f"{who.name!r:.100} is no name of a user: 1 to 32 letters, digits, _ . -")
    if who.kind == "service" and not _SERVICE.fullmatch(who.name):
        raise Mistake(f"{who.name!r:.100} is no address of a service up to its first slash, such as orders")
    return who


def proof(key: bytes, *words: object) -> str:
    """What shows that a link with these words is by somebody who has the key.

    They are the link's address; for a registration, the route's address, host and port, so that what somebody
    has overheard registers no other place.
    """
    return hmac.digest(key, " ".join(map(str, words)).encode(), "sha256").hex()


def pages_key(key: bytes) -> str:
    """What a page shows to be let in by the gateway; the suite's key itself is no page's business."""
    return proof(key, "", "pages")  # No address begins with a blank: it proves nothing about a link.


def suite_name(key: bytes) -> str:
    """By what others may know a suite again, as at a broker; the key cannot be told from it."""
    return Verifier.of(key, b"barker suite name").stored_key.hex()[:32]


def pages_cookie(pages: str) -> str:
    """What the gateway gives a page that has shown the `pages`' key, and knows it by from then on.

    A browser sends it to whoever serves at another port of the same host, too: so it is not that key.
    """
    return proof(pages.encode(), "cookie")


def identified(who: Identity, ours: Credentials, properties: dict[str, Any], *words: object) -> Identity:
    """Who attaches a link with these properties: an operator, if they prove it; else who is connected.

    `ours` are the service's. With TLS they prove nothing: each is whom its certificate names.
    """
    given = properties.get(PROOF)
    if ours.authority or not isinstance(given, str):
        return who
    return OPERATOR if hmac.compare_digest(given.encode(), proof(ours.key, *words).encode()) else who


def may_serve(who: Identity, address: str) -> bool:
    """Whether `who` may serve `address`."""
    return who == OPERATOR or (who.kind == "service" and service(address) in (who, service(AGENTS)))


def check_registration(who: Identity, address: str) -> None:
    """See that `who` may serve `address`.

    :raises Unauthorized: when it may not.
    """
    if not may_serve(who, address):
        raise Unauthorized(
            f"a {who} may not serve {address}: start it with the --key of this suite, or prove that you have "
            f"it by the link property {PROOF}; with TLS, show a certificate for that service"
        )


def check_author(who: Identity, word: object) -> None:
    """See that `who`, a person, barks or follows as nobody else.

    :raises Unauthorized: when they do, or when `word` is neither.
    """
    if not isinstance(word, Bark | Follow):
        raise Unauthorized(f"{who} may bark and follow, and send nothing else")
    if word.user != who.name:
        raise Unauthorized(f"{who} may not bark or follow as {word.user}")


def check_send(who: Identity, address: str) -> None:
    """See that `who` may send to `address`.

    :raises Unauthorized: when it may not.
    """
    _check(who, address, "send to", _SENDERS, address == "outbox")


def check_receive(who: Identity, address: str) -> None:
    """See that `who` may receive from `address`.

    :raises Unauthorized: when it may not.
    """
    _check(who, address, "receive from", _RECEIVERS, whole_of(address) == "inbox")


def _check(who: Identity, address: str, what: str, allowed: dict[str, tuple[str, ...]], people: bool) -> None:
    """`people`: whether people may, who bark and read timelines, and do nothing else."""
    if who.kind == "person" and not people:
        raise Unauthorized(f"{who} may not {what} {address}: people send to outbox, and read inbox/USER")
    services = allowed.get(whole_of(address))
    if address.endswith(DEAD_LETTERS):
        services = ()
    if services is None or who == OPERATOR or (who.kind == "service" and who.name in services):
        return
    whose = " or ".join([*(f"the suite's {name}" for name in services), "an operator"])
    raise Unauthorized(f"a {who.kind} may not {what} {address}: it takes the suite's key, which {whose} has")
