"""The web page in a real browser, with a real suite behind it: what it shows, and what survives a kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from barker.amqp.links import Place
from barker.commands.session import write_session
from barker.core.access import pages_key
from barker.core.barks import LAST_TIME, Bark
from tests.browser.conftest import from_disk, give_session, link_to, whole
from tests.harness import ROOT, Client, Suite, shown_key, wait_for

pytestmark = pytest.mark.browser


PAIRS = [(f"ark{number}", f"rex{number}") for number in range(3, 103)]
"""Users who follow each other: a pair for each test."""

PAIR = iter(PAIRS)


class Cast:
    """The suite's processes by name, and two users of the test's own."""

    def __init__(self, suite: Suite) -> None:
        _, self.inbox, self.outbox, self.bizlogic, self.gateway = suite.processes
        self.user, self.friend = next(PAIR)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """One for all tests: what they kill comes back, as it is to."""
    follows = [pair for one, other in PAIRS for pair in ((one, other), (other, one))]
    with whole(tmp_path_factory.mktemp("suite"), follows) as suite:
        yield suite


@pytest.fixture
def cast(suite: Suite) -> Iterator[Cast]:
    cast = Cast(suite)
    yield cast
    logged = len(cast.gateway.log)
    for process in suite.processes:
        if process.popen.poll() is None:
            process.kill(signal.SIGCONT)
        else:
            process.restart()
            if process is cast.gateway:
                wait_for(lambda: "gateway serves" in cast.gateway.log[logged:], "the gateway listens")


@pytest.fixture
def page(page: Page, cast: Cast) -> Page:
    """An empty page that has the key, if it is opened from the disk."""
    give_session(page, f"127.0.0.1:{cast.gateway.port}", cast.gateway.key)
    return page


@pytest.fixture
def barker(cast: Cast, page: Page) -> Page:
    """The page of the test's user, from the disk, connected."""
    page.goto(from_disk(cast.gateway, cast.user))
    connected(page)
    return page


def connected(page: Page) -> None:
    for service in ("inbox", "outbox"):
        expect(page.locator(f"#{service}")).to_have_text(f"{service} connected", timeout=60_000)
    expect(page.locator("#status")).to_be_hidden()


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def arrived(page: Page, *texts: str) -> None:
    """Wait until the timeline is just this, newest first, and nothing is on its way."""
    expect(page.locator("#barks .text")).to_have_text(list(texts), timeout=60_000)
    expect(page.locator("#pending .bark")).to_have_count(0)


def texts(page: Page) -> list[str]:
    """The barks on the timeline, those too that are not near the screen, newest first."""
    found: list[str] = page.evaluate("timeline.shown.filter(({text}) => text).map(({text}) => text)")
    return found


def test_a_bark_reaches_the_page_once_and_a_follower(barker: Page, cast: Cast, suite: Suite) -> None:
    say(barker, "Woof, world! äöü 🐕")
    arrived(barker, "Woof, world! äöü 🐕")
    command = [sys.executable, "barker/listen.py", cast.friend, "--count", "1", "--directory", suite.place]
    listened = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert f"{cast.user}: Woof, world! äöü 🐕" in listened.stdout


def test_the_bark_is_made_by_the_rules(barker: Page, cast: Cast, client: Client) -> None:
    client.read(cast.friend)
    say(barker, "two\nlines")
    wait_for(lambda: client.timelines[cast.friend], "the bark is on the follower's timeline")
    [bark] = client.timelines[cast.friend]
    assert (bark.user, bark.text) == (cast.user, "two\nlines")
    assert abs(bark.created / 1000 - time.time()) < 30
    assert len(bark.id) == 32


def test_it_works_from_the_gateway_too(cast: Cast, page: Page) -> None:
    page.goto(link_to(cast.gateway, f"?user={cast.user}"))
    connected(page)
    say(page, "over HTTP")
    arrived(page, "over HTTP")


def test_without_the_key_it_says_what_to_do(cast: Cast, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(from_disk(cast.gateway, cast.user))
    expect(page.locator("#status")).to_contain_text("open the link that “barker pages” prints. Trying again.")
    page.goto(link_to(cast.gateway).partition("#")[0])
    expect(page.locator("#status")).to_have_text(
        f"This page needs the key of the suite at 127.0.0.1:{cast.gateway.port}: open the link with #key= "
        "that the launcher printed, or that “barker pages” prints. Trying again."
    )
    expect(page.locator("#inbox")).to_have_text("inbox reconnecting")
    # The same page, as only what is behind the # is another.
    page.goto(link_to(cast.gateway))
    connected(page)
    context.close()


def test_a_page_from_the_disk_finds_the_next_suite_by_its_key(
    cast: Cast, chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pages as they are, with a session.js of their own beside them.
    shutil.copytree(ROOT / "webui", tmp_path / "webui")
    monkeypatch.setattr("barker.commands.session.PAGES", tmp_path)
    session = tmp_path / "webui" / "session.js"
    gateway = Place("127.0.0.1", cast.gateway.port or 0)
    write_session(session, gateway, pages_key(b"another suite's"))
    logged = len(cast.gateway.log)
    page = chromium.new_page()
    page.goto(f"{(tmp_path / 'webui' / 'index.html').as_uri()}?user={cast.user}")
    wait_for(lambda: "needs the pages' key" in cast.gateway.log[logged:], "the page tries with that")
    write_session(session, gateway, shown_key(cast.gateway.key))
    connected(page)
    page.close()


def test_own_barks_mentions_and_others_are_told_apart(barker: Page, cast: Cast, client: Client) -> None:
    me, friend = cast.user, cast.friend
    for user, text in ((friend, "Good day."), (friend, f"Look, @{me}."), (me, f"@{friend} @{me}x I look")):
        bark = client.bark(user, text)
        wait_for(lambda bark=bark: bark.id in client.accepted, "it is accepted")
        expect(barker.locator("#barks .text").first).to_have_text(text)
    kinds = barker.locator("#barks .bark").evaluate_all("all => all.map(bark => bark.className.trim())")
    assert kinds == ["bark mine", "bark mention", "bark"]
    expect(barker.locator("#barks .tag")).to_have_text(["you", "mentions you"])
    at = barker.locator("#barks .at").all_text_contents()
    assert at == [f"@{friend}", f"@{me}"], f"@{me}x is nobody, and no mention"


def test_markup_is_shown_as_text(barker: Page, client: Client) -> None:
    markup = "<img src=x onerror=\"document.title='bitten'\"> <b>@ark3</b> &amp; <script>1</script>"
    say(barker, markup)
    arrived(barker, markup)
    assert barker.locator("#barks img, #barks script, .text b:not(.at)").count() == 0
    assert barker.title() == "Barker"


def test_281_characters_cannot_be_sent_and_280_can(barker: Page) -> None:
    barker.fill("#text", "🐕" * 281)
    expect(barker.locator("#left")).to_have_text("-1")
    expect(barker.locator("#bark")).to_be_disabled()
    barker.press("#text", "Enter")
    assert barker.input_value("#text") == "🐕" * 281
    say(barker, "🐕" * 280)
    arrived(barker, "🐕" * 280)
    say(barker, "  \n ")
    arrived(barker, "🐕" * 280)


def test_what_the_outbox_rejects_comes_back_with_the_reason_once(barker: Page) -> None:
    barker.evaluate("Date = class extends Date { constructor() { super(300000000000000); } }; null")
    say(barker, "may I?")
    expect(barker.locator("#problem")).to_contain_text("Not accepted: creation-time must be from 1970")
    assert barker.input_value("#text") == "may I?"
    assert barker.locator(".bark").count() == 0
    assert barker.evaluate("[outgoing.waiting.size, localStorage.length]") == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_inbox_is_ended_and_comes_back(
    barker: Page, cast: Cast, client: Client, number: signal.Signals
) -> None:
    say(barker, "before")
    arrived(barker, "before")
    cast.inbox.kill(number)
    expect(barker.locator("#inbox")).to_have_text("inbox reconnecting")
    expect(barker.locator("#status")).to_have_text("The inbox is away. New barks come when it is back.")
    say(barker, "meanwhile")
    expect(barker.locator("#pending .note")).to_have_text("accepted by the outbox")
    cast.inbox.restart()
    arrived(barker, "meanwhile", "before")
    connected(barker)
    say(barker, "after")
    arrived(barker, "after", "meanwhile", "before")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_outbox_is_ended_and_comes_back(barker: Page, cast: Cast, number: signal.Signals) -> None:
    cast.outbox.kill(number)
    expect(barker.locator("#outbox")).to_have_text("outbox reconnecting")
    say(barker, "patience")
    say(barker, "more patience")
    expect(barker.locator("#pending .note")).to_have_text(["sending…", "sending…"])
    cast.outbox.restart()
    arrived(barker, "more patience", "patience")
    connected(barker)


def test_barks_in_flight_when_the_outbox_is_killed_arrive_once_in_order(
    barker: Page, cast: Cast, client: Client
) -> None:
    client.read(cast.friend)
    barker.evaluate("for (let number = 0; number < 100; number += 1) say(`bark ${number}`)")
    cast.outbox.kill()
    cast.outbox.restart()
    expect(barker.locator("#pending .bark")).to_have_count(0, timeout=30_000)
    expected = [f"bark {number}" for number in range(100)]
    wait_for(lambda: len(client.texts(cast.friend)) >= 100, "all are on the follower's timeline")
    assert client.texts(cast.friend) == expected
    assert texts(barker) == expected[::-1]


def test_the_gateway_is_killed_and_comes_back(barker: Page, cast: Cast, client: Client) -> None:
    say(barker, "before")
    arrived(barker, "before")
    cast.gateway.kill()
    expect(barker.locator("#status")).to_contain_text("Barker is away.")
    client.bark(cast.friend, "from elsewhere")
    say(barker, "from here")
    cast.gateway.restart()
    arrived(barker, "from here", "from elsewhere", "before")


def test_a_service_that_hangs_is_found_out(barker: Page, cast: Cast) -> None:
    cast.inbox.kill(signal.SIGSTOP)
    expect(barker.locator("#inbox")).to_have_text("inbox reconnecting")
    cast.inbox.kill(signal.SIGCONT)
    connected(barker)


def test_opened_before_the_suite_is_up_it_says_what_to_do(cast: Cast, page: Page) -> None:
    cast.gateway.kill()
    page.goto(from_disk(cast.gateway, cast.user))
    expect(page.locator("#status")).to_contain_text(
        f'To start it: make run ARGS="--port-offset {(cast.gateway.port or 0) - 5673}".'
    )
    cast.gateway.restart()
    connected(page)


def test_a_message_that_is_no_bark_harms_nothing(barker: Page, cast: Cast, client: Client) -> None:
    value = b"\x00\x53\x77"
    for body in (b"\xa1\x04woof", b"\x45", b"\x40", b"\x94" + bytes(16), b"\x98" + bytes(16)):
        client.send_raw(f"inbox/{cast.user}", value + body)
    properties = b"\x00\x53\x73\xc0\x05\x04\x53\x07\x40\x40\xa1\x04bark"
    client.send_raw(f"inbox/{cast.user}", properties + value + b"\x45")
    client.bark(cast.friend, "still here")
    arrived(barker, "still here")
    expect(barker.locator("#inbox")).to_have_text("inbox connected")


def test_barks_of_any_time_are_shown_and_end_no_connection(barker: Page, cast: Cast, client: Client) -> None:
    barker.evaluate("window.before = inbox.connection; null")
    # As those that stood on timelines before the outbox looked at the time.
    made = (2**62, -(2**62), -1, LAST_TIME + 1, 2**63 - 1, LAST_TIME, 1)
    for created in made:
        bark = Bark(f"at {created}", cast.friend, f"made at {created}", created)
        client.send(bark, f"inbox/{cast.user}")
    wait_for(lambda: len(client.accepted) == len(made), "they are on the timeline")
    client.bark(cast.friend, "still here")
    expect(barker.locator("#barks .text").first).to_have_text("still here")
    expect(barker.locator("#barks .bark")).to_have_count(8)
    times = barker.locator("#barks time").all_text_contents()
    assert times[0] == "now"
    assert times[3:] == ["undated"] * 5
    assert all("99" in time or "10000" in time for time in times[2:3])
    assert barker.evaluate("window.before === inbox.connection"), "the connection has never ended"


def test_what_is_too_large_for_a_bark_is_not_shown(barker: Page, cast: Cast, client: Client) -> None:
    for bark in (
        Bark("x" * 257, "rex", "an id too long", 1),
        Bark("1", "r" * 33, "a name too long", 1),
        Bark("2", "rex", "x" * 100_000, 1),
        Bark("3", "rex", "\N{DOG FACE}" * 280, 1),
    ):
        client.send(bark, f"inbox/{cast.user}")
    arrived(barker, "\N{DOG FACE}" * 280)


def test_no_more_than_1000_barks_wait_and_the_next_stays_in_the_box(barker: Page, cast: Cast) -> None:
    cast.outbox.kill()
    expect(barker.locator("#outbox")).to_have_text("outbox reconnecting")
    barker.evaluate("for (let number = 0; number < 1000; number += 1) say(`bark ${number}`)")
    say(barker, "one too many")
    expect(barker.locator("#problem")).to_contain_text("1,000 barks wait here to be sent")
    assert barker.input_value("#text") == "one too many"
    expect(barker.locator("#pending .bark")).to_have_count(3)
    expect(barker.locator("#more")).to_have_text("997 more of your barks are on the way")
    cast.outbox.restart()
    expect(barker.locator("#pending .bark")).to_have_count(0, timeout=60_000)
    barker.press("#text", "Enter")
    expect(barker.locator("#barks .text").first).to_have_text("one too many", timeout=60_000)
    expect(barker.locator("#problem")).to_be_empty()
    assert barker.input_value("#text") == ""


LATE_AND_MISSED = """
    // What becomes of barks is told late, when the timeline has gone past them: it missed the first.
    const settled = outbox.settled, onMessage = inbox.onMessage;
    window.late = [];
    outbox.settled = (...told) => late.push(() => settled.apply(outbox, told));
    inbox.onMessage = (message) => message.body === "missed" || onMessage(message);
    null
"""


def test_a_bark_that_is_accepted_when_its_place_on_the_timeline_is_past_waits_no_more(barker: Page) -> None:
    barker.evaluate(LATE_AND_MISSED)
    say(barker, "missed")
    say(barker, "seen")
    expect(barker.locator("#barks .text")).to_have_text(["seen"])
    barker.wait_for_function("late.length === 2")
    expect(barker.locator("#pending .text")).to_have_text(["missed"])
    barker.evaluate("late.forEach((tell) => tell())")
    expect(barker.locator("#pending .bark")).to_have_count(0)
    assert sorted(texts(barker)) == ["missed", "seen"], "it was accepted, and stays in sight"


def test_what_the_outbox_has_makes_room(barker: Page, cast: Cast) -> None:
    cast.bizlogic.kill()
    say(barker, "safe")
    expect(barker.locator("#pending .note")).to_have_text("accepted by the outbox")
    cast.outbox.kill()
    expect(barker.locator("#outbox")).to_have_text("outbox reconnecting")
    barker.evaluate("for (let number = 0; number < 999; number += 1) say(`bark ${number}`)")
    say(barker, "the last")
    expect(barker.locator("#pending .text").first).to_have_text("the last")
    assert barker.evaluate("[...outgoing.waiting.values()].map(({text}) => text)")[0] == "bark 0"
    say(barker, "one too many")
    expect(barker.locator("#problem")).to_contain_text("1,000 barks wait")


def test_the_page_holds_200_barks_and_says_what_it_missed(barker: Page, cast: Cast, client: Client) -> None:
    def more() -> bool:
        # More than the page's credit and the history, while nothing gets through to the page.
        cast.gateway.kill(signal.SIGSTOP)
        try:
            last = [client_bark(client, cast, number) for number in range(300)][-1]
            wait_for(lambda: last.id in client.accepted, "the inbox has them")
        finally:
            cast.gateway.kill(signal.SIGCONT)
        expect(barker.locator("#barks .text").first).to_have_text(last.text)
        # None was missed if all took so long that the inbox gave the page up, and it came anew.
        return "missed" in str(barker.evaluate("timeline.shown.map((item) => Object.keys(item))"))

    assert any(more() for _ in range(5))
    assert barker.evaluate("timeline.shown.find(({missed}) => missed)") == {"missed": 75}
    barker.wait_for_function("timeline.shown.length === 200")
    barker.evaluate("scrollTo(0, 26 * 90)")
    expect(barker.locator("#barks .missed").first).to_have_text("75 barks missed")


def client_bark(client: Client, cast: Cast, number: int) -> Bark:
    bark = Bark(
        f"{time.time_ns()}-{number}", cast.friend, f"number {number}, {time.time_ns()}", 1_700_000_000_000
    )
    client.send(bark, f"inbox/{cast.user}")
    return bark


def test_another_user_is_one_line_away(barker: Page, cast: Cast, client: Client) -> None:
    client.bark(cast.friend, "my own")
    arrived(barker, "my own")
    barker.fill("#user", cast.friend)
    barker.press("#user", "Enter")
    barker.wait_for_url(f"**user={cast.friend}*")
    connected(barker)
    arrived(barker, "my own")
    expect(barker.locator("#barks .tag")).to_have_text(["you"])


def test_everything_fits_on_a_phone(cast: Cast, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(from_disk(cast.gateway, "a.name-of_32.characters.xxxxxxxx"))
    connected(page)
    say(page, "@" + "x" * 250)
    arrived(page, "@" + "x" * 250)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
