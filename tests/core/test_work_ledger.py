"""What is found wrong with queues that are pulled: each wrong is planted, and must be found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.work_ledger import FIRM_SECONDS, UNDELIVERABLE, WorkLedger
from barker.core.work_queue import Entry, WorkQueue

DOUBT_SECONDS = 3.0


def stored(count: int) -> WorkLedger:
    """A queue has accepted so many messages; two consumers are there, since a while."""
    ledger = WorkLedger(DOUBT_SECONDS)
    for number in range(count):
        assert ledger.next("orders") == number
        ledger.sent("orders", number)
        ledger.accept("orders", number)
    for link in ("one", "two", "letters"):
        ledger.attached("orders", link)
    return ledger


def test_what_is_accepted_once_is_right() -> None:
    ledger = stored(2)
    for number, link in enumerate(("one", "two")):
        ledger.came(link, number, 10)
        ledger.settled(link, number, "accepted", 11)
    assert (ledger.judge(), ledger.left, ledger.done) == ([], 0, 2)


def test_what_nobody_has_had_is_lost() -> None:
    ledger = stored(2)
    ledger.came("one", 0, 10)
    ledger.settled("one", 0, "released", 10)
    assert len(ledger.judge()) == ledger.left == 2


def test_what_was_settled_does_not_come_again() -> None:
    for outcome in ("accepted", "rejected"):
        ledger = stored(1)
        ledger.came("one", 0, 10)
        ledger.settled("one", 0, outcome, 10, "never")
        ledger.came("two", 0, 12)
        assert any("again" in wrong for wrong in ledger.judge())


def test_it_may_come_again_when_its_link_has_ended_about_then() -> None:
    for end in (11, 12 + DOUBT_SECONDS):
        ledger = stored(1)
        ledger.came("one", 0, 10)
        ledger.settled("one", 0, "accepted", 10)
        if end < 12:
            ledger.ended("one", end)
        ledger.came("two", 0, 12)
        ledger.ended("one", end)
        assert ledger.judge() == []


def test_it_may_not_when_another_link_has_ended_or_its_own_long_after() -> None:
    for link, end in (("two", 12.5), ("one", 12.5 + DOUBT_SECONDS)):
        ledger = stored(1)
        ledger.came("one", 0, 10)
        ledger.settled("one", 0, "accepted", 10)
        ledger.attached("orders", "three")
        ledger.came("three", 0, 12)
        ledger.ended(link, end)
        assert len(ledger.judge()) == 1


def test_what_was_settled_long_before_its_link_ended_never_comes_again() -> None:
    for seconds, wrong in ((FIRM_SECONDS - 1, 0), (FIRM_SECONDS + 1, 1)):
        ledger = stored(1)
        ledger.came("one", 0, 10)
        ledger.settled("one", 0, "accepted", 10)
        ledger.ended("one", 10 + seconds)
        ledger.came("two", 0, 100)
        assert len(ledger.judge()) == wrong


def test_what_was_sent_twice_may_come_twice() -> None:
    ledger = stored(1)
    ledger.sent("orders", 0)
    for times in range(3):
        assert len(ledger.judge()) == (times == 0)  # Nobody has had it.
        ledger.came("one", 0, 10)
        ledger.settled("one", 0, "accepted", 10)
    assert len(ledger.judge()) == 1


def test_a_dead_letter_has_its_reason_and_is_had_once() -> None:
    ledger = stored(1)
    ledger.came("one", 0, 10)
    ledger.settled("one", 0, "rejected", 10, "never")
    ledger.letter_came("letters", 0, "never", 11)
    ledger.letter_accepted("letters", 0, 11)
    assert ledger.judge() == []
    ledger.letter_came("letters", 0, "never", 12)
    assert len(ledger.judge()) == 1


@pytest.mark.parametrize("reason", ["", "later"])
def test_a_dead_letter_for_a_reason_that_nobody_gave_is_found(reason: str) -> None:
    ledger = stored(1)
    ledger.came("one", 0, 10)
    ledger.settled("one", 0, "rejected", 10, "never")
    ledger.letter_came("letters", 0, reason, 11)
    ledger.letter_accepted("letters", 0, 11)
    assert len(ledger.judge()) == 1


def test_what_is_undeliverable_here_goes_to_others() -> None:
    ledger = stored(1)
    ledger.came("one", 0, 10)
    ledger.settled("one", 0, UNDELIVERABLE, 10)
    ledger.came("two", 0, 11)
    ledger.settled("two", 0, UNDELIVERABLE, 11)
    ledger.came("one", 0, 12)
    ledger.settled("one", 0, "accepted", 12)
    assert len(ledger.judge()) == 1


def test_of_what_was_sent_again_another_may_come_to_who_cannot_use_it() -> None:
    ledger = stored(1)
    ledger.came("one", 0, 10)
    ledger.settled("one", 0, UNDELIVERABLE, 10)
    ledger.sent("orders", 0)  # Nobody knows whether it was accepted.
    ledger.came("one", 0, 11)
    ledger.settled("one", 0, "accepted", 11)
    assert ledger.judge() == []


def test_what_overtakes_on_one_link_is_found_unless_somebody_went() -> None:
    for ended, wrong in ((None, 1), (7, 1), (9, 0), (12, 0)):
        ledger = stored(2)
        if ended is not None and ended < 10:
            ledger.ended("two", ended)
        ledger.came("one", 1, 10)
        ledger.came("one", 0, 11)
        ledger.ended("two", 12) if ended == 12 else None
        for number in range(2):
            ledger.settled("one", number, "accepted", 12)
        assert len(ledger.judge()) == wrong, ended


def test_what_was_had_before_may_be_late() -> None:
    ledger = stored(2)
    ledger.came("two", 0, 10)
    ledger.settled("two", 0, "released", 10)
    ledger.came("one", 1, 10)
    ledger.came("one", 0, 11)
    for number in range(2):
        ledger.settled("one", number, "accepted", 12)
    assert ledger.judge() == []


@pytest.mark.parametrize("number", [-1, 1, 7])
def test_what_was_never_sent_is_strange(number: int) -> None:
    ledger = stored(1)
    ledger.came("one", number, 10)
    assert any("never sent" in wrong for wrong in ledger.judge())


@given(st.integers(0, 10_000))
def test_what_a_queue_does_is_right(seed: int) -> None:
    chance, ledger, queue = random.Random(seed), stored(12), WorkQueue()
    for number in range(12):
        queue.push(Entry(number + 1, b""))
    links, hands, names = ["one", "two"], {"one": [], "two": []}, iter(range(10**6))  # type: ignore[var-annotated]
    now = 10.0
    while queue.depth:
        now += chance.random()
        link = chance.choice(links)
        if chance.random() < 0.1:
            queue.release_all(link)
            ledger.ended(link, now)
            links.remove(link)
            links.append(f"link {next(names)}")
            ledger.attached("orders", links[-1])
            hands[links[-1]] = []
        elif chance.random() < 0.5 or not hands[link]:
            for entry in queue.lease(link, chance.randint(1, 3)):
                ledger.came(link, entry.sequence - 1, now)
                hands[link].append(entry.sequence)
        else:
            sequence = hands[link].pop(chance.randrange(len(hands[link])))
            outcome = chance.choice(["accepted", "released", UNDELIVERABLE])
            do = {"accepted": queue.settle, "released": queue.release, UNDELIVERABLE: queue.refuse}
            do[outcome](link, sequence)
            ledger.settled(link, sequence - 1, outcome, now)
    assert ledger.judge() == []
