"""A suite whose users are in PostgreSQL: what several bizlogics see, and what happens while it is away."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from barker.amqp.system import new_id, now
from barker.core.barks import Follow
from barker.store.postgresql import PostgresUsers
from barker.store.userbase import digest, open_users
from tests.harness import ROOT, Client, Launched, Process, Suite, wait_for
from tests.scale.postgresql import PASSWORD, Postgres

pytestmark = pytest.mark.system

FANS = [f"fan{number}" for number in range(4)]

PATIENT = """
from barker.bizlogic import main
from barker.work import spreading
spreading.FOLLOWED_SECONDS = 60
main()
"""
"""A bizlogic in which a bark waits for the follow before it, be the database slow on a busy machine."""

AWAY, BACK = "ERROR   barker.work.following: PostgreSQL is away", "can be used again"


class Stage:
    """Two bizlogics with the same users, an inbox, an outbox, and a client that reads and barks."""

    def __init__(self, suite: Suite, client: Client, postgres: Postgres) -> None:
        self.suite, self.client, self.postgres = suite, client, postgres
        self.place = postgres.fresh()
        self.users = open_users(self.place, create=True)
        assert isinstance(self.users, PostgresUsers)
        self.users.add(["rex", *FANS], ())
        url = self.place.secret
        self.inbox = suite.inbox("--users-file", url)
        self.outbox = suite.outbox("--users-file", url)
        first = suite.start("bizlogic", "--users", url)
        suite.wait_for_state(first, users=5)
        self.bizlogics = [first, suite.start("bizlogic", "--users", url)]
        suite.wait_for_state(self.bizlogics[1], users=5)
        self.said: list[Follow] = []
        self.barks = 0
        client.read_all(["rex", *FANS])
        self.bark()
        wait_for(lambda: self.client.texts("rex"), "a bark comes")

    def bark(self) -> str:
        self.barks += 1
        return self.client.bark("rex", f"number {self.barks}").text

    def follow(self, fan: str, wanted: bool = True) -> None:
        word = Follow(new_id(), fan, "rex", now(), wanted)
        self.said.append(word)
        self.client.send(word)

    def wait_until_accepted(self) -> None:
        wait_for(lambda: len(self.client.accepted) == self.barks + len(self.said), "an outbox has them")

    def standby(self) -> Process:
        wait_for(lambda: [b for b in self.bizlogics if self.suite.state(b)["active"]], "one is active")
        return next(b for b in self.bizlogics if not self.suite.state(b)["active"])

    def active(self) -> Process:
        standby = self.standby()
        return next(b for b in self.bizlogics if b is not standby)

    def done(self) -> list[bytes]:
        """The words that were done, in order."""
        with contextlib.closing(open_users(self.place)) as users:
            return list(users.words())

    def logs(self) -> str:
        return "".join(process.log for process in self.suite.processes)


@pytest.fixture
def stage(suite: Suite, client: Client, postgres: Postgres) -> Iterator[Stage]:
    stage = Stage(suite, client, postgres)
    yield stage
    stage.users.close()
    assert PASSWORD not in stage.logs()
    assert "s3cret" not in str(stage.suite.state(stage.inbox))
    assert "s3cret" not in stage.logs()
    assert "Traceback" not in stage.logs()


def until_seen(stage: Stage, fan: str) -> float:
    """Bark until a fan's timeline shows one; so many seconds that took."""
    begun, before = time.monotonic(), len(stage.client.texts(fan))

    def seen() -> bool:
        stage.bark()
        return len(stage.client.texts(fan)) > before

    wait_for(seen, f"{fan} sees a bark")
    return time.monotonic() - begun


def test_what_anybody_changes_is_seen_by_every_bizlogic(stage: Stage) -> None:
    # By another process, on whatever host.
    stage.users.follow(FANS[0], "rex")
    seconds = [until_seen(stage, FANS[0])]
    # By the active bizlogic.
    stage.follow(FANS[1])
    seconds.append(until_seen(stage, FANS[1]))
    print("a follow is seen after", *(f"{each:.2f} s" for each in seconds))
    # The standby has seen both; and what is done through one that is killed is known to the next.
    standby = stage.standby()
    stage.users.add(["dora"], ())
    stage.suite.wait_for_state(standby, users=6)
    stage.follow(FANS[2])
    wait_for(lambda: len(stage.done()) == 2, "the follow is done")
    stage.active().kill()
    last = stage.bark()
    for fan in ("rex", *FANS[:3]):
        wait_for(lambda fan=fan: last in stage.client.texts(fan), f"{fan} sees the last bark")
    assert last not in stage.client.texts(FANS[3])


def test_a_bark_behind_a_follow_is_seen_by_who_follows(stage: Stage) -> None:
    for bizlogic in stage.bizlogics:
        bizlogic.command[1:3] = ["-c", PATIENT]
        bizlogic.restart()
    for turn in range(20):
        stage.follow(FANS[0], wanted=turn % 2 == 0)
        stage.bark()
    wait_for(lambda: len(stage.client.texts("rex")) == 21, "all have come")
    wait_for(lambda: len(stage.client.texts(FANS[0])) >= 10, "those while it followed")
    assert stage.client.texts(FANS[0]) == [f"number {2 + turn}" for turn in range(0, 20, 2)]


FAULTS: dict[str, tuple[Callable[[Postgres], None], Callable[[Postgres], None]]] = {
    "stopped": (Postgres.stop, Postgres.start),
    "killed": (Postgres.kill, Postgres.start),
    "frozen": (Postgres.freeze, Postgres.thaw),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_while_it_is_away_barks_go_on_and_follows_wait_and_are_done_once_and_in_order(
    stage: Stage, fault: str
) -> None:
    strike, heal = FAULTS[fault]
    active = stage.active()
    wishes = itertools.cycle([True, False, True])

    def say(turns: int) -> None:
        for _ in range(turns):
            for fan in FANS:
                stage.follow(fan, next(wishes))
            stage.bark()

    say(10)
    strike(stage.postgres)
    try:
        say(10)
        last = stage.bark()
        wait_for(lambda: last in stage.client.texts("rex"), "barks go on")
        wait_for(lambda: AWAY in active.log, "it is said that it is away")
        assert active.log.count("follows wait") == 1
        for _ in range(20):  # So they come in as many transfers, at least.
            say(1)
            stage.wait_until_accepted()
        another = stage.bark()
        wait_for(lambda: another in stage.client.texts("rex"), "barks go on while it is known to be away")
    finally:
        heal(stage.postgres)
    wait_for(lambda: BACK in active.log, "it is said that it is back")
    wait_for(lambda: len(stage.done()) >= len(stage.said), "all follows are done")
    assert stage.done() == [digest(word) for word in stage.said], "each once, and in order"
    assert active.log.count(AWAY) == active.log.count(BACK) == 1
    # Whoever is active in the end knows what all came to.
    for at, bizlogic in enumerate((None, active)):
        if bizlogic is not None:
            bizlogic.kill()
        last = stage.bark()
        wait_for(lambda last=last: last in stage.client.texts("rex"), "the author sees the last bark")
        followers = set(stage.users.graph().followers("rex"))
        for fan in followers:
            wait_for(lambda last=last, fan=fan: last in stage.client.texts(fan), f"{fan} sees it")
        assert {fan for fan in FANS if last in stage.client.texts(fan)} == followers, at
    texts = stage.client.texts("rex")
    assert texts == [f"number {number + 1}" for number in range(stage.barks)], "nothing is lost"
    assert not stage.client.rejected


def test_a_bizlogic_that_is_killed_while_it_is_away_loses_no_follow(stage: Stage) -> None:
    stage.postgres.kill()
    try:
        for _ in range(3):
            for fan in FANS:
                stage.follow(fan)
                stage.follow(fan, wanted=False)
        stage.active().kill()
        stage.wait_until_accepted()
        last = stage.bark()
        wait_for(lambda: last in stage.client.texts("rex"), "barks go on with the other one")
    finally:
        stage.postgres.start()
    wait_for(lambda: len(stage.done()) >= len(stage.said), "all follows are done")
    assert stage.done() == [digest(word) for word in stage.said]


def test_who_starts_while_it_is_away_waits_for_it_and_says_so_once(stage: Stage) -> None:
    stage.postgres.stop()
    try:
        late = stage.suite.start("bizlogic", "--users", stage.place.secret)
        wait_for(lambda: "it is waited for" in late.log, "it says so")
        ended = stage.suite.start("bizlogic", "--users", stage.place.secret)
        wait_for(lambda: "it is waited for" in ended.log, "it says so")
        ended.kill(15)
        assert ended.popen.returncode == -15
        wait_for(lambda: "cannot be checked" in stage.outbox.log, "an outbox says it, too")
        stage.client.bark("nobody", "while it is away nobody is turned away")
    finally:
        stage.postgres.start()
    stage.suite.wait_for_state(late, users=5)
    assert late.log.count("it is waited for") == 1
    assert "is there now" in late.log


def test_who_is_no_user_is_rejected_and_who_is_made_is_one_soon(stage: Stage) -> None:
    refused = stage.client.bark("dora", "woof")
    wait_for(lambda: refused.id in stage.client.rejected, "it is rejected")
    condition = stage.client.rejected[refused.id]
    assert condition is not None
    assert condition.description.startswith("there is no user 'dora'")
    stage.users.add(["dora"], ())

    def accepted() -> bool:
        bark = stage.client.bark("dora", "woof")
        wait_for(lambda: bark.id in stage.client.rejected or bark.id in stage.client.accepted, "an outcome")
        return bark.id in stage.client.accepted

    wait_for(accepted, "dora is a user")


def test_a_launcher_makes_users_there_at_first_and_shows_the_password_to_nobody(
    postgres: Postgres, tmp_path: Path
) -> None:
    place = postgres.fresh()
    launched = Launched(tmp_path, "launch.py", "--users", "12", "--users", place.secret, "--rate", "5")
    try:
        launched.wait_until_ready()
        with contextlib.closing(open_users(place)) as users:
            assert len(users) == 12
        children = psutil.Process(launched.popen.pid).children(recursive=True)
        lines = [" ".join(child.cmdline()) for child in children]
        assert sum(str(place) in line for line in lines) == 11, "outboxes, inbox, bizlogics, autobarks"
        command = [sys.executable, "-m", "barker", "routes", "--json", "--directory", launched.directory]
        command += ["--key", str(launched.data / "key")]
        routes = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
        assert f"@postgresql {place}" in routes.stdout
        for text in (*lines, routes.stdout, launched.output):
            assert "s3cret" not in text
        assert not (launched.data / "users.sqlite3").exists()
    finally:
        launched.end()
