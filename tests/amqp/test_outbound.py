"""Messages that are brought to an address, whatever is lost, released or refused on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Batched, Delivery, Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.outbound import Accepted, Dropped, Outbound, Outcome, Rejected
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import InvalidField, NotFound
from tests.amqp.memory import MemoryReactor

LARGEST = 1_000


class Far(LinkHandler):
    """The receiving end of one link: keeps what came."""

    def __init__(self, service: Service) -> None:
        self.service, self.batches = service, service.batches
        self.came: list[tuple[bytes, Delivery]] = []

    def on_opened(self, link: Receiver) -> None:
        self.service.link = link
        link.window = self.service.window

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        self.service.on_came(data, delivery)
        self.came.append((data, delivery))


class Service(ConnectionHandler):
    """Whom the outbound finds."""

    def __init__(self, batches: bool = False, window: int = 10) -> None:
        self.batches, self.window, self.refusing = batches, window, False
        self.link: Receiver | None = None
        self.handlers: list[Far] = []
        self.on_came: Callable[[bytes, Delivery], None] = lambda data, delivery: None

    def on_attach(self, link: Sender | Receiver) -> LinkHandler:
        if self.refusing:
            raise NotFound("nobody is here")
        assert isinstance(link, Receiver)
        link.max_message_size = LARGEST
        self.handlers.append(Far(self))
        return self.handlers[-1]


class Stage:
    """An outbound, whom it finds, and what it has told."""

    def __init__(self, most: float = 10_000, memory: float = 1 << 20, **service: Any) -> None:
        self.reactor, self.service = MemoryReactor(), Service(**service)
        self.reactor.places[Place("there", 1)] = self.service
        self.outbound = Outbound(self.reactor.network, "x", most, memory)
        self.outcomes: list[tuple[str, Outcome]] = []
        self.reactor.turn()

    def send(self, *texts: str) -> None:
        for text in texts:
            self.outbound.send(text.encode(), self.then(text))

    def then(self, text: str) -> Callable[[Outcome], None]:
        return lambda outcome: self.outcomes.append((text, outcome))

    @property
    def came(self) -> list[str]:
        """What has come over the link that stands."""
        return [data.decode() for data, _ in self.service.handlers[-1].came]

    def delivery(self, text: str) -> Delivery:
        return [each for data, each in self.service.handlers[-1].came if data.decode() == text][-1]


def test_each_message_has_one_outcome_of_a_type_of_its_own() -> None:
    stage = Stage()
    stage.send("a", "b")
    assert stage.came == [], "at the end of the turn"
    stage.reactor.turn()
    assert (stage.came, stage.outcomes, len(stage.outbound)) == (["a", "b"], [], 2)
    stage.delivery("b").reject(InvalidField("no b"))
    stage.delivery("a").accept()
    stage.reactor.turn()
    (b, rejected), a = stage.outcomes
    assert a == ("a", Accepted())
    assert (b, str(rejected)) == ("b", "amqp:invalid-field: no b")
    assert (len(stage.outbound), stage.outbound.memory, stage.outbound.in_flight) == (0, 0, 0)


def test_what_is_released_goes_again_before_all_that_is_new_and_in_order() -> None:
    stage = Stage()
    stage.send("a", "b", "c")
    stage.reactor.turn()
    stage.delivery("c").release()
    stage.send("d")
    stage.reactor.turn()
    assert stage.came == ["a", "b", "c"], "b may be released as well"
    stage.delivery("b").release()
    stage.delivery("a").accept()
    stage.reactor.turn()
    assert stage.came == ["a", "b", "c", "b", "c", "d"]
    assert stage.outcomes == [("a", Accepted())]


def test_what_was_in_flight_when_the_link_was_lost_goes_again_over_the_next() -> None:
    stage = Stage()
    stage.send("a", "b", "c")
    stage.reactor.turn()
    stage.delivery("b").accept()
    stage.reactor.turn()
    stage.reactor.lose()
    stage.send("d")
    stage.reactor.turn(10)
    assert stage.came == ["a", "c", "d"]


def test_a_refused_link_is_tried_again() -> None:
    stage = Stage()
    stage.service.refusing = True
    stage.reactor.lose()
    stage.send("a")
    stage.reactor.turn(5)
    assert (len(stage.service.handlers), stage.outcomes) == (1, [])
    stage.service.refusing = False
    stage.reactor.turn(10)
    assert stage.came == ["a"]


def test_it_says_when_it_is_full_by_count_and_by_bytes() -> None:
    stage = Stage(most=2)
    stage.send("a", "b")
    assert stage.outbound.full
    with pytest.raises(RuntimeError):
        stage.send("c")
    stage.reactor.turn()
    stage.delivery("a").accept()
    stage.reactor.turn()
    assert not stage.outbound.full

    stage = Stage(memory=100)
    stage.outbound.send(lambda: b"made", size=99)
    assert not stage.outbound.full
    stage.send("a")
    assert stage.outbound.full


def test_a_message_is_made_when_there_is_credit_and_each_time_it_is_sent() -> None:
    stage = Stage(window=1)
    made: list[str] = []

    def message(text: str) -> Callable[[], bytes]:
        return lambda: made.append(text) or text.encode()  # type: ignore[func-returns-value]

    for text in ("a", "b"):
        stage.outbound.send(message(text), stage.then(text), size=1)
    stage.reactor.turn()
    assert made == ["a"]
    stage.delivery("a").release()
    stage.reactor.turn()
    assert made == ["a", "a"]
    stage.delivery("a").accept()
    stage.reactor.turn()
    assert (made, stage.came) == (["a", "a", "b"], ["a", "a", "b"])


def test_what_cannot_be_sent_has_its_outcome_and_those_behind_it_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.outbound.send(lambda: None, stage.then("unwanted"), size=7)
    stage.outbound.send(lambda: b"%d" % (1 // 0), stage.then("a bug"), size=7)
    stage.send("x" * (LARGEST + 1), "x" * LARGEST)
    stage.reactor.turn()
    assert stage.came == ["x" * LARGEST]
    (_, dropped), (_, bug), (_, large) = stage.outcomes
    assert dropped == Dropped()
    assert str(bug) == "amqp:internal-error: the message cannot be made: ZeroDivisionError"
    assert str(large) == (
        "amqp:link:message-size-exceeded: the message has 1001 bytes; the peer takes 1000 at most"
    )
    assert stage.outbound.memory == LARGEST
    assert "cannot be made" in caplog.text


def test_several_go_in_one_transfer_as_far_as_they_fit() -> None:
    stage = Stage(batches=True, window=1)
    stage.send(*(f"{at}" * 300 for at in range(5)))
    stage.reactor.turn()
    assert len(stage.came) == 3
    for text in stage.came:
        stage.delivery(text).accept()
    stage.reactor.turn()
    assert len(stage.came) == 5
    assert [text[0] for text in stage.came] == list("01234")


def test_so_many_are_in_flight_at_most() -> None:
    stage = Stage(window=DEFAULT_BOUNDS.in_flight + 10)
    stage.send(*map(str, range(DEFAULT_BOUNDS.in_flight + 5)))
    stage.reactor.turn()
    assert len(stage.came) == stage.outbound.in_flight == DEFAULT_BOUNDS.in_flight


def test_closed_it_does_not_come_back() -> None:
    stage = Stage()
    stage.outbound.close()
    stage.send("a")
    stage.reactor.turn(10)
    assert (len(stage.service.handlers), stage.outcomes) == (1, [])


class Releases(RuleBasedStateMachine):
    """A peer that settles in any order, releases, rejects, refuses links and is lost, at any moment."""

    @initialize(batches=st.booleans(), window=st.integers(0, 5))
    def begin(self, batches: bool, window: int) -> None:
        self.stage = Stage(batches=batches, window=window)
        self.stage.service.on_came = self.comes
        self.sent = 0
        self.wanted: dict[int, type] = {}  # What the outcome has to be of those that are never sent.
        self.told: dict[int, Outcome] = {}
        self.settled: dict[int, str] = {}  # What the peer has said of each, over whatever link, last.
        self.begin_link()

    def begin_link(self) -> None:
        self.here: set[int] = set()
        """What has come over this link, and is not known to be released by the sender."""
        self.held: dict[int, Delivery] = {}
        self.batch: dict[Any, dict[int, str]] = {}

    def comes(self, data: bytes, delivery: Delivery) -> None:
        number = int(data)
        for before in range(1, number):
            if before not in self.wanted:
                assert before in self.told or before in self.here, f"{number} overtakes {before}"
        assert number not in self.here, "twice at once"
        self.here.add(number)
        self.held[number] = delivery
        self.batch.setdefault(self.transfer(delivery), {})[number] = ""

    @staticmethod
    def transfer(delivery: Delivery) -> Any:
        return delivery._delivery if isinstance(delivery, Batched) else delivery

    @rule(count=st.integers(1, 4), kind=st.sampled_from(["bytes", "made", "unwanted", "bug", "large"]))
    def send(self, count: int, kind: str) -> None:
        for _ in range(count):
            self.sent += 1
            data, number = str(self.sent).encode(), self.sent

            def then(outcome: Outcome, number: int = number) -> None:
                assert number not in self.told, "told twice"
                self.told[number] = outcome

            message: Any = data
            if kind == "made":
                message = lambda data=data: data  # noqa: E731
            elif kind == "unwanted":
                message, self.wanted[number] = lambda: None, Dropped
            elif kind == "bug":
                message, self.wanted[number] = lambda: b"%d" % (1 // 0), Rejected
            elif kind == "large":
                message, self.wanted[number] = b"x" * (LARGEST + 1), Rejected
            self.stage.outbound.send(message, then, size=1)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["accept", "accept", "release", "reject"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        self.settle_one(data.draw(st.sampled_from(sorted(self.held))), how)

    def settle_one(self, number: int, how: str) -> None:
        delivery = self.held.pop(number)
        transfer = self.transfer(delivery)
        self.batch[transfer][number] = how
        if all(self.batch[transfer].values()):
            self.here -= {each for each, what in self.batch[transfer].items() if what == "release"}
        self.settled[number] = how
        if how == "accept":
            delivery.accept()
        elif how == "release":
            delivery.release()
        else:
            delivery.reject(InvalidField("no"))

    @rule(more=st.integers(1, 3))
    def grant(self, more: int) -> None:
        if self.stage.service.link is not None and self.stage.service.link.live:
            self.stage.service.link.window += more

    @rule(refuse=st.booleans())
    def lose(self, refuse: bool) -> None:
        self.stage.service.refusing = refuse
        self.begin_link()
        self.stage.reactor.lose()

    @rule(seconds=st.sampled_from([0, 0, 0, 0.5, 5]))
    def turn(self, seconds: float) -> None:
        self.stage.reactor.turn(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.stage.service.refusing = False
        for _ in range(200):
            self.stage.reactor.turn(10)
            self.grant(5)
            for number in sorted(self.held):
                self.settle_one(number, "accept")
            if len(self.told) == self.sent:
                break
        assert sorted(self.told) == list(range(1, self.sent + 1))
        for number, outcome in self.told.items():
            if number in self.wanted:
                assert isinstance(outcome, self.wanted[number])
            else:
                wanted = {"accept": Accepted, "reject": Rejected}[self.settled[number]]
                assert isinstance(outcome, wanted)
        assert (len(self.stage.outbound), self.stage.outbound.memory) == (0, 0)


Releases.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestReleases = Releases.TestCase


def test_a_rejection_without_a_reason_is_one() -> None:
    assert str(Rejected(Condition("a:b"))) == "a:b"
