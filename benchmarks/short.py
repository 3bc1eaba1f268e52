"""The short form of each benchmark that needs no browser, as ``barker bench`` runs it: it tells roughly."""

from __future__ import annotations

SHORT: dict[str, tuple[str, ...]] = {
    "startup": ("--runs", "1", "--seconds", "1"),
    "latency": ("--rate", "1000", "--seconds", "3", "--runs", "1"),
    "fanout": ("--seconds", "5", "--runs", "1"),
    "hop": ("--seconds", "1", "--runs", "1"),
    "readers": ("--readers", "1000", "--stalled", "200", "--messages", "100", "--runs", "1"),
    "celebrity": ("--followers", "100000", "--runs", "3"),
    "failover": ("--kills", "10", "--freezes", "1"),
    "sync": ("--seconds", "0.5", "--runs", "1"),
    "reporting": ("--seconds", "3", "--runs", "1"),
    "scale": ("--only", "outboxes: 1", "--only", "inboxes: 2", "--seconds", "2", "--runs", "1"),
    "overload": ("--barks", "50000"),
}
"""The options of each, in place of the defaults that figures are measured with."""
