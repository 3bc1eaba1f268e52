"""Where users are, as it is said on a command line; and how a service waits for a database."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from barker.amqp.agent import LAUNCHED
from barker.commands import where
from barker.commands.where import CountOrUrlType, WhereType, await_users, count_and_url
from barker.core.errors import Away, Mistake
from barker.core.postgresql_url import PostgresUrl
from barker.store.social import FILE_NAME

URL = PostgresUrl("postgresql://me:s3cret@db/barker")


def test_a_file_a_folder_or_a_url_says_where_users_are(tmp_path: Path) -> None:
    convert = WhereType().convert
    assert convert(str(tmp_path / "some.sqlite3"), None, None) == tmp_path / "some.sqlite3"
    assert convert(str(tmp_path), None, None) == tmp_path / FILE_NAME
    assert convert(URL.secret, None, None) == URL
    with pytest.raises(click.BadParameter) as caught:
        convert("postgresql://me:s3cret@woof@db", None, None)
    assert "s3cret" not in str(caught.value)


def test_how_many_is_a_number_from_the_least_on() -> None:
    convert = CountOrUrlType(2).convert
    assert (convert("2", None, None), convert(URL.secret, None, None)) == (2, URL)
    for wrong in ("1", "many"):
        with pytest.raises(click.BadParameter):
            convert(wrong, None, None)


@pytest.mark.parametrize(
    ("given", "variable", "found"),
    [
        ((), "", (None, None)),
        ((5,), "", (5, None)),
        ((URL,), "", (None, URL)),
        ((URL, 5), "", (5, URL)),
        ((5,), URL.secret, (5, URL)),
        ((5,), f"7 {URL.secret}", (5, URL)),
        ((URL,), "postgresql://other", (None, URL)),
    ],
)
def test_how_many_and_where_are_said_together_or_one_by_the_variable(
    given: tuple[int | PostgresUrl, ...], variable: str, found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARKER_USERS", variable)
    assert count_and_url(given) == found


@pytest.mark.parametrize("given", [(5, 6), (URL, URL)])
def test_what_is_said_twice_is_a_mistake(given: tuple[int | PostgresUrl, ...]) -> None:
    with pytest.raises(Mistake, match="--users says how many, or where"):
        count_and_url(given)


def test_a_service_waits_for_a_database_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[dict[str, Any]] = []

    def opens(_: object, **how: Any) -> SimpleNamespace:
        tries.append(how)
        if len(tries) < 4:
            raise Away(f"it is away, for the reason {len(tries)}")
        return SimpleNamespace(place="the database")

    monkeypatch.setattr(where, "open_users", opens)
    monkeypatch.setattr(where, "MOST_SECONDS", 0.01)
    assert await_users(URL).place == "the database"
    assert tries == [{"patience": 0}] * 4
    assert [record.message for record in caplog.records] == [
        "it is away, for the reason 1; it is waited for",
        "the database is there now",
    ]


def test_a_service_that_waits_ends_with_its_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    def opens(*_: object, **how: Any) -> None:
        raise Away("it is away")

    monkeypatch.setattr(where, "open_users", opens)
    monkeypatch.setenv(LAUNCHED, "bizlogic-5680")
    read, write = os.pipe()
    os.close(write)
    with open(read) as launcher:
        monkeypatch.setattr(sys, "stdin", launcher)
        with pytest.raises(SystemExit):
            await_users(URL)
