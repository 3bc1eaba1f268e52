"""Lost and twice, by what outboxes and inboxes have counted."""

from __future__ import annotations

from typing import Any

import pytest

from barker.core.balance import MOST, PATIENCE, SURE, Balance


class Suite:
    """Two outboxes and an inbox, which tell their counts each second."""

    def __init__(self) -> None:
        self.balance, self.second = Balance(), 1_000
        self.reports: dict[str, dict[str, Any]] = {}
        for name in ("outbox-1", "outbox-2"):
            self.add(name, "handed_on", held=0, held_tried=0)
        self.add("inbox-1", "put", put_again=0)

    def add(self, name: str, counts: str, before: int = 0, **more: int) -> None:
        report = {"name": name, "pid": 1, "host": "h", counts: before}
        self.reports[name] = {**report, f"{counts}_before": before, **more}

    def count(self, seconds: int = 1, **growth: dict[str, int]) -> dict[str, Any]:
        """Seconds pass, and at the first one these have grown by so much: what is told then."""
        for name, fields in growth.items():
            for key, by in fields.items():
                self.reports[name.replace("_", "-")][key] += by
        told: dict[str, Any] = {}
        for _ in range(seconds):
            self.second += 1
            reports = [{**report, "counted_at": self.second} for report in self.reports.values()]
            told = self.balance.update(reports)
        return told

    def restart(self, name: str, **changes: int) -> None:
        """It dies, and goes on with the journal, in which these counts are."""
        report = self.reports[name]
        report |= {"pid": report["pid"] + 1, **changes}
        for counts in {"handed_on", "put", "put_again"} & report.keys():
            report[f"{counts}_before"] = report[counts]


@pytest.fixture
def suite() -> Suite:
    suite = Suite()
    suite.count()
    return suite


def verdict(told: dict[str, Any]) -> list[int]:
    return [told[key] for key in ("lost", "suspect", "twice", "open")]


def test_what_is_handed_on_and_put_is_neither_lost_nor_twice(suite: Suite) -> None:
    second = {"handed_on": 2, "held": 4}
    told = suite.count(SURE, outbox_1={"handed_on": 5}, outbox_2=second, inbox_1={"put": 7})
    assert verdict(told) == [0, 0, 0, 0]
    assert [told[key] for key in ("accepted", "delivered", "held")] == [11, 7, 4]
    assert (told["since"], told["at"]) == (1001, 1001 + SURE)


def test_nothing_is_said_without_an_outbox_or_an_inbox() -> None:
    suite = Suite()
    outboxes = {name: suite.reports.pop(name) for name in ("outbox-1", "outbox-2")}
    assert suite.count(5) == {}
    suite.reports = outboxes
    assert suite.count(5) == {}
    assert Balance().update([]) == {}
    assert Balance().update([{"name": "x", "put": None}, {"name": "y", "pid": 1, "handed_on": 5}]) == {}


def test_what_is_on_no_timeline_is_lost(suite: Suite) -> None:
    told = suite.count(SURE, outbox_1={"handed_on": 5}, inbox_1={"put": 3})
    assert verdict(told) == [2, 2, 0, 0]
    # It does not come back with what is put there too often.
    assert suite.count(SURE, inbox_1={"put": 2})["lost"] == 2


def test_what_is_on_timelines_and_was_not_handed_on_is_there_twice(suite: Suite) -> None:
    assert verdict(suite.count(SURE, outbox_1={"handed_on": 3}, inbox_1={"put": 5})) == [0, 0, 2, 0]


def test_what_is_on_its_way_is_neither(suite: Suite) -> None:
    put = suite.count(SURE, outbox_1={"held": 9, "held_tried": 4}, inbox_1={"put": 4})
    assert verdict(put) == [0, 0, 0, 0]
    not_yet = suite.count(SURE, outbox_1={"held_tried": 3})
    assert verdict(not_yet) == [0, 0, 0, 3], "but it may hide as many"


def test_a_moment_is_not_believed(suite: Suite) -> None:
    suite.count(SURE)
    suite.count(SURE - 1, outbox_1={"handed_on": 3})
    assert verdict(suite.count(SURE, inbox_1={"put": 3})) == [0, 0, 0, 0]


def test_what_senders_sent_twice_may_be_what_is_missing(suite: Suite) -> None:
    told = suite.count(SURE, outbox_1={"handed_on": 5}, inbox_1={"put": 2, "put_again": 2})
    assert verdict(told) == [1, 3, 0, 0]


def test_what_came_twice_to_an_inbox_that_then_died_is_known_all_the_same(suite: Suite) -> None:
    suite.count(SURE, outbox_1={"handed_on": 5}, inbox_1={"put": 4, "put_again": 1})
    # In its last second, in which it told nobody but its journal.
    suite.reports["inbox-1"]["put_again"] += 2
    suite.restart("inbox-1")
    told = suite.count(SURE, outbox_2={"handed_on": 3}, inbox_1={"put_again": 1})
    assert verdict(told) == [0, 4, 0, 0]
    assert verdict(suite.count(SURE, outbox_2={"handed_on": 1})) == [1, 5, 0, 0]


def test_what_came_twice_before_it_was_counted_is_no_excuse() -> None:
    suite = Suite()
    suite.reports["inbox-1"] |= {"put_again": 7, "put_again_before": 3}
    suite.count()
    assert verdict(suite.count(SURE, outbox_1={"handed_on": 1})) == [1, 1, 0, 0]
    suite.restart("inbox-1")
    suite.add("inbox-2", "put", put_again=50, put_again_before=50)
    assert verdict(suite.count(SURE, outbox_1={"handed_on": 1})) == [2, 2, 0, 0]


@pytest.mark.parametrize("dead", ["outbox-1", "inbox-1"])
def test_a_restart_costs_no_count(suite: Suite, dead: str) -> None:
    suite.count(SURE, outbox_1={"handed_on": 50}, inbox_1={"put": 50})
    # In its last second it did what it told nobody but its journal.
    suite.reports["outbox-1"]["handed_on"] += 8
    suite.reports["inbox-1"]["put"] += 8
    died = suite.reports.pop(dead)
    suite.count(3)
    suite.reports[dead] = died
    suite.restart(dead)
    told = suite.count(SURE + 1, outbox_2={"handed_on": 2}, inbox_1={"put": 2})
    assert verdict(told) == [0, 0, 0, 0]
    assert told["delivered"] == 60


def test_who_began_within_a_second_knows_nothing_of_it(suite: Suite) -> None:
    suite.balance = Balance()
    for name in suite.reports:
        suite.restart(name)
    suite.reports["inbox-1"]["put"] += 1  # And the outbox counts that in a moment.
    assert suite.balance.update([report | {"counted_at": 0} for report in suite.reports.values()]) == {}
    assert verdict(suite.count(SURE, outbox_1={"handed_on": 1})) == [0, 0, 0, 0]


def test_of_an_outbox_that_is_away_the_last_word_counts(suite: Suite) -> None:
    suite.count(SURE, outbox_1={"handed_on": 5, "held": 3}, inbox_1={"put": 5})
    del suite.reports["outbox-1"]
    told = suite.count(SURE, outbox_2={"handed_on": 2}, inbox_1={"put": 4})
    assert verdict(told) == [0, 0, 0, 0], "it may have handed on two more, and died"
    assert (told["away"], told["held"]) == ("outbox-1", 3)


def test_while_an_inbox_is_away_nothing_new_is_said(suite: Suite) -> None:
    told = suite.count(SURE, outbox_1={"handed_on": 5}, inbox_1={"put": 5})
    inbox = suite.reports.pop("inbox-1")
    assert suite.count(5, outbox_1={"handed_on": 5}) == told
    suite.reports["inbox-1"] = inbox
    assert suite.count(SURE, inbox_1={"put": 5})["at"] > told["at"]


@pytest.mark.parametrize("name", ["inbox-1", "outbox-1"])
def test_with_another_journal_it_begins_anew(suite: Suite, name: str) -> None:
    suite.count(SURE, outbox_1={"handed_on": 50}, inbox_1={"put": 50})
    suite.count(outbox_2={"handed_on": 3}, inbox_1={"put": 1})  # At the end of the old one.
    suite.restart(name, **{"put" if name == "inbox-1" else "handed_on": 0})
    told = suite.count(SURE + 1, outbox_1={"handed_on": 3}, inbox_1={"put": 3})
    assert verdict(told) == [0, 0, 0, 0]
    assert told["since"] == 1001 + SURE + 2


def test_a_new_outbox_joins_in(suite: Suite) -> None:
    suite.count()
    suite.add("outbox-3", "handed_on", held=0, held_tried=0)
    suite.count()
    told = suite.count(SURE, outbox_3={"handed_on": 6}, inbox_1={"put": 6})
    assert verdict(told) == [0, 0, 0, 0]
    assert (told["delivered"], told["since"]) == (6, 1001)


def test_what_one_that_was_unheard_of_has_sent_may_have_come_before_it_was_counted() -> None:
    suite = Suite()
    frozen = suite.reports.pop("outbox-2") | {"held": 2, "held_tried": 2}
    suite.count(inbox_1={"put": 1})  # One of them, and the other has yet to come.
    suite.reports["outbox-2"] = frozen
    suite.count()
    told = suite.count(SURE, outbox_2={"handed_on": 2, "held": -2, "held_tried": -2}, inbox_1={"put": 1})
    assert verdict(told) == [0, 0, 0, 1]
    assert verdict(suite.count(SURE, outbox_1={"handed_on": 2})) == [1, 1, 0, 2]


def test_one_with_a_journal_that_was_unheard_of_has_it_begin_anew(suite: Suite) -> None:
    suite.count(3, outbox_1={"handed_on": 5}, inbox_1={"put": 9})
    suite.add("outbox-3", "handed_on", 900, held=0, held_tried=0)
    told = suite.count(SURE, outbox_3={"handed_on": 4})
    assert verdict(told) == [0, 0, 0, 0]
    assert told["since"] == 1005


def test_one_that_was_away_when_it_began_has_it_begin_anew() -> None:
    suite = Suite()
    suite.count()
    suite.reports["outbox-2"]["held_tried"] = 1
    suite.balance = Balance()
    suite.count(outbox_2={"handed_on": 3, "held_tried": 1})
    away = suite.reports.pop("outbox-2")
    suite.count(inbox_1={"put": 20})
    suite.reports["outbox-2"] = away | {"handed_on": 20, "held_tried": 0}
    told = suite.count(SURE, outbox_2={"handed_on": 4}, inbox_1={"put": 4})
    assert verdict(told) == [0, 0, 0, 0]


def test_it_begins_in_a_second_with_nothing_on_its_way_or_knows_less() -> None:
    suite = Suite()
    suite.reports["outbox-1"]["held_tried"] = 4
    assert suite.count(PATIENCE) == {}
    assert verdict(suite.count())[:3] == [0, 0, 0]
    told = suite.count(SURE, outbox_1={"handed_on": 5, "held_tried": -4})
    assert verdict(told) == [1, 1, 0, 4], "four of the five may have been on timelines already"


def test_what_several_machines_clocks_say_is_not_compared(suite: Suite) -> None:
    suite.reports["outbox-2"]["host"] = "elsewhere"
    told = suite.count(SURE, outbox_1={"handed_on": 5})
    assert told["at"] == 1001


def test_it_knows_so_many_at_most(suite: Suite) -> None:
    for number in range(2 * MOST):
        suite.add(f"other-{number}", "handed_on", held=0, held_tried=0)
    suite.count(2)
    assert len(suite.balance._outboxes) == MOST
