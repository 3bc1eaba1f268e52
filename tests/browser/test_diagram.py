"""The page of a simulated run in Chromium: what is on it, what the pointer tells, and how time is moved."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from barker.core.faults import Fault
from barker.sim.diagram import write_diagram
from barker.sim.plan import Plan
from barker.sim.record import Record
from barker.sim.simulation import simulate
from tests.harness import wait_for

pytestmark = pytest.mark.browser

PLAN = Plan(
    3,
    seconds=8,
    rate=20,
    faults=[
        Fault(2.0, "full", ("outbox-1",), 1.0),
        Fault(2.3, "kill", ("bizlogic-1",), 0.6),
        Fault(4.0, "freeze", ("inbox-1",), 1.0),
    ],
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a disk that is full, and a kill."""
    record = Record()
    outcome = simulate(PLAN, record=record)
    assert outcome.wrong == []
    file = tmp_path_factory.mktemp("diagram") / "run.html"
    write_diagram(file, PLAN, outcome, record)
    return file


@pytest.fixture
def diagram(file: Path, page: Page) -> Page:
    """It, opened from the disk."""
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(file.as_uri())
    return page


def now(page: Page) -> float:
    """The time that the page tells of."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return float((page.locator("#now").text_content() or "").removesuffix(" s"))


ARROW = """([source, target, bark]) => {
    // The first arrow that carries a bark on one hop; zoom so that it is alone, and say where it is.
    const number = run.barks.indexOf(bark);
    const arrow = [...run.arrows.sent.keys()].find((each) =>
        run.lanes[run.arrows.from[each]].startsWith(source)
        && run.lanes[run.arrows.to[each]].startsWith(target)
        && run.arrows.kind[each] === "transfer" && run.arrows.barks[each].includes(number));
    fit(arrows.sent[arrow], arrows.end[arrow]);
    redraw();
    const box = canvas.getBoundingClientRect(), [x1, y1, x2, y2] = lineOf(arrow);
    return [box.left + (x1 + x2) / 2, box.top + (y1 + y2) / 2];
}"""


def find(page: Page, *hop: str) -> tuple[float, float]:
    """Where a bark's arrow from one process to another is."""
    x, y = page.evaluate(ARROW, hop)
    return x, y


def shown(page: Page) -> list[dict[str, Any]]:
    """The arrows that are shown."""
    return page.evaluate(
        """() => shown.arrows.map((arrow) => ({
            from: run.lanes[run.arrows.from[arrow]], to: run.lanes[run.arrows.to[arrow]],
            kind: run.arrows.kind[arrow], barks: run.arrows.barks[arrow].map((bark) => run.barks[bark])}))"""
    )


def test_lanes_are_named_and_it_opens_at_the_first_fault(diagram: Page) -> None:
    names = [
        "directory-1",
        "clients",
        *(f"outbox-{n}" for n in (1, 2, 3)),
        "bizlogic-1",
        "bizlogic-2",
        "inbox-1",
    ]
    expect(diagram.locator("#lanes span")).to_have_text(names)
    expect(diagram.locator("h1")).to_have_text(next(PLAN.told()))
    expect(diagram.locator("#events .current")).to_contain_text("outbox-1: disk full")
    assert 2.0 <= now(diagram) < 2.5
    assert diagram.evaluate("yOf(view.cursor) > 0 && yOf(view.cursor) < view.height")
    drawn = "new Set(pen.getImageData(0, 0, canvas.width, canvas.height).data).size > 20"
    assert diagram.evaluate(drawn), "an empty canvas"


def test_heartbeats_and_flows_are_hidden_until_they_are_asked_for(diagram: Page) -> None:
    kinds = {arrow["kind"] for arrow in shown(diagram)}
    assert {"transfer", "disposition", "attach"} <= kinds
    assert not kinds & {"heartbeat", "flow", "open", "header"}
    diagram.get_by_label("heartbeats").check()
    assert "heartbeat" in {arrow["kind"] for arrow in shown(diagram)}
    diagram.get_by_label("settlements").uncheck()
    assert not any(arrow["kind"] == "disposition" and arrow["barks"] for arrow in shown(diagram))


def test_the_pointer_on_an_arrow_shows_its_frame(diagram: Page) -> None:
    diagram.mouse.move(*find(diagram, "bizlogic", "inbox", "author3:1"))
    tip = diagram.locator("#tip")
    expect(tip).to_contain_text(re.compile(r"bizlogic-\d → inbox-1: transfer \d+ to inbox: .*author3:1"))
    expect(tip).to_contain_text(re.compile(r"author3:1 for .*reader\d"))
    expect(tip).to_contain_text(re.compile(r"sent \d\.\d{6} s; came .* later, .*read"))
    diagram.mouse.move(400, 20)
    expect(tip).to_be_hidden()


def test_a_click_on_a_bark_shows_its_way_alone(diagram: Page) -> None:
    before = len(shown(diagram))
    diagram.mouse.click(*find(diagram, "clients", "outbox", "author3:2"))
    diagram.locator("#here button", has_text="author3:2").first.click()
    expect(diagram.locator("#events h2")).to_have_text("The way of author3:2")
    way = shown(diagram)
    assert all("author3:2" in arrow["barks"] for arrow in way)
    hops = [(arrow["kind"], arrow["from"].split("-")[0], arrow["to"].split("-")[0]) for arrow in way]
    stations = ("clients", "outbox", "bizlogic", "inbox")
    for source, target in itertools.pairwise(stations):
        assert ("transfer", source, target) in hops
        assert ("disposition", target, source) in hops
    assert ("transfer", "inbox", "clients") in hops
    # Accepted after the commit, and forgotten after all.
    told = diagram.locator("#events li").all_text_contents()
    first = next(n for n, text in enumerate(told) if "commit (insert author3:2" in text)
    assert first < next(n for n, text in enumerate(told) if "clients: accepted" in text)
    assert first < next(n for n, text in enumerate(told) if "commit (delete author3:2" in text)
    diagram.get_by_role("button", name="show all").click()
    assert len(shown(diagram)) == before
    expect(diagram.locator("#events h2")).to_have_text("Faults")


def test_a_bark_is_found_by_its_name(diagram: Page) -> None:
    diagram.fill("#bark", "author3:2")
    diagram.press("#bark", "Enter")
    expect(diagram.locator("#events h2")).to_have_text("The way of author3:2")
    diagram.fill("#bark", "nobody:1")
    diagram.press("#bark", "Enter")
    assert diagram.evaluate("document.getElementById('bark').validationMessage").startswith(
        "There is no such"
    )


def test_steps_go_from_event_to_event_and_back(diagram: Page) -> None:
    begin = now(diagram)
    diagram.locator("#canvas").focus()
    times = [begin]
    for _ in range(5):
        diagram.keyboard.press("ArrowRight")
        times.append(now(diagram))
        expect(diagram.locator("#here .told").first).to_be_visible()
    assert times == sorted(set(times))
    for time in reversed(times[:-1]):
        diagram.keyboard.press("ArrowLeft")
        assert now(diagram) == time
    diagram.get_by_role("button", name="step").click()
    assert now(diagram) == times[1]


def test_playing_moves_time_as_fast_as_it_is_told_to(diagram: Page) -> None:
    begin = now(diagram)
    diagram.select_option("#speed", "0.001")
    diagram.locator("#canvas").focus()
    diagram.keyboard.press("Space")
    wait_for(lambda: diagram.evaluate("view.cursor") > begin + 0.0002, "time goes on")
    assert now(diagram) < begin + 0.05
    wait_for(lambda: "came" in diagram.locator("#here .told").last.inner_text(), "what passes is told")
    diagram.keyboard.press("Space")
    paused = now(diagram)
    assert now(diagram) == paused
    expect(diagram.locator("#play")).to_contain_text("play")
    diagram.select_option("#speed", "100")
    diagram.locator("#play").click()
    wait_for(lambda: diagram.evaluate("view.cursor === run.seconds"), "the end")
    expect(diagram.locator("#play")).to_contain_text("play")


def test_zooming_goes_from_the_whole_run_to_microseconds(diagram: Page) -> None:
    canvas = diagram.locator("#canvas")
    canvas.focus()
    for key, wanted in (("-", r"\d+\.\d\d s in view"), ("+", r"\d+ µs in view")):
        for _ in range(30):
            diagram.keyboard.press(key)
        expect(diagram.locator("#span")).to_have_text(re.compile(wanted))
    scale = diagram.evaluate("view.scale")
    canvas.hover()
    diagram.keyboard.down("Control")
    diagram.mouse.wheel(0, 300)
    diagram.keyboard.up("Control")
    wait_for(lambda: diagram.evaluate("view.scale") < scale, "less detail")
    top = diagram.evaluate("view.top")
    diagram.mouse.wheel(0, 300)
    wait_for(lambda: diagram.evaluate("view.top") > top, "further down")


def test_pauses_can_be_skipped(diagram: Page) -> None:
    place = "placeOf(run.seconds)"
    whole = diagram.evaluate(place)
    diagram.get_by_label("skip pauses").check()
    assert diagram.evaluate(place) < whole / 2
    assert diagram.evaluate("Math.abs(timeAt(placeOf(2.3456)) - 2.3456)") < 1e-9
    diagram.get_by_label("skip pauses").uncheck()
    assert diagram.evaluate(place) == whole


def changed(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """The page with another run in it."""
    before, _, rest = file.read_text(encoding="utf-8").partition('id="run">')
    run, _, after = rest.partition("</script>")
    other = file.with_name(f"{change.__name__}.html")
    other.write_text(
        f'{before}id="run">{json.dumps(change(json.loads(run)))}</script>{after}', encoding="utf-8"
    )
    return other


def broken(run: dict[str, Any]) -> dict[str, Any]:
    """A run that has broken promises, as the ledger words them."""
    lost = "(author3, 2), accepted by 127.0.0.1:5800, is not on the timeline of reader1"
    return {**run, "wrong": [lost, "('author4', 1) is 2 times on the timeline of reader2", "not over"]}


def test_a_bark_that_something_is_wrong_with_is_a_click_away(file: Path, page: Page) -> None:
    page.goto(changed(file, broken).as_uri())
    expect(page.locator("#wrong li")).to_have_count(3)
    expect(page.locator("#wrong button")).to_have_text(["author3:2", "author4:1"])
    page.locator("#wrong button").first.click()
    expect(page.locator("#events h2")).to_have_text("The way of author3:2")


def many(run: dict[str, Any]) -> dict[str, Any]:
    """A run of 100,000 arrows: one again and again."""
    columns, copies = run["arrows"], 100_000 // len(run["arrows"]["sent"]) + 1

    def moved(name: str, value: Any, copy: int) -> Any:
        is_time = name in ("sent", "came", "read") and value is not None
        return value + copy * run["seconds"] if is_time else value

    arrows = {
        name: [moved(name, value, copy) for copy in range(copies) for value in column]
        for name, column in columns.items()
    }
    return {**run, "arrows": arrows, "seconds": run["seconds"] * copies}


def test_of_a_hundred_thousand_arrows_those_in_sight_are_drawn(file: Path, page: Page) -> None:
    page.goto(changed(file, many).as_uri())
    assert page.evaluate("arrows.count") >= 100_000
    for box in ("heartbeats", "flows", "handshakes"):
        page.get_by_label(box).check()
    drawn = """(scale) => {
        let lines = 0;
        const lineTo = CanvasRenderingContext2D.prototype.lineTo;
        CanvasRenderingContext2D.prototype.lineTo = function (...at) { lines++; lineTo.apply(this, at); };
        view.scale = scale;
        scrollTo(view.top + 10 / view.scale);
        draw();
        CanvasRenderingContext2D.prototype.lineTo = lineTo;
        return lines;
    }"""
    assert 0 < page.evaluate(drawn, 300) < 5_000, "only what is in sight is drawn"
