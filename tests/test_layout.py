"""The house: short programs, and everything where `docs/explanation/built.rst` says it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from barker.cli import COMMANDS
from tests.harness import ROOT

PROGRAMS = sorted((ROOT / "barker").glob("*.py"))
MODULES = sorted((ROOT / "barker").rglob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.name))
def test_a_program_is_short(program: Path) -> None:
    assert len(program.read_text().splitlines()) <= 150


def test_every_program_is_a_command() -> None:
    others = {"__init__", "__main__", "cli", "environment"}
    assert {path.stem for path in PROGRAMS} - others == {
        module.removeprefix("barker.") for module, _, _ in COMMANDS.values()
    }


def test_no_two_modules_have_one_name() -> None:
    names = [path.stem for path in MODULES if path.stem != "__init__"]
    assert sorted(names) == sorted(set(names))


def test_a_file_that_a_docstring_names_is_there() -> None:
    for path in MODULES:
        for name in re.findall(r"`([a-z_/]+\.py)`", path.read_text()):
            places = (path.parent / name, ROOT / "barker" / name, ROOT / name)
            assert any(place.exists() for place in places), f"{path.relative_to(ROOT)} names {name}"


def test_the_documentation_names_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "explanation" / "built.rst").read_text()
    part = page[page.index("Where things are\n") : page.index("Imports point one way")]
    named = set(re.findall(r"\b(?:\w+/)*(\w+\.py)\b", part))
    there = {path.name for path in MODULES if not path.name.startswith("__")}
    elsewhere = {"launch.py", "launch-no-bizlogic.py", "bizlogic.py", "preflight.py"}
    assert named - elsewhere == there - elsewhere
