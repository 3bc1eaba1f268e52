"""The Prometheus page."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from barker.metrics import exposition

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
