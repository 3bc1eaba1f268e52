"""Who is a user where users are in PostgreSQL, as manifolds see it; what a server says is in tests/scale."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import psycopg
import pytest

from barker.core.errors import Away, NoSuchUser
from barker.core.postgresql_url import PostgresUrl
from barker.store.postgresql import PostgresUsers, _bounded
from barker.store.postgresql_members import PostgresMembers
from barker.store.userbase import Change, News
from tests.harness import free_port


class Database:
    """Tells names and news, or that it is away."""

    def __init__(self) -> None:
        self.names, self.new, self.away, self.complete = {"ann"}, [], "", True

    def everybody(self) -> set[str]:
        return set(self._answer(self.names))

    def news(self) -> News:
        new, self.new = self._answer(self.new), []
        return News([Change(name, None, True) for name in new], self.complete)

    def _answer(self, what: Any) -> Any:
        if self.away:
            raise Away(self.away)
        return what


class Desk:
    """Where it is asked; it answers when a test says so."""

    def __init__(
        self, _users: object, _call_soon: object, _chance: object, on_news: Callable[[], None]
    ) -> None:
        self.on_news, self.waiting = on_news, []

    def do(self, call: Callable[[], Any], then: Callable[[Future[Any]], None]) -> None:
        self.waiting.append((call, then))

    def work(self) -> None:
        while self.waiting:
            call, then = self.waiting.pop(0)
            done: Future[Any] = Future()
            try:
                done.set_result(call())
            except Exception as error:
                done.set_exception(error)
            then(done)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def members(database: Database, monkeypatch: pytest.MonkeyPatch) -> PostgresMembers:
    monkeypatch.setattr("barker.store.postgresql_members.Beside", Desk)
    members = PostgresMembers(cast(PostgresUsers, database))
    members.require("before it has begun nobody is turned away")
    members.begin(lambda call: call(), lambda: 0.5)
    return members


def desk(members: PostgresMembers) -> Desk:
    return cast(Desk, members._desk)


def test_nobody_is_turned_away_until_all_are_known_and_who_is_made_is_one(
    database: Database, members: PostgresMembers
) -> None:
    members.require("dora")
    desk(members).work()
    members.require("ann")
    with pytest.raises(NoSuchUser, match="'dora'"):
        members.require("dora")
    database.new = ["dora"]
    desk(members).on_news()
    desk(members).on_news()
    assert len(desk(members).waiting) == 1
    desk(members).work()
    members.require("dora")


def test_when_the_news_is_not_all_everybody_is_asked_for_anew(
    database: Database, members: PostgresMembers
) -> None:
    desk(members).work()
    database.names, database.complete = {"ann", "bob"}, False
    desk(members).on_news()
    desk(members).work()
    members.require("bob")


def test_while_it_is_away_nobody_is_turned_away_and_it_is_said_once(
    database: Database, members: PostgresMembers, caplog: pytest.LogCaptureFixture
) -> None:
    desk(members).work()
    for number in range(3):
        database.away = f"it is away, {number}"
        desk(members).on_news()
        desk(members).work()
        members.require("dora")
    assert [record.message for record in caplog.records] == [
        "whom they name cannot be checked: it is away, 0"
    ]
    database.away = ""
    desk(members).on_news()
    desk(members).work()
    with pytest.raises(NoSuchUser):
        members.require("dora")
    assert "is known again" in caplog.text


# The connection, without a server


def test_a_server_that_is_not_there_is_away_and_the_password_is_not_in_the_words() -> None:
    port = free_port()
    users = PostgresUsers(PostgresUrl.parse(f"postgresql://me:s3cret@127.0.0.1:{port}/barker"))
    for call in (users.news, users.everybody, users.graph, users.opened):
        with pytest.raises(Away, match="PostgreSQL is away: postgresql://me@") as caught:
            call()
        assert "s3cret" not in str(caught.value)


def test_an_answer_is_waited_for_as_long_as_there_is_some_of_it() -> None:
    def answer() -> Any:
        for _ in range(30):
            yield 1
        return "whole"

    def looks(signs: list[bool]) -> None:
        waiting = _bounded(cast(Any, answer()), 1.0)
        next(waiting)
        for sign in signs:
            waiting.send(cast(Any, sign))

    with pytest.raises(StopIteration) as end:
        looks([at % 8 == 0 for at in range(100)])
    assert end.value.value == "whole"
    with pytest.raises(psycopg.OperationalError, match="no answer for 1 s"):
        looks([True, *([False] * 20)])
