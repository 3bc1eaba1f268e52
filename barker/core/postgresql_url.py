"""The URL of a PostgreSQL database, whose password is shown to nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from barker.core.errors import Mistake

SCHEMES = ("postgresql://", "postgres://")
"""What such a URL begins with."""

_PASSWORD = re.compile(r"(\bpostgres(?:ql)?://[^\s:@/?]*):\S*@")
_PARAMETER = re.compile(r"(\bpostgres(?:ql)?://\S*?[?&])(?:ssl)?password=[^\s&]*&?")
_HOSTS = re.compile(r"(?:(?:\[[^\]]*\]|[^:\[\]]*)(?::\d*)?(?:,|$))*")


@dataclass(frozen=True, slots=True, repr=False)
class PostgresUrl:
    """Where a database is, and who asks; as text it has no password."""

    secret: str
    """As it was given, with the password if it has one: for who connects, and nobody else."""

    @classmethod
    def parse(cls, text: str) -> PostgresUrl:
        """Take a URL such as ``postgresql://barker@db.example/barker``, of one host or several.

        :raises Mistake: when it is none; what was given is not repeated, as there may be a password in it.
        """
        if not is_postgres_url(text):
            raise Mistake(f"a PostgreSQL URL begins with {SCHEMES[0]}")
        after = text.partition("://")[2]
        place = re.split("[/?#]", after, maxsplit=1)[0]
        user, _, hosts = place.rpartition("@")
        if "@" in after.removeprefix(f"{user}@") or "@" in user or not _HOSTS.fullmatch(hosts):
            raise Mistake(
                "a PostgreSQL URL is postgresql://USER@HOST:PORT/DATABASE; in a password, @ is written %40, "
                "/ %2F, ? %3F and # %23"
            )
        return cls(text)

    def __str__(self) -> str:
        """Without the password."""
        return without_passwords(self.secret)

    __repr__ = __str__

    @property
    def password(self) -> str:
        """The password; empty when it comes from elsewhere: PGPASSWORD, ~/.pgpass, a certificate."""
        found = re.match(r".*[?&]password=([^&]*)|[^:]*://[^:@/?]*:(.*)@", self.secret)
        return unquote(found[1] or found[2] or "") if found else ""


def is_postgres_url(text: str) -> bool:
    """Whether it is meant to be one."""
    return text.startswith(SCHEMES)


def without_passwords(text: str) -> str:
    """Any text, such as a command line, with such URLs in it, and no passwords in these."""
    text = _PASSWORD.sub(r"\1@", text)
    shorter = _PARAMETER.sub(r"\1", text)
    while shorter != text:
        text, shorter = shorter, _PARAMETER.sub(r"\1", shorter)
    return text.rstrip("?&") if text.startswith(SCHEMES) and " " not in text else text
