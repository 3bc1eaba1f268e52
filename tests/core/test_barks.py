"""What is a bark, what is a follow, who is mentioned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from barker.core.barks import LAST_TIME, MAX_ID, MAX_TEXT, Bark, Follow, checked, is_user, mentions, user_name
from barker.core.errors import InvalidField, Mistake

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True)


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a bark that breaks no rule, with changes."""
    return {"id": "7", "subject": "bark", "created": 1700000000000, "user": "rex", "body": "woof"} | changes


def test_fields_in_order_make_a_bark() -> None:
    assert checked(**fields()) == Bark("7", "rex", "woof", 1700000000000)


@pytest.mark.parametrize(("subject", "wanted"), [("follow", True), ("unfollow", False)])
def test_fields_in_order_make_a_follow(subject: str, wanted: bool) -> None:
    made = checked(**fields(subject=subject, body="spot"))
    assert made == Follow("7", "rex", "spot", 1700000000000, wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x"},
        {"id": "x" * MAX_ID},
        {"body": "x"},
        {"body": "x" * MAX_TEXT},
        {"body": "\N{DOG FACE}" * MAX_TEXT},
        {"user": "x" * 32},
        {"user": "."},
        {"created": 1},
        {"created": LAST_TIME},
    ],
)
def test_the_limits_themselves_are_allowed(changes: dict[str, Any]) -> None:
    assert isinstance(checked(**fields(**changes)), Bark)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"id": None}, "message-id", id="no id"),
        pytest.param({"id": ""}, "message-id", id="empty id"),
        pytest.param({"id": 7}, "message-id", id="id a number"),
        pytest.param({"id": b"7"}, "message-id", id="id in bytes"),
        pytest.param({"id": "x" * (MAX_ID + 1)}, "message-id", id="id too long"),
        pytest.param({"created": 0}, "creation-time is missing", id="no creation time"),
        pytest.param({"created": -1}, "1970 to the year 9999; it is -1 ms", id="made before 1970"),
        pytest.param({"created": LAST_TIME + 1}, "1970 to the year 9999", id="made after the year 9999"),
        pytest.param({"created": 2**62}, "1970 to the year 9999", id="made at no time"),
        pytest.param({"user": None}, "user", id="no user"),
        pytest.param({"user": ""}, "user", id="empty user"),
        pytest.param({"user": "x" * 33}, "user", id="user too long"),
        pytest.param({"user": "r ex"}, "'r ex'", id="user with a space"),
        pytest.param({"user": "rex\n"}, "user", id="user with a newline"),
        pytest.param({"user": "ren\xe9"}, "user", id="user not ASCII"),
        pytest.param({"user": b"rex"}, "user", id="user in bytes"),
        pytest.param({"body": None}, "body", id="no body"),
        pytest.param({"body": b"woof"}, "body", id="body in bytes"),
        pytest.param({"body": ["woof"]}, "body", id="body a list"),
        pytest.param({"body": ""}, "has 0", id="empty text"),
        *(
            pytest.param({"body": text}, "nothing but blanks", id=f"nothing to be seen in {text!a}")
            for text in (" ", "\n\t ", "\u200b\u2060", "\u3164\xa0", "\u2800\ufe0f", "\x00")
        ),
        pytest.param({"body": "x" * (MAX_TEXT + 1)}, "has 281", id="text too long"),
        pytest.param({"subject": None}, "subject", id="no subject"),
        pytest.param({"subject": "meow"}, "'meow'", id="unknown subject"),
        pytest.param({"subject": "Bark"}, "'Bark'", id="subject in capitals"),
        pytest.param({"subject": "follow", "body": "no such"}, "user to follow", id="follow of no name"),
        pytest.param({"subject": "unfollow", "body": ""}, "user to unfollow", id="unfollow of no name"),
        pytest.param({"subject": "follow", "body": "rex"}, "follow themselves", id="follow of oneself"),
        pytest.param({"subject": "unfollow", "body": "rex"}, "unfollow themselves", id="unfollow of oneself"),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked(**fields(**changes))
    assert named in caught.value.description
    assert caught.value.condition == "amqp:invalid-field"


@pytest.mark.parametrize("created", [-(2**63), -1, LAST_TIME + 1, 2**62])
def test_what_was_accepted_before_may_be_of_any_time(created: int) -> None:
    assert checked(**fields(created=created), any_time=True).created == created
    with pytest.raises(InvalidField, match="missing"):
        checked(**fields(created=0), any_time=True)


def test_what_was_accepted_before_may_have_nothing_to_be_seen() -> None:
    assert checked(**fields(body=" "), any_time=True).text == " "


@pytest.mark.parametrize("text", ["w", " . ", "\N{DOG FACE}", "\u200b\u72ac", "\U000e01f0\U0001fae8"])
def test_one_sign_that_is_seen_is_enough(text: str) -> None:
    assert isinstance(checked(**fields(body=text)), Bark)


def test_a_description_stays_short_however_long_the_mistake() -> None:
    with pytest.raises(InvalidField) as caught:
        checked(**fields(user="x" * 1_000_000))
    assert len(caught.value.description) < 300


@pytest.mark.parametrize("name", ["a", "Rex", "ark3", "a_b", "a.b", "a-b", "-", "...", "0", "x" * 32])
def test_what_a_user_may_be_called(name: str) -> None:
    assert is_user(name)
    assert user_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "a\n", "\na", "a/b", "@a", "ren\xe9", "\u0663", "a\0"])
def test_what_a_user_may_not_be_called(name: str) -> None:
    assert not is_user(name)
    with pytest.raises(Mistake, match="no user's name"):
        user_name(name)


@pytest.mark.parametrize("thing", [None, 3, b"rex", ["rex"], ("rex",)])
def test_only_a_string_is_a_user(thing: object) -> None:
    assert not is_user(thing)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("rex", [], id="no at sign"),
        pytest.param("@", [], id="only an at sign"),
        pytest.param("@ rex", [], id="a space between"),
        pytest.param("@rex", ["rex"], id="the whole text"),
        pytest.param("hi @rex and @spot", ["rex", "spot"], id="two"),
        pytest.param("@rex @rex", ["rex", "rex"], id="the same twice"),
        pytest.param("@rex\n@spot\t@ark3", ["rex", "spot", "ark3"], id="any white space"),
        pytest.param("@REX @rex", ["REX", "rex"], id="capitals are letters of their own"),
        pytest.param("@a_b @a.b @a-b @4", ["a_b", "a.b", "a-b", "4"], id="every kind of character"),
        pytest.param("ask @rex.", ["rex.", "rex"], id="a dot ends a name or a sentence"),
        pytest.param("ask @rex...", ["rex...", "rex"], id="three dots"),
        pytest.param("ask @rex-", ["rex-", "rex"], id="a dash"),
        pytest.param("ask @rex.-.", ["rex.-.", "rex"], id="dots and dashes"),
        pytest.param("@... @-", ["...", "-"], id="names of dots and dashes alone"),
        pytest.param("(@rex), \u201c@spot\u201d; @ark3!", ["rex", "spot", "ark3"], id="punctuation around"),
        pytest.param("@rex,@spot/@ark3", ["rex", "spot", "ark3"], id="punctuation between"),
        pytest.param("@rex's bone, @spot?", ["rex", "spot"], id="punctuation behind"),
        pytest.param("write to rex@example.org", [], id="an e-mail address"),
        pytest.param("write to r_3@example.org, @spot", ["spot"], id="an e-mail address and a name"),
        pytest.param("@@rex", [], id="two at signs"),
        pytest.param("@rex@spot", ["rex"], id="an at sign behind a name"),
        pytest.param("@" + "x" * 32, ["x" * 32], id="32 characters"),
        pytest.param("@" + "x" * 33, [], id="33 characters"),
        pytest.param("@" + "x" * 33 + " @rex", ["rex"], id="33 characters, then a name"),
        pytest.param("\N{DOG FACE}@rex\N{DOG FACE}", ["rex"], id="between emoji"),
        pytest.param("\u3053\u3093\u306b\u3061\u306f@rex\u3055\u3093", ["rex"], id="no spaces in Japanese"),
    ],
)
def test_mentions(text: str, names: list[str]) -> None:
    assert mentions(text) == names


@given(NAMES)
@example("x" * 32)
@example("x" * 30)
def test_a_name_at_the_end_of_a_sentence_is_mentioned(name: str) -> None:
    whole = name.rstrip(".-")
    assume(whole)
    assert whole in mentions(f"I met @{whole}.")
    assert whole in mentions(f"I met @{whole}...")


@given(NAMES)
def test_any_name_in_the_middle_of_a_sentence_is_mentioned_first(name: str) -> None:
    assert mentions(f"I met @{name} today")[0] == name


@given(st.text(alphabet=st.sampled_from("@.-_aZ9 ,\n\xe9\N{DOG FACE}"), max_size=60) | st.text(max_size=60))
def test_whatever_is_mentioned_could_be_a_user_and_stands_in_the_text(text: str) -> None:
    for name in mentions(text):
        assert is_user(name)
        assert f"@{name}" in text
