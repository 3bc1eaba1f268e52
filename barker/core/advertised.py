"""Where others reach a service that listens elsewhere: at every address, or behind what translates them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from barker.core.errors import Mistake

_WRITTEN = re.compile(r"(?:\[([^]]+)\]|([^:\[\]]+))(?::([1-9][0-9]{0,4}))?")

_NAME = re.compile(r"(?=.{1,200}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
"""A name is no longer, so that an agent's address has room for it."""


@dataclass(frozen=True, slots=True)
class Advertised:
    """The host, and perhaps the port, that others are to dial."""

    host: str
    port: int | None = None
    """None: the one where the service listens."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Advertised:
        """What ``HOST`` or ``HOST:PORT`` says; an IPv6 address with a port stands in brackets.

        :raises Mistake: when it names no host that others could dial.
        """
        written = _WRITTEN.fullmatch(text)
        # An IPv6 address may stand there as it is, without a port.
        host, port = (written[1] or written[2], written[3]) if written else (text, None)
        if not _is_host(host) or int(port or 0) > 65535:
            raise Mistake(f"{text!r:.100} is no HOST or HOST:PORT; write it as 10.0.0.7 or 10.0.0.7:5680")
        if _is_unspecified(host):
            raise Mistake(f"{text!r} is every address of a machine: name the one that others are to dial")
        return Advertised(host, int(port) if port else None)


def reached(host: str, port: int, advertised: Advertised | None) -> tuple[str, int]:
    """The host and port that others dial, of a service that listens at these."""
    if advertised is None:
        return host, port
    return advertised.host, advertised.port or port


def host_alone(advertised: Advertised | None, why: str) -> str:
    """The host that is advertised; empty if there is none.

    :raises Mistake: when a port is, which cannot be, and `why`.
    """
    if advertised is not None and advertised.port is not None:
        raise Mistake(f"--advertise {advertised}: {why}; name the host alone")
    return advertised.host if advertised is not None else ""


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _NAME.fullmatch(host) is not None and not host.replace(".", "").isdecimal()
    return True


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
