"""What `barker chaos` says at the end: how often what was broken, and what became of the barks."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from barker.core.ledger import Verdict


def show_tables(console: Console, figures: dict[str, Any]) -> None:
    """The figures of a run."""
    faults = Table("fault", "times", "longest gap in delivery, s", title=f"{figures['faults']} faults")
    shared: dict[tuple[str, ...], float] = {}
    for label, of in figures["by_fault"].items():
        alone, longer, suspects = of["gap"].values()
        faults.add_row(label, str(of["count"]), _gap(alone, longer))
        if longer > (alone or 0.0):
            shared[suspects] = longer
    console.print(faults)
    if shared:
        several = Table("gap, s", "by one of these, which overlapped, or several")
        for suspects, seconds in sorted(shared.items(), key=lambda found: -found[1]):
            several.add_row(f"{seconds:.2f}", ", ".join(suspects))
        console.print(several)
    result = Table("accepted", "due on timelines", "delivered", "lost", "twice", "out of order", "strange")
    keys = ("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange")
    result.add_row(*(f"{figures[key]:,}" for key in keys))
    console.print(result)


def _gap(alone: float | None, shared: float) -> str:
    """The longest gap of a kind of fault, as far as it is known."""
    if alone is None:
        return f"unknown; {shared:.2f} at most" if shared else "unknown"
    return f"{alone:.2f}, or {shared:.2f}" if shared > alone else f"{alone:.2f}"


def gone_wrong(verdict: Verdict) -> str:
    """Which promises were not kept, in lines."""
    return "\n".join(["The promises were NOT kept:", *(f"  {example}" for example in verdict.examples)])
