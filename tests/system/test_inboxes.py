"""Several inboxes, each with the timelines of its partition of the users."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from barker.amqp.handlers import Condition, ConnectionHandler, LinkHandler
from barker.amqp.link import Receiver
from barker.core.partitions import Partition, number_of
from tests.harness import Client, Launched, Process, Suite, wait_for

pytestmark = pytest.mark.system

FOLLOWERS = [f"dog{number}" for number in range(12)]

COUNT = 3


@pytest.fixture
def inboxes(suite: Suite) -> list[Process]:
    """Three inboxes, an outbox and a bizlogic; everybody follows ann."""
    suite.users([(name, "ann") for name in FOLLOWERS]).close()
    started = [suite.inbox("--partition", str(Partition(number, COUNT))) for number in range(COUNT)]
    suite.outbox()
    suite.start("bizlogic", "--inboxes", str(COUNT))
    return started


def numbers(client: Client, user: str) -> list[int]:
    return [int(text) for text in client.texts(user)]


def test_everyone_finds_their_timeline_and_all_is_on_it_once(client: Client, inboxes: list[Process]) -> None:
    client.read_all([*FOLLOWERS, "ann"])
    for number in range(40):
        client.bark("ann", str(number))
    for user in [*FOLLOWERS, "ann"]:
        wait_for(lambda user=user: len(client.timelines[user]) >= 40, f"all are on {user}'s timeline")
        assert numbers(client, user) == list(range(40))


def test_each_has_its_own_users_only(suite: Suite, client: Client, inboxes: list[Process]) -> None:
    client.bark("ann", "woof")
    for number, inbox in enumerate(inboxes):
        mine = [name for name in [*FOLLOWERS, "ann"] if number_of(name, COUNT) == number]
        assert mine, "the names are so that each has some"
        assert suite.wait_for_state(inbox, delivered=len(mine))["timelines"] == len(mine)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_while_one_is_away_nothing_is_lost(client: Client, inboxes: list[Process], number: int) -> None:
    client.read_all(FOLLOWERS)
    for text in range(100):
        client.bark("ann", str(text))
        if text == 50:
            wait_for(lambda: client.texts(FOLLOWERS[0]), "barks flow")
            inboxes[1].kill(number)
        if text > 50:  # So each is a transfer of its own.
            wait_for(lambda text=text: len(client.accepted) > text, "the outbox accepts all the same")
    others = [name for name in FOLLOWERS if number_of(name, COUNT) != 1]
    for user in others:
        wait_for(lambda user=user: numbers(client, user)[-1:] == [99], f"{user} sees the last meanwhile")
        assert numbers(client, user) == list(range(100))
    inboxes[1].restart()
    for user in FOLLOWERS:
        wait_for(lambda user=user: numbers(client, user)[-1:] == [99], f"{user} sees the last", 30)
        assert numbers(client, user) == list(range(100))


def test_a_name_of_another_partition_is_refused(suite: Suite, client: Client, inboxes: list[Process]) -> None:
    name = next(name for name in FOLLOWERS if number_of(name, COUNT) != 0)
    suite.wait_for_state(inboxes[0])
    refused: list[Condition | None] = []

    class Reader(LinkHandler):
        def on_closed(self, link: Receiver, condition: Condition | None) -> None:
            refused.append(condition)

    def attach() -> None:
        assert inboxes[0].port is not None
        connection = client.reactor.connect("127.0.0.1", inboxes[0].port, ConnectionHandler())
        connection.receiver(f"inbox/{name}", Reader())

    client.reactor.call_from_thread(attach)
    wait_for(lambda: refused, "the link is refused")
    assert "this is partition 1/3 of inbox" in str(refused[0])


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    suite = Launched(tmp_path, "launch.py", "--inboxes", "2", "--autobarks", "1")
    yield suite
    suite.end()


def test_the_launcher_starts_them_and_never_with_another_number(tmp_path: Path, launched: Launched) -> None:
    launched.wait_until_ready()
    for number in range(2):
        assert f"inbox-{5820 + number + launched.offset}" in launched.output
    launched.end()
    again = Launched(tmp_path, "launch.py", "--inboxes", "3")
    assert again.popen.wait(20) == 2
    assert "has the timelines of 2 inbox(es), not of 3: start with --inboxes 2" in again.output
    assert "Traceback" not in again.output
