"""`barker users`, as one types it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from barker.core.kennel import SAMPLE
from barker.store.social import FILE_NAME, Users


def users(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", "users", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_sample_network_is_a_command_away(tmp_path: Path) -> None:
    done = users("import", "--sample", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{SAMPLE} users in {tmp_path / FILE_NAME}\n"
    with closing(Users(tmp_path / FILE_NAME)) as made:
        assert made.star() == "ark3"
        assert len(made.graph().followers("ark3")) > 100


@pytest.mark.parametrize("arguments", [[], ["--sample", "some.edges"]])
def test_an_import_is_of_a_file_or_of_the_sample(tmp_path: Path, arguments: list[str]) -> None:
    done = users("import", *arguments, "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "barker: name the file of an edge list, or say --sample; one of both\n"
    assert not list(tmp_path.iterdir())
