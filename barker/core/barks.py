"""What a bark is, what a follow is, and what breaks their rules.

The first stop of a bark: clients make one here, the outbox checks it here, bizlogic reads it here.
`amqp/message.py` turns it into bytes and back.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from barker.core.errors import InvalidField, Mistake

MAX_TEXT = 280
"""The longest text of a bark, in Unicode code points."""

LARGEST = 8 * 1024
"""The largest message that is a bark, with all its sections, in bytes."""

MAX_ID = 256
"""The longest id of a bark, in characters."""

LAST_TIME = 253_402_300_799_999
"""The last millisecond of the year 9999, since 1970: no calendar goes further."""

_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that have no shape: fillers of Hangul, and Braille without a dot."""

_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Mn", "Mc", "Me"})
"""Unicode's categories that show nothing, or not alone. (Not Cn: a newer Unicode has shapes for some.)"""

_USER = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_MENTION = re.compile(r"(?<![A-Za-z0-9_@])@([A-Za-z0-9_.-]+)")


class Bark(NamedTuple):
    """What one user says to all."""

    id: str
    user: str
    text: str
    created: int
    """When it was made, in milliseconds since 1970 (AMQP 1.0 §1.6.17)."""


class Follow(NamedTuple):
    """One user's wish to follow another, or no longer to."""

    id: str
    user: str
    other: str
    created: int
    """When it was made, in milliseconds since 1970."""
    wanted: bool
    """True for follow, False for unfollow."""


def checked(
    id: object, subject: object, created: int, user: object, body: object, any_time: bool = False
) -> Bark | Follow:
    """The bark or follow that a message's fields make.

    With `any_time`, it may have been made at a time that is none, and nothing may be seen of its text: some
    were accepted before those were rules.

    :raises InvalidField: when they break a rule, saying which.
    """
    if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID:
        raise InvalidField(f"message-id must be a string of 1 to {MAX_ID} characters, unique for each bark")
    if not created:
        raise InvalidField("creation-time is missing")
    if not any_time and not 0 < created <= LAST_TIME:
        raise InvalidField(f"creation-time must be from 1970 to the year 9999; it is {created} ms after 1970")
    if not is_user(user):
        raise InvalidField(f"application property user must be a name: {_USER.pattern}; it is {user!r:.80}")
    if not isinstance(body, str):
        raise InvalidField("the body must be one AmqpValue string")
    if subject == "bark":
        if not 1 <= len(body) <= MAX_TEXT:
            raise InvalidField(f"a bark has 1 to {MAX_TEXT} characters; this one has {len(body)}")
        if not any_time and not any(map(_is_seen, body)):
            raise InvalidField("a bark has something to be seen in it; this one has nothing but blanks")
        return Bark(id, str(user), body, created)
    if subject in ("follow", "unfollow"):
        if not is_user(body):
            raise InvalidField(f"the body must be the name of the user to {subject}: {_USER.pattern}")
        if body == user:
            raise InvalidField(f"nobody can {subject} themselves")
        return Follow(id, str(user), body, created, wanted=subject == "follow")
    raise InvalidField(f"subject must be bark, follow or unfollow; it is {subject!r:.80}")


def _is_seen(character: str) -> bool:
    """Whether a character shows something: not spaces, controls, and what only joins or directs others."""
    if character.isascii():
        return "!" <= character <= "~"
    return character not in _BLANKS and unicodedata.category(character) not in _UNSEEN


def is_user(name: object) -> bool:
    """Whether `name` is what a user may be called."""
    return isinstance(name, str) and _USER.fullmatch(name) is not None


def user_name(name: str) -> str:
    """`name`, if it is what a user may be called.

    :raises Mistake: if it is not; for what people type.
    """
    if not is_user(name):
        raise Mistake(f"{name!r} is no user's name: 1 to 32 letters, digits, and _ . - are allowed")
    return name


def mentions(text: str) -> list[str]:
    """The names that a text mentions with ``@``, in order.

    A name may end in a dot and so may a sentence, so "@rex." gives both "rex." and "rex": whoever of them
    exists is meant.
    """
    names: list[str] = []
    for name in _MENTION.findall(text):
        bare = name.rstrip(".-")
        names += [name] if bare == name else [name, bare]
    return [name for name in names if is_user(name)]
