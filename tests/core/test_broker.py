"""What is declared at a broker, and how its URL is read."""

from __future__ import annotations

import re

import pytest

from barker.core.access import OPERATOR, Credentials, pages_key, proof, suite_name
from barker.core.broker import (
    DEAD_LETTERS,
    MADE,
    OWNER,
    SUITE,
    Broker,
    address_of,
    inbox_names,
    inboxes,
    outbox_names,
    outboxes,
    queue_of,
    reports_of,
    used,
)
from barker.core.errors import Mistake
from barker.core.reports import checked


def test_url() -> None:
    assert Broker.parse("amqp://guest:secret@127.0.0.1:5692") == Broker(
        (("127.0.0.1", 5692),), "guest", "secret"
    )
    assert Broker.parse("amqp://rex") == Broker((("rex", 5672),))
    assert Broker.parse("amqp://[::1]:5692/kennel") == Broker((("::1", 5692),), virtual_host="kennel")
    assert Broker.parse("amqp://rex:1,[::1]:2,ann").places == (("rex", 1), ("::1", 2), ("ann", 5672))
    odd = Broker.parse("amqp://a%40b:p%3Aq%2F@rex:1/")
    assert (odd.user, odd.password, odd.virtual_host) == ("a@b", "p:q/", "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:5692", "write it as amqp://USER:PASSWORD@HOST:PORT"),
        ("http://u:secret@rex", "http://rex is no broker's URL"),
        ("amqp://", "is no broker's URL"),
        ("amqps://u:secret@rex", "without TLS"),
        ("amqp://u:secret@rex:port", "is no broker's URL"),
        ("amqp://u:secret@rex:70000", "is no broker's URL"),
        ("amqp://u:secret@rex:1,", "is no broker's URL"),
        ("amqp://u:secret@rex/one/two", "a virtual host's name, and nothing else"),
        ("amqp://u:secret@rex/?heartbeat=2", "a virtual host's name, and nothing else"),
        ("amqp://u:s@secret:port@rex:port", "amqp://rex:port is no broker's URL"),
        ("amqp://:secret@rex", "no user whose it is"),
        ("", "is no broker's URL"),
    ],
)
def test_a_url_that_names_none(url: str, said: str) -> None:
    with pytest.raises(Mistake) as raised:
        Broker.parse(url)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_nobody_is_shown_the_password() -> None:
    broker = Broker.parse("amqp://guest:se%40cret@[::1]:5692,rex:1/ken%2Fnel")
    assert broker.url == "amqp://guest@[::1]:5692,rex:1/ken%2Fnel"
    assert "cret" not in repr(broker)
    assert Broker.parse(broker.secret) == broker


def test_names() -> None:
    assert outbox_names() == ["barker-outbox"]
    assert inbox_names() == ["barker-inbox"]
    assert outbox_names(2) == ["barker-outbox-1-of-2", "barker-outbox-2-of-2"]
    assert address_of("barker-inbox") == "/queues/barker-inbox"


def test_declarations() -> None:
    """Barks wait in replicated queues, of which one bizlogic takes; streams keep what is stated."""
    queue, letters = outboxes()
    assert queue.arguments == {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": -1,
    }
    assert letters.name == DEAD_LETTERS
    assert "x-single-active-consumer" not in letters.arguments
    (stream,) = inboxes()
    assert stream.arguments["x-queue-type"] == "stream"
    assert stream.arguments["x-max-age"] == "7D"
    assert stream.declaration["durable"] is True


def test_whose_it_is_and_which_one() -> None:
    """Told by arguments that the broker keeps, and does not understand; of the key they tell nothing."""
    name = suite_name(b"a key that nobody guesses")
    assert name == suite_name(b"a key that nobody guesses") != suite_name(b"a key that nobody guesses!")
    assert re.fullmatch("[0-9a-f]{32}", name)
    key = b"a key that nobody guesses"
    assert not any(
        other.startswith(name)
        for other in (pages_key(key), proof(key, ""), Credentials(OPERATOR, key).verifier().stored_key.hex())
    )
    queue = queue_of(name)
    assert (queue.name, queue.arguments[OWNER]) == (SUITE, name)
    (stream,) = inboxes()
    assert stream.made("x").declaration["arguments"] == {**stream.arguments, MADE: "x"}


ANSWERS = {
    "barker-inbox": {"type": "stream", "message_count": 9, "consumer_count": 0},
    "barker-outbox": {"type": "quorum", "message_count": 3, "consumer_count": 1},
    DEAD_LETTERS: {"type": "quorum", "message_count": 1, "consumer_count": 0},
}

SERVICES = [
    {"host": "rex", "port": 1, "takes": "barker-outbox", "active": True, "received_rate": 2.5},
    {"host": "rex", "port": 2, "takes": "barker-outbox", "active": False, "received_rate": 0.0},
    {"host": "rex", "port": 3, "takes": "barker-inbox", "received_rate": 2.0, "broker": "barker-inbox"},
    {"host": "rex", "port": 4, "takes": "barker-inbox", "received_rate": None, "broker": f"a {DEAD_LETTERS}"},
]


def test_which_queues_are_used() -> None:
    assert used(SERVICES) == ["a", "barker-inbox", DEAD_LETTERS]


def test_how_queues_do() -> None:
    """Depth, consumers, and which of them is active; each is a report that others take as such."""
    broker = Broker.parse("amqp://guest:secret@ann:5692,ben")
    stream, queue, letters = reports_of(broker, ANSWERS, SERVICES)
    assert (queue["depth"], queue["consumers"], queue["consumer"]) == (3, 2, "rex:1")
    assert queue["sent_rate"] == 2.5
    assert (stream["type"], stream["consumers"], stream["consumer"]) == ("stream", 2, "rex:3 rex:4")
    assert "depth" not in stream
    assert letters["dead_letters"] == 1
    assert "depth" not in letters
    for report in (stream, queue, letters):
        assert checked(report, "agents/ann-5692") == report
