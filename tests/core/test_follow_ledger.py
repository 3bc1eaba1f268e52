"""What is found wrong with follows: each wrong is planted, and must be found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.barks import Follow
from barker.core.follow_ledger import FollowLedger, changed_by, misled


def word(number: int, user: str = "ann", other: str = "bob", wanted: bool = True) -> Follow:
    return Follow(f"{user}:{number}", user, other, 1, wanted)


ANN = [word(0), word(1, wanted=False), word(2)]
REX = [word(0, "rex"), word(1, "rex", "ann"), word(2, "rex", wanted=False)]
CHANGES = [("ann", "bob", True), ("ann", "bob", False), ("ann", "bob", True)]


def said(words: list[Follow], outbox: str = "one") -> FollowLedger:
    ledger = FollowLedger()
    for each in words:
        ledger.say(each)
        ledger.offer(each, outbox)
        ledger.accept(each, outbox)
    return ledger


def test_what_is_done_once_and_in_order_is_right() -> None:
    ledger = said(ANN)
    assert ledger.accepted == 3
    assert ledger.judge(ANN, CHANGES).kept


def test_users_may_overtake_each_other() -> None:
    done = [*REX, *ANN]
    assert said([*ANN, *REX]).judge(done, list(changed_by(done))).kept


def test_one_that_is_not_done_is_lost() -> None:
    verdict = said(ANN).judge(ANN[:2], CHANGES[:2])
    assert (verdict.lost, verdict.kept) == (1, False)


def test_what_one_outbox_accepted_is_not_done_in_another_order() -> None:
    done = [ANN[1], ANN[0], ANN[2]]
    assert said(ANN).judge(done, list(changed_by(done))).disordered == 1


def test_what_two_outboxes_accepted_has_no_order() -> None:
    ledger = said(ANN[:1], "one")
    for each in ANN[1:]:
        ledger.say(each)
        ledger.offer(each, "two")
        ledger.accept(each, "two")
    done = [ANN[1], ANN[2], ANN[0]]
    assert ledger.judge(done, list(changed_by(done))).kept


@pytest.mark.parametrize(
    "changes",
    [
        [],
        CHANGES[:2],
        [*CHANGES, ("ann", "bob", False)],
        [("ann", "bob", True), ("ann", "bob", True), ("ann", "bob", False)],
        [("ann", "rex", True), *CHANGES[1:]],
    ],
)
def test_a_file_that_has_changed_otherwise_is_found(changes: list[tuple[str, str, bool]]) -> None:
    verdict = said(ANN).judge(ANN, changes)
    assert (verdict.strange, verdict.kept) == (1, False)


def test_what_was_offered_and_not_accepted_may_be_done() -> None:
    ledger = said(ANN[:2])
    ledger.say(ANN[2])
    ledger.offer(ANN[2], "one")
    assert ledger.judge(ANN, CHANGES).kept
    assert ledger.judge(ANN[:2], CHANGES[:2]).kept


def test_a_last_bark_stands_with_those_who_follow_and_with_no_others() -> None:
    barks = {"ann": "ann:last", "bob": "bob:last"}
    right = {"ann": ["bob:last", "ann:last"], "bob": ["bob:last"]}
    assert list(misled(CHANGES, barks, right)) == []
    assert list(misled(CHANGES, barks, {**right, "ann": ["ann:last"]})) == [("ann", "bob", True)]
    assert list(misled(CHANGES, barks, {**right, "bob": ["bob:last", "ann:last"]})) == [("bob", "ann", False)]
    twice = {**right, "ann": ["bob:last", "ann:last", "ann:last"]}
    assert list(misled(CHANGES, barks, twice)) == [("ann", "ann", False)]


WORDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.booleans()), max_size=30)


@given(WORDS)
def test_changes_alternate_and_end_with_the_last_word(words: list[tuple[str, str, bool]]) -> None:
    said = [Follow(str(at), user, other, 1, wanted) for at, (user, other, wanted) in enumerate(words)]
    changes = list(changed_by(said))
    for pair in {(user, other) for user, other, _ in words}:
        of_pair = [wanted for user, other, wanted in changes if (user, other) == pair]
        assert of_pair == [at % 2 == 0 for at in range(len(of_pair))]
        last = next(wanted for user, other, wanted in reversed(words) if (user, other) == pair)
        assert (of_pair[-1] if of_pair else False) == last
