"""The gateway: the web pages, and AMQP over WebSocket for them, at one port.

A browser speaks AMQP to a service through here, at a path that names it, such as ``/amqp/inbox/ark3``. The
gateway finds an instance as the directory would (`watch.py`), dials it, and from then on copies bytes, both
ways, without a look into them (OASIS, AMQP WebSocket Binding 1.0). When one side ends, so does the other.

A page of another site can have a browser dial this port, too: each request shows whose it is
(`core/admission.py`), and what comes from a page is never handed to the directory.

The pages are webui/ and monitoring/. As every process it has a reactor, which follows the directory; asyncio
and aiohttp run in a thread beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import click
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from barker import options
from barker.amqp.agent import TOKEN, Agent, register
from barker.amqp.engine import DEFAULT_LIMITS, ConnectionHandler
from barker.amqp.links import Place
from barker.amqp.process import Process
from barker.amqp.reactor import cannot_listen
from barker.core.admission import Admission
from barker.core.errors import Mistake
from barker.core.routes import Route
from barker.metrics import CONTENT_TYPE, Reports, exposition
from barker.watch import Watcher

log = logging.getLogger(__name__)

ADDRESS = "gateway"

SERVICES = ("inbox", "outbox", "monitor", "launcher")
"""What browsers can reach, each at ``/amqp/`` and its name. Not the directory: what registers is dialled."""

SUBPROTOCOLS = ("amqp", "AMQPWSB10")
"""The WebSocket subprotocols taken: the standard's, and an older draft's, which rhea's examples use."""

TOKEN_PROTOCOL = "barker-token."
"""A page from the disk offers this and the run's token as one subprotocol more: headers are in no log, and
neither in a browser's console, where each URL is."""

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "/": "webui/index.html",
    "/index.html": "webui/index.html",
    "/barker.js": "webui/barker.js",
    "/barker.css": "webui/barker.css",
    "/barks.js": "webui/barks.js",
    "/line.js": "webui/line.js",
    "/numbers.js": "webui/numbers.js",
    "/shown.js": "webui/shown.js",
    "/node_modules/rhea/dist/rhea-umd.js": "webui/node_modules/rhea/dist/rhea-umd.js",
    "/monitoring/": "monitoring/index.html",
    **{
        # The dashboard's page names these as it finds them from the disk.
        f"/{file}": file
        for file in (
            "monitoring/index.html",
            "monitoring/colours.js",
            "monitoring/dashboard.css",
            "monitoring/dashboard.js",
            "monitoring/events.js",
            "monitoring/figures.js",
            "monitoring/graphs.js",
            "monitoring/orders.js",
            "monitoring/picture.js",
            "monitoring/table.js",
            "webui/barker.css",
            "webui/line.js",
            "webui/numbers.js",
            "webui/shown.js",
            "webui/node_modules/rhea/dist/rhea-umd.js",
            "webui/node_modules/uplot/dist/uPlot.iife.min.js",
            "webui/node_modules/uplot/dist/uPlot.min.css",
        )
    },
}
"""Every file that is served, below :data:`ROOT`, by its path; there are no others."""

SESSION = "window.BARKER_SESSION = {gateway: location.host};\n"
"""What ``/session.js`` says here. The file of that name holds the run's token, for who may read the disk."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; connect-src ws: wss:; img-src data:",
    "X-Content-Type-Options": "nosniff",
}

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

ASK_SECONDS = 10.0
"""Who has asked for nothing after so long is cut off, however busily it trickles a request's bytes."""

ANSWER_SECONDS = 30.0
"""Who has not taken the answer after so long is cut off."""

MOST_PAGES = 1_000
"""How many connections there may be besides the WebSockets: those that ask, and fetch the pages' files."""

FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\ntoo many connections; try again later\n"
"""What a connection too many is told."""

REACTOR_SECONDS = 2.0
"""How long the reactor may take to say what it knows of the routes."""

T = TypeVar("T")


class Unreachable(Exception):
    """Nobody serves that now, or nobody answers; says which."""


class Gateway(Process):
    """The process: a reactor that follows the directory, and an HTTP server in a thread of its own."""

    def __init__(
        self, host: str, port: int, directory: Place, max_connections: int, allow: tuple[str, ...], token: str
    ) -> None:
        """`allow` are further names it goes by; `token` is the run's, which pages from the disk show.

        :raises Mistake: for a name that is none.
        """
        super().__init__(f"{ADDRESS}-{host}-{port}", directory)
        self.host, self.port, self.directory = host, port, directory
        self._max_connections, self._allow, self._token = max_connections, allow, token
        self._admission = Admission(host, port, allow, token)
        self.watcher = Watcher(self.network, lambda change, route: None)
        self.reports = Reports(self.network)
        self._to_services = self._to_browsers = 0
        self._chance = random.Random()
        self._websockets = 0
        """How many are taken, or about to be: while their service is dialled, too."""
        self._dialled: set[asyncio.StreamWriter] = set()

    def run(self) -> None:
        """Serve until it is told to end.

        :raises Mistake: when it cannot listen at that port.
        """
        listening: Future[None] = Future()
        self._http = threading.Thread(target=asyncio.run, args=(self._serve_http(listening),), name="http")
        self._http.start()
        listening.result()
        self._register()
        log.info("gateway serves http://%s/", self._admission.home)
        super().run()
        log.info("gateway at port %d has ended", self.port)

    def on_stop(self) -> None:
        """End what the browsers have."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._http.join()

    async def _serve_http(self, listening: Future[None]) -> None:
        """All that runs on asyncio, in a thread of its own; `listening` is told when browsers may come."""
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._server = _Server(self._answer, MOST_PAGES + self._max_connections)
        runner = web.ServerRunner(self._server, shutdown_timeout=2 * CLOSE_SECONDS)
        await runner.setup()
        try:
            await self._listen(runner)
            listening.set_result(None)
            await self._ended.wait()
        except Mistake as mistake:
            listening.set_exception(mistake)
        finally:
            for writer in self._dialled:
                writer.transport.abort()
            await runner.cleanup()

    async def _listen(self, runner: web.ServerRunner) -> None:
        try:
            await web.TCPSite(runner, self.host, self.port, backlog=1024).start()
        except OSError as error:
            raise Mistake(cannot_listen(self.host, self.port, error)) from None
        self.port = runner.addresses[0][1]
        self._admission = Admission(self.host, self.port, self._allow, self._token)

    def _register(self) -> None:
        """Have the directory know this gateway, and its agent. The port is known by now."""
        listener = self.reactor.listen(self.host, 0, ConnectionHandler())
        # Its address has the gateway's port; AMQP is spoken at another, for this one speaks HTTP.
        agent = Agent(self.reactor, ADDRESS, ADDRESS, self.host, self.port, self._figures)
        listener.handler = agent
        register(self.network, Route(ADDRESS, self.host, self.port, "ordered", agent.since))
        register(self.network, agent.route(self.host, listener.port))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Whatever is asked; first, whether it may be."""
        self._server.expect_end(request)
        response = await self._respond(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        protocols = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        tokens = [name for name in protocols if name.startswith(TOKEN_PROTOCOL)]
        token = tokens[0].removeprefix(TOKEN_PROTOCOL) if tokens else ""
        refusal = self._admission.refusal(host, origin, token)
        if refusal:
            log.info("%s is refused: %s", request.remote, refusal)
            return _line(403, refusal)
        if request.method not in ("GET", "HEAD"):
            return _line(405, "there is only GET here")
        if request.path.startswith("/amqp/"):
            return await self._on_websocket(request, request.path.removeprefix("/amqp/"), protocols)
        if request.path == "/healthz":
            return await self._on_health()
        if request.path == "/metrics":
            # The agents' figures, for Prometheus; empty but for a comment while no monitor runs.
            return web.Response(
                body=exposition(self.reports.newest()), headers={"Content-Type": CONTENT_TYPE}
            )
        return _page(request.path)

    # For those who watch

    def _figures(self) -> dict[str, Any]:
        return {
            "websockets": len(self._dialled),
            "received": self._to_services,
            "sent": self._to_browsers,
        }

    async def _on_health(self) -> web.StreamResponse:
        """200 while the directory is in sight, and inbox and outbox are served; else 503 with what lacks."""

        def look() -> tuple[bool, set[str]]:
            return self.watcher.current, {route.address for route in self.watcher.routes}

        try:
            current, known = await self._ask_reactor(look)
        except Unreachable as error:
            return _line(503, str(error))
        lacks = [f"nobody serves {address}" for address in ("inbox", "outbox") if address not in known]
        if not current:
            lacks.insert(0, f"the directory at {self.directory} is away")
        return _line(503, "; ".join(lacks)) if lacks else web.Response(text="ok\n")

    async def _ask_reactor(self, question: Callable[[], T]) -> T:
        """What `question()` returns in the reactor's thread, which owns the table of routes.

        :raises Unreachable: when there is no answer in time.
        """
        answer: Future[T] = Future()

        def ask() -> None:
            if answer.set_running_or_notify_cancel():
                answer.set_result(question())

        self.reactor.call_from_thread(ask)
        try:
            async with asyncio.timeout(REACTOR_SECONDS):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            raise Unreachable("the gateway has too much to do; try again later") from None

    # AMQP over WebSocket

    async def _on_websocket(
        self, request: web.BaseRequest, service: str, protocols: list[str]
    ) -> web.StreamResponse:
        """Dial the service that the path names; only when it answers, take the WebSocket."""
        if service.partition("/")[0] not in SERVICES:
            there_are = ", ".join(f"/amqp/{name}" for name in SERVICES)
            return _line(404, f"there is no {request.path!r:.100} here; there are {there_are}")
        socket = web.WebSocketResponse(
            protocols=SUBPROTOCOLS, compress=False, max_msg_size=MOST_BYTES, timeout=CLOSE_SECONDS
        )
        # Looked at before aiohttp does, which would log them: one may be the token.
        if not set(protocols) & set(SUBPROTOCOLS) or not socket.can_prepare(request).ok:
            return _line(400, f"this is for WebSockets of subprotocol {' or '.join(SUBPROTOCOLS)}")
        if self._websockets >= self._max_connections:
            return _line(503, f"{self._max_connections} WebSockets are all there may be; try again later")
        self._websockets += 1
        try:
            return await self._serve(request, service, socket)
        except Unreachable as error:
            # A WebSocket that is taken tells its client all is well, and the client's back-off begins anew.
            log.info("%s", error)
            return _line(503, str(error))
        finally:
            self._websockets -= 1

    async def _serve(
        self, request: web.BaseRequest, service: str, socket: web.WebSocketResponse
    ) -> web.StreamResponse:
        """A WebSocket, from the dial of its service to the end of both.

        :raises Unreachable: when there is nobody to dial; the WebSocket is not taken then.
        """
        reader, writer = await self._dial(service)
        self._dialled.add(writer)
        try:
            await socket.prepare(request)
            self._server.let_last(request)
            await self._join(socket, reader, writer)
        finally:
            self._server.expect_end(request)
            self._dialled.discard(writer)
            writer.transport.abort()
        return socket

    async def _dial(self, service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
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
                    return await asyncio.open_connection(place.host, place.port, limit=READ_BYTES)
            except TimeoutError:
                why = f"{service} at {place} takes no connection"
            except OSError as error:
                why = f"{service} at {place}: {error.strerror or error}"
        if not self.watcher.current:
            why += f"; and the directory at {self.directory} is away"
        raise Unreachable(why)

    async def _find(self, service: str) -> Place | None:
        """Where `service` is by the directory's policy; while that is away, where it was last."""
        # A choice changes whose turn is next.
        route = await self._ask_reactor(lambda: self.watcher.routes.choose(service, self._chance))
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
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                return WSCloseCode.UNSUPPORTED_DATA
            writer.write(message.data)
            self._to_services += 1
            async with asyncio.timeout(STALL_SECONDS):
                await writer.drain()
        return WSCloseCode.OK

    async def _to_browser(self, reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> int:
        """Until the service ends."""
        while data := await reader.read(READ_BYTES):
            async with asyncio.timeout(STALL_SECONDS):
                await socket.send_bytes(data)
            self._to_browsers += 1
        return WSCloseCode.GOING_AWAY


class _Server(web.Server):
    """aiohttp's server, with bounds: at most so many connections, and an end to each that is no WebSocket."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], most: int) -> None:
        super().__init__(answer, access_log=None, keepalive_timeout=ASK_SECONDS)
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


# Pages


def _page(path: str) -> web.StreamResponse:
    """One of the files that are served."""
    if path in ("/session.js", "/webui/session.js"):
        return web.Response(text=SESSION, content_type="text/javascript")
    if path not in PAGES:
        return _line(404, f"there is no {path!r:.100} here")
    file = ROOT / PAGES[path]
    if not file.is_file():
        return _line(404, f"{PAGES[path]} is missing; make setup brings what the pages need")
    return web.FileResponse(file)


def _line(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text + "\n")
    # Nothing can follow on a connection that was to be a WebSocket.
    response.force_close()
    return response


def _tell_in_a_line(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: what a peer got wrong needs no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        log.warning("%s: %s", record.getMessage(), error.message.partition("\n")[0])
    return not isinstance(error, HttpProcessingError)


@click.command("gateway")
@options.host
@options.port(5673)
@options.directory
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=DEFAULT_LIMITS.connections,
    show_default=True,
    help="How many WebSockets there may be at one time; more are turned away.",
)
@options.allow_host
@options.program
def main(
    host: str, port: int, directory_place: Place, max_connections: int, allow_hosts: tuple[str, ...]
) -> None:
    """Run the gateway: the web pages, and AMQP over WebSocket for them.

    Pages from the disk show the run's token, which the launcher hands on in BARKER_TOKEN.
    """
    logging.getLogger("aiohttp.server").addFilter(_tell_in_a_line)
    token = os.environ.get(TOKEN, "")
    Gateway(host, port, directory_place, max_connections, allow_hosts, token).run()


if __name__ == "__main__":
    main()
