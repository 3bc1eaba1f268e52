"""The dashboard in a real browser, over a real suite: what it draws, and that its buttons break things."""

from __future__ import annotations

import itertools
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from playwright.sync_api import Page, expect

from barker.commands.session import read_session
from benchmarks.dashboard import SECOND, heap, simulate
from tests.browser.conftest import give_session
from tests.harness import ROOT, Launched, Process, free_port, wait_for

pytestmark = pytest.mark.browser

SCREENSHOTS = ROOT / "screenshots"


class Dashboard:
    """The page, and what it says it has drawn."""

    def __init__(self, page: Page, suite: Launched) -> None:
        """From the disk, with the run's token."""
        self.page, self.suite = page, suite
        gateway = f"127.0.0.1:{5673 + suite.offset}"
        give_session(page, gateway, read_session(suite.session).token)
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

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        # The page is asked in this thread: it draws on between two looks.
        return wait_for(condition, what, seconds)

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
        common = ("--directory", suite.directory, "--log-level", "info")

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
        assert dashboard.plotted("rates")[first][-1] is None, "the dead one's line has ended"
        dashboard.screenshot("demo-2-second-active")

        second_process.kill()
        dashboard.until(lambda: dashboard.state(second) == "gone", "the second is gone")
        killed = len(dashboard.depth())
        dashboard.until(lambda: len(dashboard.depth()) >= killed + 11, "eleven seconds more", 60)
        rising = dashboard.depth()[killed : killed + 11]
        steps = [after - before for before, after in itertools.pairwise(rising)]
        assert min(steps) > 0, "it rises steadily"
        assert sum(steps) > 0.6 * 10 * 400
        assert dashboard.flows_to()
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
    return int(row.locator("td").nth(1).inner_text())


def test_the_demo_by_buttons(dashboard: Dashboard) -> None:
    first, second = (f"bizlogic-{port + dashboard.suite.offset}" for port in (5680, 5681))
    dashboard.until(lambda: dashboard.flows_to(first), "the first bizlogic works")
    pid = pid_of(dashboard.page, first)
    dashboard.press(first, "kill")
    dashboard.until(lambda: dashboard.flows_to(second), "the path moves to the second")
    assert not psutil.pid_exists(pid)
    assert f"{first} (pid {pid}) is gone: killed by SIGKILL" in dashboard.suite.output
    dashboard.press(second, "kill")
    dashboard.until(lambda: len(dashboard.depth()) > 3 and dashboard.depth()[-1] > 300, "the depth rises")
    dashboard.press(first, "start")
    dashboard.until(lambda: dashboard.flows_to(first), "the path moves back")
    dashboard.until(lambda: dashboard.depth()[-1] < 30, "the depth falls")
    dashboard.press(second, "start")
    dashboard.until(lambda: dashboard.state(second) == "standby", "the second stands by")
    expect(dashboard.page.locator("#events")).to_contain_text(f"you: kill {second}")


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
    assert f"{first} (pid {frozen.pid}) is gone: ended with status 0" in dashboard.suite.output
    # Back to the first, for the tests that follow.
    dashboard.press(first, "start")
    dashboard.until(lambda: dashboard.state(first) == "standby", "it stands by again")
    dashboard.press(second, "kill")
    dashboard.until(lambda: dashboard.flows_to(first), "the first works again")
    dashboard.press(second, "start")


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


def test_the_autobarks_rate(dashboard: Dashboard) -> None:
    dashboard.page.fill("#rate", "30")
    dashboard.page.press("#rate", "Enter")

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
    assert abs(float(inbox["MB"]) - process.memory_info().rss / 1e6) < 3
    assert abs(int(inbox["files"]) - process.num_fds()) <= 2
    assert int(inbox["in"].replace(",", "")) > 0
    assert inbox["depth"] == ""
    outbox = f"outbox-{5800 + dashboard.suite.offset}"
    assert figures(outbox)["dead letters"] == "0"
    dashboard.until(lambda: float(figures(outbox)["journal MB"]) > 0, "its journal has grown")


def test_without_the_token_no_button_works(page: Page, suite: Launched) -> None:
    page.goto(f"http://127.0.0.1:{5673 + suite.offset}/monitoring/")
    expect(page.locator("#launcher")).to_have_text("launcher connected", timeout=60_000)
    kill = page.locator(f"#suite [data-name='bizlogic-{5680 + suite.offset}'] [data-verb='kill']")
    expect(kill).to_be_disabled()
    for button in page.locator("[data-add]").all():
        expect(button).to_be_disabled()
    page.fill("#token", "guessed")
    kill.click()
    expect(page.locator("#events")).to_contain_text("this takes the run's token")
    assert psutil.pid_exists(pid_of(page, f"bizlogic-{5680 + suite.offset}"))


def test_from_the_gateway_and_with_the_monitor_gone(page: Page, suite: Launched) -> None:
    page.goto(f"http://127.0.0.1:{5673 + suite.offset}/monitoring/")
    expect(page.locator("#monitor")).to_have_text("monitor connected", timeout=60_000)
    expect(page.locator("#tokens")).to_be_visible()
    name = f"monitor-{6000 + suite.offset}"
    places = ("--directory", suite.directory, "--session", str(suite.session))
    subprocess.run(
        [sys.executable, "-m", "barker", "kill", name, *places],
        check=True,
        timeout=30,
        stdout=subprocess.DEVNULL,
    )
    expect(page.locator("#status")).to_contain_text("No monitor answers")
    page.fill("#token", read_session(suite.session).token)
    page.click(f"#suite [data-name='{name}'] [data-verb='start']")
    expect(page.locator("#status")).to_be_hidden(timeout=60_000)
    line = f"dashboard.plotted().rates['inbox-{5820 + suite.offset}']"
    drawn = len(page.evaluate(line))
    wait_for(
        lambda: len(page.evaluate(line)) > drawn and page.evaluate(f"{line}.at(-1) !== null"), "it goes on"
    )


def test_the_graphs_have_a_gap_where_nobody_watched(page: Page) -> None:
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
    now = time.time()
    simulate(page, 60, now - 90)
    simulate(page, 30, now)
    for line in page.evaluate("dashboard.plotted().rates").values():
        assert [at for at, value in enumerate(line) if value is None] == [60]


def alone(page: Page) -> None:
    """The dashboard without a suite: what it is told is made up."""
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
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
            for (let n = 0; n < 200; n++) {
                const sent = {sent: n, sent_rate: 1};
                dashboard.onReports(ending - 100 * (200 - n), [{name: `service-${n}`, type: "x", ...sent}]);
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


def test_an_hour_takes_no_more_memory_than_a_quarter(page: Page) -> None:
    page.goto(f"{(ROOT / 'monitoring' / 'index.html').as_uri()}?gateway=127.0.0.1:1")
    expect(page.locator("#status")).to_contain_text("Barker does not answer at 127.0.0.1:1")
    session = page.context.new_cdp_session(page)
    now = time.time()
    simulate(page, 900, now - 2700)
    quarter = heap(session)
    simulate(page, 2700, now)
    assert heap(session) < 1.2 * quarter
    lines = page.evaluate("dashboard.plotted().rates")
    assert len(lines) == 20
    assert {len(line) for line in lines.values()} == {601}
