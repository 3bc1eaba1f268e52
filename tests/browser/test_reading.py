"""The web page, read: one suite for all of it, and a user for each test, on whose timeline barks are put."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from barker.amqp.system import new_id, now
from barker.core.barks import Bark
from tests.browser.conftest import audited, give_session, link_to, whole
from tests.harness import ROOT, Client, Suite, wait_for

pytestmark = pytest.mark.browser

USERS = itertools.count(1)

STACKED = "Z" + "\u0353\u0318\u031b\u0322\u0327\u0301\u0306\u030a" * 20
ARABIC = "\u0645\u0631\u062d\u0628\u0627"
DOGS = "\N{DOG FACE}\N{ZERO WIDTH JOINER}\N{DOG FACE}"


class Stage:
    """The suite, and the timelines of a user of this test's own."""

    def __init__(self, suite: Suite, client: Client) -> None:
        _, self.inbox, self.outbox, self.bizlogic, self.gateway = suite.processes
        self.suite, self.client, self.user = suite, client, f"reader{next(USERS)}"

    def put(self, *texts: str, author: str = "rex", created: int = 0) -> None:
        """Put barks on the user's timeline."""
        barks = [Bark(new_id(), author, text, created or now()) for text in texts]
        for bark in barks:
            self.client.send(bark, f"inbox/{self.user}")
        wait_for(lambda: all(bark.id in self.client.accepted for bark in barks), "the inbox has them")

    def open(self, page: Page, **search: str) -> Page:
        """The user's page, from the disk."""
        give_session(page, f"127.0.0.1:{self.gateway.port}", self.gateway.key)
        search = {"gateway": f"127.0.0.1:{self.gateway.port}", "user": self.user, **search}
        page.goto(f"{(ROOT / 'webui' / 'index.html').as_uri()}?{urlencode(search)}")
        return page


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Suite, Client]]:
    """All that a bark needs."""
    folder = tmp_path_factory.mktemp("suite")
    with (
        whole(folder, [("ark3", "rex"), ("rex", "ark3")], history=200) as suite,
        contextlib.closing(Client(suite.place)) as client,
    ):
        yield suite, client


@pytest.fixture
def stage(running: tuple[Suite, Client]) -> Stage:
    return Stage(*running)


def numbered(first: int, last: int) -> list[str]:
    return [f"number {number}" for number in range(first, last + 1)]


def newest(page: Page, text: str) -> None:
    """Wait until this is the newest bark that is shown."""
    expect(page.locator("#barks .text").first).to_have_text(text, timeout=60_000)


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def tops(page: Page) -> dict[str, float]:
    """Where the barks in the document are, by their texts."""
    found: dict[str, float] = page.evaluate(
        "Object.fromEntries([...elements.values()].map((element) =>"
        " [element.querySelector('.text').innerText, element.getBoundingClientRect().top]))"
    )
    return found


# Reading while barks come


def test_what_one_reads_stays_where_it_is_while_barks_come(stage: Stage, page: Page) -> None:
    stage.put(*numbered(1, 60))
    stage.open(page)
    newest(page, "number 60")
    page.evaluate("scrollTo(0, 1500)")
    expect(page.locator("#barks")).to_contain_text("number 45")
    before = tops(page)
    stage.put(*numbered(61, 72))
    fresh = page.locator("#fresh")
    expect(fresh).to_have_text("12 new barks")
    after = tops(page)
    # Of those out of sight, another one more or less may be in the document.
    seen = {text for text, top in before.items() if 0 <= top < 600}
    assert len(seen) > 3
    assert seen <= after.keys()
    moved = {text: after[text] - before[text] for text in seen}
    # A browser scrolls by whole pixels, and barks are not whole pixels high.
    assert all(abs(pixels) < 1 for pixels in moved.values()), moved
    expect(fresh).to_be_in_viewport(ratio=1)
    fresh.click()
    newest(page, "number 72")
    expect(fresh).to_be_hidden()
    page.wait_for_function("scrollY === 0")
    expect(page.locator("#barks .bark").first).to_be_in_viewport(ratio=1)


def test_what_one_reads_stays_where_it_is_when_higher_barks_come_into_the_document(
    stage: Stage, page: Page
) -> None:
    stage.put(*(f"{text} {'long ' * 50}" for text in numbered(1, 100)))
    stage.open(page)
    page.wait_for_function("timeline.shown.length === 100")
    moves = page.evaluate(
        """async () => {
            const frames = async () => {
                for (let n = 0; n < 3; n += 1) await new Promise(requestAnimationFrame);
            };
            scrollTo(0, 6000);
            await frames();
            const bark = [...document.querySelectorAll("#barks li")].find(
                (bark) => bark.getBoundingClientRect().top > 0);
            const top = () => bark.getBoundingClientRect().top, moves = [];
            for (let n = 0; n < 5; n += 1) {
                const before = top();
                scrollBy(0, -150);
                await frames();
                moves.push(Math.round(top() - before));
            }
            return moves;
        }"""
    )
    assert all(abs(move - 150) <= 2 for move in moves), moves


def test_to_one_who_is_at_the_top_and_still_they_come_by_themselves(stage: Stage, page: Page) -> None:
    stage.put(*numbered(1, 20))
    stage.open(page)
    newest(page, "number 20")
    stage.put("by itself")
    newest(page, "by itself")
    page.locator("#barks .bark").nth(2).hover()
    page.mouse.move(300, 500, steps=3)
    stage.put("to be seen soon")
    expect(page.locator("#fresh")).to_have_text("1 new bark")
    newest(page, "to be seen soon")  # As the pointer moves no more.
    page.locator("#barks .bark").nth(2).focus()
    stage.put("not while the keyboard is there")
    expect(page.locator("#fresh")).to_have_text("1 new bark")
    page.focus("#text")
    newest(page, "not while the keyboard is there")


def test_ones_own_bark_comes_into_sight_and_stays_there_however_many_come(stage: Stage, page: Page) -> None:
    stage.put(*numbered(1, 100))
    stage.open(page)
    newest(page, "number 100")
    page.evaluate("scrollTo(0, 2000)")
    expect(page.locator("#barks")).to_contain_text("number 75")
    say(page, "Here I am")
    expect(page.locator("#barks .mine .text")).to_have_text("Here I am", timeout=60_000)
    expect(page.locator("#barks .mine")).to_be_in_viewport(ratio=1)
    for first in range(101, 401, 100):
        stage.put(*numbered(first, first + 99))
    expect(page.locator("#fresh")).to_have_text("300 new barks")
    newest(page, "Here I am")
    expect(page.locator("#barks .mine")).to_be_in_viewport(ratio=1)


def test_the_document_has_only_what_is_near_the_screen(stage: Stage, page: Page) -> None:
    stage.put(*numbered(1, 200))
    stage.open(page)
    newest(page, "number 200")
    page.wait_for_function("timeline.shown.length === 200")
    few = "document.querySelectorAll('#barks > li').length < 50"
    page.wait_for_function(few)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#barks .text").last).to_have_text("number 1")
    page.wait_for_function(few)
    last = page.locator("#barks > li").last
    assert (last.get_attribute("aria-posinset"), last.get_attribute("aria-setsize")) == ("200", "200")


def test_it_is_drawn_once_however_many_come_in_a_frame(stage: Stage, page: Page) -> None:
    stage.put("the first")
    stage.open(page)
    newest(page, "the first")
    drawn = page.evaluate(
        """async () => {
            const real = draw;
            let drawn = 0;
            draw = () => { drawn += 1; real(); };
            for (let number = 0; number < 500; number += 1) {
                inbox.onMessage({subject: "bark", message_id: `many ${number}`, body: `many ${number}`,
                    creation_time: new Date(), application_properties: {user: "rex"}});
            }
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            return drawn;
        }"""
    )
    assert drawn == 1
    newest(page, "many 499")


# What is not lost, and who one is


def test_a_bark_that_waits_and_a_draft_survive_a_reload(stage: Stage, page: Page) -> None:
    stage.open(page)
    page.evaluate("outbox.send = () => false; null")
    say(page, "the first that waits")
    say(page, "the second that waits")
    page.fill("#text", "not yet said")
    expect(page.locator("#pending .bark")).to_have_count(2)
    page.reload()
    newest(page, "the second that waits")
    expect(page.locator("#barks .text")).to_have_text(["the second that waits", "the first that waits"])
    expect(page.locator("#pending .bark")).to_have_count(0)
    assert page.input_value("#text") == "not yet said"
    page.wait_for_function("localStorage.length === 0")
    page.reload()
    expect(page.locator("#barks .bark")).to_have_count(2, timeout=60_000)
    page.wait_for_function("outgoing.waiting.size === 0")


def test_to_look_at_somebody_is_not_to_be_them(stage: Stage, page: Page) -> None:
    other = f"{stage.user}.other"
    stage.put("look at me", author=other)
    stage.open(page)
    newest(page, "look at me")
    page.fill("#text", "a draft")
    page.click("#barks .author")
    expect(page.locator("#whose")).to_have_text(f"Timeline of {other}")
    assert (page.input_value("#user"), page.input_value("#text")) == (stage.user, "a draft")
    page.press("#text", "Enter")
    expect(page.locator("#pending .note")).to_have_text("accepted, for your own timeline", timeout=60_000)
    page.click("#back")
    newest(page, "a draft")
    expect(page.locator("#barks .text")).to_have_text(["a draft", "look at me"])
    expect(page.locator("#barks .tag")).to_have_text(["you"])
    expect(page.locator("#become")).to_be_hidden()
    page.fill("#user", other)
    page.click("#become")
    expect(page.locator("#self")).to_contain_text(f"You bark as {other}.")
    expect(page.locator("#whose")).to_have_text("Your timeline")


@pytest.mark.parametrize("name", ["..", "a b", "x" * 33])
def test_a_name_that_is_none_is_said_once(stage: Stage, page: Page, name: str) -> None:
    dialled: list[Any] = []
    page.on("websocket", lambda socket: dialled.append(socket))
    stage.open(page, user=name)
    expect(page.locator("#status")).to_contain_text(f"\u201c{name}\u201d is no user's name here")
    assert page.evaluate("[inbox.timer, outbox.timer]") == [None, None]
    assert dialled == []
    page.fill("#user", stage.user)
    page.press("#user", "Enter")
    expect(page.locator("#inbox")).to_have_text("inbox connected", timeout=60_000)


def test_a_user_of_whom_nothing_is_known_is_told_what_that_means(stage: Stage, page: Page) -> None:
    stage.open(page)
    expect(page.locator("#empty")).to_contain_text(
        f"No barks on the timeline of {stage.user} yet.", timeout=60_000
    )
    expect(page.locator("#status")).to_be_hidden()


def test_a_user_who_is_not_there_is_said_once(suite: Suite, page: Page) -> None:
    suite.users([("ark3", "rex")]).close()
    suite.inbox("--users-file", str(suite.data / "users.sqlite3"))
    suite.outbox()
    gateway = suite.start("gateway")
    wait_for(lambda: "gateway serves" in gateway.log, "the gateway listens")
    page.goto(link_to(gateway, "?user=nobody"))
    expect(page.locator("#status")).to_contain_text("there is no user 'nobody'", timeout=60_000)
    expect(page.locator("#status")).to_contain_text("Choose another name above.")
    expect(page.locator("#inbox")).to_have_text("inbox refused")
    assert page.evaluate("inbox.connection") is None


# What may be written


def test_each_text_is_written_in_its_own_direction(stage: Stage, page: Page) -> None:
    stage.put(f"plain\n{ARABIC} @rex", f"{ARABIC} @rex abc 123!")
    stage.open(page)
    newest(page, f"{ARABIC} @rex abc 123!")
    texts = page.locator("#barks .text")
    directions = texts.evaluate_all("all => all.map((text) => getComputedStyle(text).direction)")
    assert directions == ["rtl", "ltr"]
    room = texts.nth(1).evaluate(
        """(text) => {
            const line = document.createRange();
            line.setStart(text.firstChild, "plain\\n".length);
            line.setEnd(text.firstChild, "plain\\n".length + 5);
            return text.getBoundingClientRect().right - line.getBoundingClientRect().right;
        }"""
    )
    assert room < 10, "its second line begins at the right"
    page.evaluate("document.querySelectorAll('#barks .text')[1].append(make('b', 'at', '@rex'))")
    isolation = "getComputedStyle(document.querySelector('#barks .at')).unicodeBidi"
    assert page.evaluate(isolation) == "isolate"
    assert page.get_attribute("#text", "dir") == "auto"


def test_marks_that_are_stacked_stay_in_their_card(stage: Stage, page: Page) -> None:
    stage.put("below", STACKED, "above")
    stage.open(page)
    newest(page, "above")
    barks = page.locator("#barks .bark")
    others = [barks.nth(0), barks.nth(2), barks.nth(1).locator(".head")]
    before = [other.screenshot() for other in others]
    barks.nth(1).locator(".text").evaluate("(text) => { text.textContent = 'Z'; }")
    assert [other.screenshot() for other in others] == before


def test_links_are_links_and_times_are_exact_when_asked(stage: Stage, page: Page) -> None:
    stage.put("see https://example.org/a?b=c.", created=now() - 3 * 60_000)
    stage.open(page)
    link = page.locator("#barks .text a")
    expect(link).to_have_text("https://example.org/a?b=c")
    assert link.get_attribute("href") == "https://example.org/a?b=c"
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
    time = page.locator("#barks time")
    expect(time).to_have_text("3 min")
    shown = time.evaluate("(time) => time.title === new Date(time.dateTime).toLocaleString()")
    assert shown


def test_a_link_that_reads_otherwise_says_where_it_leads(stage: Stage, page: Page) -> None:
    stage.put("https://bank.example@evil.example/ and https://\u0440\u0430\u0443\u0440\u0430l.com/")
    stage.open(page)
    links = page.locator("#barks .text a")
    expect(links.nth(0)).to_have_text("https://bank.example@evil.example/evil.example")
    expect(links.nth(1)).to_have_text("https://\u0440\u0430\u0443\u0440\u0430l.com/xn--l-7sba6dbr.com")
    expect(links.nth(0).locator(".host")).to_be_visible()


def test_marks_of_direction_turn_nothing_but_their_own_text(stage: Stage, page: Page) -> None:
    """Left open, they would go on: over a link, which read as another, a name, the next bark."""
    stage.put("below", "\u202egro.elpmaxe//:sptth \u2067see https://example.org/a/moc.liave", "above")
    stage.open(page)
    newest(page, "above")
    shown = page.evaluate(
        """[...document.querySelectorAll("#barks .bark")].map((bark) => {
            const place = (element, from, to) => {
                const range = document.createRange(), text = element.firstChild;
                range.setStart(text, from);
                range.setEnd(text, to);
                return range.getBoundingClientRect().left;
            };
            const inOrder = (element) => place(element, 0, 1) < place(element, 2, 3);
            return [...bark.querySelectorAll(".author, .link")].map(inOrder);
        })"""
    )
    assert shown == [[True], [True, True], [True]]
    assert (
        page.locator("#barks .text")
        .nth(0)
        .evaluate(
            """(text) => {
            const range = document.createRange();
            range.setStart(text.firstChild, 0);
            range.setEnd(text.firstChild, 1);
            const first = range.getBoundingClientRect().left;
            range.setStart(text.firstChild, 1);
            range.setEnd(text.firstChild, 2);
            return first < range.getBoundingClientRect().left;
        }"""
        )
    ), "nor the text of the next one"


@pytest.mark.parametrize(("width", "scale"), [(320, 1), (640, 2), (1440, 1)])
def test_nothing_is_wider_than_the_screen(stage: Stage, chromium: Browser, width: int, scale: int) -> None:
    stage.user += "-with-a-long-name"
    page = chromium.new_page(viewport={"width": width, "height": 480}, device_scale_factor=scale)
    page.set_default_timeout(60_000)
    stage.put("x" * 280, STACKED, f"{ARABIC}" * 40, DOGS * 90, f"https://example.org/{'x' * 200}")
    stage.put("woof", author="r" * 32)
    stage.open(page)
    newest(page, "woof")
    page.fill("#user", "y" * 32)
    say(page, "@" + "w" * 270)
    expect(page.locator("#barks .mine")).to_have_count(1, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for element in page.locator("#fresh:visible, #become, header *, .bark, #bark").all():
        box = element.bounding_box()
        assert box is None or (box["x"] >= -1 and box["x"] + box["width"] <= width + 1)
    page.close()


# By keyboard, and by ear


def test_the_timeline_is_one_stop_of_the_tab_key(stage: Stage, page: Page) -> None:
    stage.put(*numbered(1, 50))
    stage.open(page)
    newest(page, "number 50")
    focused = "document.activeElement.closest('#barks li')?.querySelector('.text').textContent"
    page.fill("#text", "x")
    page.focus("#bark")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "number 50"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "number 48"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "author"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) is None
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(focused):
            break
    for _ in range(47):
        page.keyboard.press("ArrowDown")
    page.wait_for_function(f"{focused} === 'number 1' || scrollY > 1000")


def test_new_barks_are_told_by_and_by(stage: Stage, page: Page) -> None:
    page.clock.install()
    stage.put(*numbered(1, 3))
    stage.open(page)
    newest(page, "number 3")
    heard = page.locator("#heard")
    expect(heard).to_be_empty()
    assert heard.get_attribute("role") == "log"
    page.clock.fast_forward(15_000)
    expect(heard).to_have_text("3 new barks")
    stage.put(f"Where are you, @{stage.user}?")
    page.wait_for_function("timeline.known.size === 4")
    page.clock.fast_forward(15_000)
    expect(heard).to_have_text(f"rex barks: Where are you, @{stage.user}?")


# How the suite does


def test_beside_the_timeline_it_says_what_this_is(stage: Stage, page: Page) -> None:
    stage.open(page)
    expect(page.locator("#inbox")).to_have_text("inbox connected", timeout=60_000)
    expect(page.locator("aside")).to_be_hidden()
    page.set_viewport_size({"width": 1440, "height": 900})
    aside = page.locator("aside")
    expect(aside).to_contain_text("Barker is Twitter in small")
    expect(aside).to_contain_text(f"You bark as {stage.user}.")
    expect(aside.locator("#figures")).to_contain_text(f"127.0.0.1:{stage.bizlogic.port}")
    aside.locator("#dashboard").click()
    page.wait_for_url(f"**/monitoring/index.html?gateway=127.0.0.1%3A{stage.gateway.port}*")


def test_where_nobody_works_on_barks_it_says_so(stage: Stage, page: Page) -> None:
    stage.open(page)
    expect(page.locator("#outbox")).to_have_text("outbox connected", timeout=60_000)
    expect(page.locator("#status")).to_be_hidden()
    stage.bizlogic.kill(signal.SIGKILL)
    say(page, "Is anybody there?")
    nobody = "Nobody works on barks now: they wait in the outbox."
    expect(page.locator("#status")).to_contain_text(nobody, timeout=60_000)
    expect(page.locator("#pending .note")).to_have_text("accepted by the outbox")
    page.set_viewport_size({"width": 320, "height": 640})
    card, *parts = (page.locator(f"#pending {name}").bounding_box() for name in (".bark", ".author", ".note"))
    assert card
    for part in parts:
        assert part
        assert part["width"] > 40
        assert part["x"] + part["width"] < card["x"] + card["width"]
    stage.bizlogic.restart()
    newest(page, "Is anybody there?")
    expect(page.locator("#status")).to_be_hidden()


# What axe finds


STATES: dict[str, tuple[dict[str, str], Callable[[Stage, Page], object]]] = {
    "connected": ({}, lambda stage, page: newest(page, "number 9")),
    "new ones wait": (
        {},
        lambda stage, page: (
            newest(page, "number 9"),
            page.locator("#barks .bark").nth(2).focus(),
            stage.put("one more"),
            expect(page.locator("#fresh")).to_be_visible(),
        ),
    ),
    "some are on their way": (
        {},
        lambda stage, page: (
            page.evaluate("outbox.send = () => false; for (let n = 0; n < 12; n += 1) say('woof'); null"),
            page.fill("#text", "x" * 290),
            page.evaluate("at('problem').textContent = 'Not accepted'; null"),
            page.evaluate("showStates({service: 'inbox', state: 'away'}); showStatus('It is away.')"),
            expect(page.locator("#more")).to_be_visible(),
        ),
    ),
    "no name": ({"user": ".."}, lambda stage, page: expect(page.locator("#status")).to_be_visible()),
    "nothing there": (
        {"timeline": "nobody.yet"},
        lambda stage, page: expect(page.locator("#empty")).to_contain_text("No barks", timeout=60_000),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing(stage: Stage, page: Page, name: str) -> None:
    stage.put(f"@{stage.user} and @rex, see https://example.org", "\u05e9\u05dc\u05d5\u05dd", *numbered(1, 9))
    search, reach = STATES[name]
    stage.open(page, **search)
    reach(stage, page)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            assert audited(page) == [], (width, scheme)
