"""A process's certificate and its authority, from their files.

The files are looked at again for new connections: who renews certificates need not start anything again.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from barker.amqp.connection import Connection
from barker.amqp.tls import Tls
from barker.core.access import Credentials, check_alone
from barker.core.errors import Mistake

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""The files are looked at this often, at most."""


class Contexts(NamedTuple):
    """What TLS is spoken with, by whom."""

    server: ssl.SSLContext
    """With who dials, and may show a certificate."""
    client: ssl.SSLContext
    """With who is dialled."""
    pages: ssl.SSLContext
    """With browsers, which are asked for no certificate."""


class Certificates:
    """Those of one process, or of one of its threads."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float]) -> None:
        """Without a certificate of one's own, as who has a password, only those of others are looked at.

        :raises Mistake: when they cannot be read, or others can read the key.
        """
        self._own = Path(credentials.file) if credentials.file else None
        self._authority = Path(credentials.authority)
        self._clock, self._looked, self._seen = clock, clock(), self._state()
        self._contexts = self._read()

    @property
    def contexts(self) -> Contexts:
        """What new connections speak TLS with, now."""
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._contexts

    def secure(self, connection: Connection, on_output: Callable[[Connection], None]) -> Tls:
        """TLS for a new connection.

        :raises NotAuthentic: when the host that is dialled has a name that no certificate could have.
        """
        contexts = self.contexts
        return Tls(connection, contexts.server if connection.is_server else contexts.client, on_output)

    def for_pages(self) -> ssl.SSLContext:
        """What an HTTP server speaks TLS with: with each browser by the certificate of that time."""
        context = self._read().pages

        def choose(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
            tls.context = self.contexts.pages

        context.sni_callback = choose
        return context

    def _look(self) -> None:
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._contexts = self._read()
            except Mistake as mistake:
                log.error("%s; the certificate from before is shown", mistake)
            else:
                log.info("%s has changed, and is shown from now on", self._own)

    def _state(self) -> list[object]:
        return [_state(file) for file in (self._own, self._authority) if file is not None]

    def _read(self) -> Contexts:
        if self._own is not None:
            try:
                check_alone(self._own, self._own.stat().st_mode)
            except OSError as error:
                raise Mistake(f"{self._own}: {error.strerror}; 'barker certs' makes it") from None
        server, client, pages = map(
            self._context, (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
        )
        # Not required: who has none is told so in words, by SASL.
        server.verify_mode = ssl.CERT_OPTIONAL
        return Contexts(server, client, pages)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # Connections last; nobody resumes one.
        try:
            if self._own is not None:
                context.load_cert_chain(self._own, password="")  # It would ask at the terminal.
        except (OSError, ValueError) as error:
            raise Mistake(f"{self._own} is no certificate with its key: {_reason(error)}") from None
        try:
            context.load_verify_locations(self._authority)
        except (OSError, ValueError) as error:
            raise Mistake(f"{self._authority} is no authority's certificate: {_reason(error)}") from None
        return context


def _state(file: Path) -> object:
    """What changes when a file does."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
