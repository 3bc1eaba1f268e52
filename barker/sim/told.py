"""What `barker simulate` says on a terminal: the figures of all runs, and what is wrong with one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from barker.sim.diagram import write_diagram
from barker.sim.plan import Plan
from barker.sim.record import Record
from barker.sim.shrink import shrink
from barker.sim.simulation import Outcome, fails_like, simulate


def show_all(console: Console, all_figures: list[dict[str, Any]], real: float) -> None:
    """The figures of all runs together, which took `real` seconds."""
    by_fault = sum((Counter(figures["by_fault"]) for figures in all_figures), Counter[str]())
    faults = Table("fault", "times", title=f"{by_fault.total()} faults")
    for kind, count in sorted(by_fault.items()):
        faults.add_row(kind, f"{count:,}")
    console.print(faults)
    virtual = sum(figures["virtual_seconds"] for figures in all_figures)
    result = Table("what", "how much")
    result.add_row("virtual hours", f"{virtual / 3600:.2f}")
    result.add_row("times real time", f"{virtual / real:.0f}")
    names = ("accepted", "due", "delivered", "lost", "twice", "out_of_order", "strange", "excused", "others")
    counts: Counter[str] = Counter()
    for figures in all_figures:
        counts.update({name: figures[name] for name in names} | figures["besides"])
    for name, count in counts.items():
        result.add_row(name.replace("_", " "), f"{count:,}")
    console.print(result)


def tell_what_is_wrong(console: Console, plan: Plan, outcome: Outcome, smaller: bool, diagram: bool) -> None:
    """Say what is wrong with a run; with `smaller`, also what is left when it is made small (and drawn)."""
    console.print(f"seed {plan.seed}:", *outcome.wrong, sep="\n  ")
    if smaller:
        console.print("Making it smaller …")
        plan = shrink(plan, fails_like(outcome))
        file = Path(f"simulated-{plan.seed}.json")
        plan.write(file)
        record = Record()
        outcome = simulate(plan, record=record)
        console.print(*plan.told(), *outcome.wrong, sep="\n  ")
        console.print(f"Again: barker simulate --replay {file}")
        if diagram:
            write_diagram(file.with_suffix(".html"), plan, outcome, record)
            console.print(f"To be looked at: {file.with_suffix('.html')}")
