"""What the system tells: the time, and what nobody else has."""

from __future__ import annotations

import time
import uuid


def now() -> int:
    """The time, in milliseconds since 1970."""
    return int(time.time() * 1000)


def new_id() -> str:
    """An id that no other bark has."""
    return uuid.uuid4().hex
