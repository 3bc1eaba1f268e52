"""Who must see a bark, and how very many of them are divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.graph import SocialGraph, part_key, parts, same_or_wider

NAMES = ("rex", "spot", "ark3", "lassie", "rex.")


# Users and follows


def test_who_follows_and_is_followed_exists() -> None:
    graph = SocialGraph(["rex"], [("spot", "ark3")])
    assert len(graph) == 3
    assert all(user in graph for user in ("rex", "spot", "ark3"))
    assert "lassie" not in graph
    assert graph.followers("ark3") == ["spot"]
    assert graph.followers("spot") == []
    assert graph.followers("lassie") == []


def test_following_twice_is_following_once() -> None:
    graph = SocialGraph(["rex"])
    graph.follow("spot", "rex")
    graph.follow("spot", "rex")
    assert graph.followers("rex") == ["spot"]


def test_adding_a_user_again_keeps_the_followers() -> None:
    graph = SocialGraph((), [("spot", "rex")])
    graph.add("rex")
    assert graph.followers("rex") == ["spot"]


def test_unfollowing_ends_it_and_unfollowing_again_changes_nothing() -> None:
    graph = SocialGraph((), [("spot", "rex"), ("ark3", "rex")])
    for _ in range(2):
        graph.unfollow("spot", "rex")
        assert graph.followers("rex") == ["ark3"]
    graph.unfollow("nobody", "no one")
    assert "no one" not in graph


# Recipients


@pytest.mark.parametrize(
    ("author", "text", "recipients"),
    [
        pytest.param("rex", "woof", ["rex", "spot", "ark3"], id="the author and the followers"),
        pytest.param("spot", "woof", ["spot"], id="no followers"),
        pytest.param("nobody", "woof", ["nobody"], id="an author whom nobody knows"),
        pytest.param("nobody", "hi @spot", ["nobody", "spot"], id="an unknown author who mentions someone"),
        pytest.param("spot", "hi @rex", ["spot", "rex"], id="a mention"),
        pytest.param("rex", "hi @lassie @spot", ["rex", "spot", "ark3", "lassie"], id="a follower mentioned"),
        pytest.param("spot", "hi @spot", ["spot"], id="the author mentioned"),
        pytest.param("spot", "hi @rex @rex", ["spot", "rex"], id="mentioned twice"),
        pytest.param("spot", "hi @nobody", ["spot"], id="a mention of nobody"),
        pytest.param("spot", "hi @lassie.", ["spot", "lassie"], id="at the end of a sentence"),
        pytest.param("spot", "rex@example.org", ["spot"], id="an e-mail address"),
    ],
)
def test_recipients(author: str, text: str, recipients: list[str]) -> None:
    graph = SocialGraph(["lassie"], [("spot", "rex"), ("ark3", "rex")])
    assert graph.recipients(author, text) == recipients


def test_a_name_with_a_dot_and_one_without_are_both_meant() -> None:
    graph = SocialGraph(["rex", "rex."])
    assert graph.recipients("spot", "hi @rex.") == ["spot", "rex.", "rex"]


def test_who_follows_themselves_is_served_once() -> None:
    graph = SocialGraph((), [("spot", "rex"), ("rex", "rex"), ("ark3", "rex")])
    assert graph.recipients("rex", "woof") == ["rex", "spot", "ark3"]


def test_an_unfollower_gets_nothing_more_but_mentions() -> None:
    graph = SocialGraph((), [("spot", "rex")])
    graph.unfollow("spot", "rex")
    assert graph.recipients("rex", "woof") == ["rex"]
    assert graph.recipients("rex", "hi @spot") == ["rex", "spot"]


def test_asking_for_recipients_makes_no_user() -> None:
    graph = SocialGraph()
    graph.recipients("rex", "hi @spot")
    assert len(graph) == 0


PAIRS = st.lists(st.permutations(NAMES).map(lambda names: (names[0], names[1])))
TEXTS = st.lists(st.sampled_from([*(f"@{name}" for name in NAMES), "@nobody", "woof"])).map(" ".join)


@given(PAIRS, PAIRS, st.sampled_from([*NAMES, "nobody"]), TEXTS)
def test_recipients_are_each_there_once_the_author_first(
    followed: list[tuple[str, str]], unfollowed: list[tuple[str, str]], author: str, text: str
) -> None:
    graph = SocialGraph((), followed)
    for follower, followee in unfollowed:
        graph.unfollow(follower, followee)
    recipients = graph.recipients(author, text)
    users = {user for pair in followed for user in pair}
    meant = {name for word in text.split() for name in (word[1:], word[1:].rstrip(".")) if word[0] == "@"}
    followers = {a for a, b in set(followed) - set(unfollowed) if b == author}
    assert recipients[0] == author
    assert len(recipients) == len(set(recipients))
    assert set(recipients) == {author} | followers | (meant & users)
    assert set(recipients[1 : len(followers) + 1]) == followers


# Parts


PEOPLE = st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), unique=True, max_size=80)


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_few_recipients_are_one_part(count: int) -> None:
    names = [f"user{at}" for at in range(count)]
    assert parts(names, 10) == [names]


@pytest.mark.parametrize(("count", "divided"), [(11, 2), (20, 2), (21, 4), (41, 8), (80, 8)])
def test_more_recipients_are_2_4_8_parts(count: int, divided: int) -> None:
    assert len(parts([f"user{at}" for at in range(count)], 10)) == divided


def test_parts_are_about_as_large_as_asked_for() -> None:
    divided = parts([f"user{at}" for at in range(100_000)], 30_000)
    assert [len(part) for part in divided] == [pytest.approx(25_000, rel=0.05)] * 4


@given(PEOPLE, st.integers(1, 20))
def test_parts_together_are_the_whole_and_nobody_is_in_two(names: list[str], size: int) -> None:
    divided = parts(names, size)
    together = [name for part in divided for name in part]
    assert len(together) == len(names)
    assert set(together) == set(names)
    assert all(part == [name for name in names if name in part] for part in divided), "in order, in each"


@given(PEOPLE, PEOPLE, st.integers(1, 20))
def test_nobody_moves_to_another_part_when_others_come(names: list[str], more: list[str], size: int) -> None:
    before = parts(names, size)
    larger = list(dict.fromkeys([*more, *names]))
    after = parts(larger, size)
    if len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            assert set(old) <= set(new)


@given(PEOPLE, PEOPLE, st.integers(1, 10), st.data())
def test_a_fan_out_that_is_cut_and_repeated_after_others_came_serves_everyone_once(
    names: list[str], more: list[str], size: int, data: st.DataObject
) -> None:
    served: list[str] = []
    seen: set[str] = set()

    def serve(recipients: list[str], most: int) -> None:
        divided = parts(recipients, size)
        for number, part in list(enumerate(divided))[:most]:
            key = part_key("ann", "id", number, len(divided))
            if not any(known in seen for known in same_or_wider(key)):
                seen.add(key)
                served.extend(part)

    serve(names, data.draw(st.integers(0, 40)))
    before = set(served)
    larger = list(dict.fromkeys([*more, *names]))
    serve(larger, len(larger) * 2 + 1)
    assert len(served) == len(set(served)), "nobody twice"
    assert set(names) <= set(served), "nobody who was due it at first is left out"
    assert before <= set(served) <= set(larger)


@pytest.mark.parametrize(
    ("key", "wider"),
    [
        ("ann/id\n5/8", ["ann/id\n1/4", "ann/id\n1/2", "ann/id\n0/1"]),
        ("ann/id\n0/1", []),
        ("ann/id\n5/8\n0/1", []),
        ("rex\n5/8\n", []),
        ("\n5/8", []),
        ("k", []),
        ("", []),
        ("ann/id\n5/0", []),
        ("ann/id\nx/8", []),
    ],
)
def test_which_parts_hold_a_part(key: str, wider: list[str]) -> None:
    assert list(same_or_wider(key)) == [key, *wider]
