"""systemd's units, read without systemd: what one of `deploy/systemd` is started with."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path

from tests.harness import ROOT

FOLDER = ROOT / "deploy" / "systemd"

DROP_IN = FOLDER / "barker-.service.d" / "10-barker.conf"
"""Of all units, as their names begin with ``barker-``."""


def settings(file: Path) -> dict[str, list[str]]:
    """What each setting of a unit's file is given, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


class Unit:
    """A service, such as ``barker-outbox@5800``."""

    def __init__(self, name: str) -> None:
        self.name = name
        kind, _, instance = name.partition("@")
        own = FOLDER / (f"{kind}@.service" if instance else f"{kind}.service")
        both = settings(own), settings(DROP_IN)

        def words(key: str) -> list[str]:
            lines = [line for each in both for line in each[key]]
            return shlex.split(" ".join(lines).replace("%i", instance))

        self.environment = dict(word.split("=", 1) for word in words("Environment"))
        self.start, self.answers = words("ExecStart"), words("ExecStartPost")
