"""Links that find their peer: a directory and services over in-memory pairs, and time that is the test's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from barker.amqp._proton import ACCEPTED
from barker.amqp.agent import register
from barker.amqp.connection import Connection
from barker.amqp.handlers import SILENT, Condition, LinkHandler
from barker.amqp.link import Receiver, Sender
from barker.amqp.links import AVOID, MOST_REDIRECTS, Network, PeerHandler, Place, receiver_from, sender_to
from barker.amqp.reactor import Reactor
from barker.amqp.system import System
from barker.core.errors import NotAllowed, NotFound, PeerError, Redirect
from barker.core.routing import Route
from tests.amqp.pair import Pair, Peer, Recorder

DIRECTORY, SECOND, ONE, TWO = Place("d", 1), Place("d2", 1), Place("one", 1), Place("two", 1)


QUIET = Condition(SILENT, "the idle time-out has expired")


class World(Network):
    """A network in memory: what answers at which place, who is down, and a clock."""

    def __init__(self, *directories: Place) -> None:
        self.now = 0.0
        reactor = Reactor("test", System(lambda: self.now))
        reactor._running = True  # Timers are called by `wait`.
        super().__init__(reactor, *(directories or [DIRECTORY]))
        self.answers: dict[Place, Callable[[Any], LinkHandler]] = {}
        self.down: set[Place] = set()
        self.mute: set[Place] = set()
        self.pairs: dict[Place, Pair] = {}
        self.route: Place | None = ONE
        self.asked: list[str] = []
        self.asked_at: list[Place] = []
        self.ignorant: set[Place] = set()
        """Directories that know of nobody."""
        for directory in self.directories:
            self.answers[directory] = partial(self._ask, at=directory)
        self.answers[ONE] = self.answers[TWO] = lambda link: Recorder()

    def _ask(self, link: Any, at: Place = DIRECTORY) -> LinkHandler:
        self.asked.append(link.address)
        self.asked_at.append(at)
        if self.route is None or at in self.ignorant:
            raise NotFound("nobody serves that now")
        raise Redirect(self.route.host, self.route.port, link.address)

    def connection(self, place: Place) -> Connection:
        pair = self.pairs.get(place)
        if pair is None or not pair.client.live:
            pair = self.pairs[place] = Pair(
                client_peer=Peer(lambda link: LinkHandler()), server_peer=Peer(self.answers[place])
            )
        return pair.client

    def turn(self) -> None:
        for place, pair in list(self.pairs.items()):
            if place in self.down:
                self.lose(place)
            elif place in self.mute:
                self.lose(place, QUIET)
            elif not pair.client._lost:
                pair.pump()

    def lose(self, place: Place, condition: Condition | None = None) -> None:
        """The connection to it is gone."""
        pair = self.pairs.pop(place, None)
        if pair is not None:
            pair.client.peer = str(place)
            pair.client.lost(condition)
            pair.server.lost()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.01
            self.reactor.call_due()
            self.turn()

    def close(self) -> None:
        self.reactor._running = False
        for place in list(self.pairs):
            self.lose(place)
        self.reactor.close()


@pytest.fixture
def world() -> Iterator[World]:
    with contextlib.closing(World()) as world:
        yield world


class Owner(PeerHandler[Any]):
    """Remembers all that a link tells it."""

    def __init__(self, again: bool = True) -> None:
        self.told: list[str] = []
        self.refusals: list[str] = []
        self.outcomes: list[Any] = []
        self.messages: list[bytes] = []
        self.again = again

    def on_found(self, link: Any) -> None:
        self.told.append("found")

    def on_lost(self, link: Any, condition: Condition | None) -> None:
        self.told.append("lost")

    def on_refused(self, condition: Condition) -> bool:
        self.refusals.append(condition.name)
        return self.again

    def on_outcome(self, link: Sender, token: Any, outcome: int, condition: Condition | None) -> None:
        self.outcomes.append((token, outcome))

    def on_message(self, link: Receiver, delivery: Any, data: bytes) -> None:
        if data == b"bad":
            raise PeerError("bad")
        self.messages.append(data)


def test_a_link_follows_the_redirect_and_works(world: World) -> None:
    owner = Owner()
    link = sender_to(world, "outbox/rex", owner)
    world.wait(0.1)
    assert (owner.told, world.asked) == (["found"], ["outbox/rex"])
    assert link.link is not None
    link.link.send(b"woof", 7)
    world.turn()
    far = world.pairs[ONE].server_peer.links[0]
    assert far.address == "outbox/rex"
    far.handler.deliveries[0].accept()
    world.turn()
    assert owner.outcomes == [(7, ACCEPTED)]


def test_what_on_message_raises_rejects_and_the_link_stands(world: World) -> None:
    owner = Owner()
    receiver_from(world, "inbox/rex", owner)
    world.wait(0.1)
    far = world.pairs[ONE].server_peer.links[0]
    for data in (b"bad", b"good"):
        far.send(data, data)
    world.turn()
    assert owner.messages == [b"good"]
    assert owner.told == ["found"]
    assert [str(condition) for _, _, condition in far.handler.outcomes] == ["amqp:internal-error: bad"]


def test_after_a_loss_the_directory_is_asked_again_and_the_new_place_found(world: World) -> None:
    owner = Owner()
    sender_to(world, "outbox", owner)
    world.wait(0.5)
    world.route = TWO
    world.lose(ONE)
    world.wait(0.5)
    assert owner.told == ["found", "lost", "found"]
    assert len(world.pairs[TWO].server_peer.links) == 1


def test_nobody_there_is_asked_for_again_ever_more_seldom(world: World) -> None:
    world.route = None
    sender_to(world, "outbox", Owner())
    world.wait(1)
    at_first = len(world.asked)
    world.wait(20)
    then = len(world.asked) - at_first
    assert at_first > then / 20, "more in the first second than in one of those that follow"
    assert then >= 18, "once a second in the end"


def test_redirects_in_a_circle_are_given_up_and_begun_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.answers[ONE] = world.answers[DIRECTORY]
    sender_to(world, "outbox", Owner())
    world.wait(1)
    assert "leads nowhere" in caplog.text
    assert len(world.asked) > MOST_REDIRECTS


@pytest.mark.parametrize("again", [True, False])
def test_a_refusal_is_tried_again_if_the_owner_says_so(world: World, again: bool) -> None:
    def refuse(link: Any) -> LinkHandler:
        raise NotAllowed("not you")

    world.answers[ONE] = refuse
    owner = Owner(again)
    sender_to(world, "outbox", owner)
    world.wait(3)
    assert set(owner.refusals) == {"amqp:not-allowed"}
    assert (len(owner.refusals) > 1) is again
    assert owner.told == []


def test_a_link_that_is_closed_stays_closed_whenever_that_is(world: World) -> None:
    for after in (0.0, 0.01, 0.02, 0.05, 1.0):
        owner = Owner()
        link = sender_to(world, "outbox", owner)
        world.wait(after) if after else None
        link.close()
        told = list(owner.told)
        world.wait(2)
        assert owner.told == told
        assert not any(pair.client.links for pair in world.pairs.values() if pair.client.live)


def test_who_was_lost_by_silence_is_not_asked_for_again_at_once(world: World) -> None:
    avoided: list[Any] = []

    def ask(link: Any) -> LinkHandler:
        avoided.append(link.properties.get(AVOID))
        return world._ask(link)

    world.answers[DIRECTORY] = ask
    sender_to(world, "outbox", Owner())
    world.wait(0.5)
    world.lose(ONE, QUIET)
    world.wait(0.5)
    assert avoided == [None, "one:1"]
    world.lose(ONE)
    world.wait(0.5)
    assert avoided == [None, "one:1", None], "a link that stands has put it right"


# Several directories


@pytest.fixture
def two() -> Iterator[World]:
    """A network with two directories."""
    with contextlib.closing(World(DIRECTORY, SECOND)) as world:
        yield world


def test_the_first_directory_is_asked_while_it_answers(two: World) -> None:
    owner = Owner()
    for _ in range(3):
        sender_to(two, "outbox", owner)
        two.wait(0.1)
    two.lose(ONE)
    two.wait(0.5)
    assert set(two.asked_at) == {DIRECTORY}
    assert owner.told.count("found") == 6


def test_one_that_is_away_is_followed_by_the_next_at_once_and_asked_no_more(two: World) -> None:
    two.down.add(DIRECTORY)
    owner = Owner()
    sender_to(two, "outbox", owner)
    two.wait(0.03)
    assert (owner.told, two.asked_at) == (["found"], [SECOND])
    dialled: list[Place] = []
    dial = two.connection
    two.connection = lambda place: dialled.append(place) or dial(place)  # type: ignore[assignment, func-returns-value]
    sender_to(two, "outbox", owner)
    two.wait(0.03)
    assert DIRECTORY not in dialled


def test_one_that_knows_nobody_is_followed_by_the_next_and_the_owner_hears_nothing(two: World) -> None:
    two.ignorant.add(DIRECTORY)
    owner = Owner(again=False)
    sender_to(two, "outbox", owner)
    two.wait(0.1)
    assert (owner.told, owner.refusals, two.asked_at) == (["found"], [], [DIRECTORY, SECOND])


def test_when_all_know_nobody_the_owner_hears_it_once_a_round(two: World) -> None:
    two.route = None
    owner = Owner(again=False)
    sender_to(two, "outbox", owner)
    two.wait(5)
    assert (owner.refusals, two.asked_at) == (["amqp:not-found"], [DIRECTORY, SECOND])


def test_several_that_know_nobody_are_asked_as_seldom_as_one(two: World) -> None:
    two.route = None
    sender_to(two, "outbox", Owner())
    two.wait(5)
    two.asked_at.clear()
    two.wait(20)
    assert set(two.asked_at[:2]) == {DIRECTORY, SECOND}  # It may have been in the middle of a round.
    assert 18 <= two.asked_at.count(SECOND) <= 40


def test_who_was_silent_is_avoided_though_a_directory_is_silent_as_well(two: World) -> None:
    avoided: list[Any] = []

    def ask(link: Any) -> LinkHandler:
        avoided.append(link.properties.get(AVOID))
        return two._ask(link, at=SECOND)

    two.answers[SECOND] = ask
    sender_to(two, "outbox", Owner())
    two.wait(0.5)
    two.mute.add(DIRECTORY)
    two.lose(ONE, QUIET)
    two.wait(0.5)
    assert avoided == ["one:1"]


def test_the_directory_of_a_host_that_is_silent_is_asked_last() -> None:
    beside = Place(ONE.host, 2)
    with contextlib.closing(World(beside, SECOND)) as world:
        sender_to(world, "outbox", Owner())
        world.wait(0.5)
        world.lose(ONE)
        world.wait(0.5)
        assert world.asked_at == [beside] * 2, "it may be there while a service is not"
        world.route = TWO
        world.lose(ONE, QUIET)
        world.wait(0.5)
        assert world.asked_at == [beside, beside, SECOND]


def test_who_follows_a_directory_goes_on_to_the_next(two: World) -> None:
    two.answers[DIRECTORY] = two.answers[SECOND] = lambda link: Recorder()
    owner = Owner()
    watcher = receiver_from(two, "directory", owner)
    two.wait(0.5)
    assert watcher.link is not None
    assert watcher.link.connection is two.pairs[DIRECTORY].client
    two.down.add(DIRECTORY)
    two.wait(0.1)
    assert owner.told == ["found", "lost", "found"]
    assert watcher.link.connection is two.pairs[SECOND].client


def test_a_service_registers_with_each_and_comes_back_to_each(two: World) -> None:
    two.answers[DIRECTORY] = two.answers[SECOND] = lambda link: Recorder()
    register(two, Route("outbox", "one", 1))
    two.wait(0.5)

    def registered() -> list[Place]:
        return [place for place, pair in two.pairs.items() if pair.client.live and pair.client.links]

    assert registered() == [DIRECTORY, SECOND]
    for away in (DIRECTORY, SECOND):
        two.down.add(away)
        two.wait(20)
        assert registered() == [place for place in (DIRECTORY, SECOND) if place != away]
        two.down.clear()
        two.wait(1)
        assert set(registered()) == {DIRECTORY, SECOND}, "a second after it is back"


# Whatever happens


class Life(RuleBasedStateMachine):
    """Places go down and come back, routes change: in the end each link stands where it should."""

    directories = (DIRECTORY,)

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*self.directories)
        self.owners = [Owner() for _ in range(3)]
        self.links = [sender_to(self.world, f"outbox/{at}", owner) for at, owner in enumerate(self.owners)]

    @rule(place=st.sampled_from([DIRECTORY, SECOND, ONE, TWO]))
    def goes_down(self, place: Place) -> None:
        self.world.down.add(place)

    @rule(place=st.sampled_from([DIRECTORY, SECOND, ONE, TWO]))
    def comes_back(self, place: Place) -> None:
        self.world.down.discard(place)

    @rule(place=st.sampled_from([DIRECTORY, SECOND]))
    def forgets(self, place: Place) -> None:
        self.world.ignorant ^= {place}

    @rule(place=st.sampled_from([DIRECTORY, SECOND, ONE, TWO]))
    def is_lost(self, place: Place) -> None:
        self.world.lose(place)

    @rule(route=st.sampled_from([ONE, TWO, None]))
    def routes(self, route: Place | None) -> None:
        self.world.route = route

    @rule(place=st.sampled_from([ONE, TWO]))
    def ends_its_links(self, place: Place) -> None:
        pair = self.world.pairs.get(place)
        for link in pair.server.links if pair is not None else ():
            link.close(Condition("amqp:link:detach-forced"))

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.3, 2.0]))
    def waits(self, seconds: float) -> None:
        self.world.turn()
        self.world.wait(seconds)

    @invariant()
    def found_and_lost_take_turns(self) -> None:
        for owner, link in zip(self.owners, self.links, strict=True):
            assert owner.told == ["found", "lost"] * (len(owner.told) // 2) + ["found"] * (
                len(owner.told) % 2
            )
            assert (link.link is not None) is (len(owner.told) % 2 == 1)

    def teardown(self) -> None:
        try:
            # With several, one that is away or knows nobody is enough.
            self.world.down &= set(self.directories[1:])
            self.world.ignorant -= {self.directories[0]}
            self.world.route = TWO
            self.world.wait(3)  # Whoever was already told to go to the one gets there, and asks no more.
            self.world.lose(ONE)
            self.world.wait(3)
            for link in self.links:
                assert link.link is not None
                assert link.link.connection is self.world.pairs[TWO].client
        finally:
            self.world.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=30)


class LifeWithTwo(Life):
    """The same, with a second directory."""

    directories = (DIRECTORY, SECOND)


TestLifeWithTwo = LifeWithTwo.TestCase
TestLifeWithTwo.settings = TestLife.settings
