"""SCRAM-SHA-256 (RFC 5802, RFC 7677): two who share a secret prove it to each other, and tell nobody.

Each side is an exchange of texts without I/O: :class:`ScramClient` and :class:`ScramServer`. It is written
here as the library there is for it would cost each process 10 MB and a tenth of a second at its start.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

from barker.core.errors import NotAuthentic

MECHANISM = "SCRAM-SHA-256"

ROUNDS = 4096
"""How often the secret is hashed (RFC 7677 §4 asks for so many): it is no password that could be guessed."""

MOST_ROUNDS = 100_000
"""What a server may ask for: more would keep the client busy."""

_NO_BINDING = "n,,"
"""The header of who binds to no channel and speaks for nobody else (RFC 5802 §7)."""


@lru_cache(maxsize=16)
def _salted(secret: bytes, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret, salt, rounds)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _both(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server has to have of a secret, to know who has it (RFC 5802 §3)."""

    salt: bytes
    rounds: int
    stored_key: bytes
    server_key: bytes

    @staticmethod
    def of(secret: bytes, salt: bytes, rounds: int = ROUNDS) -> Verifier:
        """The verifier of a secret."""
        salted = _salted(secret, salt, rounds)
        stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        return Verifier(salt, rounds, stored, _hmac(salted, b"Server Key"))


class ScramClient:
    """The side that says who it is, and asks for a proof that it is known."""

    def __init__(self, name: str, secret: bytes, nonce: str) -> None:
        """`nonce` is a text that was never used before."""
        self._secret, self._nonce = secret, nonce
        self._first = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """What it begins with."""
        return f"{_NO_BINDING}{self._first}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's challenge.

        :raises NotAuthentic: for a challenge that is none.
        """
        fields = _fields(challenge)
        nonce, rounds = fields.get("r", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise NotAuthentic("the challenge is none to what was asked")
        if not rounds.isdecimal() or not ROUNDS <= int(rounds[:9]) <= MOST_ROUNDS:
            raise NotAuthentic(f"a challenge of {rounds!r:.20} rounds is not taken")
        salted = _salted(self._secret, _decoded(fields.get("s", "")), int(rounds))
        bare = f"c={_encoded(_NO_BINDING.encode())},r={nonce}"
        said = b",".join((self._first.encode(), challenge, bare.encode()))
        key = _hmac(salted, b"Client Key")
        proof = _both(key, _hmac(hashlib.sha256(key).digest(), said))
        self._signature = _hmac(_hmac(salted, b"Server Key"), said)
        return f"{bare},p={_encoded(proof)}".encode()

    def check(self, outcome: bytes) -> None:
        """See that the server has the secret, too.

        :raises NotAuthentic: when it has not.
        """
        given = _decoded(_fields(outcome).get("v", ""))
        if not self._signature or not hmac.compare_digest(given, self._signature):
            raise NotAuthentic("the other side does not know the key")


class ScramServer:
    """The side that is told who somebody is."""

    def __init__(self, verifier: Verifier, nonce: str) -> None:
        """`nonce` is a text that was never used before."""
        self._verifier, self._more = verifier, nonce
        self._nonce = ""
        self._said: tuple[bytes, bytes] = b"", b""
        self.name = ""
        """Who the client says it is; nothing is proved before :meth:`final`."""

    def challenge(self, first: bytes) -> bytes:
        """The answer to a client's first text.

        :raises NotAuthentic: for one that is none.
        """
        if not first.startswith(_NO_BINDING.encode()):
            raise NotAuthentic("channel binding, and speaking for another, are not known here")
        bare = first[len(_NO_BINDING) :]
        fields = _fields(bare)
        self.name = fields.get("n", "").replace("=2C", ",").replace("=3D", "=")
        if not self.name or not fields.get("r"):
            raise NotAuthentic("a name and a nonce have to be said first")
        self._nonce = fields["r"] + self._more
        salt, rounds = _encoded(self._verifier.salt), self._verifier.rounds
        challenge = f"r={self._nonce},s={salt},i={rounds}".encode()
        self._said = bare, challenge
        return challenge

    def final(self, answer: bytes) -> bytes:
        """The client's answer is right: the server's own proof.

        :raises NotAuthentic: when it is wrong.
        """
        bare, _, proof = answer.rpartition(b",p=")
        fields = _fields(bare)
        if fields.get("c") != _encoded(_NO_BINDING.encode()) or fields.get("r") != self._nonce:
            raise NotAuthentic("the answer is none to the challenge")
        said = b",".join((*self._said, bare))
        given = _decoded(proof.decode("ascii", "replace"))
        signature = _hmac(self._verifier.stored_key, said)
        if len(given) != len(signature):
            raise NotAuthentic("the answer has no proof")
        key = hashlib.sha256(_both(given, signature)).digest()
        if not hmac.compare_digest(key, self._verifier.stored_key):
            raise NotAuthentic("the key is another")
        return f"v={_encoded(_hmac(self._verifier.server_key, said))}".encode()


def _fields(text: bytes) -> dict[str, str]:
    """What a text such as ``r=…,s=…,i=4096`` says."""
    pairs = (part.partition("=") for part in text.decode("utf-8", "replace").split(","))
    return {name: value for name, _, value in pairs}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise NotAuthentic(f"{text!r:.40} is no base64") from None
