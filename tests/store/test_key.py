"""The suite's key in its file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from barker.core.errors import Mistake
from barker.store.key import made_key, read_key


def test_it_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "key"
    key = made_key(file)
    assert len(key) == 64
    assert made_key(file) == read_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["key"]
    assert made_key(tmp_path / "other") != key


def test_several_that_start_at_once_have_the_same(tmp_path: Path) -> None:
    barrier, keys = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        keys.append(made_key(tmp_path / "key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_one_that_others_can_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "key"
    made_key(file)
    file.chmod(0o640)
    with pytest.raises(Mistake, match=r"can be read by others than its owner \(mode 640\): chmod 600"):
        made_key(file)


@pytest.mark.parametrize("text", ["", "short\n"])
def test_one_that_is_empty_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(Mistake, match="has no key in it"):
        read_key(file)


def test_one_that_is_not_there_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="No such file or directory; it has the key of the suite"):
        read_key(tmp_path / "key")
    with pytest.raises(Mistake, match="the key of the suite is kept there"):
        made_key(Path("/proc/none/key"))
