"""What is kept of passwords."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barker.core.errors import Mistake
from barker.core.passwords import LEAST, MOST, checked_password, kept, matches

WORD = kept("correct horse", b"0123456789abcdef")


def test_it_is_known_again_and_not_in_what_is_kept() -> None:
    assert matches("correct horse", WORD)
    assert "correct" not in WORD
    assert not matches("correct horsf", WORD)
    assert kept("correct horse", b"another salt") != WORD


def test_the_same_letters_are_the_same_however_they_are_composed() -> None:
    assert matches("cafe\u0301 au lait", kept("caf\u00e9 au lait", b"salt"))


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_what_is_no_word_of_a_password_matches_none(word: str) -> None:
    assert not matches("correct horse", word)


@pytest.mark.parametrize("field", range(6))
def test_a_word_that_is_changed_matches_none(field: int) -> None:
    fields = WORD.split("$")
    for other in ("", "x", "-1", "0", "99999999999", "AAAA"):
        fields[field] = other
        assert not matches("correct horse", "$".join(fields))


@pytest.mark.parametrize("password", ["", "x" * (LEAST - 1), "x" * (MOST + 1), "tab\tin password"])
def test_some_may_not_be_one(password: str) -> None:
    with pytest.raises(Mistake, match="a password has"):
        checked_password(password)
