"""A dial: sockets on their way to one peer, the first of which that is let in is the connection's.

`reactor.py` looks the peer's name up before, and speaks AMQP then; `core/attempts.py` decides what is tried
when.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from barker.core.attempts import Attempts

if TYPE_CHECKING:
    from barker.amqp.connection import Connection
    from barker.amqp.reactor import Reactor, Timer


class Dial:
    """Attempts for one connection, until one is let in, all are refused, or nobody wants it any more."""

    def __init__(
        self,
        reactor: Reactor,
        connection: Connection,
        addresses: Sequence[Any],
        then: Callable[[socket.socket | str], None],
    ) -> None:
        """`addresses`: of the peer, as getaddrinfo finds them. `then` gets a socket, or why there is none."""
        self._reactor, self._connection, self._then = reactor, connection, then
        self._attempts = Attempts(addresses)
        self._sockets: dict[socket.socket, Any] = {}
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Make an attempt; when it has had no answer for a while, another beside it."""
        if not self._connection.live:
            self._end("it was closed")
            return
        address = self._attempts.next()
        self._timer = self._reactor.after(self._attempts.patience(), self.begin)
        family, kind, protocol, _, place = address
        try:
            sock = self._reactor.system.sockets.new(family, kind, protocol)
        except OSError as error:  # No descriptor is left.
            if not self._sockets:
                self._refused(address, error.strerror or str(error))
            return
        sock.setblocking(False)
        status = sock.connect_ex(place)
        if status not in (0, errno.EINPROGRESS):
            sock.close()
            self._refused(address, errno.errorcode.get(status, str(status)))
            return
        self._sockets[sock] = address
        self._reactor.watch(sock, lambda: self._answered(sock), selectors.EVENT_WRITE)

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._timer is not None:
            self._timer.cancel()
        for sock in list(self._sockets):
            self._give_up(sock)

    def _answered(self, sock: socket.socket) -> None:
        status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self._refused(self._sockets[sock], errno.errorcode.get(status, str(status)))
        else:
            self._reactor.unwatch(sock)
            del self._sockets[sock]
            self._end(sock)

    def _refused(self, address: Any, why: str) -> None:
        """That is the answer for all that were made at that address."""
        self._attempts.refused(address)
        for sock in [sock for sock, at in self._sockets.items() if at == address]:
            self._give_up(sock)
        if self._attempts.over:
            self._end(why)
        elif self._attempts.untried:
            if self._timer is not None:
                self._timer.cancel()
            self.begin()

    def _give_up(self, sock: socket.socket) -> None:
        del self._sockets[sock]
        self._reactor.unwatch(sock)
        sock.close()

    def _end(self, found: socket.socket | str) -> None:
        self.close()
        self._then(found)
