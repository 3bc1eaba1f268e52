"""A port before another: for what others reach elsewhere than where it listens."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading


class Relay(socketserver.ThreadingTCPServer):
    """Whoever dials it reaches another port of this machine, and what it is sent is seen."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        """It leads to `port`, which may be said later."""
        self.sent, self.port, self.passed = bytearray(), port, 0
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", relay.port)) as there,
                ):
                    relay.passed += 1
                    back = threading.Thread(target=copy, args=(there, self.request, bytearray()), daemon=True)
                    back.start()
                    copy(self.request, there, relay.sent)
                    back.join()

        def copy(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    seen += data
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
