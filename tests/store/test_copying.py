"""Users and all that is known of them, copied from one file to another; PostgreSQL is in tests/scale."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from barker.amqp.system import new_id, now
from barker.core.barks import Follow
from barker.core.errors import Mistake, StorageError
from barker.store.copying import Copied, copy_users
from barker.store.social import Users

NAMES = [f"user{at}" for at in range(5)]


def word(user: str, other: str, wanted: bool = True) -> Follow:
    return Follow(new_id(), user, other, now(), wanted)


def all_of(users: Users) -> tuple[object, ...]:
    graph, names = users.graph(), users.names()
    return users.id, names, [sorted(graph.followers(name)) for name in names], list(users.words())


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Users]:
    with closing(Users(tmp_path / "source.sqlite3", create=True)) as users:
        users.add(["lonely"], itertools.permutations(NAMES, 2))
        users.apply([word(NAMES[0], NAMES[1], wanted) for wanted in (False, True, False)])
        yield users


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Users]:
    with closing(Users(tmp_path / "target.sqlite3", create=True)) as users:
        yield users


def test_a_copy_is_the_same_however_often_and_whatever_was_done_at_its_source(
    source: Users, target: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.copying.AT_ONCE", 7)
    for _ in range(2):
        assert copy_users(source, target) == Copied(6, 19, 3)
        assert all_of(target) == all_of(source)
    last = word(NAMES[1], NAMES[2], False)
    source.apply([last, word(NAMES[2], "lonely")])
    source.add(["new"], ())
    assert copy_users(source, target) == Copied(7, 19, 5)
    assert all_of(target) == all_of(source)
    before = all_of(target)
    target.apply([last])
    assert all_of(target) == before, "what was done before is not done again"


@pytest.mark.parametrize("most", [0, 1, 3, 6])
def test_a_copy_that_broke_off_goes_on(
    source: Users, target: Users, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.copying.AT_ONCE", 4)
    calls = itertools.count()

    def breaks(*what: object) -> None:
        if next(calls) == most:
            raise StorageError("cut off")
        Users.add(target, *what)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(target, "add", breaks)
        with pytest.raises(StorageError, match="cut off"):
            copy_users(source, target)
    source.unfollow(NAMES[2], NAMES[3])
    copy_users(source, target)
    assert all_of(target) == all_of(source)


def test_others_are_not_mixed_with_these(source: Users, target: Users) -> None:
    target.add(["own"], ())
    with pytest.raises(Mistake, match="has 1 users of its own"):
        copy_users(source, target)
    assert target.names() == ["own"]
    with pytest.raises(Mistake, match="is both"):
        copy_users(source, source)


@pytest.mark.parametrize("how", ["a word", "a user"])
def test_what_was_done_at_a_copy_is_not_undone(source: Users, target: Users, how: str) -> None:
    copy_users(source, target)
    if how == "a word":
        target.apply([word(NAMES[3], NAMES[4], False)])
    else:
        target.add(["new"], ())
    before = all_of(target)
    with pytest.raises(Mistake, match="was used since"):
        copy_users(source, target)
    assert all_of(target) == before
