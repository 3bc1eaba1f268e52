"""The timeline page in Chromium: frames/s, how soon one's own bark is in sight, and memory, at several rates.

The whole suite runs, as a user starts it, with five autobarks; and the page is that of ark3, over HTTP. All
share the machine: what the suite takes of it, the page has not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, sync_playwright
from rich.table import Table

from barker.commands.session import page_link
from barker.core.access import pages_key
from barker.store.key import FILE_NAME, read_key
from barker.suite.ports import free_offset
from benchmarks.bench import MB, Result, Task, benchmark, spread, told
from benchmarks.dashboard import ARGUMENTS, chromium, heap
from benchmarks.stand import HOST

ROOT = Path(__file__).resolve().parent.parent

WAIT = 60_000
"""Milliseconds in which something is to be on the page, or the benchmark has failed."""

MEASURE = """
    async (seconds) => {
        // Frames/s, and barks/s that have come, over so many seconds.
        const onMessage = inbox.onMessage, begun = performance.now();
        let frames = 0, barks = 0;
        inbox.onMessage = (message) => { barks += 1; onMessage(message); };
        while (performance.now() - begun < 1000 * seconds) {
            await new Promise(requestAnimationFrame);
            frames += 1;
        }
        inbox.onMessage = onMessage;
        const passed = (performance.now() - begun) / 1000;
        return {frames: frames / passed, barks: barks / passed};
    }
"""

SAY = """
    async (text) => {
        // Milliseconds until a bark of one's own, said further down, is in sight on the timeline.
        scrollTo(0, 1500);
        await new Promise(requestAnimationFrame);
        const begun = performance.now();
        say(text);
        const seen = () => [...document.querySelectorAll("#barks .mine")].some((bark) => {
            const {top, bottom} = bark.getBoundingClientRect();
            return bark.querySelector(".text").textContent === text && top >= 0 && bottom <= innerHeight;
        });
        while (!seen() && performance.now() - begun < 30000) await new Promise(requestAnimationFrame);
        return seen() ? performance.now() - begun : null;
    }
"""


@contextmanager
def suite(rate: float) -> Iterator[str]:
    """A suite whose five autobarks have that rate (barks/s of each); the address of its page."""
    with tempfile.TemporaryDirectory(prefix="barker-benchmark-") as folder:
        offset = free_offset()
        options = ["--port-offset", str(offset), "--data", f"{folder}/data", "--rate", str(rate)]
        options += ["--session", f"{folder}/session.js"]
        launcher = subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), *options],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert launcher.stdout is not None
            for line in launcher.stdout:
                if line.startswith("Ready after"):
                    break
            key = pages_key(read_key(Path(folder) / "data" / FILE_NAME))
            yield page_link(f"{HOST}:{5673 + offset}", key, False, user="ark3")
        finally:
            launcher.terminate()
            launcher.wait(30)


def measure(browser: Browser, link: str, task: Task) -> dict[str, Any]:
    """What the page does in several runs."""
    # The page's own policy has no place for conditions that Playwright waits for.
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, bypass_csp=True)
    page.set_default_timeout(WAIT)
    session = page.context.new_cdp_session(page)
    page.goto(link)
    page.wait_for_function("timeline.shown.length > 10")
    runs, seen = [], []
    for number in range(task.runs):
        runs.append(page.evaluate(MEASURE, task.seconds))
        seen.append(page.evaluate(SAY, f"Here I am, for the {number + 1}. time"))
        page.evaluate("timeline.hold(0), soon(), null")  # Its time is over.
        task.step()
    found = {
        "frames_per_second": spread(run["frames"] for run in runs),
        "barks_per_second": spread(run["barks"] for run in runs),
        "own_in_sight_ms": spread(ms for ms in seen if ms is not None) if any(seen) else None,
        "own_not_in_sight": seen.count(None),
        "barks_in_document": page.locator("#barks > li").count(),
        "memory_mb": round(heap(session) / MB, 2),
    }
    page.close()
    return found


@benchmark("page", seconds=5.0, runs=5)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    default=(5.0, 50.0, 200.0),
    show_default=True,
    help="Barks/s of each of five autobarks (may be repeated).",
)
def main(task: Task, rates: tuple[float, ...]) -> Result:
    """Measure the timeline page's frames/s, the time until one's own bark is in sight, and memory."""
    found: dict[str, Any] = {}
    task.begin(task.runs * len(rates))
    with sync_playwright() as playwright:
        for rate in rates:
            task.say(f"{rate:g} barks/s of each")
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            with suite(rate) as link:
                found[f"{rate:g}"] = measure(browser, link, task)
            browser.close()
    table = Table(
        "barks/s of each autobark",
        "on the page",
        "frames/s",
        "own in sight, ms",
        "in the document",
        "memory, MB",
    )
    for rate_name, of in found.items():
        own = told(of["own_in_sight_ms"]) if of["own_in_sight_ms"] else "never"
        table.add_row(
            rate_name,
            told(of["barks_per_second"], 1),
            told(of["frames_per_second"], 1),
            own,
            str(of["barks_in_document"]),
            f"{of['memory_mb']:.1f}",
        )
    wrong = [
        f"at {rate_name} barks/s one's own bark was not in sight {of['own_not_in_sight']} times"
        for rate_name, of in found.items()
        if of["own_not_in_sight"]
    ]
    return Result({"rates": found}, [table], wrong=wrong)
