"""What README.rst and the documentation print is run as printed (`tests/printed.py`)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.printed import (
    CTRL_C,
    NOT_RUN,
    PAGES,
    STAND_INS,
    Command,
    Failure,
    Program,
    Reader,
    apart,
    blocks,
    pattern,
    steps,
)

pytestmark = pytest.mark.system


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> set[str]:
    """The commands that a page prints."""
    return {step.line for step in steps(page.read_text()) if isinstance(step, Command)}


CLUSTER = ROOT / "docs" / "howto" / "cluster.rst"
"""Takes engines: `tests/scale/test_cluster.py` runs it."""

RUN = [page for page in PAGES if page != CLUSTER and commands(page) - NOT_RUN.keys()]


@pytest.mark.parametrize("page", RUN, ids=name)
def test_what_a_page_prints_is_so(page: Path) -> None:
    command = apart([sys.executable, "-m", "tests.printed", str(page)])
    if command is None:
        pytest.skip("this machine gives no network namespace, in which the usual ports are free")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_block_says_what_it_is(page: Path) -> None:
    for language, lines in blocks(page.read_text()):
        assert language in ("console", "python", "javascript", "text"), lines
        if language == "console":
            assert lines[0] == CTRL_C or lines[0].startswith("$ "), lines
        elif language != "text":
            assert re.fullmatch(r"(#|//) [\w/]+\.(py|js)", lines[0]), f"{lines[0]!r} names no file to save"


def test_what_is_not_run_is_printed_somewhere() -> None:
    assert NOT_RUN.keys() <= set().union(*map(commands, PAGES))


def test_what_stands_in_for_make_run_is_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "\nrun: setup ## set everything up, then start Barker" in makefile
    assert "\n\t@exec $(PY) launch.py $(ARGS)\n" in makefile
    assert STAND_INS["make run"].startswith("python launch.py ")


def test_a_page_is_read_in_order() -> None:
    page = """Save it::

    no language

.. code-block:: python

    # a.py
    if True:
        print(1)

1. and run it:

   .. code-block:: console

       $ python a.py
       1
       $ true
       ^C
"""
    assert [language for language, _ in blocks(page)] == ["", "python", "console"]
    assert list(steps(page)) == [
        Program("a.py", "# a.py\nif True:\n    print(1)\n"),
        Command("python a.py", ["1"]),
        Command("true", []),
        Command("^C", []),
    ]


def test_other_digits_and_blanks_match_and_other_words_do_not() -> None:
    wanted = pattern(["bizlogic-5680   17  running", "...", "Ready."])
    assert wanted.fullmatch("bizlogic-5680 30727 running\na\nb\nReady.\n")
    assert wanted.fullmatch("bizlogic-5680 30727 running\nReady.\n")
    assert not wanted.fullmatch("bizlogic-5680 30727 frozen\nReady.\n")
    assert not wanted.fullmatch("bizlogic-5680 30727 running\nReady.\nmore\n")


@pytest.mark.parametrize(
    "command", [Command("echo a", ["b"]), Command("echo a; false", ["a"]), Command("python depth.py", ["a"])]
)
def test_a_command_that_does_something_else_fails(tmp_path: Path, command: Command) -> None:
    reader = Reader(tmp_path)
    reader.do(Program("depth.py", "print('a failure')\n"))
    reader.do(Command("echo a 2", ["a 1"]))
    with pytest.raises(Failure, match=r"ended with [01], and has printed\na"):
        reader.do(command)
