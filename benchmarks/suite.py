"""The services of the default suite, for benchmarks that measure it as a whole; and users for it."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

from barker.store.social import FILE_NAME, Users
from benchmarks.stand import Service, Stand, until

USERS = 1_000


Authors = dict[str, int]
"""Who barks, and on how many timelines that is, their own included."""


def make_users(data: Path, followers: int, users: int = USERS) -> Authors:
    """So many users, of whom each has so many followers; those who are to bark.

    These are the first thousand of them: of a million users, not all need followers here.
    """
    chance = random.Random(1)
    names = [f"user{number}" for number in range(max(users, followers + 1))]
    barking = names[:USERS]
    with contextlib.closing(Users(data / FILE_NAME, create=True)) as file:
        follows = []
        for name in barking:
            others = [other for other in chance.sample(names, followers + 1) if other != name]
            follows += [(other, name) for other in others[:followers]]
        file.add(names, follows)
    return dict.fromkeys(barking, followers + 1)


class Suite:
    """Outboxes, two bizlogics of which one works, an inbox."""

    def __init__(
        self,
        stage: Stand,
        outboxes: int = 3,
        inboxes: int = 1,
        history: int = 25,
        partitions: int = 1,
        broker: str | None = None,
    ) -> None:
        """Start them, on the users in the stand's folder; `history`: messages that a timeline keeps.

        `partitions`: into so many authors are divided, each with two bizlogics. `broker`: the URL of one that
        takes the place of the outboxes' journals; None: there is none.
        """
        data = ("--data", str(stage.data))
        between = ("--broker", broker) if broker else ()
        self.stage = stage
        self.others: dict[str, int] = {}
        """Of the suite's others, whose CPU time is measured too, the process ids."""
        self.inboxes = [
            stage.start("manifold", "inbox", "--history", str(history), *partition, *between)
            for partition in _parts(inboxes)
        ]
        data += ("--inboxes", str(inboxes), *between)
        self.bizlogics = [stage.start("bizlogic", *data, *partition) for partition in _parts(partitions)]
        until(lambda: all(each.report for each in self.bizlogics), lambda: None, "bizlogic is there")
        for partition in _parts(partitions):
            stage.start("bizlogic", *data, *partition)
        push = ("--push", "bizlogic")
        divided = ("--partitions", str(partitions)) if partitions > 1 else ()
        self.outboxes = [
            stage.start("manifold", "outbox", *(between or push), "--accept", "bark", *divided)
            for _ in range(outboxes)
        ]
        until(lambda: all(s.report for s in stage.services), lambda: None, "all services are there")

    @property
    def services(self) -> dict[str, Service]:
        """Those that work."""
        outboxes = {f"outbox {number}": service for number, service in enumerate(self.outboxes, 1)}
        inboxes = {f"inbox {number}": service for number, service in enumerate(self.inboxes, 1)}
        bizlogics = {f"bizlogic {number}": service for number, service in enumerate(self.bizlogics, 1)}
        if len(self.bizlogics) == 1:
            bizlogics = {"bizlogic": self.bizlogics[0]}
        return {**outboxes, **bizlogics, **inboxes}

    @property
    def pids(self) -> dict[str, int]:
        """Whose CPU time is measured: theirs, and that of the benchmark, where the clients are."""
        services = {name: service.pid for name, service in self.services.items()}
        return {"clients": os.getpid()} | services | self.others

    @property
    def depth(self) -> int:
        """How many barks are in outboxes, as these said last."""
        return sum(service.report["depth"] for service in self.outboxes)

    @property
    def worked(self) -> int:
        """How many barks bizlogic has had, as it said last."""
        return sum(int(bizlogic.report["received"]) for bizlogic in self.bizlogics)

    @property
    def delivered(self) -> int:
        """How many deliveries to timelines there were, as the inboxes said last."""
        return sum(inbox.report["delivered"] for inbox in self.inboxes)

    @property
    def readers(self) -> int:
        """How many readers there are, as the inboxes said last."""
        return sum(inbox.report["readers"] for inbox in self.inboxes)

    @property
    def idle(self) -> bool:
        """Whether no bark is on its way, as the services said last."""
        return self.depth == 0 and not any(bizlogic.report["in_flight"] for bizlogic in self.bizlogics)


def _parts(count: int) -> list[tuple[str, ...]]:
    """What each of several partitions is started with; one is none."""
    return [("--partition", f"{number + 1}/{count}") for number in range(count)] if count > 1 else [()]
