"""The services of the default suite, for benchmarks that measure it as a whole; and users for it."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

from barker.store.users import FILE_NAME, Users
from benchmarks.stand import Service, Stand, until

USERS = 1_000


def make_users(data: Path, followers: int) -> list[str]:
    """Users of whom each has so many followers; their names."""
    chance = random.Random(1)
    names = [f"user{number}" for number in range(max(USERS, followers + 1))]
    with contextlib.closing(Users(data / FILE_NAME, create=True)) as users:
        follows = []
        for name in names:
            others = [other for other in chance.sample(names, followers + 1) if other != name]
            follows += [(other, name) for other in others[:followers]]
        users.add(names, follows)
    return names


class Suite:
    """Outboxes, two bizlogics of which one works, an inbox."""

    def __init__(self, stage: Stand, outboxes: int = 3, history: int = 25) -> None:
        """Start them, on the users in the stand's folder; `history`: messages that a timeline keeps."""
        data = ("--data", str(stage.data))
        self.stage = stage
        self.inbox = stage.start("manifold", "inbox", "--history", str(history))
        self.bizlogic = stage.start("bizlogic", *data)
        until(lambda: self.bizlogic.report, lambda: None, "bizlogic is there")
        stage.start("bizlogic", *data)
        self.outboxes = [
            stage.start("manifold", "outbox", "--push", "bizlogic", "--accept", "bark")
            for _ in range(outboxes)
        ]
        until(lambda: all(s.report for s in stage.services), lambda: None, "all services are there")

    @property
    def services(self) -> dict[str, Service]:
        """Those that work."""
        outboxes = {f"outbox {number}": service for number, service in enumerate(self.outboxes, 1)}
        return {**outboxes, "bizlogic": self.bizlogic, "inbox": self.inbox}

    @property
    def pids(self) -> dict[str, int]:
        """Whose CPU time is measured: theirs, and that of the benchmark, where the clients are."""
        return {"clients": os.getpid()} | {name: service.pid for name, service in self.services.items()}

    @property
    def depth(self) -> int:
        """How many barks are in outboxes, as these said last."""
        return sum(service.report["depth"] for service in self.outboxes)
