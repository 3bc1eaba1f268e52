"""What each user has yet to read, for readers of any speed."""

from __future__ import annotations

import pickle
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from barker.core.timelines import DROPPED, FORGOTTEN, GENERATIONS, MAX_NAME, Cursor, Seen, Timelines


def deliver(timelines: Timelines[str], sequences: range, *users: str) -> None:
    for sequence in sequences:
        put(timelines, sequence, *users)


def put(timelines: Timelines[str], sequence: int, *users: str) -> list[str]:
    """Put one message on users' timelines; who is to read it."""
    return timelines.deliver(sequence, b"%d" % sequence, timelines.audience(" ".join(users)))


def read_all(cursor: Cursor[str]) -> list[tuple[int, int]]:
    """Everything there is for a reader: (sequence number, missed just before it)."""
    found: list[tuple[int, int]] = []
    while (next_one := cursor.read()) is not None:
        message, missed = next_one
        found.append((message.sequence, missed))
    return found


# Reading


def test_a_reader_sees_the_history_then_what_comes() -> None:
    timelines: Timelines[str] = Timelines(3)
    deliver(timelines, range(1, 6), "rex")
    cursor = timelines.follow("rex", "reader")
    assert cursor.behind == 3
    assert read_all(cursor) == [(3, 0), (4, 0), (5, 0)]
    assert cursor.read() is None
    deliver(timelines, range(6, 8), "rex")
    assert read_all(cursor) == [(6, 0), (7, 0)]
    assert cursor.missed == 0, "what was gone before it came, it did not miss"


def test_a_reader_of_an_empty_timeline_waits_for_the_first() -> None:
    timelines: Timelines[str] = Timelines(3)
    cursor = timelines.follow("rex", "reader")
    assert (cursor.read(), cursor.behind) == (None, 0)
    assert put(timelines, 1, "rex") == ["reader"]
    assert read_all(cursor) == [(1, 0)]


def test_a_slow_reader_goes_on_with_the_oldest_that_is_there_and_is_told_what_it_missed() -> None:
    timelines: Timelines[str] = Timelines(3)
    deliver(timelines, range(1, 4), "rex")
    slow, quick = timelines.follow("rex", "slow"), timelines.follow("rex", "quick")
    assert slow.read() is not None
    assert len(read_all(quick)) == 3
    deliver(timelines, range(4, 9), "rex")
    assert slow.behind == 7
    assert read_all(slow) == [(6, 4), (7, 0), (8, 0)]
    assert read_all(quick) == [(6, 2), (7, 0), (8, 0)]
    assert (slow.missed, quick.missed) == (4, 2)


def test_only_readers_of_the_users_it_is_for_are_woken() -> None:
    timelines: Timelines[str] = Timelines(3)
    for user, reader in (("rex", "r1"), ("rex", "r2"), ("spot", "s1"), ("ark3", "a1")):
        timelines.follow(user, reader)
    assert put(timelines, 1, "rex", "nobody", "spot") == ["r1", "r2", "s1"]
    timelines.leave("rex", "r1")
    assert put(timelines, 2, "rex") == ["r2"]


def test_who_rests_is_left_alone_and_goes_on_where_it_was() -> None:
    timelines: Timelines[str] = Timelines(3)
    stalled, quick = timelines.follow("rex", "stalled"), timelines.follow("rex", "quick")
    stalled.rest()
    stalled.rest()
    assert put(timelines, 1, "rex") == ["quick"]
    stalled.wake()
    assert put(timelines, 2, "rex") == ["quick", "stalled"]
    assert read_all(stalled) == read_all(quick) == [(1, 0), (2, 0)]
    quick.rest()
    timelines.leave("rex", "quick")
    stalled.rest()
    timelines.leave("rex", "stalled")
    assert put(timelines, 3, "rex") == []


def test_a_reader_that_comes_again_sees_the_history_again() -> None:
    timelines: Timelines[str] = Timelines(3)
    deliver(timelines, range(1, 3), "rex")
    read_all(timelines.follow("rex", "reader"))
    timelines.leave("rex", "reader")
    assert read_all(timelines.follow("rex", "reader")) == [(1, 0), (2, 0)]


# What is kept


def test_a_timeline_that_never_had_anything_is_gone_with_its_last_reader() -> None:
    timelines: Timelines[str] = Timelines(3)
    timelines.follow("rex", "r1")
    timelines.follow("rex", "r2")
    timelines.leave("rex", "r1")
    assert len(timelines) == 1
    timelines.leave("rex", "r2")
    assert len(timelines) == 0
    timelines.leave("spot", "who never came")
    assert len(timelines) == 0


def test_a_timeline_with_messages_stays_without_readers() -> None:
    timelines: Timelines[str] = Timelines(3)
    deliver(timelines, range(1, 2), "rex")
    timelines.follow("rex", "reader")
    timelines.leave("rex", "reader")
    assert [user for user, _ in timelines] == ["rex"]


def test_a_message_is_gone_when_no_timeline_holds_it() -> None:
    timelines: Timelines[str] = Timelines(2)
    deliver(timelines, range(1, 2), "rex", "spot")
    deliver(timelines, range(2, 4), "rex")
    assert timelines.gone == [], "1 is on spot's timeline still"
    deliver(timelines, range(4, 6), "spot")
    assert timelines.gone == [1]
    deliver(timelines, range(6, 7), "rex", "spot")
    assert sorted(timelines.gone) == [1, 2, 4]


def test_a_message_that_nobody_is_to_see_is_gone_at_once() -> None:
    timelines: Timelines[str] = Timelines(2)
    assert timelines.deliver(1, b"1", timelines.audience("")) == []
    assert timelines.gone == [1]


def test_audiences_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.core.timelines.AUDIENCE", 24)
    timelines: Timelines[str] = Timelines(3)
    both = timelines.audience("rex spot")
    assert timelines.audience("rex spot") is both
    deliver(timelines, range(1, 2), "spot", "rex", "ark3")
    deliver(timelines, range(2, 3), "rex", "spot")
    timelines.leave("rex", "who never came")
    assert timelines.audience("rex spot") is not both, "the fifth timeline had the others forgotten"
    assert read_all(timelines.follow("rex", "reader")) == [(1, 0), (2, 0)], "they are the same timelines"
    assert len(timelines) == 3


def test_an_audience_of_long_names_counts_as_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.core.timelines.AUDIENCE", 1_000)
    timelines: Timelines[str] = Timelines(3)
    for at in range(100):
        timelines.audience(f"{at}{'x' * 10_000}")
    assert sum(map(len, timelines._audiences)) < 20_000
    assert len(timelines) == 0


@pytest.mark.parametrize("wrong", ["", "x" * (MAX_NAME + 1), "x" * 100_000])
def test_a_name_that_none_has_makes_no_timeline(wrong: str) -> None:
    timelines: Timelines[str] = Timelines(3)
    longest = "x" * MAX_NAME
    for sequence, names in enumerate((wrong, f"{wrong} rex", f"rex {wrong} {longest} {wrong}", "rex"), 1):
        for _ in range(2):
            put(timelines, sequence, names)
    assert {user for user, _ in timelines} == {"rex", longest}
    assert timelines.gone == [1, 1, 2, 2], "rex has the last three, and the longest name both that are 3"
    assert [sequence for sequence, _ in read_all(timelines.follow("rex", "reader"))] == [3, 4, 4]


# Too many


def test_the_quietest_that_nobody_reads_are_forgotten() -> None:
    timelines: Timelines[str] = Timelines(3, most=10)
    for sequence in range(1, 12):
        put(timelines, sequence, f"user{sequence}")
    timelines.follow("user1", "reader")
    put(timelines, 12, "user2")
    assert (len(timelines), timelines.forgotten) == (11, 0)
    put(timelines, 13, "new")
    kept = {"user1", "user2", "new", *(f"user{at}" for at in range(6, 12))}
    assert {user for user, _ in timelines} == kept
    assert timelines.forgotten == 3
    assert sorted(timelines.gone) == [3, 4, 5]


def test_an_audience_that_is_remembered_revives_nobody() -> None:
    timelines: Timelines[str] = Timelines(3, most=10)
    put(timelines, 1, "rex", "spot")
    for sequence in range(2, 12):
        put(timelines, sequence, f"user{sequence}")
    put(timelines, 12, "user2", "user3")
    assert timelines.forgotten == 3
    assert not {"rex", "spot"} & {user for user, _ in timelines}
    put(timelines, 13, "rex", "spot")
    assert read_all(timelines.follow("rex", "reader")) == [(13, 0)], "it begins anew"
    put(timelines, 14, "rex", "spot")
    assert read_all(timelines.follow("spot", "reader")) == [(13, 0), (14, 0)]


def test_where_all_are_read_none_is_forgotten() -> None:
    timelines: Timelines[str] = Timelines(3, most=5)
    for at in range(20):
        timelines.follow(f"user{at}", "reader")
        put(timelines, at + 1, f"user{at}")
    assert (len(timelines), timelines.forgotten) == (20, 0)


def test_those_that_are_looked_at_bit_by_bit_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.core.timelines.LOOKED", 1)
    monkeypatch.setattr("barker.core.timelines.SAMPLE", 30)
    most, largest = 1_000, 0
    timelines: Timelines[str] = Timelines(3, most)
    cursor = timelines.follow("read", "reader")
    put(timelines, 1, "read")
    for sequence in range(2, 10_000):
        # Those of the first hundred are sent something again and again, and are never the quietest.
        put(timelines, sequence, f"made{sequence}", f"known{sequence % 100}")
        largest = max(largest, len(timelines))
    assert most < largest <= most + most // FORGOTTEN
    users = {user for user, _ in timelines}
    assert {"read", *(f"known{at}" for at in range(100))} <= users
    assert read_all(cursor) == [(1, 0)]
    assert timelines.forgotten == 9_998 + 101 - len(timelines)
    assert len(timelines.gone) == len(set(timelines.gone))


# Everything at once, against a model

USERS, READERS = ("rex", "spot", "ark3"), ("a", "b", "c")


class TimelinesMachine(RuleBasedStateMachine):
    """The model: all that a user was ever sent, and for each reader how far it is."""

    @initialize(history=st.integers(1, 5) | st.sampled_from([64, 100]))
    def begin(self, history: int) -> None:
        self.history = history
        self.timelines: Timelines[str] = Timelines(history)
        self.sent: dict[str, list[int]] = {user: [] for user in USERS}
        self.cursors: dict[tuple[str, str], Cursor[str]] = {}
        self.places: dict[tuple[str, str], int] = {}
        self.missed: dict[tuple[str, str], int] = {}
        self.sequence = 0

    @rule(users=st.sets(st.sampled_from(USERS), min_size=1), count=st.integers(1, 8) | st.just(70))
    def deliver(self, users: set[str], count: int) -> None:
        for _ in range(count):
            self.sequence += 1
            woken = put(self.timelines, self.sequence, *sorted(users))
            for user in users:
                self.sent[user].append(self.sequence)
            assert sorted(woken) == sorted(reader for user, reader in self.cursors if user in users)

    @rule(user=st.sampled_from(USERS), reader=st.sampled_from(READERS))
    def follow(self, user: str, reader: str) -> None:
        self.cursors[user, reader] = self.timelines.follow(user, reader)
        self.places[user, reader] = max(0, len(self.sent[user]) - self.history)
        self.missed[user, reader] = 0

    @rule(user=st.sampled_from(USERS), reader=st.sampled_from(READERS))
    def leave(self, user: str, reader: str) -> None:
        self.timelines.leave(user, reader)
        self.cursors.pop((user, reader), None)

    @precondition(lambda self: self.cursors)
    @rule(data=st.data(), count=st.integers(1, 8))
    def read(self, data: st.DataObject, count: int) -> None:
        place = data.draw(st.sampled_from(sorted(self.cursors)))
        cursor, sent = self.cursors[place], self.sent[place[0]]
        for _ in range(count):
            assert cursor.behind == len(sent) - self.places[place]
            found = cursor.read()
            if self.places[place] == len(sent):
                assert found is None
                return
            at = max(self.places[place], len(sent) - self.history)
            missed = at - self.places[place]
            assert found is not None
            assert (found[0].sequence, found[0].data, found[1]) == (sent[at], b"%d" % sent[at], missed)
            self.places[place] = at + 1
            self.missed[place] += missed
            assert cursor.missed == self.missed[place]

    @invariant()
    def what_is_held_is_the_last_of_each(self) -> None:
        if hasattr(self, "timelines"):
            last = {sequence for sent in self.sent.values() for sequence in sent[-self.history :]}
            gone = self.timelines.gone
            assert len(set(gone)) == len(gone)
            assert not last.intersection(gone)
            # Of a long history, up to a part more is held.
            more = max(1, self.history // DROPPED) - 1
            held = {sequence for sent in self.sent.values() for sequence in sent[-self.history - more :]}
            assert set(gone) >= set(range(1, self.sequence + 1)) - held
            known = {user for user, sent in self.sent.items() if sent} | {user for user, _ in self.cursors}
            assert {user for user, _ in self.timelines} == known
            assert len(self.timelines) == len(known)


TestTimelinesMachine = TimelinesMachine.TestCase
TestTimelinesMachine.settings = settings(max_examples=60, stateful_step_count=40)


MANY = [f"user{at}" for at in range(40)]


class ForgettingMachine(RuleBasedStateMachine):
    """The model: what each user was sent since its timeline began, and how far each reader is."""

    @initialize(most=st.integers(1, 20), history=st.integers(1, 4), looked=st.sampled_from([0, 1_000]))
    def begin(self, most: int, history: int, looked: int) -> None:
        self.most, self.history, self.looked = most, history, looked
        self.timelines: Timelines[str] = Timelines(history, most)
        self.sent: dict[str, list[int]] = {}
        self.cursors: dict[tuple[str, str], Cursor[str]] = {}
        self.places: dict[tuple[str, str], int] = {}
        self.last: list[str] = []
        self.sequence = self.forgotten = self.largest = self.most_read = 0

    @property
    def read(self) -> set[str]:
        return {user for user, _ in self.cursors}

    @rule(users=st.lists(st.sampled_from(MANY), min_size=1, max_size=12, unique=True))
    def deliver(self, users: list[str]) -> None:
        self.sequence += 1
        newest = {user: sent[-1] for user, sent in self.sent.items()}
        count = len(self.timelines)
        with patch("barker.core.timelines.LOOKED", self.looked):
            audience = self.timelines.audience(" ".join(users))
        gone = newest.keys() - {user for user, timeline in self.timelines if timeline}
        assert not gone & self.read, "nobody is forgotten who is read"
        if gone and self.looked:
            unread = sorted(at for user, at in newest.items() if user not in self.read)
            to_go = count - (self.most - self.most // FORGOTTEN)
            assert all(newest[user] <= unread[:to_go][-1] for user in gone), "the quietest"
        for user in gone:
            del self.sent[user]
        self.forgotten += len(gone)
        woken = self.timelines.deliver(self.sequence, b"%d" % self.sequence, audience)
        for user in users:
            self.sent.setdefault(user, []).append(self.sequence)
        assert sorted(woken) == sorted(reader for user, reader in self.cursors if user in users)
        if self.looked:
            self.largest = max(self.largest, len(users))
            assert len(self.timelines) <= self.most + self.most_read + self.largest
        self.last = users

    @precondition(lambda self: getattr(self, "last", None))
    @rule()
    def deliver_to_the_same(self) -> None:
        self.deliver(self.last)

    @rule(user=st.sampled_from(MANY), reader=st.sampled_from(READERS))
    def follow(self, user: str, reader: str) -> None:
        self.cursors[user, reader] = self.timelines.follow(user, reader)
        self.places[user, reader] = max(0, len(self.sent.get(user, ())) - self.history)
        self.most_read = max(self.most_read, len(self.read))

    @precondition(lambda self: getattr(self, "cursors", None))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(sorted(self.cursors)))
        self.timelines.leave(*place)
        del self.cursors[place]

    @precondition(lambda self: getattr(self, "cursors", None))
    @rule(data=st.data(), count=st.integers(1, 8))
    def read_on(self, data: st.DataObject, count: int) -> None:
        place = data.draw(st.sampled_from(sorted(self.cursors)))
        cursor, sent = self.cursors[place], self.sent.get(place[0], [])
        for _ in range(count):
            assert cursor.behind == len(sent) - self.places[place]
            found = cursor.read()
            if self.places[place] == len(sent):
                assert found is None
                return
            at = max(self.places[place], len(sent) - self.history)
            assert found is not None
            assert (found[0].sequence, found[1]) == (sent[at], at - self.places[place])
            self.places[place] = at + 1

    @invariant()
    def what_is_held_is_the_last_of_each(self) -> None:
        if hasattr(self, "timelines"):
            held = {sequence for sent in self.sent.values() for sequence in sent[-self.history :]}
            assert sorted(self.timelines.gone) == sorted(set(range(1, self.sequence + 1)) - held)
            assert {user for user, _ in self.timelines} == self.sent.keys() | self.read
            assert self.timelines.forgotten == self.forgotten


TestForgettingMachine = ForgettingMachine.TestCase
TestForgettingMachine.settings = settings(max_examples=60, stateful_step_count=40)


# What was seen


@given(st.integers(1, 20), st.integers(0, 60))
def test_the_last_keys_are_known(limit: int, count: int) -> None:
    seen = Seen(limit)
    for at in range(count):
        assert str(at) not in seen
        seen.add(str(at))
        assert all(str(last) in seen for last in range(max(0, at + 1 - limit), at + 1))
        assert len(seen) <= limit + -(-limit // GENERATIONS) + GENERATIONS
    assert sum(str(at) in seen for at in range(count)) == len(seen)


def test_what_is_older_than_the_last_keys_is_told_by_its_sequence_number() -> None:
    seen = Seen(8)
    assert seen.since == 0
    for sequence in range(1, 100):
        seen.add(str(sequence), sequence)
        assert seen.since <= max(1, sequence - 7)
        assert all(str(last) in seen for last in range(max(1, seen.since), sequence + 1))
    assert seen.since > 85


def test_memory_for_keys_is_bounded() -> None:
    seen = Seen(1000)
    for at in range(100_000):
        seen.add(str(at))
    assert len(seen) <= 1250
    assert len(pickle.dumps(seen)) < 1250 * 34


def test_a_key_that_comes_again_is_remembered_from_then_on() -> None:
    # A journal that is loaded may hold a key twice: an old one of a quiet timeline, and a late repeat.
    seen = Seen(4)
    for key in ("late", "b", "c", "d", "late", "e", "f", "g"):
        seen.add(key)
    assert "late" in seen


@pytest.mark.parametrize("key", ["", "rex/1\n7", "\N{DOG FACE}" * 300])
def test_any_text_is_a_key(key: str) -> None:
    seen = Seen()
    seen.add(key)
    assert key in seen
