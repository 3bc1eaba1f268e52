"""Authors in partitions, each with bizlogics of its own; and other numbers of partitions, between runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from barker.core.ledger import Ledger
from barker.core.partitions import Partition, number_of
from barker.store.journal import TimelineJournal
from tests.harness import ROOT, Client, Launched, Process, Suite, wait_for

pytestmark = pytest.mark.system

AUTHORS = [f"dog{number}" for number in range(12)]

READERS = ["rex", "spot", "ark3", "lassie"]

COUNT = 4


def of_partition(number: int, count: int = COUNT) -> list[str]:
    return [name for name in AUTHORS if number_of(name, count) == number]


def bizlogic(suite: Suite, number: int, count: int = COUNT) -> Process:
    return suite.start("bizlogic", "--partition", str(Partition(number, count)))


class Numbered:
    """Barks with each author's numbers for text, and what was accepted of them."""

    def __init__(self, client: Client) -> None:
        self.client, self.ledger = client, Ledger()

    def bark(self, rounds: int, authors: Sequence[str] = AUTHORS) -> None:
        for _ in range(rounds):
            for author in authors:
                self.client.bark(author, str(self.ledger.next(author)))

    def wait_until_accepted(self) -> None:
        wait_for(lambda: len(self.client.accepted) == sum(self.ledger.sent.values()), "all are accepted")

    def wait_until_read(self, authors: Sequence[str] = AUTHORS) -> None:
        """All barks of these authors have come, to everybody who reads."""
        due = sum(self.ledger.sent[author] for author in authors)

        def come() -> bool:
            return all(
                sum(bark.user in authors for bark in self.client.timelines[reader]) >= due
                for reader in READERS
            )

        wait_for(come, f"{due} barks on each timeline", 30)

    def judge(self) -> None:
        """Each bark is on each timeline, once, and those of an author are in order."""
        for author, count in self.ledger.sent.items():
            for number in range(count):
                self.ledger.accept(author, number, "the one outbox")
        timelines = {
            reader: [(bark.user, int(bark.text)) for bark in self.client.timelines[reader]]
            for reader in READERS
        }
        verdict = self.ledger.judge(timelines, {reader: set(AUTHORS) for reader in READERS})
        assert verdict.kept, verdict


def test_a_partition_whose_bizlogic_is_killed_waits_alone_and_its_standby_goes_on(
    suite: Suite, client: Client
) -> None:
    suite.users([(reader, author) for reader in READERS for author in AUTHORS]).close()
    suite.inbox("--history", "1000")
    outbox = suite.outbox("--partitions", str(COUNT))
    active = [bizlogic(suite, number) for number in range(COUNT)]
    for process in active:
        suite.wait_for_state(process, active=True)
    client.read_all(READERS)
    barks = Numbered(client)
    barks.bark(10)
    barks.wait_until_read()
    suite.wait_for_state(outbox, depth=0)  # Else what was done and not settled would come again.
    active[1].kill()
    barks.bark(10)
    others = [name for name in AUTHORS if name not in of_partition(1)]
    barks.wait_until_read(others)
    waiting = 10 * len(of_partition(1))
    assert waiting
    suite.wait_for_state(outbox, depth=waiting, consumer=lambda told: len(told.split()) == COUNT - 1)
    standby = bizlogic(suite, 1)
    barks.wait_until_read()
    suite.wait_for_state(
        standby, active=True, address="bizlogic-2-of-4", name=f"bizlogic-2-of-4-{standby.port}"
    )
    # With barks on their way: of what was begun nothing is done twice.
    bizlogic(suite, 3)
    barks.bark(30)
    wait_for(lambda: len(client.timelines["rex"]) > 300, "barks flow")
    active[3].kill()
    barks.bark(20)
    barks.wait_until_read()
    barks.judge()
    suite.wait_for_state(outbox, depth=0, in_flight=0, dead_letters=0, handed_on=70 * len(AUTHORS))


def test_a_bark_of_another_partition_is_a_dead_letter_that_says_so(suite: Suite, client: Client) -> None:
    suite.users([("rex", "ann")]).close()
    wrong = 1 - number_of("ann", 2)
    outbox = suite.start(
        "manifold", "outbox", "--push", Partition(wrong, 2).address("bizlogic"), "--accept", "bark"
    )
    bizlogic(suite, wrong, 2)
    client.bark("ann", "woof")
    suite.wait_for_state(outbox, dead_letters=1)
    letters = client.receive_raw("outbox/dead-letters")
    wait_for(lambda: letters, "the letter is read")
    assert f"ann is not of partition {Partition(wrong, 2)} of authors".encode() in letters[0]


class Run:
    """Inboxes, an outbox and bizlogics for such numbers of partitions, on a suite's data."""

    def __init__(self, suite: Suite, partitions: int, inboxes: int) -> None:
        self.suite = suite
        self.inboxes = [self._inbox(number, inboxes) for number in range(inboxes)]
        divided = ("--partitions", str(partitions)) if partitions > 1 else ()
        self.outbox = suite.outbox("--journal", "outbox-1", *divided)
        self.bizlogics = [self._bizlogic(number, partitions, inboxes) for number in range(partitions)]

    def _inbox(self, number: int, count: int) -> Process:
        part = Partition(number, count)
        name, divided = ("inbox-1", ()) if count == 1 else (part.address("inbox"), ("--partition", str(part)))
        return self.suite.inbox("--history", "5000", "--journal", name, *divided)

    def _bizlogic(self, number: int, count: int, inboxes: int) -> Process:
        divided = ("--partition", str(Partition(number, count))) if count > 1 else ()
        return self.suite.start("bizlogic", "--inboxes", str(inboxes), *divided)

    def kill(self) -> None:
        for process in (*self.bizlogics, *self.inboxes, self.outbox):
            process.kill()


def barker(*arguments: str) -> str:
    command = [sys.executable, "-m", "barker", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def repartition(suite: Suite, partitions: int, inboxes: int) -> str:
    numbers = "--partitions", str(partitions), "--inboxes", str(inboxes)
    return barker("repartition", *numbers, "--data", str(suite.data))


def keys_of(suite: Suite, part: Partition) -> set[str]:
    """The keys that an inbox's journal has."""
    with closing(TimelineJournal(suite.data / f"{part.address('inbox')}.sqlite3")) as journal:
        return {entry.key for entry in journal.load()}


def test_between_runs_that_are_killed_the_numbers_change_and_each_bark_is_there_once_in_order(
    suite: Suite, client: Client
) -> None:
    suite.users([(reader, author) for reader in READERS for author in AUTHORS]).close()
    barks = Numbered(client)

    def killed_while_barks_flow(run: Run, frozen: Process) -> None:
        barks.bark(20)
        barks.wait_until_accepted()
        suite.wait_for_state(run.outbox, depth=0)
        frozen.kill(signal.SIGSTOP)
        # So many are begun and not done: bizlogic has them, or some of the inboxes, or none.
        barks.bark(20)
        barks.wait_until_accepted()
        if len(run.inboxes) > 1:
            others = [inbox for inbox in run.inboxes if inbox is not frozen]
            wait_for(
                lambda: sum(suite.state(inbox)["put"] for inbox in others) > 20 * len(others),
                "others have some",
            )
        assert suite.state(run.outbox)["depth"] > 0
        run.kill()

    run = Run(suite, 1, 1)
    killed_while_barks_flow(run, run.bizlogics[0])
    told = repartition(suite, 3, 4)
    assert "waiting barks that are for 3 partition(s) of authors now: 240" in told
    run = Run(suite, 3, 4)
    frozen = run.inboxes[number_of(READERS[0], 4)]
    killed_while_barks_flow(run, frozen)
    keys = [keys_of(suite, Partition(number, 4)) for number in range(4)]
    assert set.union(*keys) - keys[number_of(READERS[0], 4)], (
        "some have come to others, and are due there, too"
    )
    repartition(suite, 2, 2)
    run = Run(suite, 2, 2)
    barks.bark(5)
    client.read_all(READERS)
    barks.wait_until_read()
    suite.wait_for_state(run.outbox, depth=0, dead_letters=0)
    barks.judge()
    total = sum(barks.ledger.sent.values())
    wait_for(
        lambda: sum(suite.state(inbox)["put"] for inbox in run.inboxes) == total, "inboxes count them all"
    )
    suite.wait_for_state(run.outbox, handed_on=total)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    suite = Launched(
        tmp_path, "launch.py", "--partitions", "2", "--rate", "50", "--autobarks", "1", "--outboxes", "1"
    )
    yield suite
    suite.end()


def test_the_launcher_starts_bizlogics_for_each_partition_and_refuses_what_waits_for_another_number(
    tmp_path: Path, launched: Launched
) -> None:
    launched.wait_until_ready()
    names = [f"bizlogic-{at % 2 + 1}-of-2-{5680 + at + launched.offset}" for at in range(4)]
    for name in names:
        assert name in launched.output
    places = "--directory", launched.directory, "--key", str(launched.data / "key")

    def queues() -> dict[str, dict[str, Any]]:
        found = [json.loads(line) for line in barker("queues", "--json", *places).splitlines()]
        return {queue["address"]: queue for queue in found}

    wait_for(lambda: [each["active"] for each in queues().values()] == ["", *names[:2]], "each has one")
    for name in (names[0], names[2]):
        barker("kill", name, *places)
    states = {line.split()[0]: line.split()[3] for line in barker("ps", *places).splitlines()}
    assert [states[name] for name in names] == ["gone", "running", "gone", "running"]
    wait_for(lambda: queues()["outbox-1-of-2"]["depth"], "barks wait for the first partition")
    assert queues()["outbox-2-of-2"]["active"] == names[1]
    launched.end()
    again = Launched(tmp_path, "launch.py", "--partitions", "3")
    assert again.popen.wait(20) == 2
    assert (
        "barks that wait for 2 partition(s) of authors, not for 3: start with --partitions 2" in again.output
    )
    assert f"barker repartition --data {again.data} --partitions 3" in again.output
    assert "Traceback" not in again.output
