"""AMQP over WebSocket: a browser's bytes to a service, and a service's to the browser.

A service is found as the directory would find it (`amqp/watch.py`), and dialled; from then on bytes are
copied, both ways, without a look into them (OASIS, AMQP WebSocket Binding 1.0). When one side ends, so does
the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from barker.amqp.certificates import Certificates
from barker.amqp.links import Place, Places
from barker.amqp.sasl import SaslServer, client
from barker.amqp.watch import Watcher
from barker.core.access import Credentials, Identity, certified, may_serve
from barker.core.errors import NotAuthentic
from barker.web.bounds import BoundedServer
from barker.web.pages import line

log = logging.getLogger(__name__)

Ask = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Has a question asked in the thread of the reactor."""

SERVICES = ("inbox", "outbox", "monitor", "launcher")
"""What browsers can reach, each at ``/amqp/`` and its name. Not the directory: what registers is dialled."""

SUBPROTOCOLS = ("amqp", "AMQPWSB10")
"""The WebSocket subprotocols taken: the standard's, and an older draft's, which rhea's examples use."""

DIALS = 3
"""How many instances of a service are tried for one WebSocket."""

DIAL_SECONDS = 2.0
"""An instance that takes no connection for so long is away."""

STALL_SECONDS = 20.0
"""A side that takes nothing for so long is given up; AMQP's heartbeats have found it dead long before."""

CLOSE_SECONDS = 1.0
"""How long a goodbye may take."""

READ_BYTES = 64 * 1024
"""How much is copied at a time; the most that is held of one direction is a few times that."""

MOST_BYTES = 256 * 1024
"""The largest WebSocket message taken; rhea sends one for each AMQP frame, of 64 KiB at most."""


class Unreachable(Exception):
    """Nobody serves that now, or nobody answers; says which."""


class Bridge:
    """All WebSockets of a gateway."""

    def __init__(
        self,
        server: BoundedServer,
        watcher: Watcher,
        directories: Places,
        ask: Ask,
        chance: Random,
        most: int,
        credentials: Credentials,
        certificates: Certificates | None,
    ) -> None:
        """`ask` has something done in the thread of the reactor, whose `watcher` it is; `most` at a time.

        By its `credentials` services know the gateway, with TLS by its `certificates`.
        """
        self._credentials, self._certificates = credentials, certificates
        self._server, self._watcher, self._directories = server, watcher, directories
        self._ask, self._most = ask, most
        self.to_services = self.to_browsers = 0
        """How many pieces were copied since the start."""
        self._chance = chance
        self._taken = 0  # Those too whose service is dialled.
        self._dialled: dict[asyncio.StreamWriter, None] = {}

    def __len__(self) -> int:
        """How many WebSockets there are."""
        return len(self._dialled)

    def cut(self) -> None:
        """End all of them."""
        for writer in self._dialled:
            writer.transport.abort()

    async def answer(
        self, request: web.BaseRequest, service: str, protocols: list[str], who: Identity
    ) -> web.StreamResponse:
        """Dial the service that the path names, for `who`; only when it answers, take the WebSocket."""
        if service.partition("/")[0] not in SERVICES:
            there_are = ", ".join(f"/amqp/{name}" for name in SERVICES)
            return line(404, f"there is no {request.path!r:.100} here; there are {there_are}")
        socket = web.WebSocketResponse(
            protocols=SUBPROTOCOLS, compress=False, max_msg_size=MOST_BYTES, timeout=CLOSE_SECONDS
        )
        # Looked at before aiohttp does, which would log them: one may be the key.
        if not set(protocols) & set(SUBPROTOCOLS) or not socket.can_prepare(request).ok:
            return line(400, f"this is for WebSockets of subprotocol {' or '.join(SUBPROTOCOLS)}")
        if self._taken >= self._most:
            return line(503, f"{self._most} WebSockets are all there may be; try again later")
        self._taken += 1
        try:
            return await self._serve(request, service, socket, who)
        except Unreachable as error:
            # A WebSocket that is taken tells its client all is well, and the client's back-off begins anew.
            log.info("%s", error)
            return line(503, str(error))
        finally:
            self._taken -= 1

    async def _serve(
        self, request: web.BaseRequest, service: str, socket: web.WebSocketResponse, who: Identity
    ) -> web.StreamResponse:
        """A WebSocket, from the dial of its service to the end of both.

        :raises Unreachable: when there is nobody to dial; the WebSocket is not taken then.
        """
        reader, writer = await self._dial(service, who)
        self._dialled[writer] = None
        try:
            await socket.prepare(request)
            self._server.let_last(request)
            await self._join(socket, reader, writer)
        finally:
            self._server.expect_end(request)
            self._dialled.pop(writer, None)
            writer.transport.abort()
        return socket

    async def _dial(self, service: str, who: Identity) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an instance of `service`; after one that is away, to the next.

        :raises Unreachable: when none answers.
        """
        why = f"nobody serves {service} now"
        for _ in range(DIALS):
            place = await self._find(service)
            if place is None:
                break
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    tls = self._certificates.contexts.client if self._certificates else None
                    reader, writer = await asyncio.open_connection(
                        place.host, place.port, limit=READ_BYTES, ssl=tls
                    )
                    await self._introduce(reader, writer, service, who)
                    return reader, writer
            except TimeoutError:
                why = f"{service} at {place} takes no connection"
            except NotAuthentic as error:
                writer.transport.abort()
                why = f"{service} at {place}: {error}"
            except OSError as error:
                why = f"{service} at {place}: {error.strerror or error}"
        if not self._watcher.current:
            why += f"; and the directory at {self._directories} is away"
        raise Unreachable(why)

    async def _introduce(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str, who: Identity
    ) -> None:
        """Show a service that this is the gateway, and for whom it speaks; see that it belongs to the suite.

        :raises NotAuthentic: when one of the two does not know the other.
        """
        sasl = client(self._credentials, secrets.token_urlsafe, who if who.kind == "person" else None)
        sasl.certificate = certified(writer.get_extra_info("peercert"))
        while not sasl.done:
            writer.write(bytes(sasl.output))
            sasl.output.clear()
            data = await reader.read(READ_BYTES)
            if not data:
                raise NotAuthentic("it ends the connection")
            sasl.receive(data)
        if not sasl.proved:
            raise NotAuthentic("it does not know the suite's key")
        if self._certificates and not may_serve(sasl.identity, service):
            raise NotAuthentic(f"it has the certificate of a {sasl.identity}")

    async def _find(self, service: str) -> Place | None:
        """Where `service` is by the directory's policy; while that is away, where it was last."""
        # A choice changes whose turn is next.
        route = await self._ask(lambda: self._watcher.routes.choose(service, self._chance))
        return None if route is None else Place(route.host, route.port)

    async def _join(
        self, socket: web.WebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Copy both ways until a side ends; then end the WebSocket, with the code that says why."""
        copying = self._to_service(socket, writer), self._to_browser(reader, socket)
        copies = [asyncio.create_task(copy) for copy in copying]
        code: int = WSCloseCode.GOING_AWAY
        try:
            done, _ = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(ConnectionError, TimeoutError):
                code = done.pop().result()
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(2 * CLOSE_SECONDS):  # It waits for who does not read, too.
                    await socket.close(code=code)

    async def _to_service(self, socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> int:
        """Until the browser ends. Waiting for the other side to take it is all the back-pressure there is."""
        # Who it is has been shown for it: a browser that wants to begin with SASL is a stranger here.
        sasl = SaslServer(None, secrets.token_urlsafe)
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                return WSCloseCode.UNSUPPORTED_DATA
            data = message.data
            if not sasl.done:
                try:
                    data = sasl.receive(data)
                except NotAuthentic as error:
                    log.info("%s", error)
                    return WSCloseCode.PROTOCOL_ERROR
                if sasl.output:
                    await socket.send_bytes(bytes(sasl.output))
                    sasl.output.clear()
            writer.write(data)
            self.to_services += 1
            async with asyncio.timeout(STALL_SECONDS):
                await writer.drain()
        return WSCloseCode.OK

    async def _to_browser(self, reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> int:
        """Until the service ends."""
        while data := await reader.read(READ_BYTES):
            async with asyncio.timeout(STALL_SECONDS):
                await socket.send_bytes(data)
            self.to_browsers += 1
        return WSCloseCode.GOING_AWAY
