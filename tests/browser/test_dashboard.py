"""The dashboard in a real browser, over a real suite: what it draws, and that its buttons break things."""

from __future__ import annotations

import itertools
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import psutil
import pytest
from playwright.sync_api import Page, expect
from proton import Message
from proton.utils import BlockingConnection

from barker.amqp.message import encode_bark
from barker.amqp.system import new_id
from barker.core.barks import Bark
from benchmarks.dashboard import SECOND, heap, simulate
from tests.browser.conftest import audited, give_session
from tests.harness import ROOT, Launched, Process, Proof, free_port, wait_for

pytestmark = pytest.mark.browser

SCREENSHOTS = ROOT / "screenshots"


AGAIN_SECONDS = 15.0


class Dashboard:
    """The page, and what it says it has drawn."""

    def __init__(self, page: Page, suite: Launched) -> None:
        """From the disk, with the key."""
        self.page, self.suite = page, suite
        gateway = f"127.0.0.1:{5673 + suite.offset}"
        give_session(page, gateway, suite.data / "key")
        page.set_viewport_size({"width": 1400, "height": 1000})
        page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?{urlencode({'gateway': gateway})}")

    def connected(self) -> None:
        for service in ("monitor", "launcher"):
            expect(self.page.locator(f"#{service}")).to_have_text(f"{service} connected", timeout=60_000)

    def plotted(self, graph: str) -> dict[str, list[float | None]]:
        """Each line of a graph, as it is drawn: a value a second."""
        lines: dict[str, list[float | None]] = self.page.evaluate(f"dashboard.plotted().{graph}")
        return lines

    def depth(self) -> list[float]:
        """The queue depth that is drawn, of all outboxes together, a value a second."""
        lines = self.plotted("depth")
        return [sum(value or 0 for value in values) for values in zip(*lines.values(), strict=True)]

    def flows_to(self, *names: str) -> bool:
        """Whether barks flow from outboxes, and all outboxes' paths lead to just these."""
        paths: list[dict[str, Any]] = self.page.evaluate("dashboard.paths()")
        paths = [path for path in paths if path["from"].startswith("outbox")]
        flowing = sum(path["rate"] for path in paths) > 0
        return flowing == bool(names) and {path["to"] for path in paths} == set(names)

    def led(self) -> set[str]:
        """Those from whom a path leads to somebody."""
        return {path["from"] for path in self.page.evaluate("dashboard.paths()")}

    def state(self, name: str) -> str:
        return str(self.page.get_attribute(f"#suite [data-name='{name}']", "data-state"))

    def press(self, name: str, verb: str) -> None:
        self.page.click(f"#suite [data-name='{name}'] [data-verb='{verb}']")

    def start(self, name: str) -> None:
        """Have somebody there again: pressed once more if nothing comes of it, as a person does.

        On a machine that is very busy the page may just look for the launcher again: then it is not heard.
        """
        pressed = -AGAIN_SECONDS

        def there() -> bool:
            nonlocal pressed
            if self.state(name) == "gone" and time.monotonic() - pressed > AGAIN_SECONDS:
                pressed = time.monotonic()
                self.press(name, "start")
            return self.state(name) in ("up", "standby", "active")

        self.until(there, f"{name} is there again")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        # The page is asked in this thread: it draws on between two looks.
        return wait_for(condition, what, seconds)

    def figure(self, name: str) -> str:
        """One of the headline's."""
        return self.page.inner_text(f"#headline [data-figure='{name}'] dd")

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts programs as a user does in other terminals."""
    processes: list[Process] = []

    def start(*command: str) -> Process:
        process = Process(tmp_path / f"{len(processes)}.log", [sys.executable, *command])
        processes.append(process)
        return process

    try:
        yield start
    finally:
        for process in processes:
            process.end()


def test_the_tutorials_demo(page: Page, tmp_path: Path, by_hand: Callable[..., Process]) -> None:
    suite = Launched(tmp_path, "launch-no-bizlogic.py", "--autobarks", "4", "--rate", "150")
    try:
        suite.wait_until_ready()
        common = ("--directory", suite.directory, "--key", str(suite.data / "key"), "--log-level", "info")

        def bizlogic() -> tuple[str, Process]:
            port = str(free_port())
            data = ("--data", str(tmp_path / "data"))
            command = ("barker/bizlogic.py", "--host", "127.0.0.1", "--port", port, *data, *common)
            return f"bizlogic-{port}", by_hand(*command)

        def stands_by(name: str) -> None:
            dashboard.until(lambda: dashboard.state(name) == "standby", f"{name} stands by")

        by_hand("monitoring/launch.py", "--port", str(free_port()), *common)
        dashboard = Dashboard(page, suite)
        dashboard.connected()
        first, first_process = bizlogic()
        dashboard.until(lambda: dashboard.flows_to(first), "the first bizlogic works")
        second, second_process = bizlogic()
        stands_by(second)
        # Both graphs run: a value a second, and the barks of all autobarks flow through the first bizlogic.
        dashboard.until(lambda: (dashboard.plotted("rates")[first][-1] or 0) > 500, "600 barks/s", 60)
        drawn = len(dashboard.depth())
        dashboard.until(lambda: len(dashboard.depth()) >= drawn + 5, "five more seconds are drawn")
        usual = statistics.median(dashboard.depth()[-5:])
        dashboard.screenshot("demo-1-first-active")

        # It takes over within some milliseconds, too soon to be sure of a rise: so it oversleeps.
        second_process.kill(signal.SIGSTOP)
        first_process.kill()
        dashboard.until(lambda: dashboard.depth()[-1] > usual + 100, "the depth rises")
        second_process.kill(signal.SIGCONT)
        dashboard.until(lambda: dashboard.flows_to(second), "the path moves to the second")
        dashboard.until(lambda: dashboard.state(first) == "gone", "the first is gone")
        dashboard.until(lambda: dashboard.state(second) == "active", "the second is active")
        dashboard.until(lambda: dashboard.depth()[-1] <= usual + 90, "the depth falls back", 90)
        dashboard.until(lambda: dashboard.plotted("rates")[first][-1] is None, "the dead one's line ends")
        dashboard.screenshot("demo-2-second-active")

        second_process.kill()
        dashboard.until(lambda: dashboard.state(second) == "gone", "the second is gone")
        killed = len(dashboard.depth())
        dashboard.until(lambda: len(dashboard.depth()) >= killed + 11, "eleven seconds more", 60)
        rising = dashboard.depth()[killed : killed + 11]
        steps = [after - before for before, after in itertools.pairwise(rising)]
        assert min(steps) > 0, "it rises steadily"
        assert sum(steps) > 0.6 * 10 * 400
        dashboard.until(lambda: dashboard.flows_to(), "nothing flows")
        dashboard.screenshot("demo-3-none")

        third, _ = bizlogic()
        dashboard.until(lambda: dashboard.flows_to(third), "the path moves to the new one")
        few = max(usual + 5, rising[-1] / 10)  # A machine that has other things to do has some waiting.
        dashboard.until(lambda: dashboard.depth()[-1] <= few, "the depth falls to nothing", 90)
        dashboard.screenshot("demo-4-third-active")
    finally:
        suite.end()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A suite for all that follows; each test leaves it as it was, but for more processes."""
    folder = tmp_path_factory.mktemp("suite")
    suite = Launched(folder, "launch.py", "--monitoring", "--autobarks", "2", "--rate", "50")
    try:
        suite.wait_until_ready()
        yield suite
    finally:
        suite.end()


@pytest.fixture
def dashboard(page: Page, suite: Launched) -> Dashboard:
    dashboard = Dashboard(page, suite)
    dashboard.connected()
    dashboard.until(
        lambda: len(page.query_selector_all("#suite .card .buttons")) > 8, "all services are shown"
    )
    return dashboard


def pid_of(page: Page, name: str) -> int:
    row = page.locator("#figures tbody tr", has=page.get_by_text(name, exact=True))
    expect(row.locator("td").nth(1)).to_have_text(re.compile(r"^\d+$"))
    return int(row.locator("td").nth(1).inner_text())


def link_of(suite: Launched) -> str:
    """The dashboard's, with the key, as the launcher prints it."""
    found = wait_for(lambda: re.search(r"The dashboard: (http://\S+)", suite.output), "the link is printed")
    return str(found[1])


def test_the_demo_by_buttons(dashboard: Dashboard) -> None:
    first, second = (f"bizlogic-{port + dashboard.suite.offset}" for port in (5680, 5681))
    dashboard.until(lambda: dashboard.flows_to(first), "the first bizlogic works")
    # Until then what it sees may have been so before it came.
    dashboard.page.wait_for_function("performance.now() > events.quiet")
    pid = pid_of(dashboard.page, first)
    dashboard.press(first, "kill")
    dashboard.until(lambda: dashboard.flows_to(second), "the path moves to the second")
    happened = dashboard.page.locator("#events")
    # The outboxes tell of the path, and the second itself, once a second, that it is active.
    expect(happened).to_contain_text(re.compile(rf"{second} \(pid \d+\) is active, (after )?\d+ (s|min) "))
    dashboard.until(
        lambda: f"{first} (pid {pid}) is gone: killed by SIGKILL" in dashboard.suite.output, "that is told"
    )
    assert not psutil.pid_exists(pid)
    dashboard.press(second, "kill")
    dashboard.until(lambda: len(dashboard.depth()) > 3 and dashboard.depth()[-1] > 300, "the depth rises")
    dashboard.press(first, "start")
    dashboard.until(lambda: dashboard.flows_to(first), "the path moves back")
    dashboard.until(lambda: dashboard.depth()[-1] < 30, "the depth falls")
    dashboard.press(second, "start")
    dashboard.until(lambda: dashboard.state(second) == "standby", "the second stands by")
    expect(happened).to_contain_text(f"you: kill {second}")
    # On a slow machine the monitor misses it before the launcher knows why.
    gone = re.compile(rf"{first} \(pid {pid}\) is gone, (\d+ (s|min) after its start|after \d+ s silent)")
    expect(happened).to_contain_text(gone)
    told = happened.locator("li").count()
    dashboard.page.reload()
    expect(happened).to_contain_text(gone)
    happened.locator("li").nth(told - 1).wait_for()


def test_what_is_accepted_is_delivered_and_none_lost_or_twice_whoever_dies(dashboard: Dashboard) -> None:
    def figures() -> dict[str, str]:
        return {name: dashboard.figure(name) for name in ("accepted", "delivered", "lost", "twice", "dead")}

    def number(text: str) -> int:
        return int(text.replace(",", ""))

    dashboard.until(lambda: "–" not in figures().values(), "everything is counted")
    before = figures()
    kinds = (("bizlogic", 5680), ("outbox", 5801), ("inbox", 5820), ("bizlogic", 5681))
    for name in (f"{kind}-{port + dashboard.suite.offset}" for kind, port in kinds):
        dashboard.press(name, "kill")
        dashboard.until(lambda name=name: dashboard.state(name) == "gone", f"{name} is gone")
        dashboard.start(name)
    most = number(before["delivered"]) + 200
    dashboard.until(lambda: number(figures()["delivered"]) > most, "barks are delivered")
    counted = dashboard.page.locator("#counted")
    expect(counted).to_contain_text("Lost and twice are counted: of ")
    expect(counted).not_to_contain_text("has not told its count since", timeout=20_000)

    def sound() -> bool:
        after = {**figures(), **{name: dashboard.figure(name) for name in ("rate", "latency")}}
        # An autobark whose outbox died may have sent barks to the next, too: no more than those are missing.
        return bool(
            re.fullmatch(r"0( to \d)?", after["lost"])
            and (after["twice"], after["dead"]) == ("0", "0")
            and number(after["accepted"]) >= number(after["delivered"])
            and 20 < float(after["rate"].replace(",", "")) < 400  # Two autobarks of 50 barks/s.
            and 0 < float(after["latency"].removesuffix(" ms").replace("–", "0")) < 5_000
        )

    dashboard.until(sound, "none is lost or there twice")


def test_freeze_thaw_and_stop(dashboard: Dashboard) -> None:
    first, second = (f"bizlogic-{port + dashboard.suite.offset}" for port in (5680, 5681))
    dashboard.until(lambda: dashboard.flows_to(first), "the first bizlogic works")
    frozen = psutil.Process(pid_of(dashboard.page, first))
    dashboard.press(first, "freeze")
    dashboard.until(lambda: frozen.status() == psutil.STATUS_STOPPED, "its process is stopped")
    dashboard.until(lambda: dashboard.state(first) == "frozen", "it is shown as frozen")
    dashboard.until(lambda: dashboard.flows_to(second), "the second takes over")
    # An outbox that still waits for the first has no path, and would go on with it once it is thawed.
    outboxes = [f"outbox-{port + dashboard.suite.offset}" for port in (5800, 5801, 5802)]
    dashboard.until(lambda: set(outboxes) <= dashboard.led(), "from all outboxes")
    dashboard.press(first, "thaw")
    dashboard.until(lambda: frozen.status() != psutil.STATUS_STOPPED, "its process goes on")
    dashboard.until(lambda: dashboard.state(first) == "standby", "it stands by")
    dashboard.press(first, "stop")
    dashboard.until(lambda: dashboard.state(first) == "gone", "it is gone")
    ended = f"{first} (pid {frozen.pid}) is gone: ended with status 0"
    dashboard.until(lambda: ended in dashboard.suite.output, "that is told")
    # Back to the first, for the tests that follow.
    dashboard.press(first, "start")
    dashboard.until(lambda: dashboard.state(first) == "standby", "it stands by again")
    dashboard.press(second, "kill")
    dashboard.until(lambda: dashboard.flows_to(first), "the first works again")
    dashboard.press(second, "start")
    dashboard.until(lambda: dashboard.state(second) == "standby", "the second stands by")


def test_more_of_everything(dashboard: Dashboard) -> None:
    offset = dashboard.suite.offset
    expected = {"bizlogic": f"bizlogic-{5682 + offset}", "outbox": f"outbox-{5803 + offset}"}
    for kind, name in {**expected, "autobark": "autobark-3"}.items():
        dashboard.page.click(f"[data-add='{kind}']")
        works = "standby" if kind == "bizlogic" else "up"
        dashboard.until(
            lambda name=name, works=works: (
                dashboard.page.query_selector(f"#suite [data-name='{name}']")
                and dashboard.state(name) == works
            ),
            f"{name} is there and reports",
        )
        assert psutil.pid_exists(pid_of(dashboard.page, name))
    for name in (*expected.values(), "autobark-3"):
        card = dashboard.page.locator(f"#suite [data-name='{name}']")
        expect(card.locator("[data-verb='remove']")).to_be_hidden()
        if name == expected["outbox"]:  # With barks in its journal it would not be removed.
            dashboard.page.fill("#rate", "0.1")
            dashboard.page.press("#rate", "Enter")
            depth = f"suite.report('{name}')?.depth + suite.report('{name}')?.in_flight"
            dashboard.until(lambda: dashboard.figure("rate") == "0.0", "no barks come")
            dashboard.until(lambda depth=depth: dashboard.page.evaluate(depth) == 0, "it holds none")
            dashboard.until(lambda: dashboard.figure("latency") == "–", "no latency of old lingers")
        dashboard.press(name, "stop" if name == expected["outbox"] else "kill")
        dashboard.until(lambda name=name: dashboard.state(name) == "gone", f"{name} is gone")
        dashboard.press(name, "remove")
        expect(card).to_have_count(0)
        dashboard.page.fill("#rate", "50")
        dashboard.page.press("#rate", "Enter")
        expect(dashboard.page.locator("#figures")).not_to_contain_text(name)
    dashboard.press("autobark-2", "stop")
    dashboard.until(lambda: dashboard.state("autobark-2") == "gone", "one of the first is gone")
    first = dashboard.page.locator("#suite [data-name='autobark-2']")
    expect(first.locator("[data-verb='remove']")).to_be_hidden()
    dashboard.press("autobark-2", "start")
    dashboard.until(lambda: dashboard.state("autobark-2") == "up", "it is there again")


def test_a_wrong_rate_says_so_on_the_page(dashboard: Dashboard) -> None:
    page, problem = dashboard.page, dashboard.page.locator("#rate-problem")
    for wrong in ("-4", "1000000", "e"):
        page.fill("#rate", "5")
        expect(problem).to_be_hidden()
        page.fill("#rate", "")
        page.type("#rate", wrong)
        page.locator("#rate").dispatch_event("change")
        expect(problem).to_have_text("A rate is a number of barks/s from 0.1 to 100,000.")
        assert page.get_attribute("#rate", "aria-invalid") == "true"
    expect(page.locator("#events")).not_to_contain_text("barks/s of each autobark")


def test_the_autobarks_rate(dashboard: Dashboard) -> None:
    for name in ("autobark-1", "autobark-2"):
        dashboard.until(lambda name=name: dashboard.state(name) == "up", f"{name} is there")
    dashboard.page.fill("#rate", "30")
    dashboard.page.press("#rate", "Enter")

    expect(dashboard.page.locator("#events")).to_contain_text("barks/s of each autobark: 30")

    def rates() -> bool:
        lines = dashboard.plotted("rates")
        return all(27 < (lines.get(name, [None])[-1] or 0) < 33 for name in ("autobark-1", "autobark-2"))

    dashboard.until(rates, "the autobarks bark 30 times a second", 60)


def test_figures_say_what_the_monitor_says(dashboard: Dashboard) -> None:
    titles = dashboard.page.locator("#figures thead th").all_inner_texts()

    def figures(name: str) -> dict[str, str]:
        row = dashboard.page.locator("#figures tbody tr", has=dashboard.page.get_by_text(name, exact=True))
        return dict(zip(titles, row.locator("th, td").all_inner_texts(), strict=True))

    name = f"inbox-{5820 + dashboard.suite.offset}"
    dashboard.until(lambda: figures(name)["in"] not in ("", "0"), "barks have come")
    inbox = figures(name)
    process = psutil.Process(int(inbox["pid"]))
    dashboard.until(lambda: abs(float(figures(name)["MB"]) - process.memory_info().rss / 1e6) < 3, "memory")
    dashboard.until(lambda: abs(int(figures(name)["files"]) - process.num_fds()) <= 2, "files")
    for title in ("in/s", "in/s, 10 s"):
        dashboard.until(lambda title=title: float(figures(name)[title]) > 1, f"{title} is more than nothing")
    assert inbox["depth"] == ""
    # Whichever the autobarks have found.
    outboxes = [f"outbox-{port + dashboard.suite.offset}" for port in (5800, 5801, 5802)]
    dashboard.until(lambda: any(float(figures(name)["journal MB"]) > 0 for name in outboxes), "one has grown")


def test_without_the_key_it_says_how_to_get_in_and_with_it_buttons_work(page: Page, suite: Launched) -> None:
    name, gateway = f"bizlogic-{5680 + suite.offset}", f"127.0.0.1:{5673 + suite.offset}"
    kill = page.locator(f"#suite [data-name='{name}'] [data-verb='kill']")
    # Without the slash, as one types it.
    page.goto(f"http://{gateway}/monitoring")
    expect(page.locator("#status")).to_contain_text(f"This page needs the key of the suite at {gateway}")
    for service in ("monitor", "launcher"):
        expect(page.locator(f"#{service}")).to_have_text(f"{service} reconnecting")
    assert amiss(page) == []
    page.goto(f"http://{gateway}/monitoring/#key={'0' * 64}")
    expect(page.locator("#status")).to_contain_text("The key in this page's link is that of another suite.")
    page.goto(link_of(suite))  # The same page, as only what is behind the # is another.
    kill.wait_for()
    expect(page.locator("#status")).to_be_hidden()
    assert page.url == f"http://{gateway}/monitoring/", "the key is not left in the address"
    page.goto("about:blank")
    page.goto(f"http://{gateway}/monitoring")
    kill.wait_for()
    page.click(f"#suite [data-name='{name}'] [data-verb='freeze']")
    expect(page.locator("#events")).to_contain_text(f"you: freeze {name}")
    page.click(f"#suite [data-name='{name}'] [data-verb='thaw']")


def test_after_a_restart_of_the_suite_buttons_work(page: Page, tmp_path: Path) -> None:
    suite = Launched(tmp_path, "launch.py", "--monitoring", "--autobarks", "1")
    first, second = (f"bizlogic-{port + suite.offset}" for port in (5680, 5681))
    from_disk = page.context.new_page()
    try:
        suite.wait_until_ready()
        page.goto(link_of(suite))
        from_disk.route("**/webui/session.js", lambda route: route.fulfill(path=suite.session))
        from_disk.goto((ROOT / "monitoring" / "index.html").as_uri())
        for each in (page, from_disk):
            each.locator(f"#suite [data-name='{first}'] [data-verb='kill']").wait_for()
        suite.end()
        for each in (page, from_disk):
            expect(each.locator("#launcher")).not_to_have_text("launcher connected")
        suite = Launched(tmp_path, "launch.py", "--monitoring", "--autobarks", "1", offset=suite.offset)
        suite.wait_until_ready()
        for each, name in ((page, first), (from_disk, second)):
            expect(each.locator("#launcher")).to_have_text("launcher connected", timeout=60_000)
            each.click(f"#suite [data-name='{name}'] [data-verb='kill']")
            wait_for(lambda name=name: f"{name} (pid" in suite.output, f"{name} is killed")
    finally:
        suite.end()


def test_the_legend_is_grouped_by_kind_and_works_by_keyboard(dashboard: Dashboard) -> None:
    page, offset = dashboard.page, dashboard.suite.offset
    legend = page.locator("#rates-legend")
    for title in ("autobarks", "outboxes", "bizlogics", "inboxes", "others"):
        legend.get_by_role("group", name=title).wait_for()
    in_group = legend.get_by_role("group", name="outboxes").locator("[data-name]")
    names = [button.get_attribute("data-name") for button in in_group.all()]
    assert names[:3] == [f"outbox-{port + offset}" for port in (5800, 5801, 5802)]
    rates = "graphs.all[1]"
    shown = f"{rates}.plot.series[{rates}.names.indexOf('{names[0]}') + 1].show"
    assert page.evaluate(shown)
    one = legend.locator(f"[data-name='{names[0]}']")
    one.focus()
    page.keyboard.press("Space")
    expect(one).to_have_attribute("aria-pressed", "false")
    page.wait_for_function(f"!({shown})")
    legend.get_by_role("button", name="outboxes", exact=True).focus()
    page.keyboard.press("Enter")
    expect(one).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(shown)


CROSSED = """(() => {
    // What a path goes through on its way from card to card: cards, headings, or out of the picture.
    const {left, top, right} = at("suite").getBoundingClientRect(), crossed = [];
    const boxes = [...document.querySelectorAll("#suite .card, #suite h3")].map((element) =>
        [element.getBoundingClientRect(), element.textContent]);
    for (const path of document.querySelectorAll("#flows path")) {
        for (let along = 3; along < path.getTotalLength() - 3; along += 2) {
            const point = path.getPointAtLength(along), x = left + point.x, y = top + point.y;
            if (x > right + 1) crossed.push("out");
            for (const [box, text] of boxes) {
                if (x > box.left + 1 && x < box.right - 1 && y > box.top && y < box.bottom) {
                    crossed.push(text);
                }
            }
        }
    }
    return crossed;
})()"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = """
    [...document.querySelectorAll("button, fieldset label, input:not([type='radio'])")]
        .map((element) => element.getBoundingClientRect()).filter(({width}) => width)
        .map(({width, height}) => Math.min(width, height))
"""


def amiss(page: Page) -> list[str]:
    """What is wrong with how the page looks, at each width, by day and by night."""
    found: list[str] = []
    for width in (320, 390, 720, 1440):  # 720 is 1440 at 200 %.
        page.set_viewport_size({"width": width, "height": 800})
        two_frames(page)
        found += [f"{width}: {what} is crossed" for what in page.evaluate(CROSSED)]
        found += [f"{width}: {size} px is small" for size in page.evaluate(SIZES) if size < 24]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{width}: the page is wider")
        for scheme in SCHEMES if width in (390, 1440) else ():
            page.emulate_media(color_scheme=scheme)
            found += [f"{width}, {scheme}: {violation}" for violation in audited(page)]
    return found


def test_it_is_sound_in_each_state_at_each_width_by_day_and_by_night(dashboard: Dashboard) -> None:
    page, offset = dashboard.page, dashboard.suite.offset
    connection = BlockingConnection(f"127.0.0.1:{5802 + offset}", timeout=10)
    letter = Message()
    letter.decode(encode_bark(Bark(new_id(), "ark3", "to nobody", round(time.time() * 1000))))
    proof = Proof(dashboard.suite.data / "key", "outbox/dead-letters")
    connection.create_sender("outbox/dead-letters", options=proof).send(letter)
    connection.close()
    expect(page.locator("#headline [data-figure='dead'][data-verdict='bad'] dd")).to_have_text("1")
    expect(page.locator("#suite .dead:visible")).to_have_text("1 dead letter")
    frozen, silent = f"outbox-{5800 + offset}", psutil.Process(pid_of(page, f"outbox-{5801 + offset}"))
    # The youngest of three stands by, whatever the tests before have done to the others.
    standby, extra = (f"bizlogic-{port + offset}" for port in (5682, 5683))
    for name in (standby, extra):
        page.click("[data-add='bizlogic']")
        page.locator(f"#suite [data-name='{name}'][data-state='standby']").wait_for()
    dashboard.press(extra, "kill")
    dashboard.press(frozen, "freeze")
    silent.suspend()
    page.evaluate("(name) => orders.give('start', {name})", f"inbox-{5820 + offset}")
    page.locator("#events .refused", has_text="you: start inbox-").wait_for()
    page.fill("#rate", "0")
    page.locator("#rate").dispatch_event("change")
    states = ("active", "standby", "frozen", "silent", "gone", "up")
    for state in states:
        page.locator(f"#suite .card[data-state='{state}']").first.wait_for()
    words = page.locator(f"#suite [data-name='inbox-{5820 + offset}'] button:visible").all_inner_texts()
    assert words == ["Kill", "Freeze", "Stop"]
    assert page.locator(f"#suite [data-name='{extra}'] button:visible").all_inner_texts() == [
        "Start",
        "Remove",
    ]
    assert page.evaluate("document.querySelectorAll('#flows path').length") > 2
    try:
        assert amiss(page) == []
    finally:
        silent.resume()
    dashboard.press(frozen, "thaw")
    dashboard.press(standby, "kill")
    for name in (standby, extra):
        dashboard.until(lambda name=name: dashboard.state(name) == "gone", f"{name} is gone")
        dashboard.press(name, "remove")
        expect(page.locator(f"#suite [data-name='{name}']")).to_have_count(0)
    for name in (frozen, f"outbox-{5801 + offset}"):
        dashboard.until(lambda name=name: dashboard.state(name) == "up", f"{name} is there again")


def test_from_the_gateway_and_with_the_monitor_gone(page: Page, suite: Launched) -> None:
    page.goto(link_of(suite))
    expect(page.locator("#monitor")).to_have_text("monitor connected", timeout=60_000)
    name = f"monitor-{6000 + suite.offset}"
    places = ("--directory", suite.directory, "--session", str(suite.session))
    subprocess.run(
        [sys.executable, "-m", "barker", "kill", name, *places],
        check=True,
        timeout=30,
        stdout=subprocess.DEVNULL,
    )
    expect(page.locator("#status")).to_contain_text("No monitor answers")
    inbox = page.locator(f"#suite [data-name='inbox-{5820 + suite.offset}']")
    expect(inbox.locator(".state")).to_have_text("unknown")
    expect(inbox.locator(".says")).to_have_text("the monitor is away")
    expect(page.locator("#counted")).to_have_text("Without the monitor nothing of this is known.")
    assert amiss(page) == []
    page.click(f"#suite [data-name='{name}'] [data-verb='start']")
    expect(page.locator("#status")).to_be_hidden(timeout=60_000)
    line = f"dashboard.plotted().rates['inbox-{5820 + suite.offset}']"
    drawn = len(page.evaluate(line))
    wait_for(
        lambda: len(page.evaluate(line)) > drawn and page.evaluate(f"{line}.at(-1) !== null"), "it goes on"
    )
    # Nothing was known of the others, so nothing is told of them.
    missed = re.compile(rf"inbox-{5820 + suite.offset}( \(pid \d+\))? does not report")
    expect(page.locator("#events")).not_to_contain_text(missed)


def test_the_graphs_have_a_gap_where_nobody_watched(page: Page) -> None:
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
    now = time.time()
    simulate(page, 60, now - 90)
    simulate(page, 30, now)
    for line in page.evaluate("dashboard.plotted().rates").values():
        assert [at for at, value in enumerate(line) if value is None] == [60]


def alone(page: Page) -> None:
    """The dashboard without a suite, which it looks for no more: what it is told is made up."""
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
    page.evaluate(
        """for (const line of [monitor, launcher]) {
            clearTimeout(line.timer);
            line.connection = undefined;
            line.begin = () => {};
        }
        events.quiet = 0;"""
    )
    page.evaluate(SECOND)


def names_shown(page: Page) -> list[str]:
    shown: list[str] = page.evaluate(
        "[...document.querySelectorAll('#figures tbody th')].map(({textContent}) => textContent)"
    )
    return shown


def two_frames(page: Page) -> None:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


NONSENSE = """[
    undefined, null, 5, "woof", [], {}, {name: 5, type: "x"}, {name: "", type: "x"}, {name: "n", type: ["x"]},
    {name: "x".repeat(5000), type: "x"}, {name: {toString: 5}, type: "x"},
]"""
ODD = """[
    {name: "__proto__", type: "__proto__", mode: "constructor"},
    {name: "constructor", type: "constructor", pid: "seven", since: {}, sent: NaN, received: 2e400},
    {name: "toString", type: "hasOwnProperty", active: "yes", depth: "deep", depth_peak: [], mode: "history"},
    {name: "outbox-1", type: "outbox", consumer: 5, host: {}, port: "x", sent_rate: null, readers: "many"},
]"""


def test_nonsense_in_a_report_costs_only_that(page: Page) -> None:
    alone(page)
    now = time.time()
    for second in range(3):
        page.evaluate("(t) => second(t)", now + second)
    two_frames(page)
    sound = names_shown(page)
    assert len(sound) == 20
    page.evaluate(f"(t) => dashboard.onReports(t, {NONSENSE})", now + 3)
    for when in ("'noon'", "NaN", "-1", "1e300", "{}", "undefined"):
        page.evaluate(f"dashboard.onReports({when}, [])")
    for reports in ("undefined", "5", "'reports'", "{length: 3}"):
        page.evaluate(f"(t) => dashboard.onReports(t, {reports})", now + 4)
    for body in ("{}", "{processes: 5}", f"{{processes: {NONSENSE}, rate: 'fast'}}"):
        page.evaluate(f"dashboard.onProcesses({body})")
    for each in range(5, 8):
        page.evaluate(f"(t) => dashboard.onReports(t, {ODD})", now + each)
    state = "{name: 'constructor', kind: 'toString', state: '__proto__', pid: 'x'}"
    page.evaluate(f"dashboard.onProcesses({{processes: [{state}], rate: 5}})")
    two_frames(page)
    odd = {"__proto__", "constructor", "toString", "outbox-1"}
    assert set(names_shown(page)) == {*sound, *odd}
    page.evaluate("(t) => second(t)", now + 8)
    two_frames(page)
    assert page.evaluate("dashboard.plotted().rates['inbox-5820'].at(-1)") > 0
    assert "NaN" not in page.inner_text("main")
    expect(page.locator("#events")).not_to_contain_text("an error of this page")


def test_a_report_that_is_written_backwards_turns_nothing_else(page: Page) -> None:
    """The monitor lets no such name through; a page that is told of one by another shows it harmlessly."""
    alone(page)
    now = time.time()
    page.evaluate("(t) => second(t)", now)
    name = "\u202e<b>1-xobtuo</b>"
    odd = f"{{name: {name!r}, type: 'outbox', pid: 7, host: '127.0.0.1', port: 1, sent: 1, received: 1}}"
    page.evaluate(f"(t) => dashboard.onReports(t, [{odd}])", now + 1)
    two_frames(page)
    shown = names_shown(page)
    assert not any("\u202e" in each for each in shown), shown
    assert page.locator("#figures b").count() == 0
    expect(page.locator("#events")).not_to_contain_text("\u202e")


def test_the_page_goes_on_after_an_error_in_a_frame(page: Page) -> None:
    alone(page)
    now = time.time()
    page.evaluate("(t) => second(t)", now)
    two_frames(page)
    page.evaluate("window.whole = suite.names; suite.names = () => { throw new Error('a bug') }; null")
    for second in range(1, 4):
        page.evaluate("(t) => second(t)", now + second)
        two_frames(page)
    told = page.locator("#events li", has_text="an error of this page: a bug")
    expect(told).to_have_count(1)
    length = "dashboard.plotted().rates['inbox-5820'].length"
    assert page.evaluate(length) == 4, "what did not fail is drawn"
    page.evaluate("suite.names = window.whole; null")
    page.evaluate("(t) => second(t)", now + 4)
    page.evaluate("(t) => dashboard.onReports(t, [{name: 'new-1', type: 'x'}])", now + 5)
    two_frames(page)
    assert "new-1" in names_shown(page)
    assert page.evaluate(length) == 6


def test_services_that_are_gone_for_long_leave_nothing(page: Page) -> None:
    alone(page)
    page.evaluate(
        """async (ending) => {
            // Each reports once, 100 s after the one before.
            for (let n = 0; n < 40; n++) {
                const sent = {sent: n, sent_rate: 1};
                dashboard.onReports(ending - 100 * (40 - n), [{name: `service-${n}`, type: "x", ...sent}]);
                await new Promise(requestAnimationFrame);
            }
            await new Promise(requestAnimationFrame);
        }""",
        time.time(),
    )
    held = page.evaluate(
        "[events.states.size, table.rows.size, picture.cards.size - 1, colours.numbers.size - 1]"
    )
    assert held == [7, 7, 7, 7], "those of the last ten minutes; the readers' card and colour stay"
    numbers = page.evaluate("[...colours.numbers.values()]")
    assert len(set(numbers)) == len(numbers), "each has a colour of its own"
    assert max(numbers) <= 9, "and they are given again"


def test_twenty_minutes_take_no_more_memory_than_ten_minutes(page: Page) -> None:
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
    expect(page.locator("#status")).to_contain_text("needs the key of the suite at 127.0.0.1:1")
    session = page.context.new_cdp_session(page)
    now = time.time()
    simulate(page, 660, now - 600)
    ten_minutes = heap(session)
    simulate(page, 600, now)
    assert heap(session) < 1.2 * ten_minutes
    lines = page.evaluate("dashboard.plotted().rates")
    assert len(lines) == 20
    assert {len(line) for line in lines.values()} == {601}


def test_dead_letters_and_lost_barks_stand_out(page: Page) -> None:
    alone(page)
    now = time.time()
    page.evaluate("(t) => second(t)", now)
    two_frames(page)

    def figure(name: str) -> tuple[str, str | None]:
        element = page.locator(f"#headline [data-figure='{name}']")
        return element.locator("dd").inner_text(), element.get_attribute("data-verdict")

    assert figure("rate")[0] != "–"
    assert [figure(name) for name in ("lost", "twice", "dead")] == [("0", "good"), ("0", "good"), ("0", "")]
    letters = page.locator("#suite [data-name='outbox-5800'] .dead")
    expect(letters).to_be_hidden()
    page.evaluate(
        """(time) => {
            const outbox = {name: "outbox-5800", type: "manifold", mode: "push"};
            const reports = [{...outbox, dead_letters: 3, handed_on: 1}];
            const counts = {since: time, at: time, accepted: 9, delivered: 7, held: 0, open: 0};
            dashboard.onReports(time, reports, {...counts, lost: 1, suspect: 2, twice: 4});
        }""",
        now + 1,
    )
    two_frames(page)
    assert [figure(name) for name in ("lost", "twice", "dead")] == [
        ("1 to 2", "bad"),
        ("4", "bad"),
        ("3", "bad"),
    ]
    expect(letters).to_have_text("3 dead letters")


def test_the_legend_hides_in_time(page: Page) -> None:
    alone(page)
    now = time.time()
    simulate(page, 30, now)
    two_frames(page)
    one = page.locator("#rates-legend [data-name='bizlogic-5681']")
    # A service that is gone is named as long as its line is seen: for a minute, if nothing else is chosen.
    only = "(t) => dashboard.onReports(t, [{name: 'inbox-5820', type: 'inbox', sent_rate_now: 1}])"
    for seconds, count in ((55, 1), (62, 0)):
        page.evaluate(only, now + seconds)
        two_frames(page)
        expect(one).to_have_count(count)
    page.check("#span [value='300']", force=True)
    expect(one).to_have_count(1)


def test_rates_of_one_second_stand_beside_those_of_ten(page: Page) -> None:
    alone(page)
    rates = "{name: 'outbox-1', type: 'outbox', sent_rate: 10, sent_rate_now: 90, received_rate_now: 0}"
    page.evaluate(f"(t) => dashboard.onReports(t, [{rates}])", time.time())
    two_frames(page)
    line = "dashboard.plotted().rates['outbox-1']"
    assert page.evaluate(line) == [90]
    page.check("#over [value='']", force=True)
    two_frames(page)
    assert page.evaluate(line) == [10]
    row = page.locator("#figures tbody tr").all_inner_texts()[0].split("\t")
    assert "90.0" in row
    assert "10.0" in row
