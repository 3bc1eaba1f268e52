"""Authors in partitions, each with bizlogics of its own; and other numbers of partitions, between runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from barker.core.ledger import Ledger
from barker.core.partitions import Partition, number_of
from tests.harness import Client, Process, Suite, wait_for

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
