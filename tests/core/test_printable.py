"""What others wrote, as a terminal may show it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barker.core.printable import MOST, MOST_LINES, printable, printable_lines

HARMFUL = {"Cc", "Cs", "Zl", "Zp", "Cf"}
"""Unicode's categories of what does something to a terminal or a log, but for the joiners of letters."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("woof", "woof"),
        ("Grüße, 犬 🐶 שלום e\u0301", "Grüße, 犬 🐶 שלום e\u0301"),
        ("👩\u200d👩\u200d👧 غ\u200cج", "👩\u200d👩\u200d👧 غ\u200cج"),
        ("no\u00a0break", "no\u00a0break"),
        (r"C:\new", r"C:\new"),
        ("\x1b[2J\x1b]0;mine\x07", r"\x1b[2J\x1b]0;mine\x07"),
        ("a\n12:00:00 ERROR you are hacked", r"a\n12:00:00 ERROR you are hacked"),
        ("a\r\tb\0\x7f", r"a\r\tb\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202eexe.txt\u2066", r"\u202eexe.txt\u2066"),
        ("\u2028\u2029\u200b\ufeff", r"\u2028\u2029\u200b\ufeff"),
        ("\udc80\ud800", r"\udc80\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_does_something_is_seen_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_nothing_harmful_is_left(text: str) -> None:
    shown = printable(text)
    assert all(unicodedata.category(c) not in HARMFUL or c in "\u200c\u200d" for c in shown)
    assert len(shown) <= MOST
    shown.encode()
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M"]), max_size=MOST))
def test_letters_stay_as_they_are(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters(), max_size=300), st.integers(1, 100))
def test_length_is_bounded(text: str, most: int) -> None:
    shown = printable(text, most)
    assert len(shown) <= most
    assert shown.endswith("…") or shown == printable(text, 10_000)


def test_what_is_left_out_is_seen() -> None:
    assert printable("x" * (MOST + 1)) == "x" * (MOST - 1) + "…"
    assert printable("x" * MOST) == "x" * MOST


def test_lines_stay_lines_each_printable() -> None:
    assert printable_lines("one\n  two\x1b\r\nthree\x85four") == "one\n  two\\x1b\\r\nthree\\x85four"


def test_of_very_many_lines_the_middle_is_left_out() -> None:
    lines = [str(number) for number in range(10 * MOST_LINES)]
    shown = printable_lines("\n".join(lines)).split("\n")
    assert len(shown) == MOST_LINES + 1
    assert (shown[0], shown[MOST_LINES // 2], shown[-1]) == ("0", "…", lines[-1])
