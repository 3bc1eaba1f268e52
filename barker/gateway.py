"""The gateway: the web pages, and AMQP over WebSocket for them, at one port.

A browser speaks AMQP to a service through here, at a path that names it, such as ``/amqp/inbox/ark3``. The
gateway finds an instance as the directory would (`watch.py`), dials it, and from then on copies bytes, both
ways, without a look into them (OASIS, AMQP WebSocket Binding 1.0). When one side ends, so does the other.

The pages are webui/ and monitoring/. asyncio and aiohttp run here, with a reactor in a thread of its own for
the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import click
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from barker import options
from barker.amqp.agent import LAUNCHED, Agent, register
from barker.amqp.engine import DEFAULT_LIMITS, ConnectionHandler
from barker.amqp.links import Network, Place
from barker.amqp.process import raise_file_limit
from barker.amqp.reactor import Reactor, cannot_listen
from barker.core.errors import Mistake
from barker.core.routes import Route
from barker.metrics import CONTENT_TYPE, Reports, exposition
from barker.watch import Watcher

log = logging.getLogger(__name__)

ADDRESS = "gateway"

SERVICES = ("inbox", "outbox", "directory", "monitor", "launcher")
"""What browsers can reach, each at ``/amqp/`` and its name."""

SUBPROTOCOLS = ("amqp", "AMQPWSB10")
"""The WebSocket subprotocols taken: the standard's, and an older draft's, which rhea's examples use."""

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "/": "webui/index.html",
    "/index.html": "webui/index.html",
    "/barker.js": "webui/barker.js",
    "/barker.css": "webui/barker.css",
    "/line.js": "webui/line.js",
    "/node_modules/rhea/dist/rhea-umd.js": "webui/node_modules/rhea/dist/rhea-umd.js",
    "/monitoring/": "monitoring/index.html",
    **{
        # The dashboard's page names these as it finds them from the disk.
        f"/{file}": file
        for file in (
            "monitoring/index.html",
            "monitoring/dashboard.css",
            "monitoring/dashboard.js",
            "monitoring/figures.js",
            "webui/barker.css",
            "webui/line.js",
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

MOST_BYTES = 4 * 1024 * 1024
"""The largest WebSocket message taken; rhea sends one for each AMQP frame, of 64 KiB at most."""


class Unreachable(Exception):
    """Nobody serves that now, or nobody answers; says which."""


class Gateway:
    """The process: an HTTP server, and a reactor that follows the directory."""

    def __init__(self, host: str, port: int, directory: Place, max_connections: int) -> None:
        self.host, self.port, self.directory = host, port, directory
        self._max_connections = max_connections
        self.reactor = Reactor(f"{ADDRESS}-{host}-{port}")
        self.network = Network(self.reactor, directory)
        self.watcher = Watcher(self.network, lambda change, route: None)
        self.reports = Reports(self.network)
        listener = self.reactor.listen(host, 0, ConnectionHandler())
        # Its address has the gateway's port; AMQP is spoken at another, for this one speaks HTTP.
        self.agent = Agent(self.reactor, ADDRESS, ADDRESS, host, port, self._figures)
        listener.handler = self.agent
        self._agent_port = listener.port
        self._to_services = self._to_browsers = 0
        self._chance = random.Random()
        self._dialled: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or the launcher's end.

        :raises Mistake: when it cannot listen at that port.
        """
        raise_file_limit()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        if os.environ.get(LAUNCHED):
            loop.add_reader(sys.stdin.fileno(), self._on_launcher, ended)
        app = web.Application()
        app.router.add_get("/amqp/{service:.+}", self._on_websocket)
        app.router.add_get("/healthz", self._on_health)
        app.router.add_get("/metrics", self._on_metrics)
        app.router.add_get("/{path:.*}", _on_page)
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(self._hang_up)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2 * CLOSE_SECONDS)
        await runner.setup()
        thread = threading.Thread(target=self.reactor.run, name="reactor", daemon=True)
        try:
            await self._listen(runner)
            register(self.network, Route(ADDRESS, self.host, self.port, "ordered", self.agent.since))
            register(self.network, self.agent.route(self.host, self._agent_port))
            thread.start()
            log.info("gateway serves http://%s:%d/", self.host, self.port)
            await ended.wait()
        finally:
            await runner.cleanup()
            if thread.is_alive():
                self.reactor.call_from_thread(self.reactor.stop)
                thread.join(CLOSE_SECONDS)
        log.info("gateway at port %d has ended", self.port)

    async def _listen(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self.host, self.port, backlog=1024).start()
        except OSError as error:
            raise Mistake(cannot_listen(self.host, self.port, error)) from None
        self.port = runner.addresses[0][1]

    def _on_launcher(self, ended: asyncio.Event) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            log.warning("the launcher is gone: ending")
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            ended.set()

    async def _hang_up(self, app: web.Application) -> None:
        for writer in self._dialled:
            writer.transport.abort()

    # For those who watch

    def _figures(self) -> dict[str, Any]:
        return {
            "websockets": len(self._dialled),
            "received": self._to_services,
            "sent": self._to_browsers,
        }

    async def _on_health(self, request: web.Request) -> web.StreamResponse:
        """200 while the directory is in sight, and inbox and outbox are served; else 503 with what lacks."""
        known = {route.address for route in list(self.watcher.routes)}
        lacks = [f"nobody serves {address}" for address in ("inbox", "outbox") if address not in known]
        if not self.watcher.current:
            lacks.insert(0, f"the directory at {self.directory} is away")
        return _line(503, "; ".join(lacks)) if lacks else web.Response(text="ok\n")

    async def _on_metrics(self, request: web.Request) -> web.StreamResponse:
        """The agents' figures, for Prometheus; empty but for a comment while no monitor runs."""
        text = exposition(self.reports.newest())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    # AMQP over WebSocket

    async def _on_websocket(self, request: web.Request) -> web.StreamResponse:
        """Dial the service that the path names; only when it answers, take the WebSocket."""
        service = request.match_info["service"]
        if service.partition("/")[0] not in SERVICES:
            there_are = ", ".join(f"/amqp/{name}" for name in SERVICES)
            return _line(404, f"there is no {request.path} here; there are {there_are}")
        if not _same_site(request):
            return _line(403, "WebSockets are not for other sites' pages")
        socket = web.WebSocketResponse(
            protocols=SUBPROTOCOLS, compress=False, max_msg_size=MOST_BYTES, timeout=CLOSE_SECONDS
        )
        if not socket.can_prepare(request).protocol:
            return _line(400, f"this is for WebSockets of subprotocol {' or '.join(SUBPROTOCOLS)}")
        if len(self._dialled) >= self._max_connections:
            return _line(503, f"{self._max_connections} WebSockets are all there may be; try again later")
        try:
            reader, writer = await self._dial(service)
        except Unreachable as error:
            # A WebSocket that is taken tells its client all is well, and the client's back-off begins anew.
            log.info("%s", error)
            return _line(503, str(error))
        self._dialled.add(writer)
        try:
            await socket.prepare(request)
            await self._join(socket, reader, writer)
        finally:
            self._dialled.discard(writer)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
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
                dialling = asyncio.open_connection(place.host, place.port, limit=READ_BYTES)
                return await asyncio.wait_for(dialling, DIAL_SECONDS)
            except TimeoutError:
                why = f"{service} at {place} takes no connection"
            except OSError as error:
                why = f"{service} at {place}: {error.strerror or error}"
        if service != "directory" and not self.watcher.current:
            why += f"; and the directory at {self.directory} is away"
        raise Unreachable(why)

    async def _find(self, service: str) -> Place | None:
        """Where `service` is by the directory's policy; while that is away, where it was last."""
        if service == "directory":
            return self.directory
        found: Future[Route | None] = Future()

        def choose() -> None:
            # In the reactor's thread, which owns the table: a choice changes whose turn is next.
            if found.set_running_or_notify_cancel():
                found.set_result(self.watcher.routes.choose(service, self._chance))

        self.reactor.call_from_thread(choose)
        route = await asyncio.wrap_future(found)
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


def _same_site(request: web.Request) -> bool:
    """Whether a page of ours asks, or one from the disk, or no browser: those send no Origin."""
    origin = request.headers.get("Origin")
    return origin in (None, "null", "file://") or origin.partition("://")[2] == request.host


# Pages


async def _on_page(request: web.Request) -> web.StreamResponse:
    """One of the files that are served."""
    if request.path in ("/session.js", "/webui/session.js"):
        return web.Response(text=SESSION, content_type="text/javascript")
    if request.path not in PAGES:
        return _line(404, f"there is no {request.path} here")
    file = ROOT / PAGES[request.path]
    if not file.is_file():
        return _line(404, f"{PAGES[request.path]} is missing; make setup brings what the pages need")
    return web.FileResponse(file)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


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
@options.program
def main(host: str, port: int, directory_place: Place, max_connections: int) -> None:
    """Run the gateway: the web pages, and AMQP over WebSocket for them."""
    logging.getLogger("aiohttp.server").addFilter(_tell_in_a_line)
    asyncio.run(Gateway(host, port, directory_place, max_connections).run())


if __name__ == "__main__":
    main()
