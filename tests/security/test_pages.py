"""Web pages in a real browser: what those without the suite's key try, and get; and those that have it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from barker.amqp.links import Place
from barker.commands.session import write_session
from barker.core.access import pages_cookie, pages_key
from barker.store.key import read_key
from barker.web.door import KEY_PROTOCOL
from tests.browser.conftest import chromium as chromium
from tests.harness import ROOT, Launched, Suite, shown_key, wait_for
from tests.relay import Relay

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A launched suite for all tests here, which leave it as it was."""
    options = "--monitoring", "--autobarks", "1", "--outboxes", "1", "--bizlogics", "1", "--log-level", "info"
    suite = Launched(tmp_path_factory.mktemp("suite"), "launch.py", *options)
    try:
        suite.wait_until_ready()
        yield suite
    finally:
        suite.end()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that has been nowhere yet."""
    context = chromium.new_context()
    context.set_default_timeout(30_000)
    yield context
    context.close()


def port_of(suite: Launched) -> int:
    return 5673 + suite.offset


def links(suite: Launched) -> tuple[str, str]:
    """The page's and the dashboard's, as the launcher prints them."""
    page, dashboard = re.findall(r"(?:Open|dashboard:) (http://\S+)", suite.output)
    return page, dashboard


def let_in(page: Page, *services: str) -> None:
    for service in services or ("inbox", "outbox"):
        expect(page.locator(f"#{service}")).to_have_text(f"{service} connected")


class Site(http.server.ThreadingHTTPServer):
    """Another site: some files; and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.cookies: dict[str, str] = {}
        """By the host that was asked for: a browser asks for a page's icon whenever it likes."""
        site = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.cookies[self.headers["Host"].partition(":")[0]] = self.headers.get("Cookie", "")
                super().do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                site.asked.append(format % args)

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def address(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site
        site.shutdown()


TRY = """
<p></p>
<script>
    const socket = new WebSocket("ws://127.0.0.1:{port}/amqp/outbox", {protocols});
    const show = (text) => document.querySelector("p").textContent = text;
    const tell = (text) => {{ show(text); parent.postMessage(text, "*"); }};
    socket.onopen = () => tell("in");
    socket.onclose = () => tell("out");
    addEventListener("message", ({{data}}) => show(data));
</script>
"""


def attempt(port: int, *protocols: str) -> str:
    return TRY.format(port=port, protocols=json.dumps(["amqp", *protocols]))


def framed(content: str, how: str = 'sandbox="allow-scripts"') -> str:
    """A page with that in a frame, which tells what it was told there."""
    quoted = content.replace("&", "&amp;").replace('"', "&quot;")
    listens = 'addEventListener("message", ({data}) => document.querySelector("p").textContent = data)'
    return f'<p></p><script>{listens}</script><iframe {how} srcdoc="{quoted}"></iframe>'


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_page_of_another_site_stays_out_even_where_the_browser_has_the_cookie(
    suite: Launched, context: BrowserContext, site: Site, tmp_path: Path, host: str, sandboxed: bool
) -> None:
    page = context.new_page()
    page.goto(links(suite)[0])
    let_in(page)
    told = len(suite.output)
    evil = attempt(port_of(suite))
    (tmp_path / "evil.html").write_text(framed(evil) if sandboxed else evil)
    page.goto(f"{site.address(host)}/evil.html")
    expect(page.locator("p").first).to_have_text("out")
    wait_for(lambda: "is refused: " in suite.output[told:], "the gateway tells")
    says = "a page from the disk needs the pages' key" if sandboxed else "may not come here"
    assert says in suite.output[told:]


def test_it_is_the_key_that_a_sandboxed_frame_lacks(
    suite: Launched, context: BrowserContext, site: Site, tmp_path: Path
) -> None:
    key = shown_key(suite.data / "key")
    for shown, becomes in ((key[::-1], "out"), (key, "in")):
        (tmp_path / f"{becomes}.html").write_text(framed(attempt(port_of(suite), KEY_PROTOCOL + shown)))
        page = context.new_page()
        page.goto(f"{site.address()}/{becomes}.html")
        expect(page.locator("p").first).to_have_text(becomes)


def test_what_another_port_of_the_host_is_sent_opens_no_suite_elsewhere(
    suite: Launched, context: BrowserContext, site: Site, tmp_path: Path
) -> None:
    """Cookies go to every port of a host, which SECURITY.rst says; so it is not the key that is in them."""
    page = context.new_page()
    page.goto(links(suite)[0])
    let_in(page)
    (tmp_path / "index.html").write_text("")
    page.goto(site.address())
    key = shown_key(suite.data / "key")
    assert site.cookies["127.0.0.1"] == f"barker-{port_of(suite)}={pages_cookie(key)}"
    assert key not in site.cookies["127.0.0.1"]
    assert page.evaluate("document.cookie") == "", "no script sees it"
    page.goto(site.address("localhost"))
    assert site.cookies["localhost"] == ""


def test_without_a_cookie_or_with_one_of_another_suite_the_page_stays_out_and_says_what_to_do(
    suite: Launched, context: BrowserContext
) -> None:
    home = f"http://127.0.0.1:{port_of(suite)}/"
    needs = f"This page needs the key of the suite at 127.0.0.1:{port_of(suite)}: open the link"
    page = context.new_page()
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    for path in ("", "monitoring/"):
        page.goto(home + path)
        expect(page.locator("#status")).to_contain_text(needs)
    others = pages_cookie(pages_key(b"another suite's"))
    context.add_cookies([{"name": f"barker-{port_of(suite)}", "value": others, "url": home}])
    page.goto(home)
    expect(page.locator("#status")).to_contain_text(needs)
    page.goto(f"{home}?x#key={pages_key(b'another')}")
    expect(page.locator("#status")).to_contain_text("The key in this page's link is that of another suite. ")
    assert page.url == f"{home}?x"
    assert sockets == [], "it does not try in vain"


def test_the_printed_links_let_both_pages_in_and_from_then_on_no_link_is_needed(
    suite: Launched, context: BrowserContext
) -> None:
    page, dashboard = context.new_page(), context.new_page()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(f"{request.url} {request.headers}"))
    home = f"http://127.0.0.1:{port_of(suite)}/"
    page.goto(links(suite)[0])
    let_in(page)
    assert page.url == home, "the key is not left in the address"
    dashboard.goto(f"{home}monitoring/")
    let_in(dashboard, "monitor", "launcher")
    for each in (page, dashboard):
        each.reload()
    let_in(page)
    let_in(dashboard, "monitor", "launcher")
    name = f"bizlogic-{5680 + suite.offset}"
    for verb in ("freeze", "thaw"):
        dashboard.click(f"#suite [data-name='{name}'] [data-verb='{verb}']")
        expect(dashboard.locator("#events")).to_contain_text(f"you: {verb} {name}")
    page.fill("#user", "rex1")
    page.press("#user", "Enter")
    page.wait_for_url(f"{home}?user=rex1")
    let_in(page)
    dashboard.goto("about:blank")
    dashboard.goto(links(suite)[1])
    let_in(dashboard, "monitor", "launcher")
    key = shown_key(suite.data / "key")
    assert asked
    assert not [what for what in asked if key in what], "no address, no referrer"


def test_the_key_is_shown_as_soon_as_the_gateway_is_there(suite: Launched, context: BrowserContext) -> None:
    page = context.new_page()
    page.route("**/key", lambda route: route.abort())
    page.goto(links(suite)[0])
    expect(page.locator("#status")).to_contain_text("Barker does not answer at")
    page.unroute("**/key")
    let_in(page)


def test_over_http_a_page_speaks_to_nobody_but_where_it_came_from(
    suite: Launched, context: BrowserContext
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as evil:
        evil.settimeout(0)
        place = f"127.0.0.1:{evil.getsockname()[1]}"
        page = context.new_page()
        blocked: list[str] = []
        page.on("console", lambda message: blocked.append(message.text))
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        for link, services in zip(links(suite), (("inbox", "outbox"), ("monitor", "launcher")), strict=True):
            address, _, key = link.partition("#")
            page.goto(f"{address}?gateway={place}#{key}")
            let_in(page, *services)
        assert sockets
        assert all(url.startswith(f"ws://127.0.0.1:{port_of(suite)}/amqp/") for url in sockets)
        assert blocked == []
        # Nor could a script that has come into the page by a mistake of ours.
        page.evaluate(
            f"""() => {{
                try {{ new WebSocket("ws://{place}/"); }} catch {{}}
                fetch("http://{place}/").catch(() => {{}});
            }}"""
        )
        wait_for(lambda: len(blocked) >= 2 or page.wait_for_timeout(50), "the policy stops it")
        assert all("Content Security Policy" in text for text in blocked)
        with pytest.raises(BlockingIOError):
            evil.accept()


def framed_by_nobody(told: list[str]) -> bool:
    return "frame-ancestors 'none'" in "".join(told)


def test_nobody_frames_a_page(suite: Launched, context: BrowserContext, site: Site, tmp_path: Path) -> None:
    page = context.new_page()
    page.goto(links(suite)[1])
    let_in(page, "monitor", "launcher")
    stopped: list[str] = []
    page.on("console", lambda message: stopped.append(message.text))
    for path in ("", "monitoring/"):
        frame = f'<iframe src="http://127.0.0.1:{port_of(suite)}/{path}"></iframe>'
        (tmp_path / "index.html").write_text(frame)
        stopped.clear()
        page.goto(site.address())
        wait_for(lambda: framed_by_nobody(stopped) or page.wait_for_timeout(50), "the browser tells")
        assert "Barker" not in page.frames[1].content()


# From the disk


THIEF = """<!doctype html>
<p>nothing</p>
<script>
    const got = [];
    const take = (value) => got.push(value);
    {before}
</script>
<script src="{session}"></script>
<script>
    if (window.BARKER_SESSION !== undefined) take(window.BARKER_SESSION);
    const stolen = String(got.map((value) => typeof value === "object" ? value.key : value)) || "nothing";
    document.querySelector("p").textContent = stolen;
</script>
"""

BEFORE = {
    "nothing": "",
    "setters": """
        Object.defineProperty(window, "BARKER_SESSION", {set: take, get() {}});
        for (const name of ["gateway", "key", "directory", "launcher", "pid", "data"]) {
            Object.defineProperty(Object.prototype, name, {set: take, configurable: true});
        }""",
    "what is built in": """
        const ours = "PATH";
        for (const name of ["startsWith", "endsWith", "includes", "indexOf", "replace", "split", "slice"]) {
            String.prototype[name] = () => true;
        }
        String.prototype.toString = String.prototype.valueOf = () => ours;
        Symbol.prototype[Symbol.toPrimitive] = () => ours;
        Object.is = () => true;
        JSON.parse = JSON.stringify = take;
        RegExp.prototype.test = () => true;
        Array.prototype.includes = Array.prototype.some = () => true;
        window.decodeURIComponent = window.decodeURI = () => ours;""",
    "another location": """
        const ours = {protocol: "file:", pathname: "PATH"};
        for (const where of [window, Window.prototype, Object.prototype, document]) {
            for (const define of [
                () => Object.defineProperty(where, "location", {value: ours}),
                () => where.__defineGetter__("location", () => ours),
                () => Object.defineProperty(location, "pathname", {value: "PATH"}),
                () => Object.defineProperty(Location.prototype, "pathname", {get: () => "PATH"}),
                () => Object.setPrototypeOf(location, ours),
                () => history.replaceState(null, "", "file://PATH"),
                () => history.pushState(null, "", "PATH"),
            ]) {
                try { define(); } catch {}
            }
        }""",
    "a base": """
        document.head.innerHTML = '<base href="file://PATH">';""",
}


@pytest.mark.parametrize("how", BEFORE)
def test_another_page_from_the_disk_gets_nothing_of_session_js(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("barker.commands.session.PAGES", tmp_path)
    session = tmp_path / "webui" / "session.js"
    write_session(session, Place("127.0.0.1", 5673), "the-key", data="/data")
    own = tmp_path / "webui" / "index.html"
    thief = THIEF.replace("{session}", session.as_uri()).replace(
        "{before}", BEFORE[how].replace("PATH", own.as_uri().removeprefix("file://"))
    )
    page = context.new_page()
    evil = tmp_path / "downloads" / "evil.html"
    evil.parent.mkdir()
    evil.write_text(thief)
    page.goto(evil.as_uri())
    expect(page.locator("p")).to_have_text("nothing")
    # Our own page has it: that it is another is all that lacks.
    own.write_text(thief if how == "nothing" else THIEF.format(session=session.as_uri(), before=""))
    page.goto(own.as_uri())
    expect(page.locator("p")).to_have_text("the-key")


def test_a_worker_of_another_page_gets_nothing_of_it_either(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, unlike in a window, a script may give ``location`` another value."""
    monkeypatch.setattr("barker.commands.session.PAGES", tmp_path)
    session = tmp_path / "webui" / "session.js"
    write_session(session, Place("127.0.0.1", 5673), "the-key")
    path = (tmp_path / "webui" / "index.html").as_uri().removeprefix("file://")
    worker = f"""
        self.window = self;
        const ours = {{protocol: "file:", pathname: {json.dumps(path)}}};
        Object.defineProperty(self, "location", {{value: ours}});
        try {{ importScripts({json.dumps(session.as_uri())}); }} catch (error) {{}}
        postMessage(self.BARKER_SESSION ? self.BARKER_SESSION.key : "nothing");
    """
    evil = tmp_path / "evil.html"
    evil.write_text(f"""<p></p><script>
        const worker = new Worker(URL.createObjectURL(new Blob([{json.dumps(worker)}])));
        worker.onmessage = ({{data}}) => document.querySelector("p").textContent = data;
    </script>""")
    page = context.new_page()
    page.goto(evil.as_uri())
    expect(page.locator("p")).to_have_text("nothing")


@pytest.mark.parametrize("name", ["plain", "a b", "b'(c)!&=+,;:@~", "[d]|e^{f}`", "g#h?%41", "ж 犬"])
def test_our_pages_have_it_wherever_they_are_and_however_that_is_written(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    monkeypatch.setattr("barker.commands.session.PAGES", folder)
    write_session(folder / "webui" / "session.js", Place("127.0.0.1", 5673), "the-key")
    page = context.new_page()
    for file, session in (("webui", "session.js"), ("monitoring", "../webui/session.js")):
        html = folder / file / "index.html"
        html.parent.mkdir(exist_ok=True)
        html.write_text(
            f'<p></p><script src="{session}"></script><script>'
            'document.querySelector("p").textContent = window.BARKER_SESSION?.key</script>'
        )
        # As it is printed; and as what is typed becomes an address.
        named, typed = (
            re.sub(taken, lambda found: f"%{ord(found[0]):X}", str(html)) for taken in ("[%#?;]", "[%#?]")
        )
        for address in (html.as_uri(), f"file://{named}", f"file://{typed}"):
            page.goto(address)
            expect(page.locator("p")).to_have_text("the-key")


def test_from_the_disk_both_pages_are_let_in_by_what_the_launcher_has_written(
    suite: Launched, context: BrowserContext
) -> None:
    context.route("**/webui/session.js", lambda route: route.fulfill(path=suite.session))
    page = context.new_page()
    page.goto((ROOT / "webui" / "index.html").as_uri())
    let_in(page)
    page.goto((ROOT / "monitoring" / "index.html").as_uri())
    let_in(page, "monitor", "launcher")


# Where it must not be


def test_the_keys_are_in_no_log_environment_or_command_line(suite: Launched, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(links(suite)[0])
    let_in(page)
    key, own = shown_key(suite.data / "key"), read_key(suite.data / "key").decode()
    for process in [psutil.Process(suite.popen.pid), *suite.children()]:
        told = " ".join(process.cmdline()) + str(process.environ())
        assert not [secret for secret in (own, key, pages_cookie(key)) if secret in told]
    printed = [line.partition("http")[0] for line in suite.output.splitlines() if key in line]
    assert [re.sub(r"\d+\.\d", "1.0", line) for line in printed] == [
        "Ready after 1.0 s. Open ",
        "The dashboard: ",
    ]
    assert own not in suite.output
    assert pages_cookie(key) not in suite.output


def test_the_key_is_sent_once_in_the_body_of_a_request(context: BrowserContext, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    with contextlib.ExitStack() as ends, Relay() as relay:
        ends.callback(relay.shutdown)
        ends.callback(suite.end)
        outside = f"127.0.0.1:{relay.server_address[1]}"
        gateway = suite.start("gateway", "--allow-host", outside)
        relay.port = gateway.port or 0
        wait_for(lambda: "gateway serves" in gateway.log, "the gateway listens")
        page, key = context.new_page(), shown_key(suite.key).encode()
        page.goto(f"http://{outside}/#key={key.decode()}")
        wait_for(lambda: b"GET /amqp/inbox/ark3 " in relay.sent or page.wait_for_timeout(50), "it is let in")
        page.reload()
        dialled = relay.sent.count(b"GET /amqp/")
        wait_for(lambda: relay.sent.count(b"GET /amqp/") > dialled or page.wait_for_timeout(50), "and again")
        heads = re.findall(rb"(?:GET|POST) [^\r]* HTTP/1\.1\r\n(?:[^\r]+\r\n)+\r\n", bytes(relay.sent))
        assert {b"/", b"/key.js", b"/key", b"/amqp/inbox/ark3"} <= {head.split()[1] for head in heads}
        assert not [head for head in heads if key in head]
        assert 1 <= relay.sent.count(key) <= 2, "by each of the page's two lines, as they begin together"
        assert key.decode() not in gateway.log
