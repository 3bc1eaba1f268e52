"""What becomes of keys when there are more inboxes, or fewer: a bark that comes again serves each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.claims import Claim, Claims, Division, Row, may_come_again
from barker.core.errors import InvalidField
from barker.core.fan_out import MAX_KEY, checked_key, marks, part_key, parts, unserved
from barker.core.partitions import Partition, number_of

NAMES = st.lists(st.text("abcdefgh0123456789_", min_size=1, max_size=5), min_size=1, max_size=20, unique=True)

COUNTS = st.integers(1, 5)


class Inbox:
    """What an inbox knows of one bark: rows, as they would be in its journal."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows: list[Row] = []
        self.claims, self.seen = Claims(), set[str]()
        for row in rows:
            self._keep(row)

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        if row.key and not self.claims.add(row.key):
            self.seen.update(marks(row.key))

    def take(self, key: str, names: list[str]) -> None:
        left = self.claims.unserved(key, unserved(key, " ".join(names), self.seen.__contains__))
        if left:
            self._keep(Row(key, left))

    def forget(self) -> None:
        """Its messages are on no timeline any more."""
        self.rows = [row._replace(users="") for row in self.rows]


def of_one(inboxes: list[Inbox], under_way: bool, count: int) -> list[Inbox]:
    """So many inboxes in place of these."""
    rows: list[list[Row]] = [[] for _ in range(count)]
    for number, inbox in enumerate(inboxes):
        division = Division(Partition(number, len(inboxes)), count)
        for row in inbox.rows:
            for target, each in division.rows(row, under_way):
                rows[target].append(each)
    return [Inbox(each) for each in rows]


def send(inboxes: list[Inbox], names: list[str], size: int, cut: set[int], served: dict[str, int]) -> None:
    """Bizlogic hands a bark on, of which some parts get lost; who is served is counted."""
    at = 0
    for number, inbox in enumerate(inboxes):
        mine = [name for name in names if number_of(name, len(inboxes)) == number]
        divided = parts(mine, size) if mine else []
        for part, part_names in enumerate(divided):
            if at not in cut:
                before = len(inbox.rows)
                inbox.take(part_key("ann", "id", f"{part}/{len(divided)}"), part_names)
                for row in inbox.rows[before:]:
                    for name in row.users.split():
                        served[name] = served.get(name, 0) + 1
            at += 1


@given(
    NAMES,
    COUNTS,
    st.lists(st.tuples(COUNTS, st.integers(2, 9), st.sets(st.integers(0, 9)), st.booleans()), max_size=4),
)
def test_a_bark_under_way_that_comes_again_serves_each_once_whatever_the_numbers_of_inboxes(
    names: list[str], first: int, steps: list[tuple[int, int, set[int], bool]]
) -> None:
    inboxes = [Inbox([]) for _ in range(first)]
    served: dict[str, int] = {}
    for count, size, cut, forgets in steps:
        send(inboxes, names, size, cut, served)
        if forgets:
            for inbox in inboxes:
                inbox.forget()
        inboxes = of_one(inboxes, True, count)
    send(inboxes, names, 9, set(), served)
    assert served == dict.fromkeys(names, 1)
    send(inboxes, names, 3, set(), served)
    assert served == dict.fromkeys(names, 1)


@given(NAMES, st.lists(COUNTS, min_size=2, max_size=4))
def test_of_what_is_done_plain_keys_remain_and_each_timeline_has_it_still(
    names: list[str], counts: list[int]
) -> None:
    inboxes = [Inbox([]) for _ in range(counts[0])]
    send(inboxes, names, 100, set(), {})
    for count in counts[1:]:
        inboxes = of_one(inboxes, False, count)
    assert not any(len(inbox.claims) for inbox in inboxes)
    for number, inbox in enumerate(inboxes):
        mine = sorted(name for name in names if number_of(name, len(inboxes)) == number)
        assert sorted(name for row in inbox.rows for name in row.users.split()) == mine


def test_who_joined_where_the_bark_has_been_is_not_served_and_others_are() -> None:
    """As without any change: what an inbox has, it has for all its users."""
    names = [f"dog{at}" for at in range(12)]
    inboxes = [Inbox([]), Inbox([])]
    served: dict[str, int] = {}
    send(inboxes, names[:6], 100, {1}, served)
    assert served == {name: 1 for name in names[:6] if number_of(name, 2) == 0}
    (one,) = of_one(inboxes, True, 1)
    send([one], names, 100, set(), served)
    late = [name for name in names[6:] if number_of(name, 2) == 0]
    assert late
    assert served == {name: 1 for name in names if name not in late}


KEYS = st.one_of(
    st.builds(lambda id: part_key("ann", id, "3/4"), st.text(min_size=1, max_size=9)),
    st.builds(lambda id: f"rex\n{id}\n", st.text(min_size=1, max_size=9)),
    st.text(min_size=1, max_size=9).filter(lambda key: "\n" not in key),
)


@given(KEYS, st.lists(st.builds(Partition, st.just(1), st.integers(2, 100)), min_size=1, max_size=3))
def test_a_claim_is_read_as_it_was_written_and_never_comes_from_outside(
    key: str, partitions: list[Partition]
) -> None:
    claim = Claim(key, tuple(partitions))
    assert Claim.parse(str(claim)) == claim
    assert Claim.parse(key) == Claim(key, ())
    if len(str(claim)) <= MAX_KEY:
        with pytest.raises(InvalidField):
            checked_key(str(claim))


@pytest.mark.parametrize(
    ("key", "may"),
    [
        ("ann/1\n0/1", True),
        ("ann/1\n0/1@2/4", True),
        ("ann/2\n0/1", False),
        ("ann/2\n0/1@2/4", False),
        ("rex\n1\n", False),
        ("theirs", True),
        ("theirs\n", True),
        ("theirs\n0/1", True),
    ],
)
def test_what_outboxes_hold_may_come_again_and_what_others_sent(key: str, may: bool) -> None:
    assert may_come_again(key, {"ann/1"}.__contains__) is may


@given(st.integers(1, 100), st.integers(1, 100), st.lists(st.text(max_size=9), min_size=30, max_size=60))
def test_partitions_that_meet_and_lie_within_each_other(ours: int, theirs: int, names: list[str]) -> None:
    for name in names:
        one, other = Partition(number_of(name, ours), ours), Partition(number_of(name, theirs), theirs)
        assert one.meets(other)
        for number in range(theirs):
            if one.within(Partition(number, theirs)):
                assert number == other.number
