"""Chance in tests: another each run, told in its first lines; BARKER_TEST_SEED has that of a run again."""

from __future__ import annotations

import os
from random import Random

NAME = "BARKER_TEST_SEED"

SEED = int(os.environ.setdefault(NAME, str(Random().randrange(10**9))))
"""The same in every process of a run, which find it in their environment."""


def seeded() -> Random:
    """The run's chance, from its start: a test draws the same whether it runs alone or not."""
    return Random(SEED)
