"""Users and who follows whom: the file that several processes share."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.amqp.system import new_id, now
from barker.core.barks import Follow
from barker.core.errors import Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.store.first_users import read_edges
from barker.store.social import FILE_NAME, Change, News, Users


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


def test_the_star_is_ark3_or_else_whom_most_follow(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        assert users.star() == ""
        users.add(["ann"], [])
        assert users.star() == "ann", "nobody follows anybody"
        users.add([], [("spot", "rex"), ("ann", "rex"), ("rex", "spot")])
        assert users.star() == "rex"
        users.add(["ark3"], [])
        assert users.star() == "ark3"


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
@settings(max_examples=20)
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


def test_what_another_has_changed_is_news_once(path: Path) -> None:
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        assert mine.news() == News([], True)
        others.follow("spot", "rex")
        assert mine.news() == News(
            [Change("rex", None, True), Change("spot", None, True), Change("spot", "rex", True)], True
        )
        assert mine.news() == News([], True)
        others.unfollow("spot", "rex")
        others.unfollow("spot", "rex")
        others.add(["lassie", "rex"], ())
        assert mine.news() == News([Change("spot", "rex", False), Change("lassie", None, True)], True)


def test_the_graph_begins_where_the_news_goes_on(path: Path) -> None:
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        others.follow("spot", "rex")
        loading = mine.load()
        next(loading)
        others.follow("ark3", "rex")
        *_, graph = loading
        assert graph is not None
        assert graph.followers("rex") == ["spot"], "as it was when the loading began"
        assert mine.news().changes == [Change("ark3", None, True), Change("ark3", "rex", True)]


def test_what_was_news_while_all_was_loaded_is_told_again(path: Path) -> None:
    """What is loaded may be older than that."""
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as theirs:
        theirs.add(["rex"], [])
        loading = mine.load()
        assert next(loading) is None, "it has begun"
        theirs.follow("ark3", "rex")
        assert mine.news().changes
        *_, graph = loading
        assert graph is not None
        for change in mine.news().changes:
            graph.change(*change)
        assert graph.followers("rex") == ["ark3"]


def test_what_one_has_changed_oneself_is_told_in_its_place_among_the_others(path: Path) -> None:
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        mine.add(["spot", "rex"], ())
        others.follow("spot", "rex")
        mine.unfollow("spot", "rex")
        others.follow("spot", "rex")
        changes = mine.news().changes[2:]
        assert [change.wanted for change in changes] == [True, False, True]


def test_opening_reading_and_changing_nothing_is_no_news(path: Path) -> None:
    with closing(Users(path, create=True)) as mine:
        mine.add(["rex"], [("spot", "rex")])
        mine.news()
        with closing(Users(path, create=True)) as others:
            others.graph()
            others.add(["rex"], [("spot", "rex")])
            others.apply([word("spot", "rex")])
        assert mine.news() == News([], True)


@pytest.mark.parametrize("most", [3, 10])
def test_of_very_many_changes_it_is_only_said_that_all_is_to_be_loaded(
    path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.social.CHANGES", most)
    monkeypatch.setattr("barker.store.social.MANY", most)
    with closing(Users(path, create=True)) as mine, closing(Users(path)) as others:
        others.add([f"user{at}" for at in range(20)], ())
        assert not mine.news().complete
        assert len(mine.graph()) == 20
        assert mine.news() == News([], True)
        for at in range(most + 1):
            others.add([f"more{at}"], ())
        assert not mine.news().complete, "more than are kept, one by one"
        others.add(["one more"], ())
        assert mine.news().complete
        assert mine._db.execute("SELECT count(*) FROM changes").fetchone()[0] <= most


def test_a_file_of_an_older_barker_is_taken_over_and_its_changes_are_seen(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("CREATE TABLE users (name TEXT PRIMARY KEY) WITHOUT ROWID")
        old.execute(
            "CREATE TABLE follows (follower TEXT NOT NULL, followee TEXT NOT NULL, "
            "PRIMARY KEY (followee, follower)) WITHOUT ROWID"
        )
        old.execute("INSERT INTO users VALUES ('rex'), ('spot')")
        old.execute("INSERT INTO follows VALUES ('spot', 'rex')")
        with closing(Users(path, create=True)) as users:
            assert users.graph().followers("rex") == ["spot"]
            assert users.news() == News([], True)
            old.execute("DELETE FROM follows")
            assert not users.news().complete
            assert users.graph().followers("rex") == []
            assert users.news().complete


# The words of outboxes


def word(user: str, other: str, wanted: bool = True, id: str = "") -> Follow:
    return Follow(id or new_id(), user, other, now(), wanted)


def test_a_word_is_done_once_and_changes_nothing_that_was_changed_since(path: Path) -> None:
    with closing(Users(path, create=True)) as frozen, closing(Users(path)) as standby:
        standby.add(["spot", "rex"], ())
        first, second, third = (word("spot", "rex", wanted) for wanted in (True, False, True))
        assert standby.apply([first, second, third]) == [True, True, True]
        for stale in (first, second):
            assert frozen.apply([stale]) == [True]
            assert frozen.graph().followers("rex") == ["spot"]


def test_a_word_that_names_nobody_is_told_and_the_others_are_done(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        users.add(["rex"], ())
        words = [word("spot", "rex"), word("spot", "lassie"), word("rex", "spot"), word("rex", "cat", False)]
        assert users.apply(words) == [True, False, True, False]
        assert list(users.counts()) == [("rex", 1, 1), ("spot", 1, 1)]
        users.add(["lassie"], ())
        assert users.apply(words[1:2]) == [True], "what was not done can be sent again"
        assert users.graph().followers("lassie") == ["spot"]


def test_the_words_that_are_remembered_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barker.store.social.WORDS", 5)
    with closing(Users(path, create=True)) as users:
        users.add(["rex"], ())
        for _ in range(3):
            users.apply([word(f"user{at}", "rex") for at in range(4)])
        assert users._db.execute("SELECT count(*) FROM words").fetchone()[0] == 5


WORDS = st.lists(st.tuples(NAMES, NAMES, st.booleans()), min_size=1, max_size=8)
TURNS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=20)


@given(WORDS, TURNS)
@settings(max_examples=25)
def test_several_who_do_the_same_words_in_order_come_out_as_one(
    said: list[tuple[str, str, bool]], turns: list[tuple[int, int]]
) -> None:
    """A bizlogic is frozen, the next goes on, the first thaws: each has the words in order, from some on."""
    words = [word(*each) for each in said]
    pairs_due: set[tuple[str, str]] = set()
    for user, other, wanted in said:
        pairs_due = pairs_due | {(user, other)} if wanted else pairs_due - {(user, other)}
    names = [f"user{at}" for at in range(6)]
    with tempfile.TemporaryDirectory() as directory:
        several = [Users(Path(directory) / FILE_NAME, create=True) for _ in range(3)]
        several[0].add(names, ())
        graphs, at = [users.graph() for users in several], [0, 0, 0]
        for who, count in [*turns, (0, len(words))]:
            several[who].apply(words[at[who] : at[who] + count])
            at[who] += count
        for users, graph in zip(several, graphs, strict=True):
            for change in _changes(users):
                graph.change(*change)
            assert pairs(graph, names) == {(a, b) for a, b in pairs_due if a != b}
            users.close()


def _changes(users: Users) -> list[Change]:
    news = users.news()
    assert news.complete
    return news.changes


# What is not as it should be


def test_rows_that_are_no_users_are_left_out_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Users(path, create=True)) as users:
        users.add(["rex"], [("spot", "rex")])
        users._db.execute("INSERT INTO users VALUES (CAST(x'72ff78' AS TEXT)), ('no user'), (x'01')")
        users._db.execute(
            "INSERT INTO follows VALUES (CAST(x'ff' AS TEXT), 'rex'), ('a b', 'rex'), ('c', 'rex')"
        )
        graph = users.graph()
        assert graph.followers("rex") == ["c", "spot"]
        assert len(graph) == 3
        assert caplog.text.count("is left out") == 5
        assert "no user" in caplog.text
        users._db.executemany("INSERT INTO users VALUES (?)", ((f"no user {at}",) for at in range(20)))
        caplog.clear()
        users.graph()
        assert caplog.text.count("is left out") == 10
        assert "25 rows are left out" in caplog.text


def test_who_does_not_wait_for_a_locked_file_is_told_at_once(path: Path) -> None:
    with closing(Users(path, create=True, patience=0)) as users, closing(Users(path)) as other:
        users.add(["rex"], ())
        other._db.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(StorageError, match="in use"):
            users.apply([word("spot", "rex")])
        assert time.monotonic() - begun < 1
        assert users.graph().followers("rex") == [], "it can be read"
        other._db.execute("ROLLBACK")
        assert users.apply([word("spot", "rex")]) == [True]


def test_a_file_that_is_removed_or_replaced_is_noticed(path: Path) -> None:
    with closing(Users(path, create=True)) as users:
        assert users.present
        aside = path.with_name("aside")
        path.rename(aside)
        assert not users.present
        path.write_bytes(b"another")
        assert not users.present
        aside.rename(path)
        assert users.present


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
