"""TLS in front of SASL and AMQP (AMQP 1.0 §5.2), without I/O: what is encrypted goes in, and comes out.

Each side may show a certificate, and whoever dials sees that it is that of the host that was dialled. Whom
the other side's certificate names is told to the connection; what that one may do is not decided here.
Imported only by who has certificates: OpenSSL costs each process some MB.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

from barker.amqp.connection import Connection
from barker.core.access import certified
from barker.core.errors import NotAuthentic

HEADER = b"AMQP\x02\x01\x00\x00"
"""What a peer that speaks AMQP in the clear is told: that there is TLS here (§5.2.1)."""

READ_BYTES = 64 * 1024
"""So much is decrypted at a time; a record of TLS has 16 KiB at most."""

_HANDSHAKE, _ALERT = 22, 21


class Tls:
    """What is between a socket and a connection, in place of the connection itself."""

    def __init__(
        self, connection: Connection, context: ssl.SSLContext, on_output: Callable[[Connection], None]
    ) -> None:
        """`on_output` is called when there may be new bytes to send.

        :raises NotAuthentic: when the host that is dialled has a name that no certificate could have.
        """
        self._connection, self._on_output = connection, on_output
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(
                self._from_peer,
                self._to_peer,
                server_side=connection.is_server,
                # Without one its certificate would be looked at, and not whose it is.
                server_hostname=None if connection.is_server else connection.hostname,
            )
        except ValueError:
            raise NotAuthentic(f"{connection.hostname!r:.100} is no name of a host") from None
        self._begun = self._stands = self._ended = False
        self._waiting = memoryview(b"")
        if not connection.is_server:
            self._shake_hands()

    def receive(self, data: bytes) -> bool:
        """Take bytes from the socket; False when the peer can send no more."""
        try:
            self._look_at(data)
            self._from_peer.write(data)
            if not self._stands:
                self._shake_hands()
            return not self._stands or self._hand_on()
        except NotAuthentic as error:
            self._fail(error)
        except ssl.SSLError as error:
            self._fail(NotAuthentic(_why(error)))
        finally:
            self._on_output(self._connection)
        return False

    def output(self) -> memoryview | None:
        """Bytes for the socket; empty if there are none now, None after the end."""
        if not self._waiting:
            if not self._ended:
                self._encrypt()
            self._waiting = memoryview(self._to_peer.read())
        return None if self._ended and not self._waiting else self._waiting

    def sent(self, count: int) -> None:
        """The first `count` bytes of :meth:`output` have gone."""
        self._waiting = self._waiting[count:]

    def _look_at(self, data: bytes) -> None:
        """See that the peer begins with TLS."""
        if not self._begun and data[0] not in (_HANDSHAKE, _ALERT):
            if self._connection.is_server:
                self._to_peer.write(HEADER)
            raise NotAuthentic("the peer does not speak TLS")
        self._begun = True

    def _shake_hands(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self._stands = True
            self._connection.certified(certified(self._tls.getpeercert()))

    def _hand_on(self) -> bool:
        """Give the connection what is here; False when no more can come."""
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := self._tls.read(READ_BYTES):
                if not self._connection.receive(data):
                    return False
            return False  # The peer has said goodbye.
        return True

    def _encrypt(self) -> None:
        """What the connection has to say; until TLS stands, it waits."""
        plain = self._connection.output()
        if plain is None:
            self._ended = True
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()  # A goodbye; the peer's is not waited for.
        elif plain and self._stands:
            try:
                self._tls.write(plain)
            except ssl.SSLError as error:
                self._fail(NotAuthentic(_why(error)))
            else:
                self._connection.sent(len(plain))

    def _fail(self, error: NotAuthentic) -> None:
        self._ended = True  # What is left to say is why.
        self._connection.fail(error)


def _why(error: ssl.SSLError) -> str:
    """What went wrong, in words; OpenSSL's are such as SSLV3_ALERT_CERTIFICATE_EXPIRED."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not taken: {error.verify_message.rstrip('.')}"
    reason = error.reason or "it ends"
    _, alert, said = reason.partition("ALERT_")
    words = (said or reason).replace("_", " ").lower()
    return f"the peer takes no TLS with this: {words}" if alert else f"TLS fails: {words}"
