"""Passwords: what is kept of one, by which it is known again and not found out (scrypt, RFC 7914). No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import unicodedata
from typing import Protocol

from barker.core.errors import Mistake

LEAST, MOST = 8, 256
"""So many characters a password has."""

SALT_BYTES = 16
"""So many random bytes keep two passwords that are the same from looking so."""

_NAME = "scrypt"
_COST, _BLOCK, _LANES = 1 << 14, 8, 1
_SIZE = 32
_MEMORY = 64 * 1024 * 1024  # OpenSSL's own bound is just below what these take.


class Passwords(Protocol):
    """Those of the people of a suite."""

    @property
    def there(self) -> bool:
        """Whether anybody has ever had one."""

    def knows(self, name: str) -> bool:
        """Whether `name` has one."""

    def check(self, name: str, password: str) -> bool:
        """Whether that is the password of `name`. It takes a processor for some 50 ms, and any thread."""


def checked_password(password: str) -> str:
    """The same, if it may be one.

    :raises Mistake: when it may not.
    """
    if not LEAST <= len(password) <= MOST:
        raise Mistake(f"a password has {LEAST} to {MOST} characters; this one has {len(password)}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise Mistake("a password has no control characters")
    return password


def kept(password: str, salt: bytes) -> str:
    """What is kept of a password: one word, with how it was made, for when that changes."""
    fields = (str(_COST), str(_BLOCK), str(_LANES), _text(salt))
    return "$".join((_NAME, *fields, _text(_hashed(password, salt, _COST, _BLOCK, _LANES))))


def nobodys() -> str:
    """A word that no password matches, in the time that any takes."""
    return "$".join((_NAME, str(_COST), str(_BLOCK), str(_LANES), _text(b"nobody"), _text(bytes(_SIZE))))


def matches(password: str, word: str) -> bool:
    """Whether that word is kept of this password; not, if it is none of :func:`kept`."""
    try:
        name, cost, block, lanes, salt, hashed = word.split("$")
        if name != _NAME:
            return False
        found = _hashed(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
        return hmac.compare_digest(found, base64.b64decode(hashed))
    except (ValueError, TypeError, OverflowError, MemoryError):  # As hashlib has it.
        return False


def _hashed(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    # The same letters, however a keyboard composes them (RFC 8265 §4.2).
    text = unicodedata.normalize("NFC", password).encode(errors="replace")
    return hashlib.scrypt(text, salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=_SIZE)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
