"""Connections and links, from the first byte to the last: two endpoints joined in memory."""

from __future__ import annotations

import functools
import gc
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import psutil
import pytest
from cproton_ffi import ffi, lib
from hypothesis import given, settings
from hypothesis import strategies as st
from proton import Data, symbol, ushort
from proton._data import obj2dat

from barker.amqp._proton import ACCEPTED, MODIFIED, REJECTED, RELEASED
from barker.amqp.connection import OUTGOING_BYTES, Connection
from barker.amqp.handlers import SILENT, Condition, LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.core.capacity import DEFAULT_BOUNDS
from barker.core.errors import InvalidField, MessageTooLarge, NotAllowed, NotFound, PeerError, Redirect
from tests.amqp.pair import Pair, Peer, Recorder

# Connections


def test_both_ends_open() -> None:
    pair = Pair()
    assert not pair.client.opened
    pair.pump()
    assert pair.client.opened
    assert pair.server.opened
    assert (pair.client_peer.connected, pair.server_peer.connected) == (1, 1)
    assert pair.client.live
    assert pair.server.live
    assert bytes(pair.client.output() or b"?") == b"?", "there is nothing more to say"


def test_bytes_may_come_one_at_a_time() -> None:
    pair = Pair()
    link, _, _, _ = pair.sender()
    link.send(b"woof")
    link.close()
    pair.pump()
    peer = Peer(lambda link: Recorder())
    server = Connection(peer, "server", server=True)
    for byte in b"".join(pair.to_server):
        assert server.receive(bytes([byte]))
        server.sent(len(server.output() or b""))
    assert peer.links[0].handler.messages == [b"woof"]
    assert peer.links[0].handler.closed == [None]


def test_a_goodbye_tells_every_link_and_the_peer_why() -> None:
    pair = Pair()
    _, handler, _, far_handler = pair.sender()
    _, other_handler, _, far_other_handler = pair.receiver()
    pair.server.close(Condition("amqp:connection:forced", "maintenance"))
    assert far_handler.closed == far_other_handler.closed == ["amqp:connection:forced"]
    pair.pump()
    assert handler.closed == other_handler.closed == ["amqp:connection:forced"]
    assert pair.client.output() is None
    assert pair.server.output() is None
    pair.client.lost()
    pair.server.lost()
    assert str(pair.client_peer.lost) == "[amqp:connection:forced: maintenance]"
    assert len(pair.server_peer.lost) == 1
    assert handler.closed == far_handler.closed == ["amqp:connection:forced"], "no link is told twice"


def test_a_connection_that_has_been_closed_is_not_live() -> None:
    pair = Pair()
    pair.pump()
    pair.client.close()
    assert not pair.client.live
    pair.pump()
    assert not pair.server.live, "closed by the peer"


def test_closing_and_losing_twice_is_the_same_as_once() -> None:
    pair = Pair()
    _, handler, _, _ = pair.sender()
    for _ in range(2):
        pair.client.close()
    for _ in range(2):
        pair.client.lost()
    pair.client.close()
    assert handler.closed == [None]
    assert len(pair.client_peer.lost) == 1


def test_there_is_one_call_for_output_until_it_is_read() -> None:
    calls: list[Connection] = []
    connection = Connection(Peer(lambda link: Recorder()), "c", server=False, on_output=calls.append)
    for address in ("a", "b", "c"):
        connection.sender(address, Recorder())
    assert calls == [connection]
    connection.output()
    connection.sender("d", Recorder())
    assert calls == [connection] * 2


def test_a_silent_peer_is_given_up_and_a_quiet_one_hears_heartbeats() -> None:
    pair = Pair()
    _, handler, _, _ = pair.sender()
    heartbeats = 0
    for tenths in range(1_000, 1_000 + int(DEFAULT_BOUNDS.idle_seconds * 10) * 5):
        pair.client.tick(tenths / 10)
        pair.server.tick(tenths / 10)
        heartbeats += pair.carry(pair.server, pair.client, [])
        pair.carry(pair.client, pair.server, [])
    assert heartbeats > 3
    assert pair.client.live
    assert handler.closed == []
    for tenths in range(2_000, 2_000 + int(DEFAULT_BOUNDS.idle_seconds * 10) * 2):
        pair.client.tick(tenths / 10)
        output = pair.client.output()
        if output is None:
            break
        pair.client.sent(len(output))
    else:
        pytest.fail("it waits for a silent peer")
    pair.client.lost()
    assert handler.closed == [SILENT]


# Links


def test_an_attach_brings_address_properties_and_a_name() -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender("//any/inbox/ren\xe9 \N{DOG FACE}", since=1.5, port=7)
    assert isinstance(far, Receiver)
    assert far.address == link.address == "//any/inbox/ren\xe9 \N{DOG FACE}"
    assert far.properties == {"since": 1.5, "port": 7}
    assert far.name == link.name
    assert link.opened
    assert far.opened
    assert (handler.opened, far_handler.opened) == (1, 1)
    assert pair.client.links == [link]
    assert pair.server.links == [far]


def test_properties_outlive_their_link() -> None:
    value = bytes(range(200))
    pair = Pair()
    link, _, far, _ = pair.sender("x", key=value)
    link.close()
    pair.pump()
    pair.server.lost()
    for _ in range(10):
        Pair().sender("y", key=b"x" * 200)
    assert bytes(far.properties["key"]) == value


def test_many_links_to_one_address_have_names_of_their_own() -> None:
    pair = Pair()
    links = [pair.sender("x")[0] for _ in range(20)]
    assert len({link.name for link in links}) == 20
    assert len(pair.server_peer.links) == 20


@pytest.mark.parametrize("settled", [True, False])
def test_a_receiver_may_ask_for_settled_deliveries(settled: bool) -> None:
    pair = Pair()
    pair.client.receiver("x", Recorder(), 10, settled)
    pair.pump()
    assert pair.server_peer.links[0].wants_settled == settled


def test_a_link_that_is_closed_ends_at_both_sides_and_no_other_does() -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    other, other_handler, _, _ = pair.sender()
    link.close(Condition("amqp:not-found", "gone"))
    assert (link.live, handler.closed) == (False, ["amqp:not-found"])
    pair.pump()
    assert (far.live, far_handler.closed) == (False, ["amqp:not-found"])
    assert pair.client.links == [other]
    assert other_handler.closed == []
    link.close()
    pair.pump()
    assert handler.closed == ["amqp:not-found"]
    assert pair.works()


def test_a_link_that_is_closed_before_it_is_answered_ends_once_at_each_side() -> None:
    pair, handler = Pair(), Recorder()
    link = pair.client.sender("x", handler)
    link.close()
    pair.pump()
    assert (handler.opened, handler.closed) == (0, [None])
    assert all(far.handler.closed == [None] for far in pair.server_peer.links)
    assert pair.server.links == []
    assert pair.works()


def test_a_link_closed_by_both_sides_at_once_ends_once_at_each() -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    link.close()
    far.close()
    pair.pump()
    assert handler.closed == far_handler.closed == [None]
    assert pair.works()


def test_a_link_that_is_detached_and_not_closed_ends_too_and_its_name_is_free_again() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    lib.pn_link_detach(link._link)
    pair.client._touch()
    pair.pump()
    assert far_handler.closed == [None]
    assert handler.closed == [None]
    again = Recorder()
    impl = lib.pn_sender(pair.client._session, link.name.encode())
    lib.pn_terminus_set_address(lib.pn_link_target(impl), b"x")
    pair.client._attach(Sender(pair.client, impl, again, "x"), None)
    pair.pump()
    assert again.opened == 1


@pytest.mark.parametrize(
    "error",
    [
        NotFound("there is no inbox/nobody"),
        NotAllowed("inbox can be sent to, not received from"),
        InvalidField("ren\xe9 is no name"),
        PeerError("something"),
    ],
    ids=lambda error: error.condition,
)
@pytest.mark.parametrize("direction", ["sender", "receiver"])
def test_a_link_may_be_refused(error: PeerError, direction: str) -> None:
    def refuse(link: Any) -> LinkHandler:
        raise error

    pair, handler = Pair(refuse), Recorder()
    closed: list[Condition | None] = []
    handler.on_closed = lambda link, condition: closed.append(condition)  # type: ignore[method-assign]
    link = getattr(pair.client, direction)("inbox/nobody", handler)
    pair.pump()
    assert (handler.opened, link.live, link.opened) == (0, False, False)
    assert [str(condition) for condition in closed] == [f"{error.condition}: {error}"]
    assert pair.server.links == pair.client.links == []
    pair.server_peer.answer = lambda link: Recorder()
    assert pair.works(), "a refused link costs nothing else"


@pytest.mark.parametrize("direction", ["sender", "receiver"])
def test_a_redirect_says_where_to(direction: str) -> None:
    def redirect(link: Any) -> LinkHandler:
        raise Redirect("127.0.0.1", 5820, "inbox/ark3")

    pair, handler = Pair(redirect), Recorder()
    closed: list[Condition | None] = []
    handler.on_closed = lambda link, condition: closed.append(condition)  # type: ignore[method-assign]
    getattr(pair.client, direction)("inbox/ark3", handler)
    pair.pump()
    assert len(closed) == 1
    assert closed[0] is not None
    assert closed[0].name == "amqp:link:redirect"
    assert closed[0].info == {"network-host": "127.0.0.1", "port": 5820, "address": "inbox/ark3"}
    assert all(type(key) is str for key in closed[0].info)
    assert isinstance(closed[0].info["port"], ushort), "as the specification has it (§2.8.18)"


def coordinator(impl: Any) -> None:
    lib.pn_terminus_set_type(lib.pn_link_target(impl), lib.PN_COORDINATOR)


def dynamic(impl: Any) -> None:
    lib.pn_terminus_set_dynamic(lib.pn_link_target(impl), True)


def no_address(impl: Any) -> None:
    lib.pn_terminus_set_address(lib.pn_link_target(impl), ffi.NULL)


def no_target(impl: Any) -> None:
    lib.pn_terminus_set_type(lib.pn_link_target(impl), lib.PN_UNSPECIFIED)


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        (coordinator, "amqp:not-implemented"),
        (dynamic, "amqp:not-implemented"),
        (no_address, "amqp:invalid-field"),
        (no_target, "amqp:invalid-field"),
    ],
)
def test_what_there_is_not_here_is_refused(change: Callable[[Any], None], condition: str) -> None:
    pair, handler = Pair(), Recorder()
    impl = lib.pn_sender(pair.client._session, b"link")
    lib.pn_terminus_set_address(lib.pn_link_target(impl), b"x")
    change(impl)
    pair.client._attach(Sender(pair.client, impl, handler, "x"), None)
    pair.pump()
    assert handler.closed == [condition]
    assert pair.server_peer.links == []
    assert pair.works()


# Messages


@pytest.mark.parametrize("size", [0, 1, 1_000, 65_535, 65_536, 65_537, 1_000_000, 5_000_000])
def test_messages_of_any_size_arrive_whole(size: int) -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    first, second = bytes(range(256)) * (size // 256) + b"x" * (size % 256), b"y" * size
    link.send(first, 1)
    link.send(second, 2)
    pair.pump()
    assert far_handler.messages == [first, second]
    for delivery in far_handler.deliveries:
        delivery.accept()
    pair.pump()
    assert handler.outcomes == [(1, ACCEPTED, None), (2, ACCEPTED, None)]


def test_long_messages_of_several_links_do_not_mix() -> None:
    pair = Pair()
    links = [pair.sender(f"x{at}") for at in range(3)]
    for turn in range(3):
        for at, (link, *_) in enumerate(links):
            link.send(b"%d%d" % (turn, at) * 100_000)
    pair.pump()
    for at, (*_, far_handler) in enumerate(links):
        assert far_handler.messages == [b"%d%d" % (turn, at) * 100_000 for turn in range(3)]


def test_a_message_that_its_sender_gives_up_halfway_is_none() -> None:
    pair = Pair()
    link, _, _, far_handler = pair.sender()
    for turn in range(30):
        assert link.credit > 0, "what was given up gives its credit back"
        half = lib.pn_delivery(link._link, (1, ffi.from_buffer(b"%c" % turn)))
        lib.pn_link_send(link._link, ffi.from_buffer(bytes(200_000)), 200_000)
        pair.client._touch()
        pair.pump()
        lib.pn_delivery_abort(half)
        pair.client._touch()
        pair.pump()
    link.send(b"whole")
    pair.pump()
    assert far_handler.messages == [b"whole"]


@pytest.mark.parametrize("over_by", [0, 1])
@pytest.mark.parametrize("limit", [512, 10_000, 65_536, 300_000])
def test_a_message_above_the_limit_ends_its_link(limit: int, over_by: int) -> None:
    pair = Pair(lambda link: Recorder(max_message_size=limit))
    link, handler, _, far_handler = pair.sender()
    link.send(bytes(limit + over_by), 1)
    pair.pump()
    if over_by:
        assert far_handler.messages == []
        assert handler.closed == far_handler.closed == [MessageTooLarge.condition]
        assert handler.left_unsettled == [1]
    else:
        assert far_handler.messages == [bytes(limit)]
        assert handler.closed == []
    assert pair.works()


def test_the_limit_is_announced() -> None:
    pair = Pair(lambda link: Recorder(max_message_size=10_000))
    link, _, _, _ = pair.sender()
    assert lib.pn_link_remote_max_message_size(link._link) == 10_000


# Outcomes


@pytest.mark.parametrize(
    ("settle", "outcome", "condition"),
    [
        (lambda delivery: delivery.accept(), ACCEPTED, "None"),
        (lambda delivery: delivery.release(), RELEASED, "None"),
        (lambda delivery: delivery.reject(NotFound("nobody")), REJECTED, "amqp:not-found: nobody"),
        (lambda delivery: lib.pn_delivery_settle(delivery._delivery), RELEASED, "None"),
    ],
    ids=["accept", "release", "reject", "settled without an outcome"],
)
def test_an_outcome_reaches_the_sender(
    settle: Callable[[Delivery], None], outcome: int, condition: str
) -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    link.send(b"woof", token := object())
    pair.pump()
    assert list(link.unsettled.values()) == [token]
    settle(far_handler.deliveries[0])
    far.connection._touch()
    pair.pump()
    assert len(handler.outcomes) == 1
    assert handler.outcomes[0][:2] == (token, outcome)
    assert str(handler.outcomes[0][2]) == condition
    assert link.unsettled == {}


def test_a_modified_message_is_told_as_such() -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    link.send(b"woof", 1)
    pair.pump()
    lib.pn_delivery_update(far_handler.deliveries[0]._delivery, MODIFIED)
    lib.pn_delivery_settle(far_handler.deliveries[0]._delivery)
    far.connection._touch()
    pair.pump()
    assert handler.outcomes == [(1, MODIFIED, None)]


def test_a_rejection_carries_the_errors_fields() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    link.send(b"woof", 1)
    pair.pump()
    far_handler.deliveries[0].reject(Redirect("h", 5, "a"))
    pair.pump()
    condition = handler.outcomes[0][2]
    assert condition is not None
    assert condition.info == {"network-host": "h", "port": 5, "address": "a"}


STEPS = st.lists(st.sampled_from(["accept", "release", "pump"]), min_size=8, max_size=8)


@given(st.permutations(range(8)), STEPS)
@settings(max_examples=40)
def test_outcomes_in_any_order_find_their_tokens(order: list[int], how: list[str]) -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    for token in range(8):
        link.send(b"%d" % token, token)
    pair.pump()
    expected = {}
    for at, step in zip(order, how, strict=True):
        if step == "release":
            far_handler.deliveries[at].release()
        else:
            far_handler.deliveries[at].accept()
        expected[at] = RELEASED if step == "release" else ACCEPTED
        if step == "pump":
            pair.pump()
            assert list(link.unsettled.values()) == [token for token in range(8) if token not in expected]
    pair.pump()
    assert {token: outcome for token, outcome, _ in handler.outcomes} == expected
    assert len(handler.outcomes) == 8


def test_a_settled_message_has_no_outcome_and_gives_its_credit_back() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    for turn in range(30):
        assert link.credit > 0
        link.send(b"%d" % turn, settled=True)
        assert link.unsettled == {}
        pair.pump()
        assert far_handler.messages[-1] == b"%d" % turn
        far_handler.deliveries[-1].accept()
        pair.pump()
    assert handler.outcomes == []


# Credit


def fill(link: Sender) -> int:
    """Send all that there is credit for; how many that is."""
    sent = 0
    while link.credit:
        link.send(b"x", sent)
        sent += 1
    return sent


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 100])
def test_credit_follows_settlement(window: int) -> None:
    pair = Pair(lambda link: Recorder(window))
    link, _, _, far_handler = pair.sender()
    assert link.credit == window
    assert fill(link) == window
    pair.pump()
    assert link.credit == 0, "nothing is settled, so nothing may be sent"
    for delivery in far_handler.deliveries:
        delivery.accept()
    pair.pump()
    assert window - max(1, window // 4) < link.credit <= window


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 3)), max_size=30),
    st.randoms(use_true_random=False),
)
@settings(max_examples=50)
def test_credit_and_what_is_neither_settled_nor_overlooked_never_exceed_the_window(
    window: int, steps: list[tuple[int, int, int]], chance: Any
) -> None:
    pair = Pair(lambda link: Recorder(window))
    link, handler, far, far_handler = pair.sender()
    settled_before: list[bool] = []
    overlooked: set[Any] = set()
    came_before = 0
    far.overlook()
    for to_send, to_settle, how in steps:
        for _ in range(min(to_send, link.credit)):
            link.send(b"%d" % len(settled_before), len(settled_before), settled=how == 2)
            settled_before.append(how == 2)
        pair.pump()
        live = [delivery for delivery in far_handler.deliveries if delivery.live]
        assert link.credit + len(set(live) - overlooked) <= window
        if how == 3:
            far.overlook()
            overlooked.update(far_handler.deliveries[:came_before])
            came_before = len(far_handler.deliveries)
        for delivery in chance.sample(live, min(to_settle, len(live))):
            delivery.accept() if how else delivery.release()
            assert far.connection._touched, "its outcome is to be written"
        pair.pump()
        live = [delivery for delivery in far_handler.deliveries if delivery.live]
        assert window - max(1, window // 4) < link.credit + len(set(live) - overlooked) <= window
        done = [at for at, each in enumerate(far_handler.deliveries) if not (each.live or settled_before[at])]
        assert sorted(token for token, *_ in handler.outcomes) == done, "an outcome is told at once"
    assert far_handler.messages == [b"%d" % at for at in range(len(settled_before))]


def test_a_smaller_window_takes_effect_as_messages_are_settled() -> None:
    pair = Pair()
    link, _, far, far_handler = pair.sender()
    assert fill(link) == 10
    pair.pump()
    far.window = 2
    for settled, delivery in enumerate(far_handler.deliveries, 1):
        delivery.accept()
        pair.pump()
        assert link.credit + 10 - settled <= max(2, 10 - settled)
    assert link.credit == 2
    far.window = 0
    assert fill(link) == 2, "what was granted cannot be taken back"
    pair.pump()
    for delivery in far_handler.deliveries[10:]:
        delivery.accept()
    pair.pump()
    assert link.credit == 0
    far.window = 5
    pair.pump()
    assert link.credit == 5


def test_a_receiver_of_ours_grants_its_window_at_once() -> None:
    pair = Pair()
    _, handler, far, far_handler = pair.receiver(window=7)
    assert far.credit == 7
    assert far_handler.credits[-1] == 7
    assert fill(far) == 7
    pair.pump()
    assert len(handler.messages) == 7


def test_a_peer_that_ignores_its_credit_is_cut_off() -> None:
    # What a well-behaved client sends to a window of 50 is fed to a server that granted 2.
    pair = Pair(lambda link: Recorder(50))
    link, _, _, _ = pair.sender()
    assert fill(link) == 50
    pair.pump()
    peer = Peer(lambda link: Recorder(2))
    server = Connection(peer, "server", server=True)
    for data in pair.to_server:
        server.receive(data)
        server.sent(len(server.output() or b""))
    assert len(peer.links[0].handler.messages) <= 2
    assert peer.links[0].handler.closed == ["amqp:link:transfer-limit-exceeded"]


def test_a_drain_gives_unused_credit_back() -> None:
    pair = Pair()
    receiver, handler, far, far_handler = pair.receiver(window=10)
    far_handler.on_credit = lambda link: link.send(b"last") if not handler.messages else None
    lib.pn_link_drain(receiver._link, 0)
    pair.client._touch()
    pair.pump()
    assert handler.messages == [b"last"], "what there is comes before the credit goes"
    assert far.credit == 0
    assert lib.pn_link_credit(receiver._link) == 0, "the receiver knows that no more will come"
    lib.pn_link_set_drain(receiver._link, False)
    receiver.window += 3
    pair.pump()
    assert far.credit == 3


def test_a_sender_shows_no_credit_while_much_waits_to_be_written() -> None:
    pair = Pair(lambda link: Recorder(1_000))
    link, handler, _, far_handler = pair.sender()
    sent = 0
    while link.credit:
        link.send(bytes(50_000))
        sent += 1
    assert OUTGOING_BYTES / 50_000 <= sent < OUTGOING_BYTES / 50_000 + 3
    pair.pump()
    handler.credits.clear()
    pair.client.resume()
    assert handler.credits == [1_000 - sent], "it is told when all is written"
    pair.client.resume()
    assert len(handler.credits) == 1, "and only if it was held back"
    assert len(far_handler.messages) == sent


# What goes wrong in handlers


class Bug(Exception):
    """An ordinary exception of ours."""


class Faulty(Recorder):
    """A handler with a bug in one place."""

    def __init__(self, place: str, error: Exception) -> None:
        super().__init__()
        self.place, self.error = place, error

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") and name == super().__getattribute__("place"):
            recorded = super().__getattribute__(name)
            error = super().__getattribute__("error")

            def fail(*arguments: Any) -> None:
                recorded(*arguments)
                raise error

            return fail
        return super().__getattribute__(name)


def exercise(pair: Pair, handler: Recorder) -> None:
    """A link's whole life from the client; the server's deliveries are accepted."""
    link = pair.client.sender("x", handler)
    pair.pump()
    if link.live and link.credit:
        link.send(b"woof", 1)
    pair.pump()
    for far in pair.server_peer.links:
        if isinstance(far.handler, Recorder):
            for delivery in far.handler.deliveries:
                delivery.accept()
    pair.pump()
    if pair.server_peer.links and pair.server_peer.links[0].live:
        pair.server_peer.links[0].close()
    pair.pump()


SERVER_PLACES = ["on_attach", "on_connected", "on_opened"]
CLIENT_PLACES = ["on_connected", "on_opened", "on_credit", "on_outcome", "on_closed"]


BUGS = [("server", each) for each in SERVER_PLACES] + [("client", each) for each in CLIENT_PLACES]


@pytest.mark.parametrize(("side", "place"), BUGS)
def test_a_bug_in_a_handler_costs_only_its_connection(
    side: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    class FaultyPeer(Peer):
        def on_connected(self, connection: Connection) -> None:
            super().on_connected(connection)
            if place == "on_connected":
                raise Bug("a bug")

        def on_attach(self, link: Any) -> LinkHandler:
            found = super().on_attach(link)
            if place == "on_attach":
                raise Bug("a bug")
            return found

    faulty, sound = Faulty(place, Bug("a bug")), Recorder()
    peer = FaultyPeer(lambda link: faulty if side == "server" else Recorder())
    pair = Pair(server_peer=peer) if side == "server" else Pair(client_peer=peer)
    exercise(pair, faulty if side == "client" else sound)
    victim, other = (pair.server, pair.client) if side == "server" else (pair.client, pair.server)
    pair.pump()
    assert victim.links == other.links == []
    other.lost()
    victim.lost()
    other_peer = pair.client_peer if side == "server" else pair.server_peer
    assert [condition and condition.name for condition in other_peer.lost] == ["amqp:internal-error"]
    assert "a bug" in caplog.text, "with its traceback"
    if place == "on_connected":
        assert peer.connected == 1, "not called again and again"
    assert Pair().works(), "others go on"


@pytest.mark.parametrize(
    ("side", "place"),
    [("server", "on_opened")] + [("client", each) for each in ("on_opened", "on_credit", "on_outcome")],
)
def test_a_peers_error_in_a_handler_costs_only_its_link(side: str, place: str) -> None:
    faulty, sound = Faulty(place, NotAllowed("not like this")), Recorder()
    pair = Pair(lambda link: faulty if side == "server" else Recorder())
    exercise(pair, faulty if side == "client" else sound)
    assert faulty.closed == ["amqp:not-allowed"]
    far = sound if side == "server" else pair.server_peer.links[0].handler
    assert far.closed == ["amqp:not-allowed"]
    pair.server_peer.answer = lambda link: Recorder()
    assert pair.works()


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (NotAllowed("not like this"), "amqp:not-allowed: not like this"),
        (Bug("a bug"), "amqp:internal-error: an error of the service: Bug"),
    ],
)
@pytest.mark.parametrize("batches", [False, True])
def test_what_on_message_raises_rejects_that_message_and_those_behind_it_go_on(
    error: Exception, condition: str, batches: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Recorder):
        refused: ClassVar[list[str]] = []

        def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
            if data == b"bad":
                raise error
            delivery.accept()

        def on_rejected(self, link: Receiver, error: PeerError) -> None:
            self.refused.append(error.condition)

    Picky.batches, Picky.refused = batches, []
    pair, handler = Pair(lambda link: Picky()), Recorder()
    link = pair.client.sender("x", handler, batches=batches)
    pair.pump()
    if batches:
        link.send_batch([b"good", b"bad", b"good"], [1, 2, 3])
    else:
        for token, data in enumerate([b"good", b"bad", b"good"], 1):
            link.send(data, token)
    pair.pump()
    outcomes = {token: (outcome, str(why)) for token, outcome, why in handler.outcomes}
    assert outcomes == {1: (ACCEPTED, "None"), 2: (REJECTED, condition), 3: (ACCEPTED, "None")}
    assert Picky.refused == [condition.split(": ")[0]]
    assert link.live
    assert ("Traceback" in caplog.text) is isinstance(error, Bug), "a bug is in the log"


@pytest.mark.parametrize("what", ["link", "connection"])
def test_a_handler_may_end_its_link_or_connection_in_the_middle_of_messages(what: str) -> None:
    class OnlyOne(Recorder):
        def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
            super().on_message(link, delivery, data)
            link.close() if what == "link" else link.connection.close()

    pair = Pair(lambda link: OnlyOne())
    link, handler, _, far_handler = pair.sender()
    for token in range(5):
        link.send(b"%d" % token, token)
    pair.pump()
    assert far_handler.messages == [b"0"]
    assert handler.closed == far_handler.closed == [None]
    assert handler.left_unsettled == [0, 1, 2, 3, 4]
    far_handler.deliveries[0].accept()


# Loss


def test_a_loss_tells_each_link_once_and_leaves_what_is_unsettled_in_order() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    _, idle_handler, _, _ = pair.sender()
    _, reading_handler, _, _ = pair.receiver()
    for token in "abcde":
        link.send(token.encode(), token)
    pair.pump()
    far_handler.deliveries[1].accept()
    pair.pump()
    link.send(b"f", "f")
    pair.client.lost(Condition("barker:connection-lost", "reset"))
    assert handler.left_unsettled == list("acdef")
    for each in (handler, idle_handler, reading_handler):
        assert each.closed == ["barker:connection-lost"]
    assert handler.outcomes == [("b", ACCEPTED, None)]
    assert str(pair.client_peer.lost) == "[barker:connection-lost: reset]"
    assert pair.client.links == []
    assert not pair.client.live
    assert list(link.unsettled.values()) == list("acdef"), "still there for who looks later"


def test_a_loss_without_a_word_is_told_as_such() -> None:
    pair = Pair()
    _, handler, _, _ = pair.sender()
    pair.client.lost()
    assert handler.closed == ["barker:connection-lost"]


def test_a_loss_before_anything_was_opened_is_told() -> None:
    peer = Peer(lambda link: Recorder())
    for server in (True, False):
        Connection(peer, "c", server=server).lost()
    assert len(peer.lost) == 2


def test_a_loss_while_a_message_is_half_here_is_no_message() -> None:
    pair = Pair()
    link, _, _, far_handler = pair.sender()
    link.send(bytes(1_000_000))
    pair.carry(pair.client, pair.server, [])
    pair.server.lost()
    assert far_handler.messages == []
    assert far_handler.closed == ["barker:connection-lost"]


def test_one_links_bug_at_a_loss_does_not_keep_it_from_the_others() -> None:
    pair = Pair()
    faulty, sound = Faulty("on_closed", Bug("a bug")), Recorder()
    for handler in (faulty, sound):
        pair.client.sender("x", handler)
    pair.pump()
    pair.client.lost()
    assert len(faulty.closed) == len(sound.closed) == len(pair.client_peer.lost) == 1


def close_link(pair: Pair, link: Any, far: Any) -> None:
    far.close()


def close_by_peer(pair: Pair, link: Any, far: Any) -> None:
    link.close()
    pair.pump()


def close_connection(pair: Pair, link: Any, far: Any) -> None:
    pair.server.close()
    pair.pump()


def lose_connection(pair: Pair, link: Any, far: Any) -> None:
    pair.server.lost()


@pytest.mark.parametrize("end", [close_link, close_by_peer, close_connection, lose_connection])
@pytest.mark.parametrize("settle", ["accept", "release", "reject"])
def test_settling_a_delivery_after_its_link_ended_is_harmless(
    end: Callable[[Pair, Any, Any], None], settle: str
) -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    link.send(b"woof", 1)
    pair.pump()
    delivery = far_handler.deliveries[0]
    assert delivery.live
    end(pair, link, far)
    assert not delivery.live
    for _ in range(2):
        delivery.reject(NotFound("")) if settle == "reject" else getattr(delivery, settle)()
    far.window = 50
    assert handler.outcomes == []


def test_settling_twice_is_settling_once() -> None:
    pair = Pair()
    link, handler, _, far_handler = pair.sender()
    link.send(b"woof", 1)
    pair.pump()
    far_handler.deliveries[0].accept()
    assert not far_handler.deliveries[0].live
    far_handler.deliveries[0].reject(NotFound(""))
    far_handler.deliveries[0].release()
    pair.pump()
    assert handler.outcomes == [(1, ACCEPTED, None)]


@pytest.mark.parametrize("end", [close_link, close_by_peer, close_connection, lose_connection])
def test_nothing_can_be_sent_over_a_link_that_has_ended(end: Callable[[Pair, Any, Any], None]) -> None:
    pair = Pair()
    _, _, far, _ = pair.receiver()
    near = pair.client.links[0]
    assert far.credit == 10
    end(pair, near, far)
    assert far.credit == 0
    with pytest.raises(RuntimeError, match="the link has ended"):
        far.send(b"woof", 1)


AFTER_THE_END = """
import sys
from barker.amqp.connection import Connection
from barker.amqp.handlers import ConnectionHandler, LinkHandler

for server in (True, False):
    connection = Connection(ConnectionHandler(), "c", server=server)
    connection.output()
    connection.lost()
    for _ in range(100):
        assert connection.output() is None, "there is nothing to write after the end"
        assert not connection.receive(b"AMQP")
        connection.tick(1.0)
        connection.resume()
        connection.close()
        for attach in (connection.sender, connection.receiver):
            try:
                attach("x", LinkHandler())
            except RuntimeError:
                pass
            else:
                sys.exit("a link on a connection that is lost")
"""


def test_a_connection_that_is_lost_touches_nothing_that_was_freed() -> None:
    # In a process of its own: a use after free ends the whole process, now or later.
    done = subprocess.run([sys.executable, "-c", AFTER_THE_END], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


# Hostile peers


def hostile_map(kind: str, data: Any) -> None:
    """Write a map that Python has no dict for."""
    view = Data(data)
    view.put_map()
    view.enter()
    if kind == "a list as key":
        view.put_list()
        view.exit()
        view.put_int(1)
    elif kind == "not UTF-8":
        view.put_symbol(symbol("key"))
        lib.pn_data_put_string(data, (2, ffi.from_buffer(b"\xff\xfe")))
    else:
        view.put_symbol(symbol("key"))
        for _ in range(2_000):
            view.put_list()
            view.enter()
    for _ in range(2_001 if kind == "too deep" else 1):
        view.exit()


KINDS = ["a list as key", "not UTF-8", "too deep"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["link", "session", "connection"])
def test_a_condition_that_makes_no_sense_is_an_end_like_others(kind: str, what: str) -> None:
    pair = Pair()
    link, _, far, far_handler = pair.sender()
    session = lib.pn_link_session(link._link)
    end, condition, impl = {
        "link": (lib.pn_link_close, lib.pn_link_condition, link._link),
        "session": (lib.pn_session_close, lib.pn_session_condition, session),
        "connection": (lib.pn_connection_close, lib.pn_connection_condition, pair.client._connection),
    }[what]
    lib.pn_condition_set_name(condition(impl), b"x:odd")
    hostile_map(kind, lib.pn_condition_info(condition(impl)))
    end(impl)
    pair.client._touch()
    pair.pump()
    assert far_handler.closed == ["x:odd"]
    assert not far.live
    pair.server.lost()
    assert len(pair.server_peer.lost) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejection_that_makes_no_sense_is_a_rejection(kind: str) -> None:
    pair = Pair()
    link, handler, far, far_handler = pair.sender()
    link.send(b"woof", 1)
    pair.pump()
    delivery = far_handler.deliveries[0]._delivery
    condition = lib.pn_disposition_condition(lib.pn_delivery_local(delivery))
    lib.pn_condition_set_name(condition, b"x:odd")
    hostile_map(kind, lib.pn_condition_info(condition))
    lib.pn_delivery_update(delivery, REJECTED)
    lib.pn_delivery_settle(delivery)
    far.connection._touch()
    pair.pump()
    assert [outcome[:2] for outcome in handler.outcomes] == [(1, REJECTED)]
    assert pair.works()


@pytest.mark.parametrize("kind", KINDS)
def test_link_properties_that_make_no_sense_cost_at_most_their_link(kind: str) -> None:
    pair = Pair()
    impl = lib.pn_sender(pair.client._session, b"link")
    lib.pn_terminus_set_address(lib.pn_link_target(impl), b"x")
    hostile_map(kind, lib.pn_link_properties(impl))
    pair.client._attach(Sender(pair.client, impl, Recorder(), "x"), None)
    pair.pump()
    assert pair.works()


def test_link_properties_that_are_no_map_are_none() -> None:
    pair = Pair()
    impl = lib.pn_sender(pair.client._session, b"link")
    lib.pn_terminus_set_address(lib.pn_link_target(impl), b"x")
    obj2dat(["no", "map"], lib.pn_link_properties(impl))
    pair.client._attach(Sender(pair.client, impl, Recorder(), "x"), None)
    pair.pump()
    assert pair.server_peer.links[0].properties == {}


def session_rounds(rounds: int) -> list[bytes]:
    """What a client says that begins a session, attaches a link and ends the session, again and again."""
    pair = Pair()
    for _ in range(rounds):
        link, _, _, _ = pair.sender()
        end_session(pair.client, link)
        pair.pump()
        pair.client._default_session = None
    return pair.to_server


def end_session(connection: Connection, link: Any) -> None:
    """What no engine here does by itself, but other peers may."""
    lib.pn_session_close(lib.pn_link_session(link._link))
    connection._touch()


def test_a_link_is_attached_however_many_sessions_ended_before() -> None:
    said = session_rounds(30)
    peer = Peer(lambda link: Recorder())
    server = Connection(peer, "server", server=True)
    for data in said:
        server.receive(data)
        server.sent(len(server.output() or b""))
    assert len(peer.links) == 30
    assert all(link.handler.closed == [None] for link in peer.links)
    assert server.links == []


def test_after_the_peer_ended_the_session_new_links_stand_again() -> None:
    pair = Pair()
    _, handler, far, far_handler = pair.sender()
    end_session(pair.server, far)
    pair.pump()
    assert handler.closed == [None]
    assert far_handler.closed == [None]
    assert pair.works()


def test_a_session_that_ends_in_the_breath_it_begins_is_no_new_session() -> None:
    pair = Pair()
    pair.pump()
    link = pair.client.sender("x", Recorder())
    end_session(pair.client, link)
    pair.pump()
    assert pair.server.links == []
    assert all(link.handler.closed == [None] for link in pair.server_peer.links)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
        pytest.param(b"AMQP\x00\x00\x09\x01" + bytes(8), id="AMQP 0-9-1"),
        pytest.param(b"AMQP\x00\x01\x00\x00" + bytes(100), id="frames of zeros"),
        pytest.param(b"AMQP\x00\x01\x00\x00" + b"\xff" * 100, id="frames of ones"),
        pytest.param(b"AMQP\x03\x01\x00\x00" + b"\xff" * 100, id="SASL frames of ones"),
        pytest.param(bytes(100), id="zeros"),
        pytest.param(b"\xff" * 100, id="ones"),
        pytest.param(b"x" * 1_000_000, id="a megabyte"),
    ],
)
@pytest.mark.parametrize("server", [True, False], ids=["to a server", "to a client"])
def test_bytes_that_are_no_amqp_end_the_connection(data: bytes, server: bool) -> None:
    peer = Peer(lambda link: Recorder())
    connection = Connection(peer, "c", server=server)
    connection.sent(len(connection.output() or b""))
    assert not connection.receive(data)
    finish(connection)
    assert len(peer.lost) == 1
    assert peer.connected == 0


def finish(connection: Connection) -> None:
    """As the reactor does: write what is left to say, and let go."""
    for _ in range(1_000):
        output = connection.output()
        if not output:
            break
        connection.sent(len(output))
    else:
        pytest.fail("it goes on talking")
    connection.lost()


class Complaints(logging.Handler):
    """Fails a test whose peer's bytes are logged as an error of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno < logging.ERROR, self.format(record)


@pytest.fixture
def complaints() -> Iterator[None]:
    logger, handler = logging.getLogger("barker"), Complaints()
    raise_errors, logging.raiseExceptions = logging.raiseExceptions, True
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logging.raiseExceptions = raise_errors


def hear(server: bool, pieces: list[bytes]) -> None:
    """Feed bytes to an endpoint whose handlers accept everything, and check that all is told exactly once."""
    peer = Peer(lambda link: Recorder())
    connection = Connection(peer, "c", server=server)
    own = [] if server else [connection.sender("x", Recorder()), connection.receiver("y", Recorder())]
    for piece in pieces:
        going_on = connection.receive(piece)
        assert isinstance(going_on, bool)
        for link in peer.links:
            for delivery in link.handler.deliveries if isinstance(link.handler, Recorder) else ():
                delivery.accept()
        if not going_on:
            break
        output = connection.output()
        if output is None:
            break
        connection.sent(len(output))
    finish(connection)
    assert len(peer.lost) == 1
    for link in [*peer.links, *own]:
        assert not link.live
        assert not isinstance(link.handler, Recorder) or len(link.handler.closed) == 1


@given(st.booleans(), st.lists(st.binary(max_size=50), max_size=5))
@settings(max_examples=100)
def test_any_bytes_are_survived(server: bool, pieces: list[bytes]) -> None:
    hear(server, pieces)
    hear(server, [b"AMQP\x00\x01\x00\x00", *pieces])
    hear(server, [b"AMQP\x03\x01\x00\x00\x00\x00\x00\x10\x02\x01\x00\x00", *pieces])


@functools.cache
def conversation() -> tuple[bytes, bytes]:
    """All that a client says, and all that its server says, when they use all there is."""

    def answer(link: Any) -> LinkHandler:
        if link.address == "moved":
            raise Redirect("127.0.0.1", 5820, "moved/there")
        return Recorder()

    pair = Pair(answer)
    link, _, far, far_handler = pair.sender("x", since=1.5, host="127.0.0.1", list=[1, {"a": None}])
    for token in range(4):
        link.send(b"woof %d" % token, token)
    pair.pump()
    far_handler.deliveries[0].accept()
    far_handler.deliveries[1].reject(Redirect("127.0.0.1", 5820, "x"))
    far_handler.deliveries[2].release()
    pair.client.sender("moved", Recorder())
    _, handler, other, _ = pair.receiver("y")
    other.send(b"woof", 1)
    pair.pump()
    handler.deliveries[0].accept()
    pair.pump()
    far.close(Condition("amqp:not-allowed", "enough", {"port": 5820}))
    pair.pump()
    pair.client.close(Condition("amqp:connection:forced", "goodbye", {"a": "b"}))
    pair.pump()
    return b"".join(pair.to_server), b"".join(pair.to_client)


MUTATION = st.tuples(
    st.sampled_from(["set", "set", "drop", "insert", "repeat"]), st.integers(0, 10_000), st.binary(max_size=3)
)


@pytest.mark.usefixtures("complaints")
@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
def test_a_mutated_conversation_is_survived(server: bool) -> None:
    @given(st.lists(MUTATION, min_size=1, max_size=4), st.integers(5, 200))
    @settings(max_examples=300)
    def survive(mutations: list[tuple[str, int, bytes]], piece: int) -> None:
        said = bytearray(conversation()[0 if server else 1])
        for what, place, by in mutations:
            at = place % len(said)
            if what == "set":
                said[at : at + len(by)] = by
            elif what == "drop":
                del said[at : at + 1 + len(by)]
            elif what == "insert":
                said[at:at] = by
            else:
                said[at:at] = said[at : at + 40]
        hear(server, [bytes(said[at : at + piece]) for at in range(0, len(said), piece)])

    survive()


def test_the_conversation_itself_is_understood() -> None:
    said, heard = conversation()
    for text in (b"woof 3", b"amqp:connection:forced", b"since"):
        assert text in said
    for text in (b"amqp:link:redirect", b"amqp:not-allowed", b"moved/there"):
        assert text in heard
    hear(True, [said])
    hear(False, [heard])


# Memory


def resident() -> int:
    """The memory of this process, in bytes."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def grown_by(call: Callable[[int], None], rounds: int) -> int:
    """How many bytes `rounds` calls leave behind, after some to warm up."""
    for at in range(rounds // 5):
        call(at)
    before = resident()
    for at in range(rounds // 5, rounds // 5 + rounds):
        call(at)
    return resident() - before


MEGABYTE = 1024 * 1024


def test_connections_that_come_and_are_lost_leave_no_memory_behind() -> None:
    def come_and_go(at: int) -> None:
        pair = Pair()
        link, _, _, far_handler = pair.sender()
        pair.receiver()
        link.send(b"x" * 1_000, 1)
        link.send(b"x" * 1_000, 2)
        pair.pump()
        far_handler.deliveries[0].accept()
        if at % 3 == 0:
            pair.client.close()
            pair.pump()
        elif at % 3 == 1:
            pair.carry(pair.client, pair.server, [])
        pair.client.lost()
        pair.server.lost()

    assert grown_by(come_and_go, 3_000) < 4 * MEGABYTE


def test_links_that_come_and_go_leave_no_memory_behind() -> None:
    pair = Pair()
    ends = [close_link, close_by_peer]

    def come_and_go(at: int) -> None:
        link, _, far, _ = pair.sender(f"inbox/user{at}")
        ends[at % 2](pair, link, far)
        pair.pump()
        pair.server_peer.links.clear()
        pair.to_server.clear()
        pair.to_client.clear()

    assert grown_by(come_and_go, 3_000) < 2 * MEGABYTE
    assert not pair.server._ending
    assert not pair.client._ending


def test_a_peer_that_goes_on_sending_over_a_link_that_was_ended_fills_no_memory() -> None:
    pair = Pair(lambda link: Recorder(max_message_size=10_000))
    link, _, _, far_handler = pair.sender()
    # One endless message, from a peer that does not read what it is told.
    lib.pn_delivery(link._link, (1, ffi.from_buffer(b"t")))
    piece = bytes(200_000)

    def send_on(at: int) -> None:
        lib.pn_link_send(link._link, ffi.from_buffer(piece), len(piece))
        pair.client._touch()
        while pair.carry(pair.client, pair.server, []):
            pass
        pair.server.sent(len(pair.server.output() or b""))

    assert grown_by(send_on, 150) < 8 * MEGABYTE
    assert far_handler.closed == [MessageTooLarge.condition]
