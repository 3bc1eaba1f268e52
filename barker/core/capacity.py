"""How much a process of a suite has in hand at most, and how long it waits: the same for all, by default.

A simulation chooses others (`sim/chance.py`): bugs are where a window is just full, or a batch just ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is chosen once for a process; promises hold whatever it is."""

    idle_seconds: float = 2.0
    """A connection of our own that sends nothing for so long is taken to be dead (AMQP 1.0 §2.4.5)."""
    read_bytes: int = 128 * 1024
    """The most that is read of one socket in one turn, so that none keeps the others waiting."""
    batch_messages: int = 100
    """The most messages that are sent in one transfer, at least 2; no peer takes more than these."""
    batch_bytes: int = 60_000
    """The most bytes of a transfer of more than one message that is sent: it fits into one frame."""
    in_flight: int = 2_000
    """How many messages one peer may have unsettled of what is sent to it, however much credit it gives."""
    window: int = 1_000
    """How many deliveries a producer may have unsettled at a manifold."""
    batches_window: int = 100
    """The same for producers whose deliveries are batches."""
    on_their_way: int = 4_000
    """So many messages are on their way from a bizlogic to one inbox at most."""
    part: int = 100_000
    """How many recipients go with one transfer at most."""


DEFAULT_BOUNDS = Bounds()
