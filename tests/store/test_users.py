"""Users and who follows whom: the file that several processes share."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.core.errors import Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.store.users import FILE_NAME, Users, read_edges


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def pairs(graph: SocialGraph, names: list[str]) -> set[tuple[str, str]]:
    return {(follower, name) for name in names for follower in graph.followers(name)}


# The file


def test_what_is_added_survives_closing(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        assert len(users) == 0
        users.add(["rex", "lassie"], [("spot", "rex"), ("ark3", "rex"), ("rex", "spot")])
    with closing(Users(path)) as users:
        assert len(users) == 4
        assert users.names() == ["ark3", "lassie", "rex", "spot"]
        assert list(users.counts()) == [("ark3", 1, 0), ("lassie", 0, 0), ("rex", 1, 2), ("spot", 1, 1)]


def test_adding_again_adds_nothing(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        for _ in range(2):
            users.add(["rex"], [("spot", "rex"), ("spot", "rex")])
            assert list(users.counts()) == [("rex", 0, 1), ("spot", 1, 0)]


def test_nobody_follows_themselves(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.follow("rex", "rex")
        users.add((), [("spot", "spot"), ("spot", "rex")])
        assert list(users.counts()) == [("rex", 0, 1), ("spot", 1, 0)]


def test_a_missing_file_is_a_mistake_that_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(Mistake, match="barker users make") as caught:
        Users(path)
    assert str(path) in str(caught.value)
    assert not path.exists()


def test_the_directory_is_made_with_the_file(tmp_path: Path) -> None:
    with closing(Users(tmp_path / "new" / FILE_NAME, create=True)) as users:
        users.add(["rex"], ())
    assert (tmp_path / "new" / FILE_NAME).exists()


def test_a_file_of_garbage_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1_000)
    with pytest.raises(StorageError, match=FILE_NAME):
        Users(path)


def test_a_file_that_is_damaged_inside_is_named(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.add([f"user{at}" for at in range(5_000)], ())
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StorageError, match=FILE_NAME), closing(Users(path)) as users:
        users.graph()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match=FILE_NAME):
        Users(tmp_path / FILE_NAME, create=True)
    tmp_path.chmod(0o700)


def test_a_change_that_fails_changes_nothing(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.add(["rex"], ())
        pages = users._db.execute("PRAGMA page_count").fetchone()[0]
        users._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageError, match=FILE_NAME):
            users.add((f"user{at}" for at in range(10_000)), [("spot", "rex")])
        assert users.names() == ["rex"]
        users._db.execute("PRAGMA max_page_count=1000000")
        users.follow("spot", "rex")
        assert users.names() == ["rex", "spot"]


# Followers


def test_following_makes_both_users(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.follow("spot", "rex")
        assert users.names() == ["rex", "spot"]
        assert users.graph().followers("rex") == ["spot"]
        assert users.graph().followers("spot") == []


def test_unfollowing_ends_it_and_keeps_the_users(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.add((), [("spot", "rex"), ("rex", "spot")])
        for _ in range(2):
            users.unfollow("spot", "rex")
            assert users.graph().followers("rex") == []
            assert users.graph().followers("spot") == ["rex"]
        users.unfollow("nobody", "rex")
        assert users.names() == ["rex", "spot"]


NAMES = st.sampled_from([f"user{at}" for at in range(6)])
CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "follow", "unfollow"]), NAMES, NAMES, st.booleans()), max_size=15
)


@given(CHANGES)
@settings(max_examples=20, deadline=None)
def test_the_graph_is_what_was_done_to_it(changes: list[tuple[str, str, str, bool]]) -> None:
    model_names: set[str] = set()
    model_pairs: set[tuple[str, str]] = set()
    with tempfile.TemporaryDirectory() as directory:
        users = Users(Path(directory) / FILE_NAME, create=True)
        for what, one, other, reopened in changes:
            if what == "add":
                users.add([one, other], ())
                model_names |= {one, other}
            elif what == "follow":
                users.follow(one, other)
                model_names |= {one, other}
                model_pairs |= {(one, other)} if one != other else set()
            else:
                users.unfollow(one, other)
                model_pairs -= {(one, other)}
            if reopened:
                users.close()
                users = Users(users.path)
        graph, names, counts = users.graph(), users.names(), list(users.counts())
        users.close()
    assert names == sorted(model_names)
    assert len(graph) == len(names)
    assert pairs(graph, names) == model_pairs
    follows, followed = [a for a, _ in model_pairs], [b for _, b in model_pairs]
    assert counts == [(name, follows.count(name), followed.count(name)) for name in names]


# Several processes


def test_a_change_by_another_is_noticed_once(path: Path) -> None:
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        assert not mine.changed()
        others.follow("spot", "rex")
        assert mine.changed()
        assert not mine.changed()
        assert mine.graph().followers("rex") == ["spot"]
        others.unfollow("spot", "rex")
        others.add(["lassie"], ())
        assert mine.changed()
        assert not mine.changed()
        assert mine.names() == ["lassie", "rex", "spot"]


def test_ones_own_change_is_no_news(path: Path) -> None:
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        mine.follow("spot", "rex")
        assert not mine.changed()
        assert others.changed()
        others.follow("rex", "spot")
        mine.follow("ark3", "rex")
        assert mine.changed(), "the other's change is news, whatever was written here since"


def test_opening_and_reading_changes_nothing_for_others(path: Path) -> None:
    with closing(Users(path, create=True)) as mine:
        mine.add(["rex"], ())
        with closing(Users(path, create=True)) as others:
            others.graph()
        assert not mine.changed()


# Edge lists


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edges.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("rex spot\nspot ark3\n", [("rex", "spot"), ("spot", "ark3")], id="two lines"),
        pytest.param("rex spot", [("rex", "spot")], id="no newline at the end"),
        pytest.param("rex\tspot\r\nark3   1\r\n", [("rex", "spot"), ("ark3", "1")], id="tabs and CR LF"),
        pytest.param("rex,spot\nspot, ark3\n", [("rex", "spot"), ("spot", "ark3")], id="commas"),
        pytest.param("% a\n# b\n\n  \nrex spot\n", [("rex", "spot")], id="comments and empty lines"),
        pytest.param("rex spot # friends\n1 2 % x\n", [("rex", "spot"), ("1", "2")], id="comments behind"),
        pytest.param("1 2 0.5 1400000000\n", [("1", "2")], id="a column of weights and one of times"),
        pytest.param("rex spot\nrex spot\n", [("rex", "spot")] * 2, id="the same line twice"),
    ],
)
def test_edges(tmp_path: Path, text: str, edges: list[tuple[str, str]]) -> None:
    path = write(tmp_path, text)
    assert list(read_edges(path)) == edges
    assert list(read_edges(path, mutual=True)) == [pair for a, b in edges for pair in ((a, b), (b, a))]


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [
        pytest.param("rex\n", 1, "rex", id="one name"),
        pytest.param("rex spot\n# fine\nrex sp@t\n", 3, "rex sp@t", id="no user's name"),
        pytest.param("rex spot\n\nrex # spot\n", 3, "rex # spot", id="the second in a comment"),
        pytest.param("x" * 33 + " spot\n", 1, "xxx", id="a name too long"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, text: str, number: int, shown: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(Mistake, match=f"line {number}") as caught:
        list(read_edges(path))
    assert str(path) in str(caught.value)
    assert shown in str(caught.value)


def test_what_comes_before_a_bad_line_is_read(tmp_path: Path) -> None:
    edges = read_edges(write(tmp_path, "rex spot\nbad\n"))
    assert next(edges) == ("rex", "spot")
    with pytest.raises(Mistake):
        next(edges)


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes(b"rex ren\xe9\n")
    for name in ("missing.txt", "", "latin1.txt"):
        with pytest.raises(Mistake, match="cannot be read as an edge list"):
            list(read_edges(tmp_path / name))


def test_an_import_that_fails_leaves_the_users_as_they_were(tmp_path: Path, path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.add(["lassie"], ())
        with pytest.raises(Mistake, match="line 2"):
            users.add((), read_edges(write(tmp_path, "rex spot\nbad\n")))
        assert users.names() == ["lassie"]
        users.add((), read_edges(write(tmp_path, "rex spot 3\n% end\n"), mutual=True))
        assert list(users.counts()) == [("lassie", 0, 0), ("rex", 1, 1), ("spot", 1, 1)]
