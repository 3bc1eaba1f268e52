"""Keys that an older Barker made, in the form of today."""

from __future__ import annotations

import pytest

from barker.core.fan_out import part_key, parts
from barker.core.old_keys import in_todays_form


@pytest.mark.parametrize(
    ("key", "users", "today"),
    [
        pytest.param("ann/1", "ann rex", "ann/1\n0/1", id="a whole fan-out"),
        pytest.param("ann/1", None, "ann/1\n0/1", id="one that is forgotten"),
        pytest.param("ann/a/b", "ann rex", "ann/a/b\n0/1", id="an id with a slash"),
        pytest.param("ann/1\n1", "rex", "ann/1\n1/2", id="a second part"),
        pytest.param("ann/1\n2", None, "ann/1\n2/4", id="a third part, forgotten"),
        pytest.param("rex\n1", "rex", "rex\n1\n", id="of one timeline"),
        pytest.param("rex\n1", None, "rex\n1\n", id="of one timeline, forgotten"),
        pytest.param("a/b\n1", "a/b", "a/b\n1\n", id="of one timeline with a slash"),
        pytest.param("rex\nx\ny", "rex", "rex\nx\ny\n", id="an id of two lines"),
    ],
)
def test_old_forms(key: str, users: str | None, today: str) -> None:
    assert in_todays_form(key, users) == today
    assert in_todays_form(today, users) == today


@pytest.mark.parametrize(
    "key", ["ann/1\n0/1", "ann/1\n3/4", "rex\n1\n", "order 17", "/17", "an order/1", "ann/"]
)
def test_todays_form_and_what_others_make_stay(key: str) -> None:
    assert in_todays_form(key, "ann rex") == key
    assert in_todays_form(key, None) == key


@pytest.mark.parametrize("size", [100_000, 400, 128])
def test_the_number_of_parts_is_seen_by_who_is_in_one(size: int) -> None:
    divided = parts([f"dog{number}" for number in range(500)], size)
    for number, names in enumerate(divided):
        old = "ann/1" + (f"\n{number}" if number else "")
        assert in_todays_form(old, " ".join(names)) == part_key("ann", "1", f"{number}/{len(divided)}")
