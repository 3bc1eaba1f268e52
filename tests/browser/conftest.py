"""What browser tests share: the system's Chromium, and pages that are watched for errors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from benchmarks import dashboard as browsers
from tests.harness import ROOT, Process, Suite, shown_key, wait_for

expect.set_options(timeout=30_000)  # A machine may have other things to do.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser. Of a module, not of the session: while it lives, this thread can run no other asyncio."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers.chromium(), args=browsers.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page; what goes wrong in it fails the test, save what Chromium says of what is away."""
    errors: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        refused = message.text.startswith("WebSocket connection to 'ws://")
        # Of a page without session.js, or that the gateway does not let in, or that finds none.
        expected = re.search(r"/webui/session(-\d+)?\.js$|:\d+/key$", message.location["url"])
        if message.type in ("error", "warning") and not refused and not expected:
            errors.append(f"{message.type}: {message.text}")

    context = chromium.new_context(viewport={"width": 900, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", on_console)
    page.on("pageerror", lambda error: errors.append(f"page error: {error}"))
    yield page
    context.close()
    assert errors == []


def from_disk(gateway: Process, user: str) -> str:
    """The address of the web page's file, for a gateway and a user."""
    search = urlencode({"gateway": f"127.0.0.1:{gateway.port}", "user": user})
    return f"{(ROOT / 'webui' / 'index.html').as_uri()}?{search}"


def link_to(gateway: Process, path: str = "") -> str:
    """The address of a page at the gateway, with the key that lets it in."""
    scheme = "https" if "--tls" in gateway.command else "http"
    return f"{scheme}://127.0.0.1:{gateway.port}/{path}#key={shown_key(gateway.key)}"


def give_session(page: Page, gateway: str, key: Path) -> None:
    """Have a page from the disk know what the launcher writes for it, save the user's own file.

    `key`: the file with the suite's.
    """
    session = json.dumps({"gateway": gateway, "key": shown_key(key)})
    page.add_init_script(f"Object.defineProperty(window, 'BARKER_SESSION', {{value: {session}}})")


def audited(page: Page) -> list[str]:
    """What axe finds amiss for people who use a page in another way than by eye and mouse, at once."""
    if not page.evaluate("Boolean(window.axe)"):
        # Not as a script of the page, which a gateway's own rules would not let run.
        page.evaluate((ROOT / "webui" / "node_modules" / "axe-core" / "axe.min.js").read_text() + "; null")
    # What fades in has its own contrast when it is there.
    page.evaluate("document.getAnimations().forEach((animation) => animation.cancel())")
    found: list[str] = page.evaluate(
        "axe.run({preload: false}).then(({violations}) => violations.flatMap(({id, help, nodes}) =>"
        " nodes.map(({html, failureSummary}) => `${id}: ${help}: ${html}: ${failureSummary}`)))"
    )
    return found


@contextlib.contextmanager
def whole(
    folder: Path, follows: list[tuple[str, str]], history: int = 25, tls: Path | None = None
) -> Iterator[Suite]:
    """All that a bark needs: a suite of directory, inbox, outbox, bizlogic and gateway, in this order."""
    suite = Suite(folder, tls)
    try:
        suite.users(follows).close()
        suite.start("manifold", "inbox", "--history", str(history))
        suite.outbox()
        suite.bizlogic()
        gateway = suite.start("gateway")
        wait_for(lambda: "gateway serves" in gateway.log, "the gateway listens")
        yield suite
    finally:
        suite.end()
