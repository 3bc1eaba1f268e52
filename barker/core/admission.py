"""Whom the gateway lets in: decided by the host a request names, and by where the page is that makes it.

A browser tells both (``Host`` and ``Origin``), and a page cannot change them. A host that is none of ours
is a name that somebody has made to resolve here (DNS rebinding); an origin that is none of ours is another
site's page. The origin ``null`` is a page from the disk, and any sandboxed frame as well: the run's token
tells them apart.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from barker.core.errors import Mistake

FROM_DISK = ("null", "file://")
"""The origins of pages from the disk, as browsers write them."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that resolve nowhere else."""

_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


class Admission:
    """The hosts that a gateway goes by, and the run's token if it has one."""

    def __init__(self, host: str, port: int, also: Iterable[str] = (), token: str = "") -> None:
        """It listens at `host` and `port`, and goes by the names `also` (NAME or NAME:PORT), too.

        :raises Mistake: for one that is no name.
        """
        self.home = f"{_bracketed(host)}:{port}"
        """The first of its names, with its port."""
        self._token = token
        self._hosts = {f"{_bracketed(name)}:{port}".lower() for name in (host, *LOOPBACK)}
        if port == 80:  # A browser leaves out the port that is the scheme's own.
            self._hosts |= {_bracketed(name).lower() for name in (host, *LOOPBACK)}
        for name in map(str.lower, map(_bracketed, also)):
            match = _HOST.fullmatch(name)
            if match is None:
                raise Mistake(f"--allow-host {name!r:.100} is no NAME or NAME:PORT, such as barker.example")
            # Without a port: ours, or that of a proxy before us, 80 or 443, which browsers leave out.
            self._hosts |= {name} if match[1] else {name, f"{name}:{port}"}

    def refusal(self, host: str | None, origin: str | None, token: str = "") -> str:
        """Why a request is refused, in a sentence that says what to do; empty when it may come in.

        `host` and `origin` are its headers, None where there is none: who sends no origin is no browser.
        """
        if (host or "").lower() not in self._hosts:
            return (
                f"{host or '(no Host)'!r:.100} is no name of this gateway: open http://{self.home}/, "
                "or start the gateway with --allow-host and that name"
            )
        if origin is None:
            return ""
        if origin in FROM_DISK:
            return self._refusal_from_disk(token)
        scheme, _, there = origin.lower().partition("://")
        if scheme in ("http", "https") and there in self._hosts:
            return ""
        return (
            f"pages of {origin!r:.100} may not come here: open http://{self.home}/, "
            "or start the gateway with --allow-host and the page's host"
        )

    def _refusal_from_disk(self, token: str) -> str:
        if not self._token:
            return (
                "a page from the disk needs the run's token, and this gateway was started without one "
                f"(BARKER_TOKEN): open http://{self.home}/"
            )
        if not secrets.compare_digest(_bytes(token), _bytes(self._token)):
            return (
                "a page from the disk needs this run's token, which the launcher writes to webui/session.js: "
                f"load the page again, or open http://{self.home}/"
            )
        return ""


def _bracketed(host: str) -> str:
    """RFC 3986 §3.2.2: an IPv6 address stands in brackets."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # As a header was that is no UTF-8.
