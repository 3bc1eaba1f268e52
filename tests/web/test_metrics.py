"""The Prometheus page."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from barker.amqp.link import Delivery, Receiver
from barker.amqp.message import encode_map
from barker.core.errors import InvalidField
from barker.core.reports import NUMBERS, reports_in
from barker.web.metrics import _COUNTERS, _GAUGES, Reports, exposition
from tests.amqp.memory import MemoryReactor

PLACE = {"host": "127.0.0.1", "port": 1}

OUTBOX = {
    "name": "outbox-5800",
    "type": "manifold",
    "pid": 7,
    "since": 1.5e9,
    "received": 12,
    "sent": 10,
    "received_rate": 1.25,
    "depth": 2,
    "cpu": 0.5,
    "memory": 30_000_000,
}
STANDBY = {
    "name": "bizlogic-5681",
    "type": "bizlogic",
    "pid": 8,
    "active": False,
    "latency_p50": None,
    "received": 0,
}


def samples(reports: list[dict[str, object]]) -> dict[tuple[str, str], float]:
    text = exposition(reports).decode()
    return {
        (sample.name, sample.labels["service"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_figure_has_a_name_with_its_unit() -> None:
    found = samples([OUTBOX, STANDBY])
    assert found["barker_queue_depth_messages", "outbox-5800"] == 2
    assert found["barker_resident_memory_bytes", "outbox-5800"] == 30_000_000
    assert found["barker_received_messages_total", "outbox-5800"] == 12
    assert found["barker_received_messages_per_second", "outbox-5800"] == 1.25
    assert found["barker_start_time_seconds", "outbox-5800"] == 1.5e9
    assert found["barker_active", "bizlogic-5681"] == 0
    assert found["barker_up", "bizlogic-5681"] == 1


def test_what_a_service_does_not_have_is_left_out() -> None:
    found = samples([OUTBOX, STANDBY])
    assert ("barker_queue_depth_messages", "bizlogic-5681") not in found
    assert ("barker_bark_latency_p50_seconds", "bizlogic-5681") not in found


def test_types_are_told() -> None:
    text = exposition([OUTBOX]).decode()
    assert "# TYPE barker_received_messages_total counter" in text
    assert "# TYPE barker_queue_depth_messages gauge" in text


def test_without_reports_the_page_is_still_valid() -> None:
    assert samples([]) == {}


def test_two_that_call_themselves_the_same_are_one_series() -> None:
    text = exposition([OUTBOX, OUTBOX | {"depth": 3}]).decode()
    assert text.count("barker_queue_depth_messages{") == 1
    assert samples([OUTBOX, OUTBOX | {"depth": 3}])["barker_queue_depth_messages", "outbox-5800"] == 3


def test_every_figure_is_a_number_by_the_rules_of_reports() -> None:
    assert {*_GAUGES, *_COUNTERS} - {"active"} <= NUMBERS


@given(
    changes=st.dictionaries(
        st.sampled_from([*_GAUGES, *_COUNTERS, "name", "type", "pid"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.none()),
        max_size=4,
    )
)
def test_whatever_passes_the_check_is_shown(changes: dict[str, Any]) -> None:
    _, reports = reports_in({"time": 1, "reports": [OUTBOX | PLACE | changes, STANDBY | PLACE]})
    found = samples(reports)
    assert found["barker_up", "bizlogic-5681"] == 1
    assert len([name for name, _ in found if name == "barker_up"]) == len(reports)


class Told(Receiver):
    """Stands for a link that nothing is asked of."""

    def __init__(self) -> None:
        self.live = True


class Settled(Delivery):
    """A delivery that was settled when it was sent."""

    def __init__(self) -> None:
        super().__init__(Told(), None)


def test_a_monitor_that_says_nonsense_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.web.metrics.receiver_from", lambda *args, **options: None)
    told = Reports(MemoryReactor().network)
    told.on_message(Told(), Settled(), encode_map("reports", {"time": 1, "reports": [OUTBOX | PLACE]}))
    for nonsense in (None, 5, {"reports": []}, {"time": "x", "reports": []}, {"time": 1, "reports": 5}):
        with pytest.raises(InvalidField):
            told.on_message(Told(), Settled(), encode_map("reports", nonsense))
        assert [report["name"] for report in told.newest()] == ["outbox-5800"]
    mixed = {"time": 1, "reports": [5, {"name": 5}, STANDBY | PLACE]}
    told.on_message(Told(), Settled(), encode_map("reports", mixed))
    assert [report["name"] for report in told.newest()] == ["bizlogic-5681"]
