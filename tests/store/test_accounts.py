"""The file of those who may sign in."""

from __future__ import annotations

from pathlib import Path

import pytest

from barker.core import passwords
from barker.core.errors import Mistake
from barker.store.accounts import Accounts


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashed as ever, in no time."""
    monkeypatch.setattr(passwords, "_COST", 2)


@pytest.fixture
def people(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "people")


def test_who_was_added_may_sign_in_by_the_last_password_until_removed(people: Accounts) -> None:
    assert people.names() == []
    assert not people.check("ark3", "woof woof")
    people.add("ark3", "woof woof")
    people.add("rex", "grr grr grr")
    assert people.check("ark3", "woof woof")
    assert not people.check("ark3", "grr grr grr")
    assert not people.check("rex", "")
    people.add("ark3", "another one")
    assert not people.check("ark3", "woof woof")
    assert people.check("ark3", "another one")
    people.remove("ark3")
    assert not people.check("ark3", "another one")
    assert people.names() == ["rex"]
    with pytest.raises(Mistake, match="ark3 has no password"):
        people.remove("ark3")


def test_nobody_is_in_a_password_that_is_nobodys(people: Accounts) -> None:
    people.add("rex", "grr grr grr")
    assert not people.check("nobody", "")
    assert not people.check("", "")


def test_no_password_is_in_the_file_and_it_is_its_owners_alone(people: Accounts) -> None:
    people.add("ark3", "woof woof")
    assert "woof" not in people.file.read_text()
    assert people.file.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_off_costs_only_itself(people: Accounts) -> None:
    people.add("ark3", "woof woof")
    whole = people.file.read_bytes()
    people.add("rex", "grr grr grr")
    cut = people.file.read_bytes()
    for size in range(len(whole) + 1, len(cut)):
        people.file.write_bytes(cut[:size])
        assert people.names() == ["ark3"]
    people.add("spot", "wuff wuff")
    assert people.names() == ["ark3", "spot"]
    assert people.check("spot", "wuff wuff")


def test_a_file_that_others_can_read_is_not_read(people: Accounts) -> None:
    people.add("ark3", "woof woof")
    people.file.chmod(0o640)
    with pytest.raises(Mistake, match="chmod 600"):
        people.check("ark3", "woof woof")


def test_where_none_can_be_kept_it_is_said(tmp_path: Path) -> None:
    people = Accounts(tmp_path / "no such folder" / "people")
    with pytest.raises(Mistake, match="No such file or directory"):
        people.add("ark3", "woof woof")
    with pytest.raises(Mistake, match="8 to 256 characters"):
        people.add("ark3", "short")
