"""The README's pictures, taken from a running suite: ``make screenshots``.

A bizlogic is killed on the way, so that the dashboard has something to show.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from barker.commands.session import read_session
from benchmarks.dashboard import ARGUMENTS, chromium
from tests.harness import ROOT, Launched, wait_for

PICTURES = ROOT / "docs"

BARK = "Good evening, @rex1! Who has seen my ball?"


def open_page(browser: Browser, suite: Launched, file: str, width: int, height: int, **search: str) -> Page:
    """One of the pages, from the disk."""
    page = browser.new_page(viewport={"width": width, "height": height})
    search["gateway"] = f"127.0.0.1:{5673 + suite.offset}"
    # As the launcher tells pages on the disk, when it is not told to leave the user's own session alone.
    session = json.dumps({"gateway": search["gateway"], "token": read_session(suite.session).token})
    page.add_init_script(f"Object.defineProperty(window, 'BARKER_SESSION', {{value: {session}}})")
    page.goto(f"{(ROOT / file).as_uri()}?{urlencode(search)}")
    return page


def web_page(browser: Browser, suite: Launched) -> None:
    """A timeline, with a bark of one's own."""
    page = open_page(browser, suite, "webui/index.html", 760, 720, user="ark3")
    wait_for(lambda: page.locator("#barks .bark").count() > 8, "barks come", 60)
    page.fill("#text", BARK)
    page.press("#text", "Enter")
    page.locator("#barks .mine").first.wait_for()
    page.locator("#barks .bark").nth(10).wait_for()
    page.screenshot(path=PICTURES / "webui.png", animations="disabled")


def dashboard(browser: Browser, suite: Launched) -> None:
    """The suite shortly after the working bizlogic was killed, with most of a minute behind it."""
    page = open_page(browser, suite, "monitoring/index.html", 1400, 900)
    page.check("#span [value='60']", force=True)
    length = f"dashboard.plotted().rates['inbox-{5820 + suite.offset}']?.length ?? 0"
    wait_for(lambda: page.evaluate(length) > 40, "forty seconds are drawn", 90)
    page.click(f"#suite [data-name='bizlogic-{5680 + suite.offset}'] [data-verb='kill']")
    killed = page.evaluate(length)
    wait_for(lambda: page.evaluate(length) > killed + 12, "twelve seconds more are drawn", 60)
    page.mouse.move(0, 0)
    page.screenshot(path=PICTURES / "dashboard.png", full_page=True)


def diagram(browser: Browser, folder: Path) -> None:
    """A simulated run, where it has its first fault."""
    file = folder / "diagram.html"
    run = ["--seed", "3", "--minutes", "0.5", "--faults", "20", "--diagram", str(file)]
    subprocess.run([sys.executable, "-m", "barker", "simulate", *run], cwd=ROOT, check=True, timeout=60)
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(file.as_uri())
    page.locator("#events").get_by_text("cut off").first.wait_for()
    page.screenshot(path=PICTURES / "diagram.png")


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        arguments = ("--monitoring", "--autobarks", "5", "--rate", "4")
        suite = Launched(Path(folder), "launch.py", *arguments)
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            suite.wait_until_ready()
            web_page(browser, suite)
            dashboard(browser, suite)
            diagram(browser, Path(folder))
        finally:
            browser.close()
            suite.end()
    print(f"Taken: webui.png, dashboard.png and diagram.png in {PICTURES}")


if __name__ == "__main__":
    main()
