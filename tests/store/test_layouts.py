"""Data that older commits have left, killed with barks in flight: nothing twice, nothing lost.

How the files were made: `layouts/make.py`.
"""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from barker.amqp.message import decode_bark, encode_bark
from barker.core.barks import Bark
from barker.core.old_keys import in_todays_form
from barker.store.journal import VERSION, QueueJournal, TimelineJournal
from tests.harness import Client, Suite, wait_for

LAYOUTS = sorted((Path(__file__).parent / "layouts").glob("*.tar.xz"))

each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda file: file.name.partition(".")[0])


def unpack(layout: Path, folder: Path) -> None:
    with tarfile.open(layout) as archive:
        archive.extractall(folder, filter="data")


def test_there_are_layouts() -> None:
    assert len(LAYOUTS) >= 5


@each_layout
def test_an_older_layout_is_taken_over_with_its_keys(tmp_path: Path, layout: Path) -> None:
    unpack(layout, tmp_path)
    for _ in range(2):
        with closing(TimelineJournal(tmp_path / "inbox.sqlite3")) as inbox:
            entries = list(inbox.load())
        keys = [entry.key for entry in entries]
        assert keys[0] == "rex\nalone\n"
        assert keys[-7:] == [f"ann/ann-{number}\n0/1" for number in range(7)]
        assert all(key.startswith("star/star-0\n") for key in keys[1:-7])
        assert " ".join(entry.users for entry in entries[-7:]) == " ".join(["ann rex spot"] * 7)
    with closing(QueueJournal(tmp_path / "outbox.sqlite3")) as outbox:
        barks = [decode_bark(entry.data) for entry in outbox.load("outbox", 0, 100)]
    assert [bark.id for bark in barks] == [f"ann-{number}" for number in range(3, 10)]
    for name in ("inbox", "outbox"):
        assert (tmp_path / f"{name}.sqlite3").read_bytes()[60:64] == VERSION.to_bytes(4, "big")
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.parametrize("commit", ["ba17513", "2f62977", "7290067"])
def test_a_damaged_journal_of_an_older_layout_is_salvaged_with_its_keys(tmp_path: Path, commit: str) -> None:
    """Those of layout 1 have no checksums: which of their rows are true, nobody can tell."""
    unpack(next(file for file in LAYOUTS if file.name.startswith(commit)), tmp_path)
    log = tmp_path / "inbox.sqlite3-wal"
    data = bytearray(log.read_bytes())
    data[-1] ^= 1
    log.write_bytes(data)
    with closing(TimelineJournal(tmp_path / "inbox.sqlite3")) as inbox:
        keys = [entry.key for entry in inbox.load()]
    assert list(tmp_path.glob("*.damaged-*"))
    assert keys[0] == "rex\nalone\n"
    assert "ann/ann-0\n0/1" in keys
    assert all(in_todays_form(key, None) == key for key in keys)


@pytest.mark.system
@each_layout
def test_a_suite_goes_on_where_one_of_an_older_layout_was_killed(
    suite: Suite, client: Client, layout: Path, tmp_path: Path
) -> None:
    unpack(layout, tmp_path / "old")
    suite.data.mkdir()
    services = {"inbox": suite.inbox(), "outbox": suite.outbox()}
    for name, process in services.items():
        process.kill()
        for file in suite.data.glob(f"{name}-*"):
            file.unlink()
    for file in (tmp_path / "old").iterdir():
        name, dot, end = file.name.partition(".")
        port = f"-{services[name].port}" if name in services else ""
        file.rename(suite.data / f"{name}{port}{dot}{end}")
    for process in services.values():
        process.restart()
    suite.bizlogic()
    client.read("rex")
    expected = ["to rex alone", *(f"bark {number}" for number in range(10))]
    wait_for(lambda: len(client.texts("rex")) >= len(expected), "all are on the timeline")
    suite.wait_for_state(services["outbox"], depth=0)
    alone = encode_bark(Bark("alone", "ann", "to rex alone", 1_700_000_000_000))
    client.send_raw("inbox/rex", alone)
    wait_for(lambda: alone in client.accepted, "it is accepted, again")
    last = client.bark("ann", "the last")
    wait_for(lambda: client.texts("rex")[-1] == last.text, "the last comes")
    texts = client.texts("rex")[:-1]
    assert sorted(texts) == sorted(expected)
    assert [text for text in texts if text != "to rex alone"] == expected[1:]
    for process in services.values():
        assert "damaged" not in process.log
        assert "Traceback" not in process.log
