"""The web page over TLS, in a real browser: https for the page, wss for its barks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from barker.store.accounts import FILE_NAME, Accounts
from tests.browser.conftest import audited, link_to, whole
from tests.certified import certificates
from tests.harness import Suite

pytestmark = pytest.mark.browser

PASSWORD = "woof, said the dog"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    tls = certificates(tmp_path_factory.mktemp("tls"))
    Accounts(tls / FILE_NAME).add("ark3", PASSWORD)
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


def served(suite: Suite, path: str = "") -> str:
    """A page's address without a key."""
    return f"https://127.0.0.1:{suite.processes[-1].port}/{path}"


def sign_in(page: Page, name: str, password: str) -> None:
    page.fill("#name", name)
    page.fill("#password", password)
    page.press("#password", "Enter")


def connected(page: Page) -> None:
    for service in ("inbox", "outbox"):
        expect(page.locator(f"#{service}")).to_have_text(f"{service} connected", timeout=60_000)


def test_who_has_a_password_signs_in_barks_as_nobody_else_and_signs_out(page: Page, suite: Suite) -> None:
    page.goto(served(suite, "?user=rex"))
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.locator("#say")).to_be_hidden()
    assert audited(page) == []
    sign_in(page, "ark3", "meow meow")
    expect(page.locator("#sign-in-problem")).to_have_text("The name or the password is wrong.")
    sign_in(page, "ark3", PASSWORD)
    connected(page)
    expect(page.locator("#user")).to_have_value("ark3")
    expect(page.locator("#user")).not_to_be_editable()
    page.fill("#text", "Woof, it is me")
    page.press("#text", "Enter")
    expect(page.locator("#barks .text").first).to_have_text("Woof, it is me", timeout=60_000)
    assert audited(page) == []
    # Whatever the address says, and the page's own code: the outbox knows who is signed in.
    page.goto(served(suite, "?user=rex"))
    page.wait_for_url("**user=ark3**")
    connected(page)
    page.evaluate("outgoing.add({id: newId(), user: 'rex', text: 'not me', created: new Date()}); send()")
    expect(page.locator("#problem")).to_contain_text("may not bark or follow as rex")
    page.click("#sign-out")
    expect(page.locator("#sign-in")).to_be_visible()
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()


def test_a_person_has_no_more_of_the_suite_than_a_timeline(page: Page, suite: Suite) -> None:
    page.goto(served(suite))
    sign_in(page, "ark3", PASSWORD)
    connected(page)
    closed = page.evaluate(
        """async () => Promise.all(["launcher", "monitor"].map((path) => new Promise((done) => {
            const socket = new WebSocket(`wss://${location.host}/amqp/${path}`, ["AMQPWSB10"]);
            socket.onerror = () => done("refused");
            socket.onopen = () => done("open");
        })))"""
    )
    assert closed == ["refused", "refused"]
    [cookie] = [found for found in page.context.cookies() if found["name"].startswith("barker-")]
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"] == "Strict"
    assert PASSWORD not in cookie["value"]


def test_who_has_lost_the_password_is_nobody_with_the_cookie_of_before(page: Page, suite: Suite) -> None:
    assert suite.tls is not None
    accounts = Accounts(suite.tls / FILE_NAME)
    accounts.add("rex", "grr grr grr")
    page.goto(served(suite))
    sign_in(page, "rex", "grr grr grr")
    connected(page)
    accounts.remove("rex")
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()


def test_the_password_is_in_no_log(page: Page, suite: Suite) -> None:
    page.goto(served(suite))
    sign_in(page, "ark3", PASSWORD)
    connected(page)
    for process in suite.processes:
        assert PASSWORD not in process.log
