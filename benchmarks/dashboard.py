"""The dashboard in Chromium: frames/s with twenty services, memory over an hour.

No suite runs: what the monitor would say is made up here, and handed to the page's own functions.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.table import Table

from barker.core.errors import Mistake
from benchmarks.bench import MB, Result, Task, benchmark, spread, told

PAGE = Path(__file__).resolve().parent.parent / "monitoring" / "index.html"

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A window's address line is a page of its own, which nobody sees here and which costs a second of a
    # processor for each window. Of two such options the last counts: the other four are Playwright's.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,AimEnabled,HttpsUpgrades,MediaRouter,PaintHolding",
]
"""How Chromium is started here and by the tests."""

SECOND = """
    // One second's message of the monitor, of a suite of twenty services at time t.
    window.second = (t) => {
        const reports = [];
        const add = (name, port, more) => reports.push({
            name, type: name.split("-")[0], host: "127.0.0.1", port, pid: port, since: 1, connections: 3,
            received: t * 100, sent: t * 100, received_rate: 100 + 20 * Math.sin(t / 9 + port),
            received_rate_now: 100 + 30 * Math.sin(t + port), sent_rate_now: 100 + 30 * Math.sin(t + port),
            sent_rate: 100 + 20 * Math.sin(t / 7 + port), cpu: 0.1, memory: 28e6, files: 14, ...more});
        const queue = {type: "manifold", mode: "push", in_flight: 3, dead_letters: 0, journal_bytes: 4e6};
        add("directory-5672", 5672, {routes: 40});
        add("gateway-5673", 5673, {websockets: 2});
        add("launcher-5674", 5674);
        add("monitor-6000", 6000, {agents: 19});
        add("inbox-5820", 5820,
            {type: "manifold", mode: "history", timelines: 100, readers: 3, missed: 0});
        for (let n = 0; n < 5; n++) {
            const depth = Math.round(50 + 40 * Math.sin(t / 11 + n));
            add(`outbox-${5800 + n}`, 5800 + n,
                {...queue, depth, depth_peak: depth, handed_on: t * 100, consumer: "127.0.0.1:5680"});
            add(`autobark-${n + 1}`, 40000 + n, {type: "autobark", outbox: `127.0.0.1:${5800 + n}`});
            add(`bizlogic-${5680 + n}`, 5680 + n, {active: n === 0, inbox: "127.0.0.1:5820", in_flight: 2,
                latency_now: n === 0 ? 0.002 : null,
                latency_p50: n === 0 ? 0.002 : null, latency_p99: n === 0 ? 0.009 : null});
        }
        const sound = {lost: 0, suspect: 0, twice: 0, open: 0};
        const counts = {since: t - 60, at: t, accepted: t * 500, delivered: t * 500, held: 0};
        dashboard.onReports(t, reports, {...counts, ...sound});
    };
    null;   // Playwright calls what is a function.
"""


def chromium() -> str:
    """Where the system's Chromium is.

    :raises Mistake: when there is none.
    """
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    path = next((path for name in names if name and (path := shutil.which(name))), None)
    if path is None:
        raise Mistake("there is no Chromium; install one, or say where it is in CHROMIUM")
    return path


def simulate(page: Page, seconds: int, ending: float) -> None:
    """Tell the page, as fast as it draws them, `seconds` of a suite's messages up to the time `ending`."""
    page.evaluate(SECOND)
    page.evaluate(
        """async ([seconds, ending]) => {
            for (let n = seconds; n > 0; n--) {
                second(ending - n);
                if (n % 60 === 0) await new Promise(requestAnimationFrame);
            }
            await new Promise(requestAnimationFrame);
        }""",
        [seconds, ending],
    )


def frames(page: Page, seconds: float) -> float:
    """Frames/s that the page draws while a message comes each second, over so many seconds."""
    drawn: float = page.evaluate(
        """async (seconds) => {
            const begun = performance.now();
            let count = 0, told = 0;
            while (performance.now() - begun < 1000 * seconds) {
                if (performance.now() - begun > 1000 * told) {
                    second(Date.now() / 1000);
                    told++;
                }
                await new Promise(requestAnimationFrame);
                count++;
            }
            return count / ((performance.now() - begun) / 1000);
        }""",
        seconds,
    )
    return drawn


def heap(session: CDPSession) -> float:
    """Bytes of the page's JavaScript heap that are in use after a collection."""
    session.send("HeapProfiler.collectGarbage")
    used: dict[str, Any] = session.send("Runtime.getHeapUsage")
    return float(used["usedSize"])


@benchmark("dashboard", seconds=5.0, runs=5)
@click.option(
    "--minutes",
    type=click.IntRange(4),
    default=60,
    show_default=True,
    help="How long memory is watched.",
)
def main(task: Task, minutes: int) -> Result:
    """Measure the dashboard's frames/s and memory."""
    drawn: dict[str, Any] = {}
    task.begin(2 + 3 * task.runs)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        session = page.context.new_cdp_session(page)
        # Nobody answers there; the page waits for its suite, and draws what it is told.
        page.goto(f"{PAGE.as_uri()}?gateway=127.0.0.1:1")
        now = float(page.evaluate("Date.now() / 1000"))
        memory = {}
        quarter, rest = minutes * 15, minutes * 45
        for after, seconds, ending in ((minutes / 4, quarter, now - rest), (minutes, rest, now)):
            task.say(f"memory after {after:g} minutes")
            simulate(page, seconds, ending)
            memory[f"{after:g} minutes"] = round(heap(session) / MB, 2)
            task.step()
        for span in ("60", "300", "600"):
            page.check(f"#span [value='{span}']", force=True)
            task.say(f"{span} s shown")
            measured = []
            for _ in range(task.runs):
                measured.append(frames(page, task.seconds))
                task.step()
            drawn[f"{span} s"] = spread(measured)
        browser.close()
    table = Table("time shown", "frames/s")
    for span, of in drawn.items():
        table.add_row(span, told(of, 1))
    lines = [f"Memory after {name}: {of:.2f} MB" for name, of in memory.items()]
    return Result({"frames_per_second": drawn, "memory_mb": memory}, [table], lines)
