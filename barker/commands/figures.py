"""What services report, as lines for a terminal: a column each, as many as there is room for.

A name is never cut: the last columns go first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from barker.commands.output import styled
from barker.core.printable import printable

Report = dict[str, Any]


def _state(report: Report) -> str:
    if "active" not in report:
        return str(report.get("state", "up"))
    return "active" if report["active"] else "standby"


def _name(report: Report) -> str:
    return str(report["name"])


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of every service."""

    title: str
    key: str
    """Where it is in a report."""
    scale: float = 1.0
    digits: int = 0

    def value(self, report: Report) -> Any:
        """What it is, to be compared; None when that is not known."""
        return _state(report) if self.key == "state" else report.get(self.key)

    def shown(self, report: Report) -> str:
        """What it is, in words; empty when that is not known."""
        value = self.value(report)
        if self.key == "pid" and not value:
            return ""  # A broker's queue has none.
        if isinstance(value, int | float) and self.key != "pid":
            return f"{value * self.scale:,.{self.digits}f}"
        return "" if value is None else printable(str(value))


COLUMNS = (
    Column("state", "state"),
    Column("in/s", "received_rate", digits=1),
    Column("out/s", "sent_rate", digits=1),
    Column("depth", "depth"),
    Column("flight", "in_flight"),
    Column("p99 ms", "latency_p99", 1000, 1),
    Column("CPU %", "cpu", 100, 1),
    Column("MB", "memory", 1e-6, 1),
    Column("dead", "dead_letters"),
    Column("p50 ms", "latency_p50", 1000, 1),
    Column("links", "connections"),
    Column("consumers", "consumers"),
    Column("readers", "readers"),
    Column("missed", "missed"),
    Column("pid", "pid"),
    Column("files", "files"),
    Column("disk MB", "journal_bytes", 1e-6, 1),
)
"""In the order in which they are shown; the last is the first to go."""

TITLES = ("service", *(column.title for column in COLUMNS))


@dataclass(frozen=True, slots=True)
class View:
    """Which services are shown, and in which order."""

    sort: str = ""
    """The title of a column; empty: as the monitor has them."""
    reverse: bool = False
    filter: str = ""
    """Only those whose name has this in it."""

    def after(self, key: str, typing: bool) -> tuple[View, bool, bool]:
        """What a key makes of it; whether a filter is being typed then, and whether that was the end."""
        if typing and key in "\n\r":
            return self, False, False
        if key == "\x1b":
            return replace(self, filter=""), False, False
        if typing and key in "\x7f\b":
            return replace(self, filter=self.filter[:-1]), True, False
        if typing:
            return replace(self, filter=self.filter + key if key.isprintable() else self.filter), True, False
        if key == "s":
            return self.sorted_by_next(), False, False
        if key == "r":
            return replace(self, reverse=not self.reverse), False, False
        return self, key == "/", key in "qQ"

    def sorted_by_next(self) -> View:
        """By the next column."""
        titles = ("", *TITLES)
        return replace(self, sort=titles[(titles.index(self.sort) + 1) % len(titles)])

    def of(self, reports: Iterable[Report]) -> list[Report]:
        """Those that are shown, in order; figures from the largest on, and what is not known at the end."""
        chosen = [report for report in reports if self.filter.lower() in _name(report).lower()]
        if not self.sort:
            return list(reversed(chosen)) if self.reverse else chosen
        value = next((column.value for column in COLUMNS if column.title == self.sort), _name)
        known = [report for report in chosen if value(report) is not None]
        words = any(isinstance(value(report), str) for report in known)
        known.sort(key=lambda report: str(value(report)) if words else value(report), reverse=not words)
        if self.reverse:
            known.reverse()
        return known + [report for report in chosen if value(report) is None]


def table(reports: list[Report], width: int) -> list[str]:
    """A heading and a line for each report, of columns that have room in so many characters."""
    names = [TITLES[0], *map(printable, map(_name, reports))]
    columns = [[column.title, *map(column.shown, reports)] for column in COLUMNS]
    widths = [max(map(len, column)) for column in columns]
    name_width = max(map(len, names))
    used = name_width
    count = 0
    for column_width in widths:
        used += 2 + column_width
        if used > width:
            break
        count += 1
    lines = []
    for number, name in enumerate(names):
        cells = [
            f"{column[number]:>{column_width}}"
            for column, column_width in zip(columns[:count], widths, strict=False)
        ]
        lines.append("  ".join([f"{name:<{name_width}}", *cells]).rstrip())
    return [_coloured(line, state) for line, state in zip(lines, [None, *map(_state, reports)], strict=True)]


def heading() -> str:
    """What stands above rows: titles without spaces."""
    return _row(TITLES[0], [column.title.replace(" ", "_") for column in COLUMNS])


def row(report: Report) -> str:
    """A report as a line with all columns, for other programs: what is not known is a dash."""
    return _row(printable(_name(report)), [column.shown(report) or "-" for column in COLUMNS])


def _row(name: str, cells: list[str]) -> str:
    return "  ".join([f"{name:<16}", *(f"{cell:>7}" for cell in cells)])


def _coloured(line: str, state: str | None) -> str:
    if state is None:
        return styled(line, bold=True)
    if state == "silent":
        return styled(line, fg="red")
    return styled(line, dim=True) if state == "standby" else line
