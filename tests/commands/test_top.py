"""`barker top` on a real terminal, and where there is none."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from barker.amqp.message import encode_map
from barker.commands.figures import COLUMNS, TITLES, View, table
from tests.commands.fake import Fake, listening
from tests.commands.screen import Screen


def report(name: str, port: int, **figures: Any) -> dict[str, Any]:
    return {"name": name, "type": "service", "pid": port, "host": "127.0.0.1", "port": port} | figures


REPORTS = [
    report("directory-5672", 5672, connections=9, cpu=0.01, memory=3e7, files=12),
    report("a-manifold-with-a-long-name-5800", 5800, depth=1234, in_flight=5, received_rate=10.0),
    report("outbox-5801", 5801, depth=7, received_rate=200.0),
    report("bizlogic-5680", 5680, active=True, latency_p99=0.0123),
    report("bizlogic-5681", 5681, active=False),
]


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    said = encode_map("reports", {"time": time.time() + 3600, "reports": REPORTS})
    with listening(Fake({"monitor": [said]})) as fake:
        yield fake


@pytest.fixture
def top(fake: Fake) -> Iterator[Callable[..., Screen]]:
    screens: list[Screen] = []

    def start(*arguments: str, **options: Any) -> Screen:
        command = [sys.executable, "-m", "barker", "top", *arguments, "--directory", fake.place]
        screens.append(Screen(command, **options))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def test_names_are_never_cut_and_columns_go_first() -> None:
    before = len(COLUMNS) + 1
    for width in range(200, 40, -1):
        lines = [re.sub("\x1b.*?m", "", line) for line in table(REPORTS, width)]
        assert all(len(line) <= width for line in lines)
        assert [line.split()[0] for line in lines[1:]] == [report["name"] for report in REPORTS]
        shown = sum(f"  {title}" in lines[0] for title in TITLES[1:])
        assert shown <= before
        assert width < 198 or shown == len(COLUMNS)
        before = shown
    assert before >= 1


@pytest.mark.parametrize(
    ("view", "order"),
    [
        (View(), [5672, 5800, 5801, 5680, 5681]),
        (View(reverse=True), [5681, 5680, 5801, 5800, 5672]),
        (View("depth"), [5800, 5801, 5672, 5680, 5681]),
        (View("depth", reverse=True), [5801, 5800, 5672, 5680, 5681]),
        (View("service"), [5800, 5680, 5681, 5672, 5801]),
        (View("state"), [5680, 5681, 5672, 5800, 5801]),
        (View(filter="BIZ"), [5680, 5681]),
    ],
)
def test_sorted_and_filtered(view: View, order: list[int]) -> None:
    assert [report["port"] for report in view.of(REPORTS)] == order


def test_a_brokers_queue_has_consumers_and_no_process() -> None:
    queue = {**report("barker-outbox", 9, type="queue", depth=5, consumers=2), "pid": 0}
    title, line = table([queue], 200)
    assert "consumers" in title
    assert line.split() == ["barker-outbox", "up", "5", "2"]


def test_on_a_terminal_keys_sort_filter_and_quit(top: Callable[..., Screen]) -> None:
    screen = top()
    lines = screen.wait_for("outbox-5801")
    assert "a-manifold-with-a-long-name-5800" in "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "\x1b[1m" in screen.output
    screen.press("ssssr")  # service, state, in/s, out/s; reversed
    screen.wait_for("by out/s")
    screen.press("/outb")
    lines = screen.wait_for("/outb")
    assert [line for line in lines if "-58" in line or "-56" in line] == [
        line for line in lines if line.startswith("outbox-5801")
    ]
    screen.press("\x7f\x7f\x7f\x7foutq")  # While it is typed, q is a letter.
    screen.wait_for("/outq")
    screen.press("\x1b")
    screen.wait_for("bizlogic-5681")
    screen.press("q")
    screen.wait(0)
    assert screen.output.endswith("\x1b[?25h\x1b[?1049l")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_screen_is_given_back_when_it_is_interrupted(
    top: Callable[..., Screen], number: signal.Signals
) -> None:
    screen = top(NO_COLOR="1")
    screen.wait_for("outbox-5801")
    assert "\x1b[1m" not in screen.output
    assert not re.search(r"\x1b\[\d*m", screen.output)
    screen.process.send_signal(number)
    screen.wait(0)


def test_who_finds_no_monitor_says_so_on_the_screen(top: Callable[..., Screen]) -> None:
    with listening(Fake()) as nobody:
        screen = Screen([sys.executable, "-m", "barker", "top", "--directory", nobody.place])
        try:
            screen.wait_for("nobody serves monitor now ('barker monitor', in another terminal, starts one)")
            screen.press("q")
            screen.wait(0)
        finally:
            screen.close()


def test_a_dumb_terminal_has_plain_rows(top: Callable[..., Screen]) -> None:
    screen = top("--sort", "depth", TERM="dumb")
    screen.wait_for("directory-5672")
    assert "\x1b" not in screen.output
    screen.process.send_signal(signal.SIGINT)
    screen.wait(0)


def test_what_is_piped_is_a_row_for_each_service(fake: Fake) -> None:
    done = fake.run("top", "--once", "--filter", "outbox")
    heading, row = (line.split() for line in done.stdout.splitlines())
    assert len(heading) == len(row) == len(COLUMNS) + 2
    assert row[1:6] == ["outbox-5801", "up", "200.0", "-", "7"]
    assert "\x1b" not in done.stdout


def test_json(fake: Fake) -> None:
    done = fake.run("top", "--once", "--json", env={**os.environ, "COLUMNS": "20"})
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["name"] for each in said] == [report["name"] for report in REPORTS]
    assert said[2]["received_rate"] == 200.0
    assert said[2]["time"] > 1.7e9


def test_who_reports_no_more_is_silent_which_may_be_dead_or_frozen(top: Callable[..., Screen]) -> None:
    now = time.time() + 3600
    said = [{"time": now, "reports": REPORTS}, {"time": now + 1, "reports": REPORTS[:2]}]
    with listening(Fake({"monitor": [encode_map("reports", each) for each in said]})) as fake:
        screen = Screen([sys.executable, "-m", "barker", "top", "--directory", fake.place])
        try:
            lines = screen.wait_for("silent")
            screen.press("q")
            screen.wait(0)
        finally:
            screen.close()
    states = dict(line.split()[:2] for line in lines if re.match(r"\S+-\d+ ", line))
    assert states == {
        "directory-5672": "up",
        "a-manifold-with-a-long-name-5800": "up",
        "outbox-5801": "silent",
        "bizlogic-5680": "silent",
        "bizlogic-5681": "silent",
    }
