"""Users in a real PostgreSQL: the same as in a file, for several processes at a time."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from barker.amqp.system import new_id, now
from barker.core.barks import Follow
from barker.core.errors import Away, InUse, Mistake, StorageError
from barker.core.graph import SocialGraph
from barker.core.postgresql_url import PostgresUrl
from barker.store.copying import copy_users
from barker.store.first_users import first_users
from barker.store.postgresql import PostgresUsers
from barker.store.postgresql_layout import LAYOUTS
from barker.store.social import FILE_NAME, Users
from barker.store.userbase import Change, News, UserBase, digest, open_users
from tests.harness import ROOT, wait_for
from tests.scale.postgresql import PASSWORD, Postgres

NAMES = [f"user{at}" for at in range(5)]


@pytest.fixture
def place(postgres: Postgres) -> PostgresUrl:
    return postgres.fresh()


@pytest.fixture
def opened(place: PostgresUrl) -> Iterator[Callable[[], PostgresUsers]]:
    """Opens the same users once more, as another process does."""
    with contextlib.ExitStack() as ends:

        def once_more() -> PostgresUsers:
            users = open_users(place, create=True)
            assert isinstance(users, PostgresUsers)
            ends.callback(users.close)
            return users

        yield once_more


def word(user: str, other: str, wanted: bool = True) -> Follow:
    return Follow(new_id(), user, other, now(), wanted)


def pairs(graph: SocialGraph, names: list[str]) -> set[tuple[str, str]]:
    return {(follower, name) for name in names for follower in graph.followers(name)}


# The same as a file


class Same(RuleBasedStateMachine):
    """What is done to a file and to a database, each by two processes, comes out the same, step by step."""

    place: PostgresUrl
    name = st.sampled_from(NAMES)

    @initialize(many=st.sampled_from([4, 10_000]), most=st.sampled_from([6, 100_000]))
    def begin(self, many: int, most: int) -> None:
        self.ends = contextlib.ExitStack()
        folder = Path(self.ends.enter_context(tempfile.TemporaryDirectory()))
        with psycopg.connect(self.place.secret, autocommit=True) as db:
            db.execute("DROP SCHEMA IF EXISTS barker CASCADE")
        patch = self.ends.enter_context(pytest.MonkeyPatch.context())
        for module in ("userbase", "social"):
            patch.setattr(f"barker.store.{module}.MANY", many)
            patch.setattr(f"barker.store.{module}.CHANGES", most)
        where = [folder / FILE_NAME, self.place]
        self.all: list[tuple[UserBase, ...]] = [
            tuple(
                self.ends.enter_context(contextlib.closing(open_users(each, create=True))) for each in where
            )
            for _ in range(2)
        ]
        self.said: list[Follow] = []
        self.graphs = [[users.graph() for users in both] for both in self.all]

    def both(self, who: int, call: Callable[[UserBase], object]) -> object:
        file, database = (call(users) for users in self.all[who])
        assert database == file
        return file

    @rule(
        who=st.integers(0, 1),
        users=st.lists(name, max_size=3),
        follows=st.lists(st.tuples(name, name), max_size=3),
    )
    def add(self, who: int, users: list[str], follows: list[tuple[str, str]]) -> None:
        self.both(who, lambda there: there.add(users, follows))

    @rule(who=st.integers(0, 1), user=name, other=name, wanted=st.booleans())
    def follow(self, who: int, user: str, other: str, wanted: bool) -> None:
        self.both(who, lambda there: (there.follow if wanted else there.unfollow)(user, other))

    @rule(who=st.integers(0, 1), said=st.lists(st.tuples(name, name, st.booleans()), min_size=1, max_size=5))
    def apply(self, who: int, said: list[tuple[str, str, bool]]) -> None:
        words = [word(*each) for each in said]
        self.said += words
        self.both(who, lambda there: there.apply(words))

    @precondition(lambda self: self.said)
    @rule(who=st.integers(0, 1), which=st.data())
    def apply_again(self, who: int, which: st.DataObject) -> None:
        at = which.draw(st.integers(0, len(self.said) - 1))
        self.both(who, lambda there: there.apply(self.said[at : at + 3]))

    @rule(who=st.integers(0, 1))
    def load(self, who: int) -> None:
        self.graphs[who] = [users.graph() for users in self.all[who]]

    @rule(who=st.integers(0, 1))
    def news(self, who: int) -> None:
        file, database = (users.news() for users in self.all[who])
        assert database.changes == file.changes
        # A file is loaded anew, too, when it is not known whether somebody else has written into it.
        assert database.complete or not file.complete
        for at, (users, news) in enumerate(zip(self.all[who], (file, database), strict=True)):
            for change in news.changes:
                self.graphs[who][at].change(*change)
            if not news.complete:
                self.graphs[who][at] = users.graph()
            names = users.names()
            assert pairs(self.graphs[who][at], names) == pairs(users.graph(), names)

    @rule(who=st.integers(0, 1))
    def lose_the_connection(self, who: int) -> None:
        users = self.all[who][1]
        assert isinstance(users, PostgresUsers)
        users.close()

    @invariant()
    def is_the_same(self) -> None:
        for call in (
            lambda there: there.names(),
            lambda there: list(there.counts()),
            lambda there: list(there.words()),
            lambda there: list(there.changes()),
            len,
        ):
            self.both(0, call)

    def teardown(self) -> None:
        self.ends.close()


def test_it_is_the_same_as_a_file(place: PostgresUrl) -> None:
    Same.place = place
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Same,
        settings=settings(
            phases=[Phase.generate],
            max_examples=12,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_very_many_are_loaded_anew(opened: Callable[[], PostgresUsers]) -> None:
    mine, other = opened(), opened()
    other.add((f"user{at}" for at in range(12_000)), [(f"user{at}", "user0") for at in range(1, 12_000)])
    assert not mine.news().complete
    slices = list(mine.load())
    assert len(slices) > 5, "a few rows at a time"
    graph = slices[-1]
    assert graph is not None
    assert len(graph.followers("user0")) == 11_999
    assert mine.news() == News([], True)


def test_the_graph_begins_where_the_news_goes_on(opened: Callable[[], PostgresUsers]) -> None:
    mine, other = opened(), opened()
    other.follow("spot", "rex")
    loading = mine.load()
    next(loading)
    other.follow("ark3", "rex")
    *_, graph = loading
    assert graph is not None
    assert graph.followers("rex") == ["spot"], "as it was when the loading began"
    assert mine.news().changes == [Change("ark3", None, True), Change("ark3", "rex", True)]


def test_the_words_that_are_remembered_are_bounded(
    opened: Callable[[], PostgresUsers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.userbase.WORDS", 5)
    users = opened()
    users.add(NAMES, ())
    words = [word(NAMES[0], NAMES[1], at % 2 == 0) for at in range(12)]
    for at in range(0, 12, 4):
        users.apply(words[at : at + 4])
    assert list(users.words()) == [digest(each) for each in words[-5:]]
    users.remember([b"one", b"two"])
    assert list(users.words())[-3:] == [digest(words[-1]), b"one", b"two"]
    assert len(list(users.words())) == 5


# Several who write


def test_who_reads_while_several_write_misses_no_change(opened: Callable[[], PostgresUsers]) -> None:
    """Numbers are in the order of commits: none appears behind one that was read already."""
    reader, writers = opened(), [opened() for _ in range(4)]
    writers[0].add(NAMES, ())
    graph = reader.graph()
    seen: list[Change] = []
    with ThreadPoolExecutor(len(writers)) as pool:

        def write(users: PostgresUsers, of: int) -> None:
            for at in range(60):
                users.apply([word(f"w{of}-{at % 7}", NAMES[at % 5], at % 3 > 0) for _ in range(3)])

        done = [pool.submit(write, users, of) for of, users in enumerate(writers)]
        while not all(each.done() for each in done):
            news = reader.news()
            assert news.complete
            seen += news.changes
        for each in done:
            each.result()
    seen += reader.news().changes
    assert seen == list(reader.changes())[-len(seen) :]
    for change in seen:
        graph.change(*change)
    names = reader.names()
    assert pairs(graph, names) == pairs(reader.graph(), names)


def test_the_same_words_from_two_writers_are_done_once_and_in_order(
    opened: Callable[[], PostgresUsers],
) -> None:
    first, second = opened(), opened()
    first.add(NAMES, ())
    words = [word(NAMES[0], NAMES[1], at % 2 == 0) for at in range(300)]
    batches = [words[at : at + 7] for at in range(0, len(words), 7)]

    def write(users: PostgresUsers) -> None:
        for batch in batches:
            users.apply(batch)

    threads = [threading.Thread(target=write, args=(users,)) for users in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert list(first.words()) == [digest(each) for each in words]
    assert [change.wanted for change in first.changes() if change.other] == [at % 2 == 0 for at in range(300)]


def test_who_writes_waits_for_another_and_is_told_when_that_takes_long(
    opened: Callable[[], PostgresUsers], place: PostgresUrl
) -> None:
    users = opened()
    service = PostgresUsers(place)
    users.add(["rex"], ())
    with contextlib.closing(service), psycopg.connect(place.secret) as other:
        other.execute("SELECT 1 FROM barker.state FOR UPDATE")
        with pytest.raises(InUse, match="is in use"):
            service.apply([word("spot", "rex")])
        other.rollback()
        assert service.apply([word("spot", "rex")]) == [True]


def test_others_are_told_of_a_change_and_the_one_who_made_it_is_not(
    opened: Callable[[], PostgresUsers],
) -> None:
    one, other = opened(), opened()
    one.add(["rex"], ())
    wait_for(other.heard, "it is heard")
    assert not one.heard()
    one.add(["rex"], ())
    one.apply([word("spot", "nobody")])
    other.follow("spot", "rex")
    wait_for(one.heard, "that one is heard")
    assert not other.heard(), "what changes nothing is not told"


# What is not there, or another


def test_an_empty_database_is_a_mistake_that_says_how_to_make_users(place: PostgresUrl) -> None:
    with pytest.raises(Mistake, match="barker users make --users postgresql://barker@") as caught:
        open_users(place)
    assert PASSWORD not in str(caught.value)


def test_a_layout_of_a_newer_barker_is_refused(
    opened: Callable[[], PostgresUsers], place: PostgresUrl
) -> None:
    opened()
    with psycopg.connect(place.secret, autocommit=True) as db:
        db.execute("UPDATE barker.state SET layout = layout + 1")
    with pytest.raises(StorageError, match="of a newer Barker; this one knows 1"):
        open_users(place)


def test_an_older_layout_is_upgraded_once_by_whoever_comes_first_and_all_or_nothing(
    opened: Callable[[], PostgresUsers], place: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = opened()
    users.follow("spot", "rex")
    upgrade = "ALTER TABLE barker.users ADD COLUMN since integer NOT NULL DEFAULT 0;"
    monkeypatch.setattr("barker.store.postgresql.LAYOUTS", (*LAYOUTS, upgrade + "SELECT 1/0;"))
    with pytest.raises(StorageError, match="division by zero"):
        open_users(place)
    monkeypatch.setattr("barker.store.postgresql.LAYOUTS", (*LAYOUTS, upgrade))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: open_users(place), range(6)))
    for each in found:
        with contextlib.closing(each):
            assert each.graph().followers("rex") == ["spot"]
    with psycopg.connect(place.secret) as db:
        assert db.execute("SELECT layout FROM barker.state").fetchall() == [(2,)]
    assert users.graph().followers("rex") == ["spot"], "who was there before goes on"


def test_several_may_make_the_first_layout_at_the_same_time(place: PostgresUrl) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: open_users(place, create=True), range(6)))
    assert len({users.id for users in found}) == 1
    for users in found:
        users.close()


def test_other_users_under_the_same_url_are_not_taken_for_these(
    opened: Callable[[], PostgresUsers], postgres: Postgres
) -> None:
    users = opened()
    users.follow("spot", "rex")
    users.news()
    postgres.fresh()
    with pytest.raises(StorageError, match="has no users any more"):
        users.news()
    with contextlib.closing(open_users(postgres.place, create=True)) as others:
        others.add(["rex"], ())
    users.close()
    with pytest.raises(StorageError, match="has other users than before"):
        users.apply([word("rex", "spot")])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://barker:wrong@127.0.0.1:{port}/barker", "password authentication failed"),
        ("postgresql://barker:s3cret%40woof@127.0.0.1:{port}/none", 'database "none" does not exist'),
        ("postgresql://barker:s3cret%40woof@127.0.0.1:9/barker", "refused"),
        ("postgresql://barker:s3cret%40woof@127.0.0.1:{port}/barker?nonsense=1", "an option in it is wrong"),
        ("postgresql://barker:s3cret@woof@127.0.0.1:{port}/barker", "@ is written %40"),
    ],
)
def test_a_command_that_cannot_reach_it_says_why_in_one_line_without_the_password(
    postgres: Postgres, url: str, said: str
) -> None:
    done = barker("users", "list", "--users", url.format(port=postgres.port))
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 or done.stderr.startswith("Usage")
    for secret in ("s3cret", "wrong@"):
        assert secret not in done.stderr + done.stdout


# Away, and back


def test_a_server_that_was_killed_or_restarted_is_found_again_and_all_is_loaded_anew(
    opened: Callable[[], PostgresUsers], postgres: Postgres
) -> None:
    users = opened()
    users.add(["rex"], ())
    users.news()
    for end in (postgres.kill, postgres.stop):
        end()
        try:
            for _ in range(2):
                with pytest.raises(Away, match="PostgreSQL is away"):
                    users.apply([word("spot", "rex")])
        finally:
            postgres.start()
        assert users.apply([word("spot", "rex")]) == [True]
        assert not users.news().complete, "it may be another server, or one that was restored"
        assert users.news() == News([], True)


def test_a_frozen_server_is_given_up_in_time(
    place: PostgresUrl, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.postgresql.ANSWER_SECONDS", 1)
    open_users(place, create=True).close()
    users = PostgresUsers(place)
    users.add(["rex"], ())
    said = [word("spot", "rex")]
    postgres.freeze()
    try:
        with pytest.raises(Away, match="no answer"):
            users.apply(said)
        with pytest.raises(Away, match="timeout"):
            users.news()
    finally:
        postgres.thaw()

    def applied() -> list[bool]:
        with contextlib.suppress(Away):  # A busy machine takes longer than a second.
            return users.apply(said)
        return []

    with contextlib.closing(users):
        assert wait_for(applied, "it answers again") == [True]
        assert len(list(users.words())) == 1, "however often it was sent"


def test_who_is_frozen_within_a_transaction_holds_up_nobody_for_long(
    opened: Callable[[], PostgresUsers], place: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.postgresql.ANSWER_SECONDS", 1)
    users = opened()
    users.add(["rex"], ())
    frozen = PostgresUsers(place)
    with contextlib.closing(frozen), frozen._session() as db:
        db.execute("BEGIN")
        db.execute("SELECT 1 FROM barker.state FOR UPDATE")
        assert users.apply([word("spot", "rex")]) == [True]
    assert len(list(users.words())) == 1


# Copies


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Users]:
    with contextlib.closing(Users(tmp_path / FILE_NAME, create=True)) as users:
        users.add(["lonely"], itertools.permutations(NAMES, 2))
        users.apply([word(NAMES[0], NAMES[1], wanted) for wanted in (False, True, False)])
        yield users


def all_of(users: UserBase) -> tuple[object, ...]:
    return users.id, users.names(), pairs(users.graph(), users.names()), list(users.words())


def test_a_copy_is_the_same_there_and_back_and_however_often(
    file: Users, opened: Callable[[], PostgresUsers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.copying.AT_ONCE", 7)
    database = opened()
    for _ in range(2):
        copied = copy_users(file, database)
        assert (copied.users, copied.follows, copied.words) == (6, 19, 3)
        assert all_of(database) == all_of(file)
        assert database.data.partition(" ")[0] != file.data.partition(" ")[0], "they do not serve together"
    with contextlib.closing(Users(tmp_path / "back.sqlite3", create=True)) as back:
        copy_users(database, back)
        assert all_of(back) == all_of(file)
    # What was done before is known there.
    assert database.apply([word(*NAMES[:2])]) == [True]


def test_a_copy_that_broke_off_goes_on(
    file: Users, opened: Callable[[], PostgresUsers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barker.store.copying.AT_ONCE", 4)
    database = opened()
    add, calls = database.add, []

    def breaks(*what: object) -> None:
        calls.append(what)
        if len(calls) == 4:
            raise Away("cut off")
        add(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "add", breaks)
    with pytest.raises(Away):
        copy_users(file, database)
    file.unfollow(NAMES[2], NAMES[3])
    copy_users(file, database)
    assert all_of(database) == all_of(file)


def test_a_copy_is_refused_where_others_are_or_where_it_was_used(
    file: Users, opened: Callable[[], PostgresUsers]
) -> None:
    database = opened()
    database.add(["own"], ())
    with pytest.raises(Mistake, match="has 1 users of its own"):
        copy_users(file, database)
    assert database.names() == ["own"]
    with pytest.raises(Mistake, match="is both"):
        copy_users(database, opened())


def test_a_copy_that_was_used_is_not_undone(file: Users, opened: Callable[[], PostgresUsers]) -> None:
    database = opened()
    copy_users(file, database)
    database.apply([word(NAMES[3], NAMES[4], False)])
    before = all_of(database)
    with pytest.raises(Mistake, match="was used since"):
        copy_users(file, database)
    assert all_of(database) == before


# Commands


def barker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def test_users_are_made_imported_listed_and_copied_by_commands(place: PostgresUrl, tmp_path: Path) -> None:
    url = place.secret
    edges = tmp_path / "edges"
    edges.write_text("spot rex\n")
    assert barker("users", "make", "--users", "7", "--users", url).stdout == f"7 users in {place}\n"
    assert barker("users", "import", str(edges), "--users", url).stdout == f"9 users in {place}\n"
    done = barker("users", "copy", url, str(tmp_path / FILE_NAME))
    assert done.returncode == 0, done.stderr
    listed = [barker("users", "list", "--users", each).stdout for each in (url, str(tmp_path))]
    assert listed[0] == listed[1]
    assert "rex                                     0          1" in listed[0]
    again = barker("users", "make", "--users", "7", "--users", "8")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_a_suite_does_not_begin_with_others_where_its_own_are_in_a_file(
    place: PostgresUrl, tmp_path: Path
) -> None:
    file = tmp_path / FILE_NAME
    with contextlib.closing(Users(file, create=True)) as users:
        users.add(["rex"], ())
    command = [sys.executable, "launch.py", "--users", place.secret, "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert f"bring them there with 'barker users copy {file} {place}'" in done.stderr
    assert PASSWORD not in done.stderr
    users, found = first_users(place, 5, None, False)
    with contextlib.closing(users):
        assert (len(users), found) == (5, False)
    users, found = first_users(place, 7, None, False, file)
    with contextlib.closing(users):
        assert (len(users), found) == (5, True)


def test_without_psycopg_it_is_said_which_extra_brings_it(place: PostgresUrl) -> None:
    program = "import sys; sys.modules['psycopg'] = None; from barker.cli import main; main()"
    command = [sys.executable, "-c", program, "users", "list", "--users", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == "barker: this needs psycopg, which is not installed: pip install 'barker[scale]'\n"


def test_nobody_imports_psycopg_for_a_file(tmp_path: Path) -> None:
    with contextlib.closing(Users(tmp_path / FILE_NAME, create=True)) as users:
        users.add(["rex"], ())
    program = (
        "import sys; from barker import bizlogic, manifold, launcher; from barker.users import main; "
        f"main(['list', '--data', {str(tmp_path)!r}], standalone_mode=False); "
        "assert 'psycopg' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
