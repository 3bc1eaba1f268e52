"""The gateway's process: the web pages, and AMQP over WebSocket for them, at one port.

A page of another site can have a browser dial this port, too: each request shows whose it is
(`core/admission.py`), and what comes from a page is never handed to the directory.

As every process it has a reactor, which follows the directory; asyncio and aiohttp run in a thread beside it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from barker.amqp.agent import Agent, register
from barker.amqp.certificates import Certificates
from barker.amqp.handlers import ConnectionHandler
from barker.amqp.links import Places
from barker.amqp.process import Process, files_for_connections
from barker.amqp.reactor import cannot_listen
from barker.amqp.watch import Watcher
from barker.commands.output import announce
from barker.commands.session import page_link
from barker.core.access import Credentials, pages_key
from barker.core.admission import Admission
from barker.core.advertised import Advertised, reached
from barker.core.errors import Mistake
from barker.core.log_share import Peer
from barker.core.routing import Route
from barker.web.bounds import BACKLOG, BoundedServer, places
from barker.web.bridge import CLOSE_SECONDS, Bridge, Unreachable
from barker.web.door import PATHS, Door
from barker.web.metrics import CONTENT_TYPE, Reports, exposition
from barker.web.pages import HEADERS, line, page

log = logging.getLogger(__name__)

ADDRESS = "gateway"

REACTOR_SECONDS = 2.0
"""How long the reactor may take to say what it knows of the routes."""

T = TypeVar("T")


class Gateway(Process):
    """The process: a reactor that follows the directory, and an HTTP server in a thread of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        directories: Places,
        max_connections: int,
        allow: tuple[str, ...],
        credentials: Credentials,
        advertised: Advertised | None = None,
    ) -> None:
        """`allow` are further names it goes by; of its `credentials` the pages' key is made.

        Others are sent to where it is `advertised`, or to `host` and `port`.

        :raises Mistake: for a name that is none.
        """
        container = "-".join(map(str, (ADDRESS, *reached(host, port, advertised))))
        super().__init__(container, directories, credentials=credentials)
        self._credentials = credentials
        # Beside the reactor's: these are of the other thread.
        self._certificates = Certificates(credentials, self.reactor.clock) if credentials.authority else None
        self.host, self.port, self._advertised = host, port, advertised
        self._allow = allow
        self._websockets, self._connections = places(max_connections, files_for_connections())
        self._key = pages_key(credentials.key)
        self._door = self._made_door()
        self.watcher = Watcher(self.network, lambda change, route: None)
        self.reports = Reports(self.network)

    def run(self) -> None:
        """Serve until it is told to end.

        :raises Mistake: when it cannot listen at that port.
        """
        listening: Future[None] = Future()
        self._http = threading.Thread(target=asyncio.run, args=(self._serve_http(listening),), name="http")
        self._http.start()
        listening.result()
        self._register()
        page, lets_in = self._links()
        # What is no terminal may be kept, and read by others.
        tells = f"{page}; 'barker pages' tells the link that lets in"
        announce(f"the pages are at {lets_in if sys.stdout.isatty() else tells}")
        log.info("gateway serves %s", page)
        super().run()
        log.info("gateway at port %d has ended", self.port)

    def _links(self) -> tuple[str, str]:
        """Where the page is; and that with the pages' key."""
        link = page_link(self._door.admission.home, self._key, self._certificates is not None)
        return link.partition("#")[0], link

    def on_stop(self) -> None:
        """End what the browsers have."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._http.join()

    async def _serve_http(self, listening: Future[None]) -> None:
        """All that runs on asyncio, in a thread of its own; `listening` is told when browsers may come."""
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._server = BoundedServer(self._answer, self._connections)
        self._bridge = Bridge(
            self._server,
            self.watcher,
            self.network.directories,
            self._ask_reactor,
            self.reactor.chance,
            self._websockets,
            self._credentials,
            self._certificates,
        )
        runner = web.ServerRunner(self._server, shutdown_timeout=2 * CLOSE_SECONDS)
        await runner.setup()
        try:
            await self._listen(runner)
            listening.set_result(None)
            await self._ended.wait()
        except Mistake as mistake:
            listening.set_exception(mistake)
        finally:
            self._bridge.cut()
            await runner.cleanup()

    async def _listen(self, runner: web.ServerRunner) -> None:
        tls = self._certificates.for_pages() if self._certificates else None
        try:
            await web.TCPSite(runner, self.host, self.port, backlog=BACKLOG, ssl_context=tls).start()
        except OSError as error:
            raise Mistake(cannot_listen(self.host, self.port, error)) from None
        self.port = runner.addresses[0][1]
        self._door = self._made_door()  # By the port that it has got.

    def _made_door(self) -> Door:
        admission = Admission(self.host, self.port, self._key, self._allow, self._advertised)
        reactor = self.reactor
        return Door(admission, reactor.sign_in, reactor.call_from_thread, reactor.wall)

    def _register(self) -> None:
        """Have the directory know this gateway, and its agent. The port is known by now."""
        listener = self.reactor.listen(self.host, 0, ConnectionHandler())
        # Its address has the gateway's port; AMQP is spoken at another, for this one speaks HTTP.
        here = reached(self.host, self.port, self._advertised)
        agent = Agent(self.reactor, ADDRESS, ADDRESS, *here, self._figures)
        listener.handler = agent
        register(self.network, Route(ADDRESS, *here, "ordered", agent.since))
        register(self.network, agent.route(here[0], listener.port))

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
        at_door = request.method == "POST" and request.path in PATHS
        who = self._door.who(request, protocols)
        open_to_all = at_door or not request.path.startswith("/amqp/")
        refusal = self._door.admission.refusal(host, origin, who, open_to_all)
        if not refusal and at_door and not self._door.admission.is_ours(origin):
            refusal = "only the gateway's own pages are let in here"
        if refusal:
            log.info("%s is refused: %s", Peer(request.remote), refusal)
            return line(403, refusal)
        if at_door:
            return await self._door.answer(request)
        if request.method not in ("GET", "HEAD"):
            return line(405, "there is only GET here")
        if request.path.startswith("/amqp/"):
            return await self._bridge.answer(request, request.path.removeprefix("/amqp/"), protocols, who)
        if request.path == "/healthz":
            return await self._on_health()
        if request.path == "/metrics":
            # The agents' figures, for Prometheus; empty but for a comment while no monitor runs.
            return web.Response(
                body=exposition(self.reports.newest()), headers={"Content-Type": CONTENT_TYPE}
            )
        return page(request.path, request.rel_url.raw_query_string)

    # For those who watch

    def _figures(self) -> dict[str, Any]:
        return {
            "websockets": len(self._bridge),
            "received": self._bridge.to_services,
            "sent": self._bridge.to_browsers,
        }

    async def _on_health(self) -> web.StreamResponse:
        """200 while the directory is in sight, and inbox and outbox are served; else 503 with what lacks."""

        def look() -> tuple[bool, set[str]]:
            return self.watcher.current, {route.address for route in self.watcher.routes}

        try:
            current, known = await self._ask_reactor(look)
        except Unreachable as error:
            return line(503, str(error))
        lacks = [f"nobody serves {address}" for address in ("inbox", "outbox") if address not in known]
        if not current:
            lacks.insert(0, f"the directory at {self.network.directories} is away")
        return line(503, "; ".join(lacks)) if lacks else web.Response(text="ok\n")

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


def tell_in_a_line(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: what a peer got wrong needs no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        about = Peer(record.args[0]) if isinstance(record.args, tuple) and record.args else "a peer"
        log.warning("%s: no HTTP: %s", about, error.message.partition("\n")[0])
    return not isinstance(error, HttpProcessingError)
