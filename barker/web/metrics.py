"""The agents' reports as Prometheus metrics: names with units, one series for each service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from barker.amqp.link import Delivery, Receiver
from barker.amqp.links import Network, PeerHandler, receiver_from
from barker.amqp.message import decode_map
from barker.core.reports import reports_in

STALE_SECONDS = 5.0
"""Reports older than this say nothing about now."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus calls this format."""

_GAUGES = {
    "received_rate": ("received_messages_per_second", "Messages in, over the last ten seconds"),
    "sent_rate": ("sent_messages_per_second", "Messages out, over the last ten seconds"),
    "connections": ("connections", "AMQP connections that stand"),
    "cpu": ("cpu_ratio", "Share of one core over the last second"),
    "memory": ("resident_memory_bytes", "Resident memory"),
    "files": ("open_files", "Open file descriptors"),
    "since": ("start_time_seconds", "When the process started, since 1970"),
    "depth": ("queue_depth_messages", "Messages that are not settled"),
    "depth_peak": ("queue_depth_peak_messages", "The highest queue depth of the last one to two seconds"),
    "in_flight": ("in_flight_messages", "Messages that consumers hold"),
    "dead_letters": ("dead_letters_messages", "Messages that a consumer rejected"),
    "journal_bytes": ("journal_bytes", "Journal on disk"),
    "readers": ("readers", "Readers of timelines, or of the monitor"),
    "timelines": ("timelines", "Timelines that hold something, or are read"),
    "active": ("active", "1 for the bizlogic that works, 0 for one that stands by"),
    "users": ("users", "Users that a bizlogic knows"),
    "latency_p50": ("bark_latency_p50_seconds", "From a bark's creation to the inbox, median of ten seconds"),
    "latency_p99": ("bark_latency_p99_seconds", "The same, 99th percentile"),
}
"""Gauges: a report's key, and the metric's name and meaning."""

_COUNTERS = {
    "received": ("received_messages", "Messages in, since the process started"),
    "sent": ("sent_messages", "Messages out, since the process started"),
    "rejected": ("rejected_messages", "Messages that broke the rules, since the process started"),
    "delivered": ("timeline_deliveries", "Messages put on timelines, since the process started"),
    "repeated": ("repeated_messages", "Messages that came again and were dropped, since the process started"),
    "missed": ("missed_messages", "Messages that readers were too slow for, since the process started"),
}
"""Counters: a report's key, and the metric's name (to which ``_total`` is added) and meaning."""

_LABELS = ("service", "type", "pid")


class _Reports:
    """What prometheus_client collects from: the newest reports."""

    def __init__(self, reports: list[dict[str, Any]]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        for key, (name, meaning) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"barker_{name}", meaning, labels=_LABELS)
            yield from self._filled(gauge, key)
        for key, (name, meaning) in _COUNTERS.items():
            counter = CounterMetricFamily(f"barker_{name}", meaning, labels=_LABELS)
            yield from self._filled(counter, key)
        up = GaugeMetricFamily("barker_up", "1 for every service that reports", labels=_LABELS)
        for report in self._reports:
            up.add_metric(_labels(report), 1)
        yield up

    def _filled(self, family: GaugeMetricFamily | CounterMetricFamily, key: str) -> Iterable[Metric]:
        for report in self._reports:
            if report.get(key) is not None:
                family.add_metric(_labels(report), float(report[key]))
        return [family] if family.samples else []


def _labels(report: dict[str, Any]) -> list[str]:
    return [str(report["name"]), str(report["type"]), str(report["pid"])]


class Reports(PeerHandler[Receiver]):
    """What the monitor told last."""

    def __init__(self, network: Network) -> None:
        self._reports: list[dict[str, Any]] = []
        self._clock, self._at = network.reactor.clock, 0.0
        receiver_from(network, "monitor", self, window=200, settled=True)

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        """One second's reports."""
        _, self._reports = reports_in(decode_map(data)[1])
        self._at = self._clock()
        delivery.accept()

    def newest(self) -> list[dict[str, Any]]:
        """The reports of all services; none when the monitor has told nothing for some seconds."""
        return self._reports if self._clock() - self._at < STALE_SECONDS else []


def exposition(reports: list[dict[str, Any]]) -> bytes:
    """The reports, checked, as text that Prometheus scrapes."""
    registry = CollectorRegistry()
    # Prometheus takes no series twice: of several that call themselves the same, the last is shown.
    registry.register(_Reports(list({tuple(_labels(report)): report for report in reports}.values())))
    return generate_latest(registry)
