"""Who is a user, as manifolds see it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from barker.core.barks import Bark, Follow
from barker.core.errors import NoSuchUser
from barker.store.members import Members
from barker.store.social import FILE_NAME, Users


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with closing(Users(tmp_path / FILE_NAME, create=True)) as users:
        users.add(["ann"], [("bob", "cleo")])
    return tmp_path / FILE_NAME


def test_who_is_in_the_file_is_a_user_and_nobody_else(file: Path) -> None:
    members = Members(file)
    for name in ("ann", "bob", "cleo", "ann"):
        members.require(name)
    with pytest.raises(NoSuchUser, match="there is no user 'dora'") as raised:
        members.require("dora")
    assert raised.value.info == {"user": "dora"}


def test_who_is_made_meanwhile_is_one_from_then_on(file: Path) -> None:
    members = Members(file)
    with pytest.raises(NoSuchUser):
        members.require("dora")
    with closing(Users(file)) as users:
        users.add(["dora"], [])
    members.require("dora")


def test_both_of_a_follow_exist(file: Path) -> None:
    members = Members(file)
    members.checked(Bark("1", "ann", "@dora", 1))  # To name somebody is no more than text.
    members.checked(Follow("1", "ann", "bob", 1, wanted=True))
    for word in (
        Bark("1", "dora", "woof", 1),
        Follow("1", "dora", "bob", 1, wanted=True),
        Follow("1", "ann", "dora", 1, wanted=False),
    ):
        with pytest.raises(NoSuchUser, match="'dora'"):
            members.checked(word)


def test_a_file_that_is_another_now_is_asked_instead(file: Path) -> None:
    members = Members(file)
    members.require("ann")
    other = file.with_name("other.sqlite3")
    with closing(Users(other, create=True)) as users:
        users.add(["dora"], [])
    os.replace(other, file)
    members.require("dora")


@pytest.mark.parametrize("what", ["missing", "damaged", "locked"])
def test_while_it_cannot_be_read_nobody_is_turned_away(
    file: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    members = Members(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        if what == "missing":
            for each in file.parent.iterdir():
                each.unlink()
        elif what == "damaged":
            db.execute("DROP TABLE users")
        else:
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("BEGIN EXCLUSIVE")
        members.require("dora")
        members.require("ezra")
    assert len([record for record in caplog.records if "cannot be checked" in record.message]) == 1
