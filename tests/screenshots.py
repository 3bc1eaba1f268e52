"""The documentation's pictures, taken from running suites: ``make screenshots``.

A bizlogic is frozen on the way, so that the dashboard has something to show. The suites have the usual ports,
as in the README; so no other may run.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from barker.core.faults import Fault
from barker.sim.plan import Plan
from benchmarks.dashboard import ARGUMENTS, chromium
from tests.harness import ROOT, Launched, shown_key, wait_for

PICTURES = ROOT / "docs"

FAULTS = [
    # Both bizlogics: which one has the work is a matter of luck.
    Fault(0.85, "cut", ("bizlogic-1", "bizlogic-2", "inbox-1"), 1.3),
    Fault(8.2, "reset", ("inbox-1",), 0.0),
    Fault(12.0, "full", ("outbox-2",), 3.0),
    Fault(17.95, "kill", ("bizlogic-1",), 1.5),
    Fault(19.4, "freeze", ("directory-1",), 2.0),
]
"""What is seen in the diagram."""

BARK = "Good evening, @rex1! Who has seen my ball?"


def open_page(browser: Browser, suite: Launched, file: str, width: int, height: int, **search: str) -> Page:
    """One of the pages, from the disk."""
    page = browser.new_page(viewport={"width": width, "height": height})
    search["gateway"] = f"127.0.0.1:{5673 + suite.offset}"
    # As the launcher tells pages on the disk, when it is not told to leave the user's own session alone.
    session = json.dumps({"gateway": search["gateway"], "key": shown_key(suite.data / "key")})
    page.add_init_script(f"Object.defineProperty(window, 'BARKER_SESSION', {{value: {session}}})")
    page.goto(f"{(ROOT / file).as_uri()}?{urlencode(search)}")
    return page


def small(name: str) -> None:
    """Keep 256 of a picture's colours, which nobody sees: a third of its bytes."""
    path = PICTURES / name
    image = Image.open(path).convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def web_page(browser: Browser, suite: Launched) -> None:
    """A timeline, with a bark of one's own."""
    page = open_page(browser, suite, "webui/index.html", 760, 720, user="ark3")
    wait_for(lambda: page.locator("#barks .bark").count() > 8, "barks come", 60)
    page.fill("#text", BARK)
    page.press("#text", "Enter")
    page.locator("#barks .mine").first.wait_for()
    page.locator("#barks .bark").nth(10).wait_for()
    page.screenshot(path=PICTURES / "webui.png", animations="disabled")
    small("webui.png")


def dashboard(browser: Browser, suite: Launched) -> None:
    """The suite seconds after the active bizlogic was frozen: the standby has its work.

    Frozen, not killed: that takes two seconds to notice, so the queues rise enough to be seen.
    """
    open_page(browser, suite, "webui/index.html", 760, 720, user="ark3")  # A reader.
    page = open_page(browser, suite, "monitoring/index.html", 1400, 900)
    drawn = "dashboard.plotted().rates['inbox-5820']?.length ?? 0"
    wait_for(lambda: page.evaluate(drawn) > 62, "a minute is drawn, without the start", 120)
    page.click("#suite [data-name='bizlogic-5680'] [data-verb='freeze']")
    page.locator("#suite [data-name='bizlogic-5681'][data-state='active']").wait_for()
    then = page.evaluate("Date.now()")
    wait_for(lambda: page.evaluate("Date.now()") > then + 12_000, "twelve seconds more are drawn", 60)
    page.mouse.move(0, 0)
    page.screenshot(path=PICTURES / "dashboard.png", full_page=True)
    small("dashboard.png")
    box = page.locator("#graphs").bounding_box()
    assert box is not None
    whole = Image.open(PICTURES / "dashboard.png")
    whole.crop((0, 56, whole.width, round(box["y"] + box["height"]) + 16)).save(
        PICTURES / "failover.png", optimize=True
    )


def diagram(browser: Browser, folder: Path) -> None:
    """A simulated run, where it has its first fault."""
    plan, file = folder / "run.json", folder / "diagram.html"
    Plan(3, seconds=30, rate=2, faults=FAULTS).write(plan)
    run = ["--replay", str(plan), "--diagram", str(file)]
    subprocess.run([sys.executable, "-m", "barker", "simulate", *run], cwd=ROOT, check=True, timeout=60)
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(file.as_uri())
    page.locator("#events").get_by_text("cut off").first.wait_for()
    page.screenshot(path=PICTURES / "diagram.png")


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            with launched(folder / "page", "--rate", "4") as suite:
                web_page(browser, suite)
            with launched(folder / "dashboard", "--monitoring", "--rate", "40") as suite:
                dashboard(browser, suite)
            diagram(browser, folder)
        finally:
            browser.close()
    print(f"Taken: webui.png, dashboard.png, failover.png and diagram.png in {PICTURES}")


@contextlib.contextmanager
def launched(folder: Path, *arguments: str) -> Iterator[Launched]:
    """A suite at the usual ports, for as long as it is needed."""
    folder.mkdir()
    suite = Launched(folder, "launch.py", *arguments, offset=0)
    try:
        suite.wait_until_ready()
        yield suite
    finally:
        suite.end()


if __name__ == "__main__":
    main()
