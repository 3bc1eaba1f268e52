"""What section 4 of the design promises, with real processes that are killed, frozen and restarted."""

from __future__ import annotations

import itertools
import signal
from typing import Any

import pytest

from barker.amqp.system import new_id, now
from barker.core.barks import Bark, Follow
from tests.harness import Client, Process, Proof, Suite, wait_for

pytestmark = pytest.mark.system

AUTHORS = ["ann", "bob", "cid"]


@pytest.fixture
def services(suite: Suite) -> dict[str, Process]:
    """A small suite in which rex follows everybody."""
    suite.users([("rex", author) for author in AUTHORS]).close()
    return {
        "directory": suite.directory,
        "inbox": suite.inbox(),
        "outbox": suite.outbox(),
        "bizlogic": suite.bizlogic(),
    }


def send_numbered(client: Client, first: int, last: int) -> None:
    """Barks with consecutive numbers for text, the authors taking turns."""
    for number in range(first, last):
        client.bark(AUTHORS[number % len(AUTHORS)], str(number))


def numbers(client: Client) -> list[int]:
    return [int(text) for text in client.texts("rex")]


def wait_until_all(client: Client, count: int, seconds: float = 20.0) -> None:
    wait_for(lambda: len(client.timelines["rex"]) >= count, f"{count} barks on the timeline", seconds)


def assert_all_once_in_order(client: Client, count: int) -> None:
    """Nothing lost, nothing twice, and each author's barks in order; one outbox keeps even all in order."""
    assert sorted(numbers(client)) == list(range(count))
    for turn, author in enumerate(AUTHORS):
        mine = [int(bark.text) for bark in client.timelines["rex"] if bark.user == author]
        assert mine == list(range(turn, count, len(AUTHORS)))


def test_the_next_bizlogic_takes_over_without_a_time_out(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    suite.wait_for_state(services["bizlogic"], active=True)
    standby = suite.bizlogic()
    suite.wait_for_state(standby, active=False)
    client.read("rex")
    send_numbered(client, 0, 300)
    wait_for(lambda: len(client.timelines["rex"]) > 20, "barks flow")
    services["bizlogic"].kill()
    send_numbered(client, 300, 600)
    wait_until_all(client, 600)
    assert_all_once_in_order(client, 600)
    arrived = sorted(client.arrived.values())
    # 20 ms on a quiet machine. Who waits for a silent peer needs 2 s.
    assert max(b - a for a, b in itertools.pairwise(arrived)) < 2.0
    suite.wait_for_state(standby, active=True)


def test_without_bizlogic_the_outbox_grows_and_then_drains_in_order(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    client.read("rex")
    send_numbered(client, 0, 50)
    wait_until_all(client, 50)
    suite.wait_for_state(services["outbox"], depth=0)
    services["bizlogic"].kill()
    send_numbered(client, 50, 650)
    wait_for(lambda: len(client.accepted) == 650, "the outbox accepts while no bizlogic lives")
    suite.wait_for_state(services["outbox"], depth=600)
    suite.bizlogic()
    wait_until_all(client, 650)
    assert numbers(client) == list(range(650))
    suite.wait_for_state(services["outbox"], depth=0, in_flight=0)


@pytest.mark.parametrize("victim", ["directory", "inbox", "outbox", "bizlogic"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_suite_heals_when_a_service_is_restarted(
    client: Client, services: dict[str, Process], victim: str, number: int
) -> None:
    client.read("rex")
    send_numbered(client, 0, 200)
    wait_for(lambda: len(client.timelines["rex"]) > 10, "barks flow")
    services[victim].kill(number)
    send_numbered(client, 200, 400)
    services[victim].restart()
    wait_for(lambda: "rex" in client.found, "the reader is back")
    wait_for(lambda: len(client.accepted) == 400, "all are accepted")
    # More than the history may have come while the reader was away: what it could not see is on the timeline.
    send_numbered(client, 400, 410)
    wait_for(lambda: numbers(client)[-1:] == [409], "the last bark arrives")
    seen = numbers(client)
    assert len(seen) == len(set(seen))
    assert [n for n in seen if n % 3 == 0] == sorted(n for n in seen if n % 3 == 0)
    assert set(range(385, 410)) <= set(seen)


def test_a_frozen_bizlogic_is_replaced_and_does_no_harm_when_thawed(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    suite.wait_for_state(services["bizlogic"], active=True)
    standby = suite.bizlogic()
    suite.wait_for_state(standby, active=False)
    client.read("rex")
    send_numbered(client, 0, 100)
    wait_until_all(client, 100)
    services["bizlogic"].kill(signal.SIGSTOP)
    send_numbered(client, 100, 300)
    wait_until_all(client, 300, 8)
    services["bizlogic"].kill(signal.SIGCONT)
    send_numbered(client, 300, 400)
    wait_until_all(client, 400)
    suite.wait_for_state(services["outbox"], depth=0)
    suite.wait_for_state(standby, active=True)
    assert_all_once_in_order(client, 400)


def test_all_killed_at_once_lose_nothing_accepted(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    send_numbered(client, 0, 30)
    wait_for(lambda: client.accepted, "something is accepted")
    for process in services.values():
        process.kill()
    accepted: set[Any] = set(client.accepted)
    for process in services.values():
        process.restart()
    wait_for(lambda: len(client.accepted) == 30, "the client's others are accepted too")
    suite.wait_for_state(services["outbox"], depth=0)
    client.read("rex")
    wait_until_all(client, 30)
    assert numbers(client) == list(range(30))
    assert {bark.id for bark in client.timelines["rex"]} >= accepted
    assert suite.state(services["inbox"])["delivered"] >= 30


def test_follow_and_unfollow_travel_like_barks(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:

    client.read("ann")
    client.send(Follow(new_id(), "ann", "bob", now(), wanted=True))
    client.bark("bob", "hello")
    wait_for(lambda: client.texts("ann") == ["hello"], "ann hears bob")
    client.send(Follow(new_id(), "ann", "bob", now(), wanted=False))
    client.bark("bob", "secret")
    client.bark("bob", "for @ann!")
    wait_for(lambda: client.texts("ann")[-1] == "for @ann!", "ann is mentioned")
    assert client.texts("ann") == ["hello", "for @ann!"]


def test_bizlogic_sees_a_changed_graph_within_a_second(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    client.read("newcomer")
    client.bark("ann", "one")
    users = suite.users([("newcomer", "ann")])
    sent = [client.bark("ann", "two")]

    def arrived() -> bool:
        sent.append(client.bark("ann", "again"))
        return bool(client.timelines["newcomer"])

    wait_for(arrived, "the new follower hears ann", 1.5)
    users.close()


def test_what_is_rejected_in_a_batch_takes_nothing_with_it(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    client.read("rex")
    services["bizlogic"].kill()
    for number in range(0, 240, 60):
        send_numbered(client, number, number + 60)
        client.send(Follow(new_id(), "ann", "nobody-such", now(), wanted=True))
    wait_for(lambda: len(client.accepted) == 244, "the outbox accepts while no bizlogic lives")
    bizlogic = suite.bizlogic()
    wait_until_all(client, 240)
    assert numbers(client) == list(range(240))
    suite.wait_for_state(services["outbox"], depth=0, in_flight=0, dead_letters=4)
    suite.wait_for_state(bizlogic, rejected=4, received=244)
    suite.wait_for_state(services["inbox"], repeated=0)


def test_a_rejected_bark_tells_why_and_a_dead_letter_is_kept_and_read(
    suite: Suite, client: Client, services: dict[str, Process]
) -> None:
    from proton import Message
    from proton.utils import BlockingConnection

    bad = Bark(new_id(), "ann", "x" * 281, now())
    client.send(bad)
    wait_for(lambda: bad.id in client.rejected, "the outbox rejects it")
    assert "281" in str(client.rejected[bad.id])
    # Only bizlogic knows that there is no such user: the outbox accepts, and keeps the dead letter.
    client.send(Follow(new_id(), "ann", "nobody-such", now(), wanted=True))
    client.bark("ann", "after it")
    suite.wait_for_state(services["outbox"], depth=0, dead_letters=1)
    services["outbox"].restart()
    suite.wait_for_state(services["outbox"], depth=0, dead_letters=1)
    for accepted in (False, True):
        connection = BlockingConnection(f"127.0.0.1:{services['outbox'].port}", timeout=5)
        receiver = connection.create_receiver(
            "outbox/dead-letters", credit=5, options=Proof(suite.key, "outbox/dead-letters")
        )
        letter: Message = receiver.receive(timeout=5)
        assert letter.body == "nobody-such"
        assert "no user nobody-such" in str(letter.instructions)
        if accepted:
            receiver.accept()
        else:
            receiver.release()
        connection.close()
    suite.wait_for_state(services["outbox"], dead_letters=0)


def test_a_bizlogic_that_is_told_to_end_finishes_what_it_has_in_hand(suite: Suite, client: Client) -> None:
    """Its barks come once over the wire, too: the inbox has none to drop."""
    suite.users([("rex", "ann")]).close()
    inbox = suite.inbox("--history", "5000")
    suite.outbox()
    first = suite.bizlogic()
    suite.wait_for_state(first, active=True)
    suite.bizlogic()
    client.read("rex")
    for number in range(2_000):
        client.bark("ann", f"number {number}")
    wait_for(lambda: client.read_count > 200, "it is at work")
    first.kill(signal.SIGTERM)
    wait_for(lambda: client.read_count == 2_000, "all come", 30)
    assert client.texts("rex") == [f"number {number}" for number in range(2_000)]
    assert suite.state(inbox)["repeated"] == 0
