"""The gateway as a process: what it serves, whom it lets in, and the bytes it carries."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import aiohttp
import psutil
import pytest

from barker.amqp.agent import register
from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.amqp.sasl import SaslServer
from barker.amqp.watch import Watcher
from barker.core.access import Credentials, pages_cookie
from barker.core.partitions import number_of
from barker.core.routing import Route
from barker.store.key import read_key
from barker.web.door import KEY_PROTOCOL
from tests.commands.screen import Screen
from tests.harness import ROOT, Process, Suite, credentials_at, free_port, shown_key, wait_for

pytestmark = pytest.mark.system

HEADER = b"AMQP\x00\x01\x00\x00"
"""AMQP 1.0 §2.2: the protocol header; a service answers with the same."""


@pytest.fixture
def gateway(suite: Suite) -> Process:
    gateway = suite.start("gateway")
    wait_for(lambda: "gateway" in _routes(suite), "the gateway is registered")
    return gateway


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway with nothing but a directory, for all tests that leave it as it was."""
    suite = Suite(tmp_path_factory.mktemp("lone"))
    try:
        gateway = suite.start("gateway")
        wait_for(lambda: "gateway" in _routes(suite), "the gateway is registered")
        yield gateway
    finally:
        suite.end()


def _routes(suite: Suite) -> list[str]:
    """The addresses that the directory knows, one for each route."""
    reactor = Reactor("test-routes")
    watcher = Watcher(Network(reactor, Place.parse(suite.place)), lambda change, route: reactor.stop())
    reactor.after(5, reactor.stop)
    reactor.run()
    return [route.address for route in watcher.routes]


LET_IN = 503
"""What a WebSocket's handshake is told that would be let in, were there an outbox: nobody serves that now."""

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def _handshake(gateway: Process, protocol: str = "amqp") -> dict[str, str]:
    """The headers of a WebSocket that shows the pages' key."""
    return {**HANDSHAKE, "Sec-WebSocket-Protocol": f"{protocol}, {KEY_PROTOCOL}{shown_key(gateway.key)}"}


def _connect(gateway: Process) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=10)


def _ask(raw: socket.socket, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and text of the answer to a GET; the path goes out as it is, `..` and all."""
    host, port = raw.getpeername()
    headers = {"Host": f"{host}:{port}", "Connection": "close", **headers}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    raw.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
    answer = b""
    while not answer.startswith(b"HTTP/1.1 101 ") and (data := raw.recv(65536)):
        answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode(errors="replace")


def _get(gateway: Process, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of a page."""
    with _connect(gateway) as raw:
        return _ask(raw, path, headers)


def _knock(gateway: Process, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a WebSocket's handshake; 101 lets it in."""
    with _connect(gateway) as raw:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return _ask(raw, path, _handshake(gateway) | given)


@pytest.fixture
def outbox(suite: Suite, gateway: Process) -> Process:
    """An outbox that the gateway reaches."""
    outbox = suite.outbox()
    wait_for(lambda: _knock(gateway, "/amqp/outbox")[0] == 101, "the outbox is reached")
    return outbox


class Reached(NamedTuple):
    """A gateway, and an outbox that it reaches."""

    suite: Suite
    gateway: Process
    outbox: Process


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """For all tests that end neither."""
    suite = Suite(tmp_path_factory.mktemp("reached"))
    try:
        gateway, outbox = suite.start("gateway"), suite.outbox()
        wait_for(lambda: "gateway serves" in gateway.log, "the gateway listens")
        wait_for(lambda: _knock(gateway, "/amqp/outbox")[0] == 101, "the outbox is reached")
        yield Reached(suite, gateway, outbox)
    finally:
        suite.end()


def _web(gateway: Process, talk: Callable[[aiohttp.ClientSession, str], Awaitable[Any]]) -> Any:
    """Run `talk(session, url)` against the gateway, within a deadline, as a page that has the cookie."""
    url = f"http://127.0.0.1:{gateway.port}"
    page = {"Origin": url, "Cookie": f"barker-{gateway.port}={pages_cookie(shown_key(gateway.key))}"}

    async def run() -> Any:
        async with aiohttp.ClientSession(headers=page) as session, asyncio.timeout(30):
            return await talk(session, url)

    return asyncio.run(run())


def _frame(size: int, opcode: int = 0x82) -> bytes:
    """RFC 6455 §5.2: a frame of so many zeros, masked with zeros; 0x82 is a whole binary message."""
    return bytes([opcode, 0xFF]) + size.to_bytes(8, "big") + bytes(4) + bytes(size)


async def _echo_of(session: aiohttp.ClientSession, url: str, sent: bytes = HEADER, **options: Any) -> bytes:
    """The first bytes that come back over a WebSocket when `sent` goes in."""
    options.setdefault("protocols", ["AMQPWSB10"])
    async with session.ws_connect(url, **options) as websocket:
        assert websocket.protocol == options["protocols"][0]
        await websocket.send_bytes(sent)
        return await websocket.receive_bytes(timeout=10)


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("/", "<title>Barker"),
        ("/?user=rex", "<title>Barker"),
        ("/index.html", "<title>Barker"),
        ("/barker.js", "function onMessage"),
        ("/line.js", "websocket_connect"),
        ("/numbers.js", "const isTime"),
        ("/shown.js", "function showStatus"),
        ("/barks.js", "function decodeBark"),
        ("/barker.css", "prefers-color-scheme"),
        ("/node_modules/rhea/dist/rhea-umd.js", "rheaUmd"),
        ("/session.js", "no use for it"),
        ("/key.js", "function admitted"),
        ("/monitoring/", "<title>Barker: dashboard"),
        ("/monitoring/?x=1", "<title>Barker: dashboard"),
        ("/monitoring/index.html", "<title>Barker: dashboard"),
        ("/monitoring/dashboard.js", "uPlot"),
        ("/monitoring/colours.js", "class Colours"),
        ("/monitoring/events.js", "class Events"),
        ("/monitoring/graphs.js", "class Graphs"),
        ("/monitoring/headline.js", "class Headline"),
        ("/monitoring/kept.js", "function remember"),
        ("/monitoring/legend.js", "class Legend"),
        ("/monitoring/orders.js", "class Orders"),
        ("/monitoring/picture.js", "class Picture"),
        ("/monitoring/table.js", "class Table"),
        ("/monitoring/dashboard.css", "#suite"),
        ("/monitoring/figures.js", "class History"),
        ("/webui/key.js", "function admitted"),
        ("/webui/line.js", "websocket_connect"),
        ("/webui/numbers.js", "const isTime"),
        ("/webui/shown.js", "function showStatus"),
        ("/webui/barker.css", "prefers-color-scheme"),
        ("/webui/node_modules/rhea/dist/rhea-umd.js", "rheaUmd"),
        ("/webui/node_modules/uplot/dist/uPlot.iife.min.js", "uPlot"),
        ("/webui/node_modules/uplot/dist/uPlot.min.css", ".uplot"),
    ],
)
def test_the_page_and_what_it_needs_are_served(lone: Process, path: str, holds: str) -> None:
    status, text = _get(lone, path)
    assert status == 200
    assert holds in text


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/webui/index.html",
        "/package.json",
        "/node_modules/",
        "/../barker/gateway.py",
        "/%2e%2e/pyproject.toml",
        "/barker.js/../package.json",
        "//etc/passwd",
        "/barker.js%00",
    ],
)
def test_nothing_else_is_served(lone: Process, path: str) -> None:
    status, text = _get(lone, path)
    assert status in (400, 404)
    assert "import" not in text
    assert "root:" not in text


@pytest.mark.parametrize("search", ["", "?gateway=127.0.0.1:1&x=%23"])
def test_a_folder_without_its_slash_is_found(lone: Process, search: str) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", lone.port, timeout=10)) as connection:
        connection.request("GET", f"/monitoring{search}")
        answer = connection.getresponse()
    assert answer.status == 308
    assert answer.getheader("Location") == f"/monitoring/{search}"


def test_the_pages_key_is_not_served(lone: Process) -> None:
    for path in ("/session.js", "/session%2ejs", "/./session.js", "/SESSION.JS", "/key"):
        assert "BARKER_SESSION" not in _get(lone, path)[1]


def test_an_unknown_service_is_told_which_there_are(lone: Process) -> None:
    status, text = _knock(lone, "/amqp/bizlogic")
    assert status == 404
    assert "there are /amqp/inbox, /amqp/outbox, /amqp/monitor, /amqp/launcher" in text


def test_a_service_that_nobody_serves_is_503_and_says_so(lone: Process) -> None:
    status, text = _knock(lone, "/amqp/inbox")
    assert (status, text) == (503, "nobody serves inbox now\n")


def test_a_service_that_was_killed_is_503(suite: Suite, gateway: Process) -> None:
    inbox = suite.inbox()
    wait_for(lambda: _knock(gateway, "/amqp/inbox")[0] == 101, "the inbox is reached")
    inbox.kill()
    wait_for(lambda: _knock(gateway, "/amqp/inbox")[1] == "nobody serves inbox now\n", "it is gone")


def test_of_several_inboxes_it_dials_the_one_that_has_the_timeline(suite: Suite, gateway: Process) -> None:
    held, other = (
        next(f"dog{n}" for n in range(99) if number_of(f"dog{n}", 2) == number) for number in (0, 1)
    )
    suite.inbox("--partition", "1/2")
    wait_for(lambda: _knock(gateway, f"/amqp/inbox/{held}")[0] == 101, "the first is reached")
    assert _knock(gateway, f"/amqp/inbox/{other}") == (503, f"nobody serves inbox/{other} now\n")
    suite.inbox("--partition", "2/2")
    wait_for(lambda: _knock(gateway, f"/amqp/inbox/{other}")[0] == 101, "the second is reached")


def test_while_the_directory_is_down_services_are_looked_for_where_they_were(
    suite: Suite, gateway: Process
) -> None:
    inbox = suite.inbox()
    wait_for(lambda: _knock(gateway, "/amqp/inbox")[0] == 101, "the inbox is reached")
    suite.directory.kill()
    inbox.kill()
    status, text = _knock(gateway, "/amqp/inbox")
    assert status == 503
    assert f"inbox at 127.0.0.1:{inbox.port}" in text
    away = f"the directory at {suite.place} is away"
    wait_for(lambda: away in _knock(gateway, "/amqp/inbox")[1], "the answer says that, too")
    inbox.restart()
    wait_for(lambda: _knock(gateway, "/amqp/inbox")[0] == 101, "the inbox is reached again")


def test_of_several_instances_one_that_is_away_is_passed_over(suite: Suite, gateway: Process) -> None:
    outboxes = [suite.outbox(), suite.outbox()]
    for outbox in outboxes:
        suite.wait_for_state(outbox)
    wait_for(lambda: _routes(suite).count("outbox") == 2, "both outboxes are registered")
    suite.directory.kill()
    outboxes[0].kill()
    assert [_knock(gateway, "/amqp/outbox")[0] for _ in range(4)] == [101] * 4


PATHS = ["/", "/session.js", "/metrics", "/healthz", "/amqp/outbox", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
def test_a_name_that_somebody_has_made_to_resolve_here_is_refused(lone: Process, path: str) -> None:
    evil = f"evil.example:{lone.port}"
    for headers in ({"Host": evil, "Origin": f"http://{evil}"}, {"Host": evil}, {"Host": ""}):
        status, text = _knock(lone, path, **headers)
        assert status == 403
        assert f"open http://127.0.0.1:{lone.port}/" in text
        assert "--allow-host" in text
        assert text.count("\n") == 1


def test_the_gateway_goes_by_this_machines_names_and_those_it_is_given(suite: Suite) -> None:
    gateway = suite.start("gateway", "--allow-host", "barker.example", "--allow-host", "proxy.example:8443")
    wait_for(lambda: "gateway serves" in gateway.log, "the gateway listens")
    own = [f"{name}:{gateway.port}" for name in ("127.0.0.1", "localhost", "[::1]", "barker.example")]
    for host in [*own, "barker.example", "proxy.example:8443"]:
        for origin in (f"http://{host}", f"https://{host}"):
            assert _get(gateway, "/session.js", Host=host, Origin=origin)[0] == 200
    for host in (f"proxy.example:{gateway.port}", "barker.example:1", "localhost", "localhost:80"):
        assert _get(gateway, "/session.js", Host=host)[0] == 403


def test_a_name_that_is_none_is_one_line_and_status_2() -> None:
    command = [sys.executable, "-m", "barker.gateway", "--port", "0", "--allow-host", "http://x/"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert ended.returncode == 2
    assert ended.stderr.startswith("barker: --allow-host 'http://x/' is no NAME or NAME:PORT")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("http://[::1", 403),
        ("https://evil.example:5673/127.0.0.1", 403),
        (None, LET_IN),
        ("http://127.0.0.1:{port}", LET_IN),
        ("http://localhost:{port}", LET_IN),
    ],
)
def test_pages_of_other_sites_are_refused(lone: Process, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin.format(port=lone.port)}
    assert _knock(lone, "/amqp/outbox", **headers)[0] == status


def _own(gateway: Process) -> str:
    return f"http://127.0.0.1:{gateway.port}"


@pytest.mark.parametrize("origin", [None, "null", "file://", "{own}"])
def test_a_websocket_shows_the_pages_key_wherever_it_comes_from(lone: Process, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin.format(own=_own(lone))}
    key = shown_key(lone.key)

    def knock(protocols: str) -> tuple[int, str]:
        return _knock(lone, "/amqp/outbox", Sec_WebSocket_Protocol=protocols, **headers)

    wrong = ["", "guessed", key[:-1], key.upper(), f"{key}0", read_key(lone.key).decode()]
    for protocols in ("amqp, AMQPWSB10", f"amqp, {key}", *(f"amqp, {KEY_PROTOCOL}{each}" for each in wrong)):
        status, text = knock(protocols)
        assert status == 403
        assert "needs the pages' key" in text or "takes the pages' key" in text
        assert "open the link that the launcher prints" in text
        assert text.count("\n") == 1
    assert knock(f"amqp, AMQPWSB10, {KEY_PROTOCOL}{key}")[0] == LET_IN
    assert knock(f"{KEY_PROTOCOL}{key}")[0] == 400
    evil = {"Origin": "http://evil.example", "Sec_WebSocket_Protocol": f"amqp, {KEY_PROTOCOL}{key}"}
    assert _knock(lone, "/amqp/outbox", **evil)[0] == 403
    assert read_key(lone.key).decode() not in lone.log


def test_the_pages_key_is_shown_on_a_terminal_and_is_in_no_log(lone: Process) -> None:
    """A container's log, or a unit's journal, is kept, and others read it."""
    key, port = shown_key(lone.key), free_port()
    told = f"the pages are at {_own(lone)}/; 'barker pages' tells the link that lets in; process {lone.pid},"
    wait_for(lambda: told in lone.log, "it says where its pages are")
    assert key not in lone.log
    command = [str(port) if word == str(lone.port) else word for word in lone.command]
    screen = Screen(command, columns=200)
    try:
        screen.wait_for(f"the pages are at http://127.0.0.1:{port}/#key={key}; process {screen.process.pid},")
    finally:
        screen.process.terminate()
        screen.process.wait(10)


def _show(gateway: Process, body: bytes, **headers: str) -> tuple[int, list[str]]:
    """Status, and the cookies that are set, when a page shows a key."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)) as connection:
        connection.request("POST", "/key", body, {"Origin": _own(gateway), **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers.get_all("Set-Cookie") or []


def test_the_cookie_is_given_for_the_key_and_lets_a_page_of_ours_in(lone: Process) -> None:
    key, name = shown_key(lone.key), f"barker-{lone.port}"
    status, [cookie] = _show(lone, key.encode())
    value = cookie.partition("; ")[0].removeprefix(f"{name}=")
    assert (status, cookie) == (204, f"{name}={value}; HttpOnly; Path=/; SameSite=Strict")
    assert key not in value
    assert _show(lone, key.encode(), Origin=f"https://localhost:{lone.port}")[1] == [f"{cookie}; Secure"]
    # Of others at this host there may be any.
    for cookies in (f"{name}={value}", f'a:b="x; {name}=old; {name}={value}; \xff=1'):
        both = {"Cookie": cookies, "Origin": _own(lone), "Sec_WebSocket_Protocol": "amqp"}
        assert _knock(lone, "/amqp/outbox", **both)[0] == LET_IN
        for origin in ("null", "file://", "http://evil.example", f"http://127.0.0.1:{(lone.port or 0) + 1}"):
            assert _knock(lone, "/amqp/outbox", **{**both, "Origin": origin})[0] == 403
        assert _show(lone, b"", Cookie=cookies)[0] == 204
        assert _show(lone, b"", Cookie=cookies, Origin="null")[0] == 403
    no_browser = {"Cookie": f"{name}={value}", "Sec_WebSocket_Protocol": "amqp"}
    assert _knock(lone, "/amqp/outbox", **no_browser)[0] == 403
    # It is no key, and the key is no cookie; nor is that of another suite one.
    assert _show(lone, value.encode())[0] == 403
    for wrong in (key, pages_cookie("another suite's"), "", f"{value}x"):
        assert (
            _knock(
                lone,
                "/amqp/outbox",
                Origin=_own(lone),
                Cookie=f"{name}={wrong}",
                Sec_WebSocket_Protocol="amqp",
            )[0]
            == 403
        )
    assert value not in lone.log
    assert "Traceback" not in lone.log


def test_nobody_else_is_given_the_cookie(lone: Process) -> None:
    key = shown_key(lone.key).encode()
    for body in (b"", b"x" * 64, key[:-1], key + b"0", b"\xff" * 64, bytes(1 << 20)):
        assert _show(lone, body) == (403, [])
    for origin in ("null", "file://", "http://evil.example", f"http://127.0.0.1:{(lone.port or 0) + 1}"):
        assert _show(lone, key, Origin=origin) == (403, [])
    for name in ("gzip", "deflate"):
        assert _show(lone, b"x" * 64, **{"Content-Encoding": name}) == (403, [])
    host = f"localhost:{lone.port}"
    head = f"POST /key HTTP/1.1\r\nHost: {host}\r\nContent-Length: 64\r\n".encode()
    with _connect(lone) as raw:  # Without an origin it is no page.
        raw.sendall(head + b"\r\n" + key)
        assert raw.recv(65536).startswith(b"HTTP/1.1 403 ")
    for how in (socket.SHUT_WR, socket.SHUT_RDWR):
        with _connect(lone) as raw:  # One that goes away on the way.
            raw.sendall(head + f"Origin: http://{host}\r\n\r\nhalf".encode())
            raw.shutdown(how)
            while raw.recv(65536):
                pass
    assert _get(lone, "/")[0] == 200
    assert "Traceback" not in lone.log


@pytest.mark.parametrize(
    "path",
    [
        "/amqp/directory",
        "/amqp//directory",
        "/amqp/%64irectory",
        "/amqp/agents/x",
        "/amqp/./directory",
        "/amqp/",
    ],
)
def test_nothing_can_be_registered_through_the_gateway(lone: Process, path: str) -> None:
    status, text = _knock(lone, path)
    assert status == 404
    assert "there are /amqp/inbox, /amqp/outbox, /amqp/monitor, /amqp/launcher" in text


@pytest.mark.parametrize("protocol", ["", "chat", "amqpx"])
def test_a_websocket_for_something_else_is_refused(lone: Process, protocol: str) -> None:
    status, text = _get(lone, "/amqp/outbox", **_handshake(lone, protocol))
    assert status == 400
    assert "amqp or AMQPWSB10" in text
    only_get = {"Sec-WebSocket-Protocol": _handshake(lone)["Sec-WebSocket-Protocol"]}
    assert _get(lone, "/amqp/outbox", **only_get)[0] == 400


@pytest.mark.parametrize("protocol", ["amqp", "AMQPWSB10"])
def test_bytes_go_there_and_come_back(reached: Reached, protocol: str) -> None:
    async def talk(session: aiohttp.ClientSession, url: str) -> bytes:
        return await _echo_of(session, f"{url}/amqp/outbox", protocols=[protocol])

    assert _web(reached.gateway, talk).startswith(HEADER)


def test_text_ends_the_websocket(reached: Reached) -> None:
    async def talk(session: aiohttp.ClientSession, url: str) -> int | None:
        async with session.ws_connect(f"{url}/amqp/outbox", protocols=["amqp"]) as websocket:
            await websocket.send_str("woof")
            await websocket.receive(timeout=10)
            return websocket.close_code

    assert _web(reached.gateway, talk) == aiohttp.WSCloseCode.UNSUPPORTED_DATA


def test_bytes_that_are_no_amqp_end_their_websocket_and_nothing_else(reached: Reached) -> None:
    async def talk(session: aiohttp.ClientSession, url: str) -> bytes:
        path = f"{url}/amqp/outbox"
        async with session.ws_connect(path, protocols=["amqp"]) as websocket:
            await websocket.send_bytes(os.urandom(100_000))
            async for _ in websocket:  # Whatever the directory answers, the end comes.
                pass
        return await _echo_of(session, path)

    assert _web(reached.gateway, talk).startswith(HEADER)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\xff\xff", b"GET / HTTP/9.9", b"A" * 100_000, HEADER])
def test_garbage_instead_of_http_leaves_no_traceback(lone: Process, garbage: bytes) -> None:
    with _connect(lone) as raw:
        raw.sendall(garbage + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(65536):
            pass
    assert _get(lone, "/")[0] == 200
    assert "Traceback" not in lone.log


def test_the_services_end_ends_the_websocket(suite: Suite, gateway: Process) -> None:
    inbox = suite.inbox()
    wait_for(lambda: _knock(gateway, "/amqp/inbox")[0] == 101, "the inbox is reached")

    async def talk(session: aiohttp.ClientSession, url: str) -> int | None:
        async with session.ws_connect(f"{url}/amqp/inbox", protocols=["amqp"]) as websocket:
            inbox.kill()
            await websocket.receive(timeout=10)
            return websocket.close_code

    assert _web(gateway, talk) == aiohttp.WSCloseCode.GOING_AWAY
    assert "Traceback" not in gateway.log


def test_the_browsers_end_ends_the_connection_to_the_service(reached: Reached) -> None:
    suite, gateway, outbox = reached

    async def talk(session: aiohttp.ClientSession, url: str) -> None:
        await _echo_of(session, f"{url}/amqp/outbox")

    before = suite.state(outbox)["connections"]
    for _ in range(5):
        _web(gateway, talk)
    suite.wait_for_state(outbox, connections=lambda number: number <= before)


def test_what_a_stopped_service_does_not_take_is_not_held(gateway: Process, outbox: Process) -> None:
    frames = _frame(64 << 10) * 16
    before = psutil.Process(gateway.pid).memory_info().rss
    with _connect(gateway) as raw:
        assert _ask(raw, "/amqp/outbox", _handshake(gateway))[0] == 101
        outbox.kill(signal.SIGSTOP)
        raw.settimeout(2)
        with pytest.raises(TimeoutError):
            raw.sendall(frames * 100)
        assert psutil.Process(gateway.pid).memory_info().rss - before < 32 << 20


# What a browser may cost


def _altered(suite: Suite, alter: str, *arguments: str) -> Process:
    """A gateway with some of its constants altered, as nobody waits half a minute here."""
    port = free_port()
    program = f"import time; from barker.web import bounds, bridge, server; {alter}; "
    program += "from barker.gateway import main; main()"
    command = [sys.executable, "-c", program, "--port", str(port), *suite.places, *arguments]
    process = Process(suite.folder / "altered.log", [*command, "--log-level", "info"], port)
    suite.processes.append(process)
    wait_for(lambda: "gateway serves" in process.log, "the gateway listens")
    return process


class Foreign:
    """A service that Barker has not, which the directory knows as `launcher`. It takes who comes."""

    def __init__(self, credentials: Credentials, talks: bool = False) -> None:
        """If it `talks`, it sends without end; else it says nothing more."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._credentials, self._talks = credentials, talks
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                dialled, _ = self.listener.accept()
                self._open.append(dialled)
                threading.Thread(target=self._speak, args=(dialled,), daemon=True).start()

    def _speak(self, dialled: socket.socket) -> None:
        sasl = SaslServer(self._credentials.verifier(), secrets.token_urlsafe)
        with contextlib.suppress(OSError):
            while not sasl.done and (data := dialled.recv(65536)):
                sasl.receive(data)
                dialled.sendall(bytes(sasl.output))
                sasl.output.clear()
            while self._talks:
                dialled.sendall(bytes(64 << 10))

    def close(self) -> None:
        for each in (self.listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def service(suite: Suite, request: pytest.FixtureRequest) -> Iterator[Foreign]:
    """A service of another kind; parametrized, one that talks."""
    credentials = credentials_at(suite.place)
    assert credentials is not None
    reactor = Reactor("test-service", credentials=credentials)
    foreign = Foreign(credentials, talks=getattr(request, "param", False))
    try:
        route = Route("launcher", *foreign.listener.getsockname(), "ordered", time.time())
        register(Network(reactor, Place.parse(suite.place)), route)
        thread = threading.Thread(target=reactor.run, daemon=True)
        thread.start()
        wait_for(lambda: "launcher" in _routes(suite), "the service is registered")
        yield foreign
        reactor.call_from_thread(reactor.stop)
        thread.join(10)
    finally:
        foreign.close()


def _files(process: Process) -> int:
    return psutil.Process(process.pid).num_fds()


def _reached(gateway: Process) -> None:
    wait_for(lambda: _knock(gateway, "/amqp/launcher")[0] == 101, "the service is reached")


def test_many_at_once_are_not_more_than_there_may_be(suite: Suite, service: Foreign) -> None:
    gateway = _altered(suite, "pass", "--max-connections", "3")
    _reached(gateway)

    async def talk(session: aiohttp.ClientSession, url: str) -> list[int]:
        async def knock() -> int:
            try:
                await session.ws_connect(f"{url}/amqp/launcher", protocols=["amqp"])
            except aiohttp.WSServerHandshakeError as error:
                return error.status
            return 101

        return await asyncio.gather(*(knock() for _ in range(30)))

    wait_for(lambda: sorted(_web(gateway, talk)) == [101] * 3 + [503] * 27, "three are let in")
    _reached(gateway)


def test_a_dial_that_times_out_leaves_nothing_open(suite: Suite) -> None:
    gateway = _altered(suite, "bridge.DIAL_SECONDS = 0.1")
    reactor = Reactor("test-service", credentials=credentials_at(suite.place))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        place = listener.getsockname()
        for _ in range(4):  # Nobody accepts these, and the kernel takes no more.
            raw = waiting.enter_context(socket.socket())
            raw.setblocking(False)
            raw.connect_ex(place)
        network = Network(reactor, Place.parse(suite.place))
        register(network, Route("launcher", *place, "ordered", time.time()))
        threading.Thread(target=reactor.run, daemon=True).start()
        wait_for(lambda: "takes no connection" in _knock(gateway, "/amqp/launcher")[1], "it times out")
        before = _files(gateway)
        for _ in range(20):
            status, text = _knock(gateway, "/amqp/launcher")
            assert (status, text) == (503, f"launcher at 127.0.0.1:{place[1]} takes no connection\n")
        assert _files(gateway) <= before
        reactor.call_from_thread(reactor.stop)


def test_health_is_asked_of_the_thread_that_owns_the_routes(suite: Suite) -> None:
    # The agent asks for figures in the reactor's thread, once a second: from then on it does nothing more.
    stuck = "server.Gateway._figures = lambda self: time.sleep(60)"
    gateway = _altered(suite, f"server.REACTOR_SECONDS = 0.2; {stuck}")
    wait_for(lambda: "too much to do" in _get(gateway, "/healthz")[1], "it says that there is no answer")
    assert _get(gateway, "/healthz")[0] == 503
    assert _knock(gateway, "/amqp/inbox") == (503, "the gateway has too much to do; try again later\n")
    assert _get(gateway, "/session.js")[0] == 200


@pytest.mark.parametrize("service", [True], indirect=True)
def test_a_browser_that_does_not_read_is_cut_off(suite: Suite, service: Foreign) -> None:
    gateway = _altered(suite, "bridge.STALL_SECONDS = bridge.CLOSE_SECONDS = bounds.ANSWER_SECONDS = 0.3")
    _reached(gateway)
    wait_for(lambda: _count(gateway) == 0, "that one is gone")
    with _connect(gateway) as raw:
        assert _ask(raw, "/amqp/launcher", _handshake(gateway))[0] == 101
        wait_for(lambda: _count(gateway) == 0, "its connection is closed")
    assert _get(gateway, "/session.js")[0] == 200
    assert "Traceback" not in gateway.log


def _count(gateway: Process) -> int:
    """How many connections stand at the gateway's port."""
    found = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(one.laddr.port == gateway.port and one.status != psutil.CONN_LISTEN for one in found)


def test_who_takes_no_answer_is_cut_off(suite: Suite) -> None:
    gateway = _altered(suite, "bounds.ANSWER_SECONDS = 0.5")
    asked = b"GET /webui/node_modules/uplot/dist/uPlot.iife.min.js HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
    with _connect(gateway) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            raw.sendall(asked % gateway.port * 500_000)
        wait_for(lambda: _count(gateway) == 0, "its connection is closed")
    assert psutil.Process(gateway.pid).memory_info().rss < 120 << 20


@pytest.mark.parametrize("again", [b"", b"GET /session.js HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"])
def test_half_a_request_is_not_waited_for(suite: Suite, again: bytes) -> None:
    gateway = _altered(suite, "bounds.ASK_SECONDS = 0.5")
    with _connect(gateway) as raw:
        raw.sendall(again % gateway.port if again else b"")
        raw.sendall(b"GET / HTTP/1.1\r\n")

        def trickles() -> bool:
            try:
                raw.sendall(b"X")
            except ConnectionError:
                return True
            return False

        wait_for(trickles, "it is cut off")


def test_one_connection_too_many_is_told_so(suite: Suite) -> None:
    gateway = _altered(suite, "bounds.MOST_PAGES = 4", "--max-connections", "1")
    with contextlib.ExitStack() as all_of_them:
        held = [all_of_them.enter_context(_connect(gateway)) for _ in range(5)]
        wait_for(lambda: _count(gateway) == 5, "they are there")
        with _connect(gateway) as raw:
            answer = b""
            while data := raw.recv(1000):
                answer += data
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"\r\n\r\ntoo many connections; try again later\n")
        assert _ask(held[0], "/session.js", {})[0] == 200
    wait_for(lambda: _count(gateway) == 0, "they are gone")
    assert _get(gateway, "/session.js")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        _frame(300 << 10),
        _frame(200 << 10, 0x02) + _frame(200 << 10, 0x80),
        _frame(0)[:2] + b"\x00\x00\x01" + bytes(9),
    ],
)
def test_a_message_too_large_ends_its_websocket(reached: Reached, sent: bytes) -> None:
    with _connect(reached.gateway) as raw:
        assert _ask(raw, "/amqp/outbox", _handshake(reached.gateway))[0] == 101
        raw.sendall(sent)
        answer = raw.recv(65536)
    # RFC 6455 §5.5.1: a close frame, and 1009 for a message that is too big.
    assert answer[0] == 0x88
    assert int.from_bytes(answer[2:4], "big") == 1009
    assert "Traceback" not in reached.gateway.log


@pytest.mark.parametrize("header", [b"X: " + b"x" * 100_000, b"\r\n".join([b"X: " + b"x" * 8000] * 5000)])
def test_endless_headers_are_one_line(lone: Process, header: bytes) -> None:
    before = psutil.Process(lone.pid).memory_info().rss
    with _connect(lone) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\n")
        answer = raw.recv(65536)
        assert answer.startswith(b"HTTP/1.0 400 ")
        assert answer.partition(b"\r\n\r\n")[2].count(b"\n") <= 1
    assert psutil.Process(lone.pid).memory_info().rss - before < 16 << 20


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "PURGE"])
def test_there_is_only_get(lone: Process, method: str) -> None:
    with _connect(lone) as raw:
        host = f"127.0.0.1:{lone.port}"
        raw.sendall(f"{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b""
        while data := raw.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\nthere is only GET here\n")


def test_at_any_port_its_agent_has_that_ports_name(suite: Suite) -> None:
    command = [sys.executable, "-m", "barker.gateway", "--port", "0", *suite.places]
    gateway = Process(suite.folder / "gateway.log", [*command, "--log-level", "info"])
    suite.processes.append(gateway)
    port = wait_for(lambda: re.search(r"serves http://127\.0\.0\.1:(\d+)/", gateway.log), "it serves")[1]
    wait_for(lambda: f"agents/127.0.0.1-{port}" in _routes(suite), "its agent is registered")
    assert "agents/127.0.0.1-0" not in _routes(suite)


def test_a_port_in_use_is_one_line_and_status_2(lone: Process) -> None:
    command = [sys.executable, "-m", "barker.gateway", "--port", str(lone.port)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"barker: port {lone.port} on 127.0.0.1 is in use; end what uses it, or choose another with --port\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_with_a_browser_attached(
    gateway: Process, outbox: Process, number: signal.Signals
) -> None:
    async def talk(session: aiohttp.ClientSession, url: str) -> int | None:
        async with session.ws_connect(f"{url}/amqp/outbox", protocols=["amqp"]) as websocket:
            gateway.popen.send_signal(number)
            await websocket.receive(timeout=10)
            return websocket.close_code

    assert _web(gateway, talk) == aiohttp.WSCloseCode.GOING_AWAY
    assert gateway.popen.wait(5) == 0
    assert "Traceback" not in gateway.log


def test_it_ends_with_its_launcher(suite: Suite) -> None:
    port = free_port()
    command = [sys.executable, "-m", "barker.gateway", "--port", str(port), *suite.places]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env={**os.environ, "BARKER_LAUNCHED": "1"}, cwd=ROOT
    ) as launched:
        try:
            wait_for(lambda: "gateway" in _routes(suite), "the gateway is registered")
            assert launched.stdin is not None
            launched.stdin.close()
            assert launched.wait(10) == 0
        finally:
            launched.kill()
    wait_for(lambda: "gateway" not in _routes(suite), "the gateway is registered no more")
