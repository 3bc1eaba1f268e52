"""Whom the gateway lets in: decided by the host a request names, and by where the page is that makes it.

A browser tells both (``Host`` and ``Origin``), and a page cannot change them. A host that is none of ours
is a name that somebody has made to resolve here (DNS rebinding); an origin that is none of ours is another
site's page. The origin ``null`` is a page from the disk, and any sandboxed frame as well: it gives no right.

Who wants more than to see the files of the pages has to show the pages' key (`access.py`), or, if it is one
of our own pages that has shown it before, the cookie that it was given for it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from barker.core.access import OPERATOR, STRANGER, Identity, pages_cookie, proof
from barker.core.advertised import Advertised, reached
from barker.core.errors import Mistake

FROM_DISK = ("null", "file://")
"""The origins of pages from the disk, as browsers write them."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that resolve nowhere else."""

SIGNED_IN_SECONDS = 12 * 3600
"""So long a person who has signed in on a page is known by its cookie."""

_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


class Admission:
    """The hosts that a gateway goes by, and what shows that a page is of who runs the suite."""

    def __init__(
        self,
        host: str,
        port: int,
        key: str,
        also: Iterable[str] = (),
        advertised: Advertised | None = None,
    ) -> None:
        """It listens at `host` and `port`, is `advertised` elsewhere, and goes by the names `also` (NAME or
        NAME:PORT), too.

        `key` is the pages'.

        :raises Mistake: for one that is no name.
        """
        home, home_port = reached(host, port, advertised)
        self.home = f"{_bracketed(home)}:{home_port}"
        """The first of its names, with its port."""
        self.cookie_name = f"barker-{port}"
        """What its cookie is called: at another port of the host another gateway may have one."""
        self.cookie = pages_cookie(key)
        """What is in the cookie of a page that was let in."""
        self._key = key
        self._hosts: set[str] = set()
        for name, its_port in ((home, home_port), *((name, port) for name in (host, *LOOPBACK))):
            self._hosts.add(f"{_bracketed(name)}:{its_port}".lower())
            if its_port in (80, 443):  # A browser leaves out the port that is the scheme's own.
                self._hosts.add(_bracketed(name).lower())
        for name in map(str.lower, map(_bracketed, also)):
            match = _HOST.fullmatch(name)
            if match is None:
                raise Mistake(f"--allow-host {name!r:.100} is no NAME or NAME:PORT, such as barker.example")
            # Without a port: ours, or that of a proxy before us, 80 or 443, which browsers leave out.
            self._hosts |= {name} if match[1] else {name, f"{name}:{port}"}

    @property
    def wants(self) -> str:
        """What is said to who shows nothing that lets in."""
        return "this takes the pages' key: open the link that the launcher prints, or 'barker pages'"

    def refusal(self, host: str | None, origin: str | None, who: Identity, open_to_all: bool = True) -> str:
        """Why a request is refused, in a sentence that says what to do; empty when it may come in.

        `host` and `origin` are its headers, None where there is none: who sends no origin is no browser.
        `who` makes it (:meth:`who`). What is `open_to_all` needs to be nobody, but for pages of the origin
        ``null``.
        """
        if (host or "").lower() not in self._hosts:
            return (
                f"{host or '(no Host)'!r:.100} is no name of this gateway: open http://{self.home}/, "
                "or start the gateway with --allow-host and that name"
            )
        from_disk = origin in FROM_DISK
        if origin is not None and not self.is_ours(origin) and not from_disk:
            return (
                f"pages of {origin!r:.100} may not come here: open http://{self.home}/, "
                "or start the gateway with --allow-host and the page's host"
            )
        if (open_to_all and not from_disk) or who != STRANGER:
            return ""
        if from_disk:
            return (
                "a page from the disk needs the pages' key, which the launcher writes to webui/session.js: "
                "load the page again, or open the link that the launcher prints, or 'barker pages'"
            )
        return self.wants

    def who(self, origin: str | None, key: str, cookies: Iterable[str], now: float) -> Identity:
        """Who makes a request that shows this key and these cookies, at `now` in seconds since 1970."""
        if _same(key, self._key):
            return OPERATOR
        for cookie in cookies if self.is_ours(origin) else ():
            if _same(cookie, self.cookie):
                return OPERATOR
            name, _, end = cookie.rpartition("~")[0].rpartition("~")
            if end.isdecimal() and _same(cookie, self.cookie_of(name, int(end))) and now < int(end):
                return Identity("person", name)
        return STRANGER

    def cookie_of(self, name: str, end: float) -> str:
        """The cookie of the person `name`, good until `end`, in seconds since 1970."""
        said = f"{name}~{int(end)}"
        return f"{said}~{proof(self._key.encode(), 'person', name, int(end))}"

    def is_ours(self, origin: str | None) -> bool:
        """Whether it is that of our own pages."""
        scheme, _, there = (origin or "").lower().partition("://")
        return scheme in ("http", "https") and there in self._hosts


def _bracketed(host: str) -> str:
    """RFC 3986 §3.2.2: an IPv6 address stands in brackets."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _same(given: str, wanted: str) -> bool:
    """Whether they are the same; how long that takes tells nothing of where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
