"""What is chosen for a run besides its faults: the bounds of its services, some tight, some as in production.

A bound may lie anywhere between few and as many as in production; where few is, is as likely as where much
is (each factor of two). So a run has, say, windows of three and batches of fifty, and the next one others.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

from barker.core.capacity import Bounds


@dataclass(frozen=True, slots=True)
class Chosen(Bounds):
    """The bounds of all services of a run; the defaults are production's."""

    max_depth: int = 10_000_000
    """An outbox with so many messages grants no credit."""
    ready: int = 10_000
    """How many messages of a queue are in memory; the others are only in its journal."""
    log_pages: int = 1_000
    """With so many pages a journal's log is folded into its file."""


PRODUCTION = Chosen()
"""What services have outside of a simulation."""

RANGES: dict[str, tuple[float, float]] = {
    "idle_seconds": (2.5, 15.0),
    "read_bytes": (64, 128 * 1024),
    "batch_messages": (2, 100),
    "batch_bytes": (300, 60_000),
    "in_flight": (1, 2_000),
    "window": (1, 1_000),
    "batches_window": (1, 100),
    "on_their_way": (1, 4_000),
    "part": (1, 1_000),
    "max_depth": (4, 10_000),
    "ready": (1, 1_000),
    "log_pages": (8, 60),
}
"""The least and the most that is chosen of each."""

ALWAYS = frozenset(("idle_seconds", "log_pages"))
"""Always another than in production: who looks seldom, and opens small files, makes a simulation fast."""

SHARE = 0.5
"""So many of the others are chosen, too."""


def chosen(seed: int) -> Chosen:
    """The bounds of the run with this seed."""
    chance = random.Random(f"bounds of {seed}")
    found: dict[str, Any] = {}
    for name, (least, most) in RANGES.items():
        value = least * math.exp(chance.random() * math.log(most / least))
        if name in ALWAYS or chance.random() < SHARE:
            found[name] = round(value, 2) if name == "idle_seconds" else int(value)
    return replace(PRODUCTION, **found)
