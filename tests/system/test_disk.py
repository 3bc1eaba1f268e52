"""What manifolds do when the disk is full, or gives back something else than what was written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from barker.amqp.message import encode_bark
from barker.bark import new_id, now
from barker.core.barks import Bark
from barker.suite import Shape, plan
from tests.harness import Client, Process, Suite, wait_for

pytestmark = pytest.mark.system


def spoil(suite: Suite, text: bytes) -> Path:
    """Change one byte in the middle of a text in a journal's file; which file."""
    for file in suite.data.iterdir():
        data = file.read_bytes()
        if file.name.endswith(".sqlite3") and text in data:
            at = data.index(text) + len(text) // 2
            with file.open("r+b") as open_file:
                open_file.seek(at)
                open_file.write(bytes([data[at] ^ 1]))
            return file
    pytest.fail(f"{text!r} is in no file of {suite.data}")


def wait_for_end(process: Process) -> int:
    return int(wait_for(lambda: process.popen.poll() is not None and process.popen, "it ends").returncode)


def test_an_outbox_with_a_damaged_journal_starts_and_delivers_what_can_be_read(
    suite: Suite, client: Client
) -> None:
    suite.users([("rex", "ann")]).close()
    outbox = suite.outbox()
    for number in range(20):
        client.bark("ann", f"this is number {number}.")
    wait_for(lambda: len(client.accepted) == 20, "all are accepted")
    outbox.end()
    file = spoil(suite, b"this is number 7.")
    outbox.restart()
    suite.wait_for_state(outbox, depth=19)
    assert f"{file} was damaged" in outbox.log
    assert "go on in order: 19; not readable: 1." in outbox.log
    assert [aside for aside in suite.data.iterdir() if aside.name.startswith(f"{file.name}.damaged-")]
    suite.inbox()
    client.read("rex")
    suite.bizlogic()
    expected = [f"this is number {number}." for number in range(20) if number != 7]
    wait_for(lambda: client.texts("rex") == expected, "all others come, in order")
    assert "Traceback" not in outbox.log


def test_a_manifold_that_meets_damage_ends_and_salvages_at_the_next_start(
    suite: Suite, client: Client
) -> None:
    orders = suite.start("manifold", "orders")
    sent = [b"%06d " % number * 100 for number in range(16_000)]
    for message in sent:
        client.send_raw("orders", message)
    wait_for(lambda: len(client.accepted) == len(sent), "all are accepted", 30)
    spoil(suite, sent[11_500])
    received = client.receive_raw("orders")
    assert wait_for_end(orders) == 1
    assert "message 11501 of orders is not as it was written): start again" in orders.log
    assert sent[11_500] not in received
    orders.restart()
    wait_for(lambda: sent[-1] in received[-1:], "the rest comes", 30)
    assert set(received) == set(sent) - {sent[11_500]}
    assert sorted(set(received)) == list(dict.fromkeys(received))
    assert "not readable: 1." in orders.log
    assert "Traceback" not in orders.log


def test_timelines_with_a_damaged_journal_start_with_what_can_be_read(suite: Suite, client: Client) -> None:
    news = suite.start("manifold", "news", "--history", "10")
    sent = [encode_bark(Bark(new_id(), "ann", f"news number {number}", now())) for number in range(5)]
    for message in sent:
        client.send_raw("news/rex", message)
    wait_for(lambda: len(client.accepted) == 5, "all are accepted")
    news.end()
    spoil(suite, b"news number 2")
    news.restart()
    received = client.receive_raw("news/rex")
    wait_for(lambda: received == [*sent[:2], *sent[3:]], "all others are on the timeline")


@pytest.fixture
def small_disk(suite: Suite, tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB for the suite's data."""
    disk = suite.data = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode:
        pytest.skip("this user may not mount")
    try:
        yield disk
    finally:
        suite.end()
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_the_outbox_until_there_is_room(
    suite: Suite, client: Client, small_disk: Path
) -> None:
    outbox = suite.outbox()
    for number in range(4_000):
        client.bark("ann", f"{number:>200}")
    wait_for(lambda: "is full: make room" in outbox.log, "the outbox tells that the disk is full")
    taken = len(client.accepted)
    assert taken < 4_000
    outbox.kill()
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    outbox.restart()
    wait_for(lambda: len(client.accepted) == 4_000, "all are accepted")
    suite.wait_for_state(outbox, depth=4_000)
    assert "Traceback" not in outbox.log


def test_without_a_journal_nothing_is_on_disk_and_all_ends_with_the_process(
    suite: Suite, client: Client
) -> None:
    orders = suite.start("manifold", "orders", "--no-journal")
    for number in range(20):
        client.send(Bark(new_id(), "ann", str(number), now()), "orders")
    wait_for(lambda: len(client.accepted) == 20, "all are accepted")
    assert suite.wait_for_state(orders, depth=20)["journal_bytes"] == 0
    assert not list(suite.data.glob("orders*"))
    orders.kill()
    orders.restart()
    suite.wait_for_state(orders, depth=0)


def test_timelines_have_a_journal_always(suite: Suite) -> None:
    timelines = suite.start("manifold", "news", "--history", "3", "--no-journal")
    assert timelines.popen.wait(10) == 2
    assert "--no-journal is for queues" in timelines.log


def test_the_launcher_hands_sync_to_its_manifolds() -> None:
    for program in plan(Shape(sync="full")):
        assert ("--sync full" in " ".join(program.command)) == (program.kind in ("inbox", "outbox"))
