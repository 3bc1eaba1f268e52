"""Who is where, and whom an address is given to."""

from __future__ import annotations

import itertools
import math
import threading
import time
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from barker.core.errors import Held, InvalidField, LimitExceeded, OtherData
from barker.core.partitions import number_of
from barker.core.routing import (
    MAX_ADDRESS,
    MOST_ROUTES,
    POLICIES,
    REMEMBERED,
    START_SECONDS,
    Ages,
    Holder,
    Route,
    Routes,
    Shared,
    checked_address,
    normalised,
)
from tests.seed import seeded

CHANCE = seeded()


def route(
    port: int,
    policy: str = "round-robin",
    since: float = 0.0,
    address: str = "inbox",
    partition: str = "",
) -> Route:
    return Route(address, "127.0.0.1", port, policy, since, partition)


def table(*routes: Route) -> Routes:
    made = Routes()
    for each in routes:
        made.add(each)
    return made


def port_of(routes: Routes, address: str = "inbox") -> int | None:
    chosen = routes.choose(address, CHANCE)
    return None if chosen is None else chosen.port


# Addresses and maps


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("inbox", "inbox"),
        ("inbox/ark3", "inbox/ark3"),
        ("/inbox/ark3", "inbox/ark3"),
        ("//127.0.0.1/inbox/ark3", "inbox/ark3"),
        ("//any:5672/inbox", "inbox"),
        ("///inbox", "inbox"),
        ("inbox/", "inbox"),
        ("", ""),
        ("/", ""),
        ("//host", ""),
        ("//host/", ""),
    ],
)
def test_normalised(written: str, meant: str) -> None:
    assert normalised(written) == meant


@given(st.text(alphabet="ab/:.", max_size=20))
def test_what_is_normalised_does_not_begin_with_a_slash(address: str) -> None:
    assert not normalised(address).startswith("/")


def test_an_address_is_as_long_as_it_may_be_and_no_longer() -> None:
    longest = "/" + "x" * (MAX_ADDRESS - 1)
    assert checked_address(longest) == longest[1:]
    with pytest.raises(LimitExceeded, match="256 bytes at most; this one has 257"):
        checked_address(longest + "x")
    with pytest.raises(LimitExceeded, match="256 bytes"):
        Route.from_map(fields(address=longest + "x"))


def test_an_address_has_so_many_levels_and_no_more() -> None:
    assert checked_address("/1/2/3/4/5/6/7/8/") == "1/2/3/4/5/6/7/8"
    with pytest.raises(LimitExceeded, match="8 levels at most; this has 9"):
        checked_address("1/2/3/4/5/6/7/8/9")


def test_a_connection_registers_so_many_routes_and_others_may_go_on() -> None:
    routes, one, two = Routes(), Holder("a", "connection"), Holder("b", "another")
    many = [route(port) for port in range(1, MOST_ROUTES + 2)]
    for each in many[:-1]:
        routes.add(each, one)
    routes.add(many[0], one)  # Again.
    with pytest.raises(LimitExceeded, match=f"{MOST_ROUTES} routes"):
        routes.add(many[-1], one)
    routes.add(many[-1], two)
    routes.remove(many[0], one)
    routes.add(route(MOST_ROUTES + 2), one)


def test_to_choose_takes_no_longer_than_to_read_the_address() -> None:
    routes = table(route(1, address="a"))
    for address in ("a" + "/" * 1_000_000 + "a", "b/" * 500_000, "/" * 1_000_000):
        begun = time.monotonic()
        routes.choose(address, CHANCE)
        # A look at each prefix would take minutes.
        assert time.monotonic() - begun < 2


def fields(**changes: Any) -> dict[str, Any]:
    route = {"address": "inbox", "host": "::1", "port": 5820, "policy": "ordered", "since": 12.5}
    return {**route, "partition": "2/4", "data": "5f0c33a1 rex:/barker/users", **changes}


def test_a_route_survives_its_map() -> None:
    made = Route.from_map(fields())
    assert made == Route("inbox", "::1", 5820, "ordered", 12.5, "2/4", "5f0c33a1 rex:/barker/users")
    assert made.to_map() == fields()


def test_policy_start_time_and_partition_may_be_left_out() -> None:
    made = Route.from_map({"address": "//any/inbox/", "host": "h", "port": 1})
    assert made == Route("inbox", "h", 1, "round-robin", 0.0)


@pytest.mark.parametrize(
    ("given_fields", "named"),
    [
        (None, "a map"),
        ("inbox", "a map"),
        ([("address", "inbox")], "a map"),
        (fields(address=None), "address"),
        (fields(address=""), "address"),
        (fields(address="/"), "address"),
        (fields(address=b"inbox"), "address"),
        (fields(host=None), "host"),
        (fields(host=""), "host"),
        (fields(host="h" * 256), "host"),
        (fields(host=127), "host"),
        (fields(port=None), "port"),
        (fields(port="5820"), "port"),
        (fields(port=0), "port"),
        (fields(port=-1), "port"),
        (fields(port=65536), "port"),
        (fields(port=5820.0), "port"),
        (fields(port=True), "port"),
        (fields(policy=None), "policy"),
        (fields(policy="fastest"), "'fastest'"),
        (fields(policy=["ordered"]), "policy"),
        (fields(since=None), "since"),
        (fields(since="now"), "since"),
        (fields(since=-1), "since"),
        (fields(since=math.nan), "since"),
        (fields(partition=None), "partition"),
        (fields(partition=2), "partition"),
        (fields(partition="5/4"), "'5/4'"),
        (fields(data=None), "data"),
        (fields(data="x" * 5_001), "5000 characters"),
    ],
)
def test_a_wrong_field_is_named(given_fields: object, named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        Route.from_map(given_fields)
    assert named in caught.value.description
    assert len(caught.value.description) < 300


# Whom an address is given to


def test_nothing_is_served_where_nobody_is() -> None:
    assert Routes().choose("inbox", CHANCE) is None
    assert Routes().choose("", CHANCE) is None
    assert table(route(1)).choose("outbox", CHANCE) is None
    assert table(route(1)).choose("inboxes", CHANCE) is None
    assert table(route(1)).choose("in", CHANCE) is None


def test_the_longest_prefix_serves_an_address() -> None:
    routes = table(route(1), route(2, address="inbox/eu"), route(3, address="inbox/eu/rex"))
    assert port_of(routes, "inbox") == 1
    assert port_of(routes, "inbox/us/spot") == 1
    assert port_of(routes, "inbox/europe") == 1
    assert port_of(routes, "inbox/eu") == 2
    assert port_of(routes, "inbox/eu/spot") == 2
    assert port_of(routes, "//any/inbox/eu/rex") == 3
    assert port_of(routes, "/inbox/eu/rex/more") == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_a_name_is_served_by_those_that_have_its_partition(policy: str) -> None:
    routes = table(*(route(number + 1, policy, partition=f"{number + 1}/3") for number in range(3)))
    for name in ("ark3", "rex", "spot", "lassie"):
        for _ in range(3):
            assert port_of(routes, f"inbox/{name}") == number_of(name, 3) + 1
    assert port_of(routes, "inbox") in (1, 2, 3), "the address alone is served by all"
    ark3 = number_of("ark3", 3)
    routes.remove(route(ark3 + 1, policy, partition=f"{ark3 + 1}/3"))
    assert routes.choose("inbox/ark3", CHANCE) is None, "the others do not have that timeline"


def test_those_of_one_partition_are_chosen_in_turn() -> None:
    routes = table(*(route(port, partition="1/2") for port in (1, 2)), route(3, partition="2/2"))
    name = next(name for name in ("ark3", "rex", "spot", "lassie") if number_of(name, 2) == 0)
    assert sorted(str(port_of(routes, f"inbox/{name}")) for _ in range(4)) == ["1", "1", "2", "2"]


def test_the_next_shorter_prefix_serves_when_the_longest_leaves() -> None:
    routes = table(route(1), route(2, address="inbox/eu"))
    routes.remove(route(2, address="inbox/eu"))
    assert port_of(routes, "inbox/eu") == 1


def test_the_oldest_decides_on_the_policy() -> None:
    routes = table(route(2, "ordered", since=2), route(1, "round-robin", since=1))
    assert {port_of(routes) for _ in range(4)} == {1, 2}
    routes.remove(route(1, "round-robin", since=1))
    routes.add(route(3, "round-robin", since=3))
    assert {port_of(routes) for _ in range(4)} == {2}


def test_routes_are_listed_oldest_first() -> None:
    routes = table(route(3, since=3), route(1, since=1, address="outbox"), route(2, since=2))
    assert [each.port for each in routes] == [1, 2, 3]
    assert len(routes) == 3


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_ordered_does_not_depend_on_the_order_of_registration(order: tuple[int, ...]) -> None:
    routes = table(*(route(at, "ordered", since=at) for at in order))
    assert [port_of(routes) for _ in range(3)] == [1, 1, 1]


def test_ordered_fails_over_when_the_oldest_leaves_and_back_when_it_returns() -> None:
    oldest, next_oldest = route(1, "ordered", since=1), route(2, "ordered", since=2)
    routes = table(oldest, next_oldest)
    routes.remove(oldest)
    assert port_of(routes) == 2
    routes.add(oldest)
    assert port_of(routes) == 1
    routes.remove(oldest)
    routes.remove(next_oldest)
    assert port_of(routes) is None


def test_of_two_that_are_as_old_the_same_is_always_first() -> None:
    for order in ((1, 2), (2, 1)):
        assert port_of(table(*(route(at, "ordered", since=5) for at in order))) == 1


def test_random_gives_each_about_its_share() -> None:
    routes, chance = table(*(route(at, "random") for at in range(1, 5))), seeded()
    chosen = [routes.choose("inbox/rex", chance) for _ in range(2_000)]
    for at in range(1, 5):
        assert 400 < sum(each is not None and each.port == at for each in chosen) < 600


def test_random_draws_from_the_chance_it_is_given() -> None:
    routes = table(*(route(at, "random") for at in range(1, 5)))

    def draws(seed: int) -> list[Route | None]:
        chance = Random(seed)
        return [routes.choose("inbox", chance) for _ in range(20)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


def test_round_robin_takes_each_in_turn_and_a_new_one_next() -> None:
    routes = table(route(1), route(2))
    first_round = [port_of(routes), port_of(routes)]
    assert sorted(first_round, key=str) == [1, 2]
    assert [port_of(routes), port_of(routes)] == first_round
    routes.add(route(3))
    assert port_of(routes) == 3
    assert [port_of(routes), port_of(routes)] == first_round


STEPS = st.tuples(st.sampled_from(["choose", "choose", "add", "remove"]), st.integers(1, 5))
CHANGES = st.lists(STEPS, max_size=80)


@given(CHANGES)
def test_round_robin_is_even_under_joins_and_leaves(changes: list[tuple[str, int]]) -> None:
    routes = Routes()
    turns: list[int] = []
    joined: dict[int, int] = {}
    for what, port in changes:
        if what == "add":
            routes.add(route(port))
            joined[port] = len(turns)
        elif what == "remove":
            assert routes.remove(route(port)) == (port in joined)
            joined.pop(port, None)
        else:
            chosen = port_of(routes)
            if chosen is None:
                assert not joined
                continue
            earlier = turns[joined[chosen] :]
            if chosen in earlier:
                # Between two turns of one, everybody who was there all the time has exactly one turn.
                last = len(turns) - 1 - earlier[::-1].index(chosen)
                steady = sorted(other for other, at in joined.items() if at <= last and other != chosen)
                assert sorted(other for other in turns[last + 1 :] if other in steady) == steady
            turns.append(chosen)
    assert sorted(port_of(routes) or 0 for _ in joined) == sorted(joined)


ADDRESS = st.from_regex(r"inbox/[a-z0-9]{1,6}", fullmatch=True)
ADDRESSES = st.lists(ADDRESS, min_size=1, max_size=30, unique=True)
PORTS = st.lists(st.integers(1, 65535), min_size=1, max_size=8, unique=True)


@given(ADDRESSES, PORTS, st.randoms(use_true_random=False))
def test_consistent_gives_the_same_address_to_the_same_route(
    addresses: list[str], ports: list[int], shuffler: Random
) -> None:
    one = table(*(route(port, "consistent", since=port) for port in ports))
    shuffler.shuffle(ports)
    other = table(*(route(port, "consistent", since=port) for port in ports))
    for address in addresses:
        chosen = port_of(one, address)
        assert chosen in ports
        assert port_of(one, address) == chosen
        assert port_of(other, f"//any/{address}") == chosen


@given(ADDRESSES, PORTS.filter(lambda ports: len(ports) > 1), st.data())
def test_consistent_moves_only_the_addresses_of_a_removed_route(
    addresses: list[str], ports: list[int], data: st.DataObject
) -> None:
    routes = table(*(route(port, "consistent") for port in ports))
    before = {address: port_of(routes, address) for address in addresses}
    gone = data.draw(st.sampled_from(ports))
    routes.remove(route(gone, "consistent"))
    for address in addresses:
        after = port_of(routes, address)
        assert after != gone
        assert after == before[address] or before[address] == gone
    routes.add(route(gone, "consistent"))
    assert {address: port_of(routes, address) for address in addresses} == before


def test_consistent_spreads_addresses_over_all_routes() -> None:
    routes = table(*(route(port, "consistent") for port in range(1, 5)))
    chosen = [port_of(routes, f"inbox/user{at}") for at in range(2_000)]
    assert all(400 < chosen.count(port) < 600 for port in range(1, 5))


# Who holds a route


STANDING = Holder("link", "connection", "inbox-5820")


@pytest.mark.parametrize(
    ("holder", "wins"),
    [
        (Holder("link", "connection", "inbox-5820"), True),
        (Holder("another", "new connection", "inbox-5820"), True),
        (Holder("another", "connection", "inbox-5820"), False),
        (Holder("another", "new connection", "stranger"), False),
        (Holder("another", "new connection", ""), False),
        (Holder(), False),
    ],
)
def test_a_place_that_is_held_is_refused_but_to_who_comes_back(holder: Holder, wins: bool) -> None:
    routes = Routes()
    routes.add(route(1, "ordered", since=1), STANDING)
    if wins:
        assert routes.add(route(1, "random", since=9), holder) == (STANDING if holder != STANDING else None)
        assert list(routes) == [route(1, "random", since=9)], "as it was said last"
    else:
        with pytest.raises(Held, match=r"inbox at .* is held"):
            routes.add(route(1, "random", since=9), holder)
        assert list(routes) == [route(1, "ordered", since=1)]
    assert routes.remove(route(1), holder) == wins
    assert routes.remove(route(1), STANDING) == (not wins)
    assert list(routes) == []
    assert routes.choose("inbox", CHANCE) is None


def test_two_without_a_container_are_not_the_same() -> None:
    routes = Routes()
    routes.add(route(1), Holder("link", "connection"))
    with pytest.raises(Held):
        routes.add(route(1), Holder("another", "new connection"))


def test_in_a_copy_of_the_table_nobody_holds_anything() -> None:
    routes = table(route(1, since=1))
    assert routes.add(route(1, since=2)) is None
    assert list(routes) == [route(1, since=2)]


def test_nobody_takes_away_what_is_not_there() -> None:
    routes = table(route(1))
    assert not routes.remove(route(2))
    assert not routes.remove(route(1), STANDING)
    assert port_of(routes) == 1


def test_another_thread_may_read_the_table_while_it_changes() -> None:
    routes, errors, ended = table(*map(route, range(1, 200))), [], threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                list(routes)
            except RuntimeError as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for port in itertools.islice(itertools.cycle(range(200, 400)), 20_000):
        if not routes.remove(route(port)):
            routes.add(route(port))
    ended.set()
    reader.join()
    assert errors == []


# Whoever runs is known


ADDRESS_TREE = ("inbox", "inbox/eu", "inbox/eu/rex", "inbox//eu", "in", "outbox")


class RoutesMachine(RuleBasedStateMachine):
    """The model: for each place the one who holds it, and everybody who ever wanted one."""

    def __init__(self) -> None:
        super().__init__()
        self.routes = Routes()
        self.holders: dict[tuple[str, int], Holder] = {}
        self.everybody: list[tuple[tuple[str, int], Holder]] = []

    @rule(
        address=st.sampled_from(ADDRESS_TREE),
        port=st.integers(1, 2),
        container=st.sampled_from(["", "one", "two"]),
        connection=st.integers(1, 3),
    )
    def register(self, address: str, port: int, container: str, connection: int) -> None:
        place, before = (address, port), self.holders.get((address, port))
        holder = Holder(len(self.everybody), connection, container)
        self.everybody.append((place, holder))
        back = before and container and (container, True) == (before[2], connection != before[1])
        if before and not back:
            with pytest.raises(Held):
                self.routes.add(route(port, address=address), holder)
        else:
            assert self.routes.add(route(port, address=address), holder) == before
            self.holders[place] = holder

    @precondition(lambda self: self.everybody)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        place, holder = data.draw(st.sampled_from(self.everybody))
        held = self.holders.get(place) == holder
        assert self.routes.remove(route(place[1], address=place[0]), holder) == held
        if held:
            del self.holders[place]

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        self.routes = Routes()
        for place in data.draw(st.permutations(sorted(self.holders))):
            assert self.routes.add(route(place[1], address=place[0]), self.holders[place]) is None

    @rule(address=st.sampled_from([*ADDRESS_TREE, "inbox/", "inbox/eu/rex/x", "inbox///eu", "inbox/us", "x"]))
    def choose(self, address: str) -> None:
        whole = f"{normalised(address)}/"
        serve = [known for known, _ in self.holders if whole.startswith(f"{known}/")]
        longest = max(serve, key=len, default=None)
        chosen = self.routes.choose(address, CHANCE)
        assert (chosen and chosen.address) == longest

    @invariant()
    def whoever_runs_is_known(self) -> None:
        assert {(each.address, each.port) for each in self.routes} == self.holders.keys()
        assert len(self.routes) == len(self.holders)


TestRoutesMachine = RoutesMachine.TestCase
TestRoutesMachine.settings = settings(max_examples=60, stateful_step_count=40)


# Who is how old

NOW = 1_000_000.0
OLD = NOW + 1_000  # The directory has run for a while.


def age(ages: Ages, since: float, now: float, port: int = 1, container: str = "one") -> float:
    return ages.believed(route(port, since=since), container, now).since


@pytest.mark.parametrize(
    ("since", "now", "believed"),
    [
        (NOW - 5_000, NOW + 1, NOW - 5_000),  # The directory is new: it was there before.
        (NOW - 5_000, NOW + START_SECONDS, NOW + START_SECONDS),
        (NOW + 5_000, NOW + 1, NOW + 1),
        (0.0, NOW + 1, NOW + 1),
        (OLD - 1, OLD, OLD),
        (OLD + 1, OLD, OLD),
        (0.0, OLD, OLD),
        (1.0, OLD, OLD),
        (NOW - 5_000, NOW - 5, NOW - 5),  # The clock was put back.
    ],
)
def test_what_is_believed(since: float, now: float, believed: float) -> None:
    assert age(Ages(NOW), since, now) == believed


@pytest.mark.parametrize("claimed", [0.0, 1.0, OLD - START_SECONDS, OLD - 6])
def test_who_comes_later_wins_nothing_by_what_it_claims(claimed: float) -> None:
    ages = Ages(NOW)
    there = age(ages, OLD - 5, OLD - 5)
    assert age(ages, claimed, OLD, port=2, container="liar") > there


@pytest.mark.parametrize("again", [OLD + 5, OLD + 5_000, NOW - 5_000])
def test_who_comes_again_is_as_old_as_it_was(again: float) -> None:
    ages = Ages(NOW)
    first = age(ages, OLD - 10, OLD)
    assert age(ages, OLD - 10, again) == first
    assert age(ages, 1.0, again) == first, "and claims in vain to be older"
    assert age(ages, 0.0, again) == first, "or says nothing of it"


def test_one_that_was_started_again_is_new() -> None:
    ages = Ages(NOW)
    assert age(ages, OLD - 10, OLD) == OLD
    assert age(ages, OLD + 4, OLD + 5) == OLD + 4


def test_a_stranger_at_the_same_place_is_not_as_old() -> None:
    ages = Ages(NOW)
    age(ages, NOW - 100, NOW)
    assert age(ages, NOW - 100, OLD, container="two") == OLD


def test_few_ages_are_remembered() -> None:
    ages = Ages(NOW)
    for port in range(1, REMEMBERED + 2):
        age(ages, NOW - port, NOW, port)
    assert age(ages, 1.0, OLD, port=REMEMBERED + 1) == NOW - REMEMBERED - 1
    assert age(ages, 1.0, OLD, port=1) == OLD


@given(st.lists(st.floats(1, NOW), min_size=1, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_the_order_survives_a_restart_of_the_directory(starts: list[float], shuffler: Random) -> None:
    def table_of(ages: Ages, now: float) -> list[int]:
        services = list(enumerate(starts, 1))
        shuffler.shuffle(services)
        return [
            each.port
            for each in table(
                *(ages.believed(route(port, since=since), str(port), now) for port, since in services)
            )
        ]

    assert table_of(Ages(NOW), NOW + 1) == table_of(Ages(OLD), OLD + 1)


@pytest.mark.parametrize("policy", POLICIES)
def test_who_does_not_answer_is_chosen_only_if_there_is_no_other(policy: str) -> None:
    routes = Routes()
    one, two = Route("x", "h", 1, policy, 1.0), Route("x", "h", 2, policy, 2.0)
    routes.add(one)
    assert routes.choose("x", Random(), avoid="h:1") == one
    routes.add(two)
    assert {routes.choose("x", Random(), avoid="h:1") for _ in range(10)} == {two}
    assert {routes.choose("x", Random(), avoid="h:2") for _ in range(10)} == {one}
    routes.remove(two)
    assert routes.choose("x", Random(), avoid="h:1") == one


# Who works on what


def works_on(data: str, address: str = "bizlogic") -> Route:
    return Route(address, "h", 1, "ordered", data=data)


def test_who_works_on_something_else_than_those_before_it_is_told_where_both_are() -> None:
    shared = Shared()
    shared.check(works_on("1 rex:/right"))
    shared.check(works_on("1 rex:/the same/in/another/way"))
    shared.check(works_on("2 rex:/elsewhere", "another address"))
    shared.check(works_on(""))
    for _ in range(2):
        with pytest.raises(OtherData, match="works on rex:/right here, and rex:/wrong is something else"):
            shared.check(works_on("2 rex:/wrong"))


def test_what_is_worked_on_is_remembered_of_so_many_addresses() -> None:
    shared = Shared()
    for number in range(REMEMBERED + 1):
        shared.check(works_on("1 here", f"address {number}"))
    shared.check(works_on("2 there", "address 0"))
    with pytest.raises(OtherData):
        shared.check(works_on("2 there", f"address {REMEMBERED}"))


def test_all_partitions_of_an_address_work_on_the_same() -> None:
    shared = Shared()
    shared.check(works_on("1 rex:/right", "bizlogic-1-of-2"))
    shared.check(works_on("1 rex:/right", "bizlogic-2-of-2"))
    for address in ("bizlogic-2-of-2", "bizlogic"):
        with pytest.raises(OtherData, match=f"{address} works on rex:/right here"):
            shared.check(works_on("2 rex:/wrong", address))
    shared.check(works_on("2 rex:/elsewhere", "bizlogic/below"))
