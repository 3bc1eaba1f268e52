"""Who must see a bark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.graph import SocialGraph

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


def test_who_is_mentioned_exists_and_is_named_once() -> None:
    graph = SocialGraph(["rex", "spot", "ark3."])
    assert graph.named("@nobody: @spot, @rex and @spot. Or @ark3.") == ["spot", "rex", "ark3."]
    assert graph.named("rex") == []


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
