"""Bizlogic between outboxes and an inbox in memory: what it hands on, holds, and does with follows."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from barker.amqp.handlers import ConnectionHandler, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.message import KEY, RECIPIENTS, annotations_in, cut, decode_bark, encode_bark
from barker.amqp.outbound import Accepted, Outbound, Outcome, Rejected
from barker.amqp.service import Serving
from barker.amqp.system import new_id
from barker.bizlogic import ADDRESS
from barker.core.barks import Bark, Follow
from barker.core.errors import Away, InvalidField, NotFound, StorageError
from barker.core.fan_out import marks, unserved
from barker.core.graph import SocialGraph
from barker.core.partitions import number_of
from barker.store.social import FILE_NAME, News, Users
from barker.work import following, spreading
from barker.work.spreading import MEMORY, Bizlogic
from tests.amqp.memory import MemoryReactor

THERE = Place("there", 1)


class Inbox(ConnectionHandler):
    """Takes what is for it, and serves everybody once; settles at once, unless it is `slow`."""

    def __init__(self) -> None:
        self.here, self.slow, self.window = True, False, 100
        self.addresses = {"inbox"}
        self.held: list[tuple[bytes, Delivery]] = []
        self.timelines: dict[str, list[str]] = {}
        self.sizes: list[int] = []
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        if link.address not in self.addresses or not self.here:
            raise NotFound("nobody is here")
        return _Intake(self)

    def take(self, data: bytes, delivery: Delivery) -> None:
        annotations = annotations_in(cut(data).delivery_annotations)
        bark = decode_bark(data)
        assert isinstance(bark, Bark)
        seen = self._seen[delivery.link.address]
        for name in unserved(annotations[KEY], annotations[RECIPIENTS], seen.__contains__).split():
            self.timelines.setdefault(name, []).append(bark.text)
        seen.update(marks(annotations[KEY]))
        delivery.accept()


class _Intake(LinkHandler):
    batches = True

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def on_opened(self, link: Receiver) -> None:
        link.window = self._inbox.window

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self._inbox.sizes.append(len(data))
        if self._inbox.slow:
            self._inbox.held.append((data, delivery))
        else:
            self._inbox.take(data, delivery)


class Outbox:
    """Sends what users say, each until it has an outcome."""

    def __init__(self, bizlogic: Bizlogic) -> None:
        self.reactor = MemoryReactor("outbox")
        self.reactor.places[THERE] = bizlogic
        self.outbound = Outbound(self.reactor.network, ADDRESS)
        self.outcomes: dict[str, Outcome] = {}
        self.said = 0

    def bark(self, user: str, text: str = "woof") -> str:
        return self._send(Bark(new_id(), user, text, 1))

    def follow(self, user: str, other: str, wanted: bool = True) -> str:
        return self._send(Follow(new_id(), user, other, 1, wanted))

    def _send(self, work: Bark | Follow) -> str:
        def then(outcome: Outcome) -> None:
            assert work.id not in self.outcomes
            self.outcomes[work.id] = outcome

        self.outbound.send(encode_bark(work), then)
        return work.id


class Stage:
    """A bizlogic, its inbox, and an outbox."""

    def __init__(
        self, folder: Path, follows: list[tuple[str, str]], kind: type[Users] = Users, inboxes: int = 1
    ) -> None:
        self.file = folder / FILE_NAME
        self.others = Users(self.file, create=True)
        """The users' file, as another process has it."""
        self.others.add((), follows)
        self.inbox = Inbox()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("barker.amqp.process.Reactor", MemoryReactor)
            serving = Serving(ADDRESS, "here", 1, (THERE,))
            self.bizlogic = Bizlogic(serving, kind(self.file, patience=0), inboxes)
        self.reactor = cast(MemoryReactor, self.bizlogic.reactor)
        self.reactor.places[THERE] = self.inbox
        self.outbox = Outbox(self.bizlogic)
        self.outboxes = [self.outbox]
        self.turn(1)

    @property
    def graph(self) -> SocialGraph:
        """Who follows whom, as the bizlogic has it."""
        return self.bizlogic.following.graph

    def turn(self, seconds: float = 0.0, times: int = 4) -> None:
        for _ in range(times):
            for outbox in self.outboxes:
                outbox.reactor.turn(seconds / times)
            self.reactor.turn(seconds / times)

    def close(self) -> None:
        self.bizlogic.following.users.close()
        self.others.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, [("spot", "rex"), ("ark3", "rex"), ("rex", "lassie")])
    yield stage
    stage.close()


# Barks


def test_a_bark_goes_to_all_who_must_see_it_and_is_accepted_when_the_inbox_has_it(stage: Stage) -> None:
    stage.inbox.slow = True
    one = stage.outbox.bark("rex", "hi @lassie")
    stage.turn()
    assert (len(stage.inbox.held), stage.outbox.outcomes) == (1, {})
    stage.inbox.take(*stage.inbox.held.pop())
    stage.turn()
    assert sorted(stage.inbox.timelines) == ["ark3", "lassie", "rex", "spot"]
    assert stage.outbox.outcomes == {one: Accepted()}


def test_an_inbox_that_is_away_keeps_no_other_waiting(tmp_path: Path) -> None:
    here, away = (
        next(f"dog{at}" for at in range(9) if number_of(f"dog{at}", 2) == number) for number in (0, 1)
    )
    stage = Stage(tmp_path, [(here, "rex"), (away, "rex")], inboxes=2)
    stage.inbox.addresses = {"inbox-1-of-2"}
    stage.turn(20, times=40)
    for number in range(300):
        stage.outbox.bark("rex", f"bark {number}")
        stage.turn(0.1)
    assert stage.inbox.timelines[here] == [f"bark {number}" for number in range(300)]
    assert stage.outbox.outcomes == {}
    stage.inbox.addresses.add("inbox-2-of-2")
    stage.turn(20, times=40)
    assert stage.inbox.timelines[away] == [f"bark {number}" for number in range(300)]
    assert len(stage.outbox.outcomes) == 300
    stage.close()


def test_what_the_inbox_rejects_is_rejected_with_the_reason_and_those_behind_go_on(stage: Stage) -> None:
    stage.inbox.slow = True
    bad, good = stage.outbox.bark("rex", "bad"), stage.outbox.bark("rex", "good")
    stage.turn()
    stage.inbox.held[0][1].reject(InvalidField("not so"))
    stage.inbox.take(*stage.inbox.held[1])
    stage.turn()
    assert "not so" in str(stage.outbox.outcomes[bad])
    assert stage.outbox.outcomes[good] == Accepted()
    assert stage.bizlogic.state()["rejected"] == 1


def test_an_error_of_ours_costs_one_message(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    mentioned = stage.graph.mentioned

    def fails(author: str, text: str) -> list[str]:
        return [str(1 // 0)] if text == "bad" else mentioned(author, text)

    monkeypatch.setattr(stage.graph, "mentioned", fails)
    ids = [stage.outbox.bark("rex", text) for text in ("one", "bad", "two")]
    stage.turn()
    outcomes = [stage.outbox.outcomes[id] for id in ids]
    assert outcomes[::2] == [Accepted()] * 2
    assert "ZeroDivisionError" in str(outcomes[1])
    assert stage.inbox.timelines["spot"] == ["one", "two"]


def test_nothing_of_a_lost_outbox_is_held_and_it_sends_all_again(stage: Stage) -> None:
    stage.inbox.here = False
    stage.reactor.lose()
    for _ in range(3):
        stage.outbox.bark("rex")
    stage.turn()
    assert stage.bizlogic.state()["in_flight"] == 3
    stage.outbox.reactor.lose()
    stage.turn()
    assert not stage.bizlogic.state()["active"]
    stage.inbox.here = True
    stage.turn(20, times=10)
    assert list(stage.outbox.outcomes.values()) == [Accepted()] * 3
    assert stage.inbox.timelines["spot"] == ["woof"] * 3
    assert stage.bizlogic.state()["in_flight"] == 0


def test_a_turn_ends_when_it_has_taken_long_and_the_rest_is_done_in_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "TURN_SECONDS", -1.0)
    monkeypatch.setattr(spreading, "IN_A_ROW", 1)
    second = Outbox(stage.bizlogic)
    stage.outboxes.append(second)
    stage.turn(1)
    spread: list[str] = []
    ours = stage.bizlogic._spread
    monkeypatch.setattr(
        stage.bizlogic, "_spread", lambda fan_out: spread.append(fan_out.bark.text) or ours(fan_out)
    )
    for number in range(3):
        stage.outbox.bark("rex", f"a{number}")
        second.bark("spot", f"b{number}")
    stage.turn(1)
    assert len(stage.outbox.outcomes) == len(second.outcomes) == 3
    assert sorted({text[0] for text in spread[:2]}) == ["a", "b"], "each outbox has its turn"


def test_one_that_is_told_to_end_accepts_what_it_has_begun_and_gives_back_the_rest_of_the_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.bizlogic._inboxes[0], "_most", 4)
    stage.inbox.slow = True
    ids = [stage.outbox.bark("rex", f"number {number}") for number in range(10)]
    stage.turn()
    assert len(stage.bizlogic._inboxes[0]) == 4, "it is in the midst of the batch"
    stage.bizlogic.ending = True
    stage.bizlogic.on_ending()
    stage.turn()
    for data, delivery in stage.inbox.held:
        stage.inbox.take(data, delivery)
    stage.turn()
    assert stage.bizlogic.in_hand() == 0
    assert stage.inbox.timelines["spot"] == [f"number {number}" for number in range(4)]
    assert stage.outbox.outcomes == dict.fromkeys(ids[:4], Accepted())


class Many:
    """A graph in which everybody has so many followers."""

    def __init__(self, followers: int) -> None:
        self.names = [f"user{at}" for at in range(followers + 1)]
        self.asked = 0

    def __len__(self) -> int:
        return len(self.names)

    def recipients(self, author: str, text: str) -> list[str]:
        self.asked += 1
        return [author, *self.names]

    def mentioned(self, author: str, text: str) -> list[str]:
        return self.named(text)

    def named(self, text: str) -> list[str]:
        return [text[1:]] if text.startswith("@") else []


@pytest.mark.parametrize(
    ("barks", "followers", "authors"),
    [(2_000, 20_000, 2_000), (1_500, 100_000, 1), (1_500, 100_000, 1_500)],
    ids=["many to some", "one much-followed author", "many much-followed authors"],
)
def test_what_waits_for_an_inbox_takes_no_more_than_stated(
    stage: Stage, barks: int, followers: int, authors: int
) -> None:
    stage.inbox.here = False
    stage.reactor.lose()
    many = Many(followers)
    stage.bizlogic.following.use(cast(SocialGraph, many))
    stage.outboxes += [Outbox(stage.bizlogic) for _ in range(3)]
    stage.turn(1)
    tracemalloc.start()
    try:
        for number in range(barks):
            stage.outboxes[number % 4].bark(f"author{number % authors}", f"@m{number}")
        for _ in range(100):  # A slow machine reads less in a turn.
            stage.turn(2)
            if stage.bizlogic.state()["in_flight"] >= barks:
                break
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert stage.bizlogic.state()["in_flight"] >= barks, "all are here"
    assert many.asked <= MEMORY // (4 * 5 * followers) + 2, "worked out for those that are on their way"


def test_what_outboxes_are_granted_is_bounded_however_many_there_are(stage: Stage) -> None:
    stage.outboxes += [Outbox(stage.bizlogic) for _ in range(9)]
    stage.turn(1)
    windows = [outbox.link.window for outbox in stage.bizlogic.outboxes]
    assert len(windows) == 10
    assert sum(windows) * spreading.TRANSFER <= MEMORY // 2
    outcomes: list[Outcome] = []
    stage.outbox.outbound.send(b"x" * (spreading.LARGEST + 1), outcomes.append)
    stage.turn()
    assert "message-size-exceeded" in str(outcomes[0])


# Follows


def test_a_follow_is_seen_by_the_next_bark_and_not_by_the_one_before(stage: Stage) -> None:
    stage.outbox.bark("lassie", "one")
    stage.outbox.follow("spot", "lassie")
    stage.outbox.bark("lassie", "two")
    stage.outbox.follow("spot", "lassie", wanted=False)
    stage.outbox.bark("lassie", "three")
    stage.turn()
    assert stage.inbox.timelines["spot"] == ["two"]
    assert stage.inbox.timelines["rex"] == ["one", "two", "three"]
    assert set(map(type, stage.outbox.outcomes.values())) == {Accepted}


def test_a_follow_of_nobody_is_rejected(stage: Stage) -> None:
    id = stage.outbox.follow("spot", "nobody")
    stage.turn()
    assert str(stage.outbox.outcomes[id]) == "amqp:not-found: there is no user nobody"


def test_a_locked_file_holds_follows_in_order_and_nothing_else(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.others._db.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    follows = [
        stage.outbox.follow("spot", "lassie"),
        stage.outbox.follow("spot", "lassie", wanted=False),
        stage.outbox.follow("ark3", "lassie"),
    ]
    stage.turn()
    follows.append(stage.outbox.follow("ark3", "lassie", wanted=False))
    bark = stage.outbox.bark("lassie")
    stage.turn(3)
    assert time.monotonic() - begun < 2, "nothing waits for the lock"
    assert stage.inbox.timelines["rex"] == ["woof"]
    assert not set(follows) & set(stage.outbox.outcomes)
    assert [record.message for record in caplog.records if "in use" in record.message] != []
    assert sum("in use" in record.message for record in caplog.records) == 1, "said once"
    stage.others._db.execute("ROLLBACK")
    stage.turn(1)
    assert set(stage.outbox.outcomes) == {bark, *follows}
    assert stage.others.graph().followers("lassie") == stage.graph.followers("lassie") == ["rex"]


@pytest.mark.parametrize("error", [StorageError("the disk is full"), MemoryError()])
def test_follow_and_unfollow_stay_in_order_when_there_is_no_room_between_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    apply, calls = stage.bizlogic.following.users.apply, []

    def full_at_first(words: Any) -> list[bool]:
        calls.append(words)
        if len(calls) == 1:
            raise error
        return apply(words)

    monkeypatch.setattr(stage.bizlogic.following.users, "apply", full_at_first)
    stage.outbox.follow("spot", "lassie")
    stage.turn()
    stage.outbox.follow("spot", "lassie", wanted=False)
    stage.turn(1)
    assert [type(outcome) for outcome in stage.outbox.outcomes.values()] == [Accepted, Accepted]
    assert stage.others.graph().followers("lassie") == ["rex"]


def test_what_is_sent_again_after_it_was_done_changes_nothing_that_came_later(stage: Stage) -> None:
    stage.outbox.follow("spot", "lassie", wanted=False)
    stage.outbox.bark("rex", "one")
    stage.inbox.slow = True
    stage.turn()  # The whole transfer waits for the bark, the unfollow with it.
    stage.others.follow("spot", "lassie")
    stage.outbox.reactor.lose()
    stage.inbox.slow = False
    stage.turn(10)
    assert len(stage.outbox.outcomes) == 2
    assert stage.graph.followers("lassie") == ["rex", "spot"]


@pytest.mark.parametrize("each", [1, 3])
def test_barks_go_on_in_however_many_transfers_came_the_follows_that_wait(stage: Stage, each: int) -> None:
    stage.others._db.execute("BEGIN IMMEDIATE")
    follows = []
    for number in range(100):
        for at in range(each):
            follows.append(stage.outbox.follow(f"user{at}", "lassie"))
        stage.outbox.bark("lassie", f"bark {number}")
        stage.turn(0.1)
    assert stage.inbox.timelines["rex"] == [f"bark {number}" for number in range(100)]
    assert not set(follows) & set(stage.outbox.outcomes)
    stage.others._db.execute("ROLLBACK")
    stage.turn(2)
    assert {stage.outbox.outcomes[id] for id in follows} == {Accepted()}


def test_follows_that_wait_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "MOST_WORDS", 20)
    stage.others._db.execute("BEGIN IMMEDIATE")
    for _ in range(100):
        stage.outbox.follow("spot", "lassie")
        stage.turn(0.1)
    assert stage.bizlogic.state()["in_flight"] == 20 + spreading.MOST_TRANSFERS
    stage.outbox.bark("lassie")
    stage.turn()
    assert stage.inbox.timelines == {}
    stage.others._db.execute("ROLLBACK")
    stage.turn(3)
    assert len(stage.outbox.outcomes) == 101
    assert stage.inbox.timelines["spot"] == ["woof"]


def test_a_word_that_nobody_can_do_is_rejected_and_those_beside_it_are_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = stage.bizlogic.following.users.apply

    def fails(words: Any) -> list[bool]:
        return [bool(1 // 0)] if any(word.user == "bad" for word in words) else apply(words)

    monkeypatch.setattr(stage.bizlogic.following.users, "apply", fails)
    ids = [stage.outbox.follow(user, "lassie") for user in ("spot", "bad", "ark3")]
    stage.turn()
    assert [type(stage.outbox.outcomes[id]) for id in ids] == [Accepted, Rejected, Accepted]
    assert stage.graph.followers("lassie") == ["rex", "spot", "ark3"]


def test_a_removed_file_is_said_and_follows_are_refused(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    aside = stage.file.with_name("aside")
    stage.file.rename(aside)
    refused = stage.outbox.follow("spot", "lassie")
    stage.outbox.bark("rex")
    stage.turn(2)
    assert "was removed or replaced" in str(stage.outbox.outcomes[refused])
    assert stage.inbox.timelines["spot"] == ["woof"], "what is in memory is served"
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1, "said once"
    aside.rename(stage.file)
    done = stage.outbox.follow("spot", "lassie")
    stage.turn(2)
    assert stage.outbox.outcomes[done] == Accepted()
    assert "is there again" in caplog.text


# What others change


def test_what_another_has_changed_is_seen_within_a_moment(stage: Stage) -> None:
    stage.others.follow("spot", "lassie")
    stage.turn(1)
    stage.outbox.bark("lassie")
    stage.turn()
    assert stage.inbox.timelines["spot"] == ["woof"]


def test_an_outbox_that_attaches_finds_what_was_done_just_before(stage: Stage) -> None:
    second = Outbox(stage.bizlogic)
    second.bark("lassie")
    stage.others.follow("spot", "lassie")
    for _ in range(4):
        second.reactor.turn()
        stage.reactor._one_turn()  # No time passes.
    assert stage.inbox.timelines["spot"] == ["woof"]


def test_a_change_that_cannot_be_read_is_not_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> News:
        raise StorageError("the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(stage.bizlogic.following.users, "news", fails)
        stage.others.follow("spot", "lassie")
        stage.turn(3)
    assert caplog.text.count("the disk fails") == 1, "said once"
    assert stage.graph.followers("lassie") == ["rex"]
    stage.turn(1)
    assert stage.graph.followers("lassie") == ["rex", "spot"]


def test_after_very_many_changes_all_is_loaded_a_few_rows_at_a_time_and_barks_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.social.MANY", 10)
    monkeypatch.setattr("barker.store.social.ROWS", 7)
    monkeypatch.setattr(following, "REST_SECONDS", 0.1)
    stage.others.add((), [(f"user{at}", "rex") for at in range(100)])
    stage.turn(1)
    assert len(stage.graph.followers("rex")) == 2, "it is on the way"
    stage.outbox.follow("spot", "lassie")
    stage.outbox.bark("lassie")
    stage.turn()
    assert stage.inbox.timelines["spot"] == ["woof"], "what is new is seen meanwhile"
    stage.turn(10)
    assert len(stage.graph.followers("rex")) == 102
    assert stage.graph.followers("lassie") == ["rex", "spot"]
    stage.outbox.bark("rex")
    stage.turn()
    assert stage.inbox.timelines["user99"] == ["woof"]


def test_loading_that_fails_is_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.store.social.MANY", 1)
    load, tries = stage.bizlogic.following.users.load, []

    def fails_at_first() -> Iterator[SocialGraph | None]:
        tries.append(1)
        if len(tries) == 1:
            yield None
            raise StorageError("a bad spot")
        yield from load()

    monkeypatch.setattr(stage.bizlogic.following.users, "load", fails_at_first)
    stage.others.add((), [("spot", "lassie"), ("ark3", "lassie")])
    stage.turn(5)
    assert stage.graph.followers("lassie") == ["ark3", "rex", "spot"]


# Users in a database, which answers when it likes


class Remote(Users):
    """As a database has them."""

    file = None

    def heard(self) -> bool:
        return False


class Desk:
    """What is asked of the database, until a test has it answered."""

    def __init__(self, *_: Any) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Future[Any]], None]]] = []

    def do(self, call: Callable[[], Any], then: Callable[[Future[Any]], None]) -> None:
        self.waiting.append((call, then))

    def work(self, error: Exception | None = None) -> None:
        """All that was asked is done, or cannot be."""
        waiting, self.waiting = self.waiting, []
        for call, then in waiting:
            done: Future[Any] = Future()
            if error is None:
                done.set_result(call())
            else:
                done.set_exception(error)
            then(done)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stage, Desk]]:
    monkeypatch.setattr("barker.work.following.Beside", Desk)
    stage = Stage(tmp_path, [("spot", "rex"), ("rex", "lassie")], Remote)
    desk = cast(Desk, stage.bizlogic.following._desk)
    desk.work()
    stage.turn(1)
    yield stage, desk
    stage.close()


def test_a_bark_waits_for_the_follow_before_it(remote: tuple[Stage, Desk]) -> None:
    stage, desk = remote
    stage.outbox.bark("lassie", "one")
    stage.outbox.follow("spot", "lassie")
    stage.outbox.bark("lassie", "two")
    stage.turn()
    assert stage.inbox.timelines["rex"] == ["one"]
    desk.work()
    stage.turn()
    assert stage.inbox.timelines["rex"] == ["one", "two"]
    assert stage.inbox.timelines["spot"] == ["two"]
    assert set(map(type, stage.outbox.outcomes.values())) == {Accepted}


def test_it_does_not_wait_long_and_those_of_others_not_at_all(remote: tuple[Stage, Desk]) -> None:
    stage, desk = remote
    other = Outbox(stage.bizlogic)
    stage.outboxes.append(other)
    stage.turn()
    desk.work()
    follow = stage.outbox.follow("spot", "lassie")
    stage.outbox.bark("lassie", "mine")
    other.bark("lassie", "another's")
    stage.turn()
    assert stage.inbox.timelines["rex"] == ["another's"]
    stage.turn(spreading.FOLLOWED_SECONDS * 1.5)
    assert stage.inbox.timelines["rex"] == ["another's", "mine"]
    stage.outbox.follow("spot", "lassie", wanted=False)
    stage.outbox.bark("lassie", "next")
    stage.turn()
    assert stage.inbox.timelines["rex"][-1] == "next", "it is slow, and was waited for once"
    assert len(desk.waiting) == 1, "the second follow comes after the first"
    assert follow not in stage.outbox.outcomes
    for _ in range(2):
        desk.work()
        stage.turn(1)
    assert len(stage.outbox.outcomes) == 4
    assert stage.others.graph().followers("lassie") == ["rex"]


def test_while_it_is_away_follows_wait_in_order_barks_go_on_and_it_is_said_once(
    remote: tuple[Stage, Desk], caplog: pytest.LogCaptureFixture
) -> None:
    stage, desk = remote
    for number in range(3):
        stage.outbox.follow("spot", "lassie", wanted=number % 2 == 0)
        stage.turn(1)
        desk.work(Away(f"it is away, {number}"))
        stage.outbox.bark("lassie", f"bark {number}")
        stage.turn()
        assert stage.inbox.timelines["rex"][-1] == f"bark {number}"
    assert [record.message for record in caplog.records if "away" in record.message] == [
        "it is away, 0; barks go on, and follows wait for it"
    ]
    assert stage.others.graph().followers("lassie") == ["rex"]
    stage.turn(1)
    desk.work()
    stage.turn(1)
    assert [type(outcome) for outcome in stage.outbox.outcomes.values()] == [Accepted] * 6
    assert stage.graph.followers("lassie") == stage.others.graph().followers("lassie") == ["rex", "spot"]
    assert "can be used again" in caplog.text


def test_an_outbox_that_attaches_sends_when_it_is_known_what_was_done(remote: tuple[Stage, Desk]) -> None:
    stage, desk = remote
    second = Outbox(stage.bizlogic)
    stage.outboxes.append(second)
    stage.others.follow("spot", "lassie")
    second.bark("lassie")
    stage.turn()
    assert stage.inbox.timelines == {}
    desk.work()
    stage.turn()
    assert stage.inbox.timelines["spot"] == ["woof"]
    third = Outbox(stage.bizlogic)
    stage.outboxes.append(third)
    third.bark("lassie", "it is slow")
    stage.turn(1)
    assert stage.inbox.timelines["spot"] == ["woof", "it is slow"]
    desk.work()
    assert len(stage.bizlogic.outboxes) == 3


def test_what_was_given_back_while_it_was_done_is_no_error(
    remote: tuple[Stage, Desk], caplog: pytest.LogCaptureFixture
) -> None:
    stage, desk = remote
    stage.outbox.follow("spot", "lassie")
    stage.turn()
    stage.bizlogic.on_ending()
    stage.turn()
    desk.work()
    stage.outbox.reactor.lose()
    stage.turn()
    assert stage.bizlogic.in_hand() == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_what_is_heard_while_one_looks_is_looked_for_again(remote: tuple[Stage, Desk]) -> None:
    stage, desk = remote
    told: list[int] = []
    for number in range(3):
        stage.bizlogic.following.look(lambda number=number: told.append(number))
    assert len(desk.waiting) == 1
    desk.work()
    assert (told, len(desk.waiting)) == ([0], 1)
    desk.work()
    assert (told, desk.waiting) == ([0, 1, 2], [])


# All of it


class Course(RuleBasedStateMachine):
    """Barks and follows over two outboxes, while links are lost and the file is locked at any moment."""

    NAMES = ("ann", "bob", "cid")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.stage = Stage(Path(self.folder.name), [("ann", "bob"), ("bob", "cid"), ("cid", "ann")])
        self.stage.outboxes.append(Outbox(self.stage.bizlogic))
        self.said: Counter[str] = Counter()
        self.pairs = {("ann", "bob"), ("bob", "cid"), ("cid", "ann")}
        self.locked = False

    @rule(author=st.sampled_from(NAMES), count=st.integers(1, 3))
    def bark(self, author: str, count: int) -> None:
        for _ in range(count):
            self.said[author] += 1
            # An author's barks go to one outbox: two are in no order to one another.
            self.of(author).bark(author, f"{author} {self.said[author]}")

    @rule(pair=st.permutations(NAMES), wanted=st.booleans())
    def follow(self, pair: list[str], wanted: bool) -> None:
        user, other, _ = pair
        self.of(user).follow(user, other, wanted)
        self.pairs = self.pairs | {(user, other)} if wanted else self.pairs - {(user, other)}

    def of(self, user: str) -> Outbox:
        return self.stage.outboxes[user == "ann"]

    @rule()
    def lock_or_unlock(self) -> None:
        self.stage.others._db.execute("ROLLBACK" if self.locked else "BEGIN IMMEDIATE")
        self.locked = not self.locked

    @rule(slow=st.booleans(), here=st.booleans())
    def inbox(self, slow: bool, here: bool) -> None:
        if not slow:
            self.settle_or_release_all(release=False)  # As an inbox does: what came first, first.
        self.stage.inbox.slow, self.stage.inbox.here = slow, here

    @precondition(lambda self: self.stage.inbox.held)
    @rule(release=st.booleans())
    def settle_or_release_all(self, release: bool) -> None:
        held, self.stage.inbox.held = self.stage.inbox.held, []
        for data, delivery in held:
            if release:
                delivery.release()
            elif delivery.live:
                self.stage.inbox.take(data, delivery)

    @rule(which=st.integers(0, 2))
    def lose(self, which: int) -> None:
        if which == 2:
            self.stage.inbox.held.clear()
            self.stage.reactor.lose()
        else:
            self.stage.outboxes[which].reactor.lose()

    @rule(seconds=st.sampled_from([0, 0.3, 2]))
    def turn(self, seconds: float) -> None:
        self.stage.turn(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        if self.locked:
            self.lock_or_unlock()
        self.inbox(slow=False, here=True)
        self.settle_or_release_all(release=False)
        for _ in range(30):
            self.stage.turn(2)
            if not any(len(outbox.outbound) for outbox in self.stage.outboxes):
                break
        outcomes = [each for outbox in self.stage.outboxes for each in outbox.outcomes.values()]
        assert set(map(type, outcomes)) <= {Accepted}
        assert not any(len(outbox.outbound) for outbox in self.stage.outboxes)
        self.stage.turn(1)
        graph = self.stage.others.graph()
        for followed in self.NAMES:
            due = {user for user, other in self.pairs if other == followed}
            assert set(graph.followers(followed)) == set(self.stage.graph.followers(followed)) == due
        for name in self.NAMES:
            texts = self.stage.inbox.timelines.get(name, [])
            assert len(texts) == len(set(texts)), "nothing twice"
            for author in self.NAMES:
                numbers = [int(text.split()[1]) for text in texts if text.startswith(author)]
                assert numbers == sorted(numbers)
                if author == name:
                    assert numbers == list(range(1, self.said[author] + 1)), "all of one's own"
        self.stage.close()
        self.folder.cleanup()


Course.TestCase.settings = settings(max_examples=20, stateful_step_count=20)
TestCourse = Course.TestCase
