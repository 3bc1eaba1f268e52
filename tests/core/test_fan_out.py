"""In which transfers a bark goes to all who must see it."""

from __future__ import annotations

import zlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.errors import InvalidField
from barker.core.fan_out import (
    MAX_KEY,
    FanOuts,
    Share,
    checked_key,
    marks,
    part_key,
    parts,
    same_or_wider,
    unserved,
)
from barker.core.graph import SocialGraph
from barker.core.partitions import Partition

# Shares


def test_few_followers_are_one_transfer() -> None:
    fan_outs = FanOuts(SocialGraph((), [("spot", "rex"), ("ark3", "rex")]))
    assert fan_outs.shares("rex", "woof") == [Share(0, "0/1", "rex spot ark3")]
    assert fan_outs.shares("nobody", "woof") == [Share(0, "0/1", "nobody")]


def test_who_is_mentioned_is_named_this_time_only() -> None:
    fan_outs = FanOuts(SocialGraph(["lassie"], [("spot", "rex")]))
    assert fan_outs.shares("rex", "hi @lassie and @spot") == [Share(0, "0/1", "rex spot", "lassie")]
    assert fan_outs.shares("rex", "hi @lassie")[0].recipients == "rex spot lassie"
    assert fan_outs.shares("rex", "hi @spot and @nobody") == [Share(0, "0/1", "rex spot")]


def test_a_mention_only_adds_to_the_fan_out_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = SocialGraph(["lassie", "cat"], [(f"user{at}", "rex") for at in range(30)])
    fan_outs = FanOuts(graph, 1, 10)
    before = fan_outs.shares("rex", "woof")
    monkeypatch.setattr(graph, "recipients", None)
    after = fan_outs.shares("rex", "@lassie @cat")
    assert all(old.names is new.names for old, new in zip(before, after, strict=True))
    assert sorted(" ".join(share.also for share in after).split()) == ["cat", "lassie"]
    assert fan_outs.shares("rex", "woof") is before


@given(st.lists(st.sampled_from([f"m{at}" for at in range(20)]), min_size=1, unique=True), st.integers(1, 5))
def test_who_is_mentioned_is_in_the_part_that_the_name_belongs_to(names: list[str], inboxes: int) -> None:
    followers = [f"user{at}" for at in range(30)]
    graph = SocialGraph(names, [(name, "rex") for name in followers])
    shares = FanOuts(graph, inboxes, 5).shares("rex", " ".join(f"@{name}" for name in names))
    named = [name for share in shares for name in share.recipients.split()]
    assert sorted(named) == sorted([*names, "rex", *followers])
    counts = Counter(share.inbox for share in shares)
    for share in shares:
        number, _, count = share.part.partition("/")
        assert int(count) == counts[share.inbox]
        for name in share.recipients.split():
            assert zlib.crc32(name.encode()) % int(count) == int(number)
            assert inboxes == 1 or Partition(share.inbox, inboxes).holds(name)


def test_a_fan_out_is_remembered_until_followers_change() -> None:
    graph = SocialGraph((), [("spot", "rex")])
    fan_outs = FanOuts(graph)
    before = fan_outs.shares("rex", "woof")
    assert fan_outs.shares("rex", "again") is before
    graph.follow("ark3", "rex")
    fan_outs.forget("rex")
    fan_outs.forget("who never barked")
    assert fan_outs.shares("rex", "woof") == [Share(0, "0/1", "rex spot ark3")]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.core.fan_out.REMEMBERED", 64)
    fan_outs = FanOuts(SocialGraph((), [("spot", "rex"), ("ark3", "rex")]))
    before = fan_outs.shares("rex", "woof")
    assert fan_outs.shares("spot", "woof")
    assert fan_outs.shares("rex", "woof") is before
    assert fan_outs.shares("ark3", "woof")
    assert fan_outs.shares("lassie", "woof")
    again = fan_outs.shares("rex", "woof")
    assert (again, again is before) == (before, False)


USERS = st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True), unique=True, min_size=1, max_size=60)


@given(USERS, st.integers(1, 5), st.integers(1, 20))
def test_every_recipient_is_in_one_share_of_the_inbox_that_has_the_timeline(
    names: list[str], inboxes: int, size: int
) -> None:
    author, *followers = names
    graph = SocialGraph((), [(name, author) for name in followers])
    shares = FanOuts(graph, inboxes, size).shares(author, "")
    named = [(name, share.inbox) for share in shares for name in share.names.split()]
    assert sorted(name for name, _ in named) == sorted(names)
    if inboxes > 1:
        assert all(Partition(inbox, inboxes).holds(name) for name, inbox in named)
    keys = [(share.inbox, share.part) for share in shares]
    assert len(keys) == len(set(keys))


# Parts


PEOPLE = st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), unique=True, max_size=80)


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_few_recipients_are_one_part(count: int) -> None:
    names = [f"user{at}" for at in range(count)]
    assert parts(names, 10) == [names]


@pytest.mark.parametrize(("count", "divided"), [(11, 2), (20, 2), (21, 4), (41, 8), (80, 8)])
def test_more_recipients_are_2_4_8_parts(count: int, divided: int) -> None:
    assert len(parts([f"user{at}" for at in range(count)], 10)) == divided


def test_parts_are_about_as_large_as_asked_for() -> None:
    divided = parts([f"user{at}" for at in range(100_000)], 30_000)
    assert [len(part) for part in divided] == [pytest.approx(25_000, rel=0.05)] * 4


@given(PEOPLE, st.integers(1, 20))
def test_parts_together_are_the_whole_and_nobody_is_in_two(names: list[str], size: int) -> None:
    divided = parts(names, size)
    together = [name for part in divided for name in part]
    assert len(together) == len(names)
    assert set(together) == set(names)
    assert all(part == [name for name in names if name in part] for part in divided), "in order, in each"


@given(PEOPLE, PEOPLE, st.integers(1, 20))
def test_nobody_moves_to_another_part_when_others_come(names: list[str], more: list[str], size: int) -> None:
    before = parts(names, size)
    larger = list(dict.fromkeys([*more, *names]))
    after = parts(larger, size)
    if len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            assert set(old) <= set(new)


class Inbox:
    """What an inbox knows and does: keys that were here, and whom it has served."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.seen: set[str] = set()
        self.served: Counter[str] = Counter()

    def take(self, key: str, names: list[str]) -> None:
        users = unserved(key, " ".join(names), self.seen.__contains__)
        if users:
            self.served.update(users.split())
            self.journal.append(key)
            self.seen.update(marks(key))

    def restart(self) -> None:
        self.seen = {mark for key in self.journal for mark in marks(key)}


TRY = st.tuples(st.lists(st.integers(0, 39)), st.integers(1, 40), st.lists(st.integers(0, 63)), st.booleans())
"""Of one try: who else is there, the size of a part, which parts arrive, whether the inbox dies then."""


@given(st.lists(st.integers(40, 79), unique=True), st.lists(TRY, max_size=6), st.integers(1, 40))
def test_a_fan_out_that_is_cut_and_repeated_in_whatever_parts_serves_everyone_once(
    staying: list[int], tries: list[tuple[list[int], int, list[int], bool]], size: int
) -> None:
    inbox = Inbox()
    for others, size_now, arriving, dies in [*tries, ([], size, list(range(64)), False)]:
        divided = parts([f"user{at}" for at in dict.fromkeys([*staying, *others])], size_now)
        for number in dict.fromkeys(at % len(divided) for at in arriving):
            inbox.take(part_key("ann", "id", f"{number}/{len(divided)}"), divided[number])
        if dies:
            inbox.restart()
    assert all(count == 1 for count in inbox.served.values()), "nobody twice"
    assert {f"user{at}" for at in staying} <= set(inbox.served), "nobody is missed who was there all the time"


def test_at_the_boundary_who_unfollows_costs_nobody_else_anything() -> None:
    inbox, names = Inbox(), [f"user{at}" for at in range(11)]
    halves = parts(names, 10)
    inbox.take(part_key("ann", "id", "0/2"), halves[0])
    inbox.take(part_key("ann", "id", "0/1"), names[:9])
    inbox.take(part_key("ann", "id", "0/1"), names[:9])
    inbox.take(part_key("ann", "id", "1/2"), halves[1])
    assert inbox.served == Counter({*halves[0], *names[:9]})


def test_what_a_bark_in_one_part_costs() -> None:
    asked: list[str] = []
    assert list(marks("ann/id\n0/1")) == ["ann/id\n0/1"]
    assert unserved("ann/id\n0/1", "rex", lambda key: bool(asked.append(key))) == "rex"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "part", ["9" * 5_000 + "/8", "0/" + "9" * 5_000, "0/3", "8/8", "0/2048", "x/2", "²/4"]
)
def test_what_is_no_part_is_a_key_like_any_other(part: str) -> None:
    key = part_key("ann", "id", part)
    assert list(marks(key)) == list(same_or_wider(key)) == [key]
    assert unserved(key, "rex", lambda _: False) == "rex"
    assert unserved(key, "rex", {key}.__contains__) == ""


@pytest.mark.parametrize(
    ("key", "wider"),
    [
        ("ann/id\n5/8", ["ann/id\n1/4", "ann/id\n1/2", "ann/id\n0/1"]),
        ("ann/id\n0/1", []),
        ("ann/id\n5/8\n0/1", []),
        ("rex\n5/8\n", []),
        ("\n5/8", []),
        ("k", []),
        ("", []),
        ("ann/id\n5/0", []),
        ("ann/id\nx/8", []),
    ],
)
def test_which_parts_hold_a_part(key: str, wider: list[str]) -> None:
    assert list(same_or_wider(key)) == [key, *wider]


# Keys from strangers


@pytest.mark.parametrize(
    "key",
    [
        "",
        "17",
        "ann/id\n0/1",
        "ann/id\n",
        "ann/id\n1/2",
        "ann/id\n1023/1024",
        "ann/a\nb\n0/1",
        "9" * MAX_KEY,
        "x" * (MAX_KEY - 4) + "\n0/1",
    ],
)
def test_a_key_that_is_one(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("x" * (MAX_KEY + 1), "600 characters at most; this one has 601"),
        ("ann/id\n0/" + "1" + "0" * 5_000, "600 characters"),
        ("ann/id\n" + "0" * 500 + "/1", "ends in '000"),
        ("ann/id\n0/3", "ends in '0/3'"),
        ("ann/id\n2/2", "ends in '2/2'"),
        ("ann/id\n0/0", "k/n"),
        ("ann/id\n0/2048", "k/n"),
        ("ann/id\n0/02", "k/n"),
        ("ann/id\n-1/2", "k/n"),
        ("ann/id\n 0/1", "k/n"),
        ("ann/id\n1", "k/n"),
        ("ann/id\n\u0661/2", "k/n"),
        ("ann/id\nx", "ends in 'x'"),
    ],
)
def test_a_key_that_is_none(key: str, named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked_key(key)
    assert named in caught.value.description
    assert len(caught.value.description) < 300


@given(st.text("ann/id\n0123456789", max_size=700) | st.text(max_size=40))
def test_what_is_a_key_has_few_wider_ones_and_they_are_keys(key: str) -> None:
    try:
        checked_key(key)
    except InvalidField:
        return
    wider = list(same_or_wider(key))
    assert 1 <= len(wider) <= 17
    assert [checked_key(each) for each in wider] == wider


@given(
    st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True),
    st.text(min_size=1, max_size=256),
    st.integers(0, 10),
)
def test_every_part_of_a_bark_has_a_key(author: str, id: str, power: int) -> None:
    count = 1 << power
    for number in {0, count // 2, count - 1}:
        key = part_key(author, id, f"{number}/{count}")
        assert checked_key(key) == key
