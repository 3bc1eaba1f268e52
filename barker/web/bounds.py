"""The gateway's connections, bounded: at most so many, and an end to each that is no WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

ASK_SECONDS = 10.0
"""Who has asked for nothing after so long is cut off, however busily it trickles a request's bytes."""

ANSWER_SECONDS = 30.0
"""Who has not taken the answer after so long is cut off."""

MOST_PAGES = 1_000
"""How many connections there may be besides the WebSockets: those that ask, and fetch the pages' files."""

FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\ntoo many connections; try again later\n"
"""What a connection too many is told."""


BACKLOG = 128
"""How many connections may wait to be accepted; a browser makes six."""


def places(websockets: int, files: int) -> tuple[int, int]:
    """How many WebSockets there may be, and how many connections in all, with so many files for them.

    `websockets` are wanted. Each takes two files: the browser's, and the service's. As many connections as
    may wait are accepted before the first of them is seen to be one too many.
    """
    files = max(1, files - BACKLOG)
    pages = min(MOST_PAGES, max(1, files // 4))
    websockets = max(1, min(websockets, (files - pages) // 2))
    return websockets, websockets + pages


class BoundedServer(web.Server):
    """aiohttp's server, with bounds."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], most: int) -> None:
        super().__init__(answer, access_log=None, keepalive_timeout=ASK_SECONDS, auto_decompress=False)
        self._most = most
        self._ends: dict[RequestHandler, asyncio.TimerHandle | None] = {}
        """Every connection, with what will cut it off; None for WebSockets."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """aiohttp's call for each that comes."""
        super().connection_made(handler, transport)
        self._ends[handler] = _end(transport)
        if len(self._ends) > self._most:
            transport.write(FULL)
            transport.close()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """aiohttp's call for each that has gone."""
        super().connection_lost(handler, exc)
        end = self._ends.pop(handler, None)
        if end is not None:
            end.cancel()

    def expect_end(self, request: web.BaseRequest) -> None:
        """Cut its connection off in a while, unless it asks for something more by then."""
        if request.transport is not None:
            self.let_last(request)
            self._ends[request.protocol] = _end(request.transport)

    def let_last(self, request: web.BaseRequest) -> None:
        """Its connection may last as long as it likes."""
        end = self._ends.get(request.protocol)
        if end is not None:
            end.cancel()
            self._ends[request.protocol] = None


def _end(transport: asyncio.Transport) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(ANSWER_SECONDS, transport.abort)
