"""What an inbox takes from those who write to it, and how much of it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barker.amqp._proton import ACCEPTED, REJECTED
from barker.amqp.links import Place
from barker.amqp.message import KEY, RECIPIENTS, encode_bark, with_delivery_annotations
from barker.amqp.service import Serving
from barker.core.barks import Bark
from barker.core.errors import InvalidField, LimitExceeded, PeerError
from barker.manifolds.readers import MOST_RECIPIENTS, TimelineManifold, read_fan_out, read_single
from barker.store.journal import TimelineJournal
from tests.amqp.pair import Pair, Peer

BARK = encode_bark(Bark("id", "rex", "woof", 1))


def fan_out(users: str, key: str = "rex/id\n0/1") -> bytes:
    return with_delivery_annotations(BARK, {RECIPIENTS: users, KEY: key})


def test_as_many_recipients_as_one_message_may_name() -> None:
    users = " ".join(f"user{at}" for at in range(MOST_RECIPIENTS))
    assert read_fan_out(fan_out(users)).users == users
    with pytest.raises(LimitExceeded, match="200001 recipients are more than the 200000"):
        read_fan_out(fan_out(f"{users} one-more"))


@pytest.mark.parametrize(
    ("data", "error", "named"),
    [
        (BARK, InvalidField, "who is it for"),
        (fan_out("rex", "rex/id\n0/" + "1" * 380), InvalidField, "ends in '0/111"),
        (fan_out("rex", "rex/id\n0/" + "9" * 5_000), InvalidField, "a key has 600 characters"),
        (fan_out("rex", "rex/id\n0/3"), InvalidField, "ends in '0/3'"),
    ],
)
def test_a_fan_out_that_breaks_the_rules(data: bytes, error: type[PeerError], named: str) -> None:
    with pytest.raises(error, match=named):
        read_fan_out(data)


def test_a_message_for_one_timeline_has_a_key_of_its_own() -> None:
    assert read_single(BARK, "spot").key == "spot\nid\n"
    with pytest.raises(InvalidField, match="256 characters at most here; this one has 257"):
        read_single(encode_bark(Bark("x" * 257, "rex", "woof", 1)), "spot")


# Made-up names


class Inbox:
    """A manifold that keeps ten timelines, and a producer's link to it."""

    def __init__(self, file: Path) -> None:
        serving = Serving("inbox", "127.0.0.1", 0, (Place("127.0.0.1", 1),))
        self.manifold = TimelineManifold(serving, TimelineJournal(file), 3, max_timelines=10)
        self.pair = Pair(server_peer=Peer(self.manifold.on_attach))

    def put(self, *messages: bytes, address: str = "inbox") -> list[Any]:
        """What became of messages to an address."""
        link, handler, _, _ = self.pair.sender(address)
        for data in messages:
            link.send(data, data)
        self.pair.pump()
        self.manifold.reactor.end_turn()
        self.pair.pump()
        link.close()
        return [outcome for _, outcome, _ in handler.outcomes]

    def restarted(self) -> Inbox:
        self.end()
        return Inbox(self.manifold.journal.path)

    def end(self) -> None:
        self.pair.client.lost()
        self.pair.server.lost()
        self.manifold.reactor.after(0, self.manifold.reactor.stop)
        self.manifold.reactor.run()
        self.manifold.on_stop()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox.sqlite3")


def made_up(at: int) -> bytes:
    return fan_out(f"made{at} up{at}", f"rex/{at}\n0/1")


def test_timelines_of_made_up_names_are_few_and_few_after_a_restart(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    assert inbox.put(*map(made_up, range(100))) == [ACCEPTED] * 100
    state = inbox.manifold.state()
    assert state["timelines"] <= 12
    assert state["forgotten"] + state["timelines"] == 200
    assert "--max-timelines" in caplog.text
    inbox.manifold._forget()
    assert sum(entry.data is not None for entry in inbox.manifold.journal.load()) <= 6
    again = inbox.restarted()
    assert len(again.manifold.timelines) <= 12
    assert again.put(made_up(99)) == [ACCEPTED]
    assert again.manifold.state()["repeated"] == 1
    again.end()


def test_what_breaks_the_rules_is_rejected_and_the_others_go_on(inbox: Inbox) -> None:
    bad = fan_out("rex", "rex/1\n0/" + "9" * 4_298)
    assert inbox.put(made_up(1), bad, made_up(2)) == [REJECTED, ACCEPTED, ACCEPTED]
    assert inbox.manifold.state()["rejected"] == 1
    inbox.end()


@pytest.mark.parametrize("attach", ["sender", "receiver"])
def test_a_timeline_with_too_long_a_name_is_refused(inbox: Inbox, attach: str) -> None:
    ways: dict[str, Callable[[str], Any]] = {"sender": inbox.pair.sender, "receiver": inbox.pair.receiver}
    assert ways[attach](f"inbox/{'x' * 251}")[1].closed == ["amqp:resource-limit-exceeded"]
    assert ways[attach](f"inbox/{'x' * 250}")[1].closed == []
    inbox.end()
