"""What is found wrong: each wrong is planted, and must be found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.ledger import Ledger

Bark = tuple[str, int]


def ledger() -> tuple[Ledger, dict[str, list[Bark]]]:
    """Two authors whose barks went through two outboxes, and timelines that are right."""
    made = Ledger()
    for number in range(6):
        for author in ("ann", "bob"):
            assert made.next(author) == number
            made.accept(author, number, "one" if number < 3 else "two")
    both = [(author, number) for number in range(6) for author in ("ann", "bob")]
    return made, {"rex": both, "ann": [bark for bark in both if bark[0] == "ann"]}


AUTHORS = {"rex": {"ann", "bob"}, "ann": {"ann"}}


def test_what_is_right_is_found_right() -> None:
    made, timelines = ledger()
    verdict = made.judge(timelines, AUTHORS)
    assert verdict.kept
    assert (verdict.accepted, verdict.delivered) == (12, 18)
    assert made.due(AUTHORS["rex"]) == 12


def test_what_was_never_accepted_may_have_come_once() -> None:
    made, timelines = ledger()
    timelines["rex"].append(("bob", made.next("bob")))
    assert made.judge(timelines, AUTHORS).kept
    timelines["rex"].append(("bob", 6))
    assert made.judge(timelines, AUTHORS).twice == 1


@pytest.mark.parametrize("bark", [("ann", 0), ("bob", 3), ("ann", 5)])
def test_a_loss_is_found(bark: Bark) -> None:
    made, timelines = ledger()
    timelines["rex"].remove(bark)
    verdict = made.judge(timelines, AUTHORS)
    assert (verdict.lost, verdict.delivered, verdict.kept) == (1, 17, False)
    assert str(bark[1]) in verdict.examples[0]


@pytest.mark.parametrize("where", [0, 5, 12])
def test_a_double_is_found(where: int) -> None:
    made, timelines = ledger()
    timelines["rex"].insert(where, ("ann", 4))
    assert made.judge(timelines, AUTHORS).twice == 1


def test_disorder_within_one_outbox_is_found() -> None:
    made, timelines = ledger()
    timelines["ann"] = [("ann", number) for number in (0, 2, 1, 3, 4, 5)]
    verdict = made.judge(timelines, AUTHORS)
    assert (verdict.disordered, verdict.lost, verdict.twice) == (1, 0, 0)


def test_who_moved_to_another_outbox_may_be_overtaken_there() -> None:
    made, timelines = ledger()
    timelines["ann"] = [("ann", number) for number in (3, 4, 0, 5, 1, 2)]
    assert made.judge(timelines, AUTHORS).kept


def test_what_was_offered_to_two_outboxes_may_be_early_but_not_late() -> None:
    made = Ledger()
    for number in range(4):
        made.next("ann")
        made.offer("ann", number, "one")
    made.offer("ann", 2, "two")
    made.offer("ann", 2, "one")
    for number in range(4):
        made.accept("ann", number, "one")

    def disordered(*order: int) -> int:
        return made.judge({"ann": [("ann", number) for number in order]}, {"ann": {"ann"}}).disordered

    assert disordered(2, 0, 1, 3) == 0
    assert disordered(0, 1, 3, 2) == 1
    assert disordered(1, 0, 2, 3) == 1


@pytest.mark.parametrize("bark", [("bob", 0), ("ann", 6), ("cid", 0)])
def test_what_should_not_be_there_is_found(bark: Bark) -> None:
    made, timelines = ledger()
    timelines["ann"].append(bark)
    assert made.judge(timelines, AUTHORS).strange == 1


@given(st.permutations(range(8)))
def test_any_order_but_the_right_one_is_found(order: list[int]) -> None:
    made = Ledger()
    for _ in range(8):
        made.accept("ann", made.next("ann"), "one")
    verdict = made.judge({"ann": [("ann", number) for number in order]}, {"ann": {"ann"}})
    assert (verdict.disordered == 0) == (order == sorted(order))
    assert verdict.lost == 0
