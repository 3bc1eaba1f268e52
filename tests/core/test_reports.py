"""What an agent or a monitor may say, and what becomes of the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.errors import InvalidField
from barker.core.reports import (
    MOST_FIELDS,
    MOST_NAME,
    MOST_NUMBER,
    MOST_QUEUES,
    MOST_TEXT,
    NUMBERS,
    TEXTS,
    QueueReport,
    checked,
    place,
    queue_reports,
    queues_in,
    reports_in,
)

AGENT = "agents/10.0.0.1-5800"


def fields(**changes: Any) -> dict[str, Any]:
    """A report that breaks no rule, with changes."""
    sound = {
        "name": "outbox-5800",
        "type": "manifold",
        "host": "10.0.0.1",
        "port": 5800,
        "pid": 7,
        "depth": 2,
    }
    return sound | changes


@pytest.mark.parametrize(
    ("address", "found"),
    [
        pytest.param("agents/127.0.0.1-5680", ("127.0.0.1", 5680), id="IPv4"),
        pytest.param("agents/::1-5680", ("::1", 5680), id="IPv6"),
        pytest.param("agents/my-host-1", ("my-host", 1), id="a host with dashes"),
        pytest.param("agents/h-65535", ("h", 65535), id="the last port"),
        pytest.param("agents/h-65536", None, id="above the last port"),
        pytest.param("agents/h-0", None, id="port 0"),
        pytest.param("agents/h-05680", None, id="another agent's port, in other words"),
        pytest.param("agents/h-\u0665", None, id="a digit that is not ASCII"),
        pytest.param("agents/-5680", None, id="no host"),
        pytest.param("agents/h", None, id="no port"),
        pytest.param("agents/h\n-1", None, id="a newline"),
        pytest.param("agents/" + "h" * 256 + "-1", None, id="a host too long"),
        pytest.param("inbox/h-5680", None, id="no agent"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_who_an_agent_is(address: str, found: tuple[str, int] | None) -> None:
    assert place(address) == found


def test_a_sound_report_is_what_it_was() -> None:
    report = fields(active=True, latency_p50=None, cpu=0.25, consumer="10.0.0.2:5680", mode="push")
    assert checked(report, AGENT) == report


def test_who_reports_is_known_by_the_address_alone() -> None:
    report = checked(fields(host="10.9.9.9", port=1), AGENT)
    assert (report["host"], report["port"]) == ("10.0.0.1", 5800)
    assert checked(fields(host=None, port="x"), AGENT) == fields()


@pytest.mark.parametrize(
    ("report", "named"),
    [
        pytest.param(None, "a map", id="nothing"),
        pytest.param([fields()], "a map", id="a list"),
        pytest.param({str(n): n for n in range(MOST_FIELDS + 1)}, "100 fields", id="too many fields"),
        pytest.param({}, "name", id="an empty map"),
        pytest.param(fields(name=5), "name must be .* it is 5", id="name a number"),
        pytest.param(fields(name=""), "name", id="no name"),
        pytest.param(fields(name="x" * (MOST_NAME + 1)), "name", id="name too long"),
        pytest.param(fields(name="\x1b[2J"), "name", id="name with an escape sequence"),
        pytest.param(fields(name=b"outbox"), "name", id="name in bytes"),
        pytest.param(fields(type=["manifold"]), "type", id="type a list"),
        pytest.param(fields(type=None), "type", id="type null"),
        pytest.param(fields(pid="7"), "pid", id="pid a text"),
        pytest.param(fields(pid=None), "pid", id="no pid"),
        pytest.param(fields(pid=True), "pid", id="pid a bool"),
        pytest.param(fields(pid=7.5), "pid", id="pid a fraction"),
        pytest.param(fields(depth="many"), "depth must be a finite number.* 'many'", id="depth a text"),
        pytest.param(fields(depth=True), "depth", id="depth a bool"),
        pytest.param(fields(depth=math.nan), "depth", id="depth not a number"),
        pytest.param(fields(memory=math.inf), "memory", id="memory infinite"),
        pytest.param(fields(sent=MOST_NUMBER + 1), "sent", id="sent too large"),
        pytest.param(fields(since={}), "since", id="since a map"),
        pytest.param(fields(active=1), "active", id="active a number"),
        pytest.param(fields(mode=3), "mode", id="mode a number"),
        pytest.param(fields(inbox=None), "inbox", id="inbox null"),
    ],
)
def test_what_is_wrong_is_named(report: object, named: str) -> None:
    with pytest.raises(InvalidField, match=named) as caught:
        checked(report, AGENT)
    assert len(caught.value.description) < 300


def test_an_address_that_is_no_agents_is_no_report() -> None:
    with pytest.raises(InvalidField, match="agents/HOST-PORT"):
        checked(fields(), "outbox")


def test_of_unknown_fields_scalars_are_kept() -> None:
    report = fields(
        tail="wags", legs=4, share=0.5, good=True, none=None, toys=["ball"], home={}, huge=2**60, raw=b"x"
    )
    known = fields(tail="wags", legs=4, share=0.5, good=True, none=None)
    assert checked(report | {7: 7, "x" * 200: 1, "\n": 1}, AGENT) == known


def test_texts_are_cut_and_can_be_sent_on() -> None:
    report = checked(fields(command="x" * 5_000, note="\ud800"), AGENT)
    assert report["command"] == "x" * MOST_TEXT
    assert report["note"] == "?"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"time": 1.0},
        {"time": 1.0, "reports": {}},
        {"time": "noon", "reports": []},
        {"time": math.nan, "reports": []},
        {"time": -1, "reports": []},
        {"time": 1e300, "reports": []},
    ],
)
def test_what_no_monitor_says(body: object) -> None:
    with pytest.raises(InvalidField, match="a monitor tells"):
        reports_in(body)


def test_of_a_monitors_message_what_is_no_report_is_left_out() -> None:
    listed = [fields(), 5, None, {}, fields(name=5), fields(host=None), fields(port="x"), fields(name="b")]
    assert reports_in({"time": 7, "reports": listed}) == (7.0, [fields(), fields(name="b")])


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | SCALARS, inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({"name", "type", "pid", "host", "port", "active"} | NUMBERS | TEXTS)) | SCALARS


@given(changes=st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_whatever_it_says_it_is_a_report_or_refused(changes: dict[Any, Any]) -> None:
    try:
        report = checked(fields() | changes, AGENT)
    except InvalidField:
        return
    assert (report["host"], report["port"]) == ("10.0.0.1", 5800)
    assert {type(report["name"]), type(report["type"]), type(report["pid"])} == {str, int}
    for key, value in report.items():
        assert type(key) is str
        assert value is None or type(value) in (bool, str, int, float)
        if type(value) in (int, float):
            assert abs(value) <= MOST_NUMBER
        if type(value) is str:
            assert len(value.encode()) <= 4 * MOST_TEXT
        if key in NUMBERS:
            assert value is None or type(value) in (int, float)
    assert checked(report, AGENT) == report, "what is checked is sound"


@given(body=ANYTHING | st.fixed_dictionaries({"time": ANYTHING, "reports": st.lists(ANYTHING, max_size=4)}))
def test_whatever_a_monitor_says_is_read_or_refused(body: object) -> None:
    try:
        time, reports = reports_in(body)
    except InvalidField:
        return
    assert time >= 0
    assert all(isinstance(report, dict) for report in reports)


def test_queues_are_told_and_of_too_many_those_that_hold_most() -> None:
    few = [QueueReport("orders/us", 2, 1, 1, 0, "127.0.0.1:5680"), QueueReport("orders/eu", 0, 0, 0, 3)]
    assert queues_in(queue_reports(few)) == (sorted(few), 0)
    many = [QueueReport(f"orders/{number:04}", number) for number in range(MOST_QUEUES + 5)]
    told, others = queues_in(queue_reports(many))
    assert (told, others) == (many[5:], 5)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"queues": []},
        {"queues": {}, "others": 0},
        {"queues": [], "others": -1},
        {"queues": [5], "others": 0},
        {"queues": [{"depth": 1}], "others": 0},
        {"queues": [{"address": 5}], "others": 0},
        {"queues": [{"address": "a", "depth": "many"}], "others": 0},
        {"queues": [{"address": "a", "depth": 2**60}], "others": 0},
        {"queues": [{"address": "a", "colour": "red"}], "others": 0},
        {"queues": [{"address": "a", "consumer": 5}], "others": 0},
    ],
)
def test_what_tells_of_no_queues_is_refused(body: object) -> None:
    with pytest.raises(InvalidField):
        queues_in(body)
