"""Has a server of this machine's loopback be reached on another host, too, at a port there."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.scale.hosts import Host


@contextlib.contextmanager
def forwarded(host: Host, port: int, to: int) -> Iterator[None]:
    """Within it, whoever dials the `host` at `port` speaks with who listens here at `to`."""
    made: list[socket.socket] = []

    def listen() -> None:
        host.enter()
        made.append(socket.create_server((host.address, port)))

    entered = threading.Thread(target=listen)
    entered.start()
    entered.join()
    [listener] = made
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # The listener is closed: that is the end.
            while True:
                there, _ = listener.accept()
                made.append(there)
                with contextlib.suppress(OSError):
                    here = socket.create_connection(("127.0.0.1", to))
                    made.append(here)
                    for ends in ((there, here), (here, there)):
                        threads.append(threading.Thread(target=_carry, args=ends))
                        threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for each in made:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in made:
            each.close()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
