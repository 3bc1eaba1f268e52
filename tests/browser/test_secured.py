"""The web page over TLS, in a real browser: https for the page, wss for its barks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import link_to, whole
from tests.certified import certificates
from tests.harness import Suite

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    tls = certificates(tmp_path_factory.mktemp("tls"))
    with whole(tmp_path_factory.mktemp("suite"), [("rex", "ark3")], tls=tls) as suite:
        yield suite


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that takes the gateway's certificate, though it does not know the authority."""
    with contextlib.closing(chromium.new_context(ignore_https_errors=True)) as context:
        yield context.new_page()


def test_a_bark_comes_to_the_page(page: Page, suite: Suite) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(link_to(suite.processes[-1], "?user=ark3"))
    for service in ("inbox", "outbox"):
        expect(page.locator(f"#{service}")).to_have_text(f"{service} connected", timeout=60_000)
    page.fill("#text", "Woof, behind a lock!")
    page.press("#text", "Enter")
    expect(page.locator("#barks .text")).to_have_text(["Woof, behind a lock!"], timeout=60_000)
    expect(page.locator("#pending .bark")).to_have_count(0)
    assert sockets
    assert all(url.startswith("wss://") for url in sockets)
