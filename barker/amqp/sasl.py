"""The security layer in front of AMQP: who is at the other end (AMQP 1.0 §5.3, SASL).

Behind TLS each is whom its certificate names, and says so by the mechanism EXTERNAL; people who have none
say their password, by PLAIN.

Proton without Cyrus SASL knows ANONYMOUS, PLAIN and EXTERNAL only, so the frames are written and read here,
and Proton is given what comes behind them. Who shows the suite's key does so by SCRAM-SHA-256
(`core/scram.py`), and knows afterwards that the other side has it, too. A peer that speaks AMQP at once, or
says ANONYMOUS, is a stranger (`core/access.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from proton import UNDESCRIBED, Array, Data, Described, symbol, ubyte, ulong

from barker.amqp._proton import owned
from barker.core.access import STRANGER, Credentials, Identity, service
from barker.core.errors import NotAuthentic
from barker.core.scram import MECHANISM, ScramClient, ScramServer, Verifier

HEADER = b"AMQP\x03\x01\x00\x00"
"""What SASL begins with (§5.3.1); AMQP itself has 0 in place of the 3."""

ANONYMOUS, EXTERNAL, PLAIN = "ANONYMOUS", "EXTERNAL", "PLAIN"

Ask = Callable[[str, str, Callable[[str], None]], None]
"""Asks whether a name has a password, and tells later why it has not; an empty text: it has."""

GATEWAY = service("gateway")
"""Who may speak for people: they have signed in there."""

_TLS = (b"\x16", b"\x15", b"AMQP\x02")
"""What TLS begins with: a handshake, an alert, or AMQP's word that there is TLS."""

NAMELESS = "the peer shows no certificate that names a service, an operator or a person"
"""What is said of who gets nowhere behind TLS."""

MOST_BYTES = 4096
"""The largest frame of a peer; §5.3.1 has 512, and room for long lists of mechanisms."""

_MECHANISMS, _INIT, _CHALLENGE, _RESPONSE, _OUTCOME = range(0x40, 0x45)

_OK, _AUTH = 0, 1


class Sasl(ABC):
    """One side, without I/O: bytes go in, :attr:`output` comes out, until it is :attr:`done`."""

    def __init__(self) -> None:
        self.output = bytearray()
        """What is to be sent; whoever sends takes it away."""
        self.done = False
        """Whether AMQP may begin: what follows is none of SASL's."""
        self.identity = STRANGER
        """Who the other side has proved to be, when it was the one that dialled."""
        self.proved = False
        """Whether the other side has proved to have the key, or a certificate, when it was dialled."""
        self.certificate = STRANGER
        """Whom the other side's certificate names: set by who has TLS, before the first byte."""
        self.on_answer: Callable[[NotAuthentic | None], None] = lambda error: None
        """Called when what was waited for has come: it goes on, or ends with the error."""
        self._input = bytearray()
        self._begun = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the peer; those that are AMQP's already.

        :raises NotAuthentic: when it ends here: what is in :attr:`output` is still to be sent.
        """
        self._input += data
        if not self._begun and not self._begin():
            return b""
        while not self.done and (frame := self._frame()) is not None:
            self.on_frame(*frame)
        if not self.done:
            return b""
        rest, self._input = bytes(self._input), bytearray()
        return rest

    @abstractmethod
    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """A frame of the peer's."""

    def on_no_sasl(self) -> None:
        """The peer does not begin with SASL.

        :raises NotAuthentic: when nothing can come of that.
        """
        self.check_clear()
        self.done = True

    def check_clear(self) -> None:
        """See that the peer does not begin with TLS.

        :raises NotAuthentic: when it does.
        """
        if self._input.startswith(_TLS):
            self.output += HEADER
            raise NotAuthentic("the peer speaks TLS, and this does not: it takes --tls DIR")

    def send(self, kind: int, *fields: Any) -> None:
        """Have a frame sent."""
        self.output += _encoded(kind, *fields)

    def _begin(self) -> bool:
        """Whether the peer's header has come."""
        if not HEADER.startswith(self._input[: len(HEADER)]):
            self._begun = True
            self.on_no_sasl()
        elif len(self._input) >= len(HEADER):
            self._begun = True
            del self._input[: len(HEADER)]
            self.on_begun()
        return self._begun

    def on_begun(self) -> None:  # noqa: B027 - the side that dialled has nothing to say then
        """The peer speaks SASL."""

    def _frame(self) -> tuple[int, list[Any]] | None:
        """The next frame; None while it is not here yet."""
        if len(self._input) < 8:
            return None
        size = int.from_bytes(self._input[:4], "big")
        start = 4 * self._input[4]
        if not 8 <= start <= size <= MOST_BYTES or self._input[5] != 1:
            raise NotAuthentic("these bytes are no frame of SASL")
        if len(self._input) < size:
            return None
        body = bytes(self._input[start:size])
        del self._input[:size]
        return _decoded(body)


class SaslServer(Sasl):
    """The side that was dialled."""

    def __init__(self, verifier: Verifier | None, nonce: Callable[[], str]) -> None:
        """Without a `verifier` nobody can show a key: all are strangers.

        `nonce` makes a text that nobody can guess.
        """
        super().__init__()
        self._verifier, self._nonce = verifier, nonce
        self._scram: ScramServer | None = None

    def on_begun(self) -> None:
        """Say how one may show who one is."""
        self.output += HEADER
        self.send(_MECHANISMS, *([MECHANISM] if self._verifier is not None else []), ANONYMOUS)

    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """The peer's choice, or its answer to the challenge."""
        try:
            if kind == _INIT and self._scram is None:
                self._on_init(*[*fields, None, None][:2])
            elif kind == _RESPONSE and self._scram is not None:
                final = self._scram.final(_octets(fields))
                self.send(_OUTCOME, ubyte(_OK), final)
                self.identity, self.done = Identity.parse(self._scram.name), True
            else:
                raise NotAuthentic("a frame of SASL that is not due")
        except NotAuthentic:
            self.send(_OUTCOME, ubyte(_AUTH))
            raise

    def _on_init(self, mechanism: object, first: object) -> None:
        if mechanism == ANONYMOUS:
            self.send(_OUTCOME, ubyte(_OK))
            self.done = True
        elif mechanism == MECHANISM and self._verifier is not None:
            self._scram = ScramServer(self._verifier, self._nonce())
            self.send(_CHALLENGE, self._scram.challenge(_octets([first])))
        else:
            raise NotAuthentic(f"{mechanism!r:.40} is no way to show here who one is")


class SaslClient(Sasl):
    """The side that dialled."""

    def __init__(self, credentials: Credentials | None, nonce: Callable[[], str]) -> None:
        """Without `credentials` it goes as a stranger. `nonce` as for a :class:`SaslServer`."""
        super().__init__()
        self._scram = (
            ScramClient(str(credentials.identity), credentials.key, nonce()) if credentials else None
        )
        self._answered = False
        self.output += HEADER

    def on_no_sasl(self) -> None:
        """What was dialled speaks something else."""
        self.check_clear()
        raise NotAuthentic("the peer does not speak SASL")

    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """What the peer offers, asks and decides."""
        if kind == _MECHANISMS:
            self._choose(fields)
        elif kind == _CHALLENGE and self._scram is not None and not self._answered:
            self.send(_RESPONSE, self._scram.final(_octets(fields)))
            self._answered = True
        elif kind == _OUTCOME:
            self._on_outcome(*[*fields, None, None][:2])
        else:
            raise NotAuthentic("a frame of SASL that is not due")

    def _choose(self, fields: list[Any]) -> None:
        offered = fields[0] if fields else []
        names = set(map(str, offered if isinstance(offered, list) else [offered]))
        if self._scram is not None and MECHANISM in names:
            self.send(_INIT, symbol(MECHANISM), self._scram.first())
        elif ANONYMOUS in names:
            self._scram = None
            self.send(_INIT, symbol(ANONYMOUS), b"")
        else:
            raise NotAuthentic(f"the peer wants to be shown who this is by {', '.join(sorted(names))}")

    def _on_outcome(self, code: object, final: object) -> None:
        if code != _OK:
            raise NotAuthentic("the peer does not know the key that was shown")
        if self._scram is not None:
            self._scram.check(_octets([final]))
            self.proved = True
        self.done = True


class CertifiedServer(Sasl):
    """The side that was dialled, behind TLS: who shows neither a certificate nor a password gets nowhere."""

    def __init__(self, ask: Ask | None = None) -> None:
        """`ask` knows the people who have a password; without it, nobody has."""
        super().__init__()
        self._ask = ask
        self._waits = False

    def on_begun(self) -> None:
        """Say how one may show who one is."""
        self.output += HEADER
        mechanisms = [EXTERNAL] * (self.certificate != STRANGER) + [PLAIN] * (self._ask is not None)
        if not mechanisms:
            self.send(_OUTCOME, ubyte(_AUTH))
            raise NotAuthentic(NAMELESS)
        self.send(_MECHANISMS, *mechanisms)

    def on_no_sasl(self) -> None:
        """A peer may leave SASL out: its certificate has said it all (§5.2.1)."""
        if self.certificate == STRANGER:
            raise NotAuthentic(NAMELESS)
        self._is(self.certificate)

    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """The peer's choice."""
        mechanism, first = [*fields, None, None][:2]
        try:
            if kind != _INIT or self._waits:
                raise NotAuthentic("a frame of SASL that is not due")
            if mechanism == EXTERNAL:
                self._on_external(first)
            elif mechanism == PLAIN and self._ask is not None:
                self._on_plain(self._ask, _octets([first]))
            else:
                raise NotAuthentic(f"{mechanism!r:.40} is no way to show here who one is")
        except NotAuthentic:
            self.send(_OUTCOME, ubyte(_AUTH))
            raise

    def _on_external(self, name: object) -> None:
        """RFC 4422, appendix A: it may say as whom it wants to act. That is itself, but for the gateway."""
        own = self.certificate
        if own == STRANGER:
            raise NotAuthentic(NAMELESS)
        wanted = Identity.parse(name.decode(errors="replace")) if isinstance(name, bytes) else STRANGER
        if own == GATEWAY and wanted.kind == "person":
            own = wanted
        elif name not in (None, b"", str(own).encode(), own.name.encode()):
            raise NotAuthentic(f"a {own} may only say by {EXTERNAL} who it is, and be that")
        self.send(_OUTCOME, ubyte(_OK))
        self._is(own)

    def _on_plain(self, ask: Ask, first: bytes) -> None:
        """RFC 4616: as whom one wants to act, who one is, and the password."""
        acts_as, name, password = [*first.decode(errors="replace").split("\0"), "", "", ""][:3]
        if acts_as not in ("", name) or not name:
            raise NotAuthentic(f"who signs in by {PLAIN} says a name and a password, and is that user")
        self._waits = True
        ask(name, password, lambda refusal: self._answered(Identity("person", name), refusal))

    def _answered(self, who: Identity, refusal: str) -> None:
        self._waits = False
        self.send(_OUTCOME, ubyte(_AUTH if refusal else _OK))
        if not refusal:
            self._is(who)
        self.on_answer(NotAuthentic(refusal) if refusal else None)

    def _is(self, who: Identity) -> None:
        self.identity, self.done = who, True


class CertifiedClient(Sasl):
    """The side that dialled, behind TLS: it shows its certificate, or a person's password."""

    def __init__(self, credentials: Credentials, speaks_for: Identity | None = None) -> None:
        """`speaks_for`: as whom it wants to act, if not as itself."""
        super().__init__()
        self._credentials, self._speaks_for = credentials, speaks_for
        self.output += HEADER

    def on_no_sasl(self) -> None:
        """What was dialled speaks something else."""
        raise NotAuthentic("the peer does not speak SASL")

    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """What the peer offers, and decides."""
        value = fields[0] if fields else None
        if kind == _MECHANISMS:
            self._choose(set(map(str, value if isinstance(value, list) else [value])))
        elif kind == _OUTCOME and value == _OK:
            self.identity, self.proved, self.done = self.certificate, True, True
        elif kind == _OUTCOME and self._credentials.password:
            name = self._credentials.identity.name
            raise NotAuthentic(f"the peer does not take this password for that of {name}")
        else:
            raise NotAuthentic("the peer does not take this certificate for who this is")

    def _choose(self, offered: set[str]) -> None:
        who, password = self._credentials.identity, self._credentials.password
        wanted = PLAIN if password else EXTERNAL
        if wanted not in offered:
            raise NotAuthentic(f"the peer wants to be shown who this is by {', '.join(sorted(offered))}")
        if password:
            self.send(_INIT, symbol(PLAIN), f"\0{who.name}\0{password}".encode())
        else:
            self.send(_INIT, symbol(EXTERNAL), str(self._speaks_for or "").encode())


class ForeignClient(Sasl):
    """The side that dialled a server that is none of the suite's, as its user; without one, as a stranger."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__()
        self._user, self._password = user, password
        self.output += HEADER

    def on_no_sasl(self) -> None:
        """What was dialled speaks something else."""
        self.check_clear()
        raise NotAuthentic("the peer does not speak SASL")

    def on_frame(self, kind: int, fields: list[Any]) -> None:
        """What the peer offers, and decides."""
        value = fields[0] if fields else None
        if kind == _MECHANISMS:
            offered = set(map(str, value if isinstance(value, list) else [value]))
            wanted = PLAIN if self._user else ANONYMOUS
            if wanted not in offered:
                raise NotAuthentic(f"it takes {', '.join(sorted(offered))}, and this shows {wanted}")
            self.send(_INIT, symbol(wanted), f"\0{self._user}\0{self._password}".encode() * bool(self._user))
        elif kind == _OUTCOME and value == _OK:
            self.done = True
        elif kind == _OUTCOME and self._user:
            raise NotAuthentic(f"it does not take the password of its user {self._user}")
        else:
            raise NotAuthentic("it does not let strangers in: name a user and password of it")


def client(
    credentials: Credentials | None, nonce: Callable[[], str], speaks_for: Identity | None = None
) -> Sasl:
    """The side that dials, of somebody with these, who with TLS may speak for somebody else."""
    if credentials is not None and credentials.authority:
        return CertifiedClient(credentials, speaks_for)
    return SaslClient(credentials, nonce)


def _octets(fields: list[Any]) -> bytes:
    """The one field of a frame that is binary."""
    value = fields[0] if fields else None
    if not isinstance(value, bytes):
        raise NotAuthentic("a frame of SASL without what it is for")
    return value


@lru_cache(maxsize=32)  # Of most connections all frames are the same.
def _encoded(kind: int, *fields: Any) -> bytes:
    """A frame of that kind; the names of mechanisms are an array, as no other field is."""
    data = Data()
    if kind == _MECHANISMS:
        names: Any = Array(UNDESCRIBED, Data.SYMBOL, *map(symbol, fields))  # type: ignore[arg-type]
        fields = (names,)
    data.put_object(Described(ulong(kind), list(fields)))
    body: bytes = data.encode()
    return (8 + len(body)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + body


@lru_cache(maxsize=32)
def _decoded(body: bytes) -> tuple[int, list[Any]]:
    """What a frame says: its kind, and its fields."""
    data = Data()
    try:
        data.decode(body)
        data.rewind()
        described: Any = data.get_object() if data.next() is not None else None
        kind, fields = int(described.descriptor), owned(described.value)
    except Exception:  # Proton raises whatever its C code and Python's own types do on hostile values.
        raise NotAuthentic("these bytes are no frame of SASL") from None
    if not isinstance(fields, list):
        raise NotAuthentic("these bytes are no frame of SASL")
    return kind, fields
