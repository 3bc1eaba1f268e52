"""What manifolds do when the disk is full, or gives back something else than what was written."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from barker.amqp.message import encode_bark
from barker.amqp.system import new_id, now
from barker.core.barks import Bark
from barker.suite.shape import Shape, plan
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
    # Messages with a data section of 700 bytes.
    sent = [b"\x00\x53\x75\xb0\x00\x00\x02\xbc" + b"%06d " % number * 100 for number in range(16_000)]
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


# A disk that is full


class Mount:
    """A small disk of its own, and a file that fills it."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir()
        mount = shutil.which("mount")
        command = [str(mount), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if mount is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk")

    def fill(self, process: Process) -> None:
        """From now on nothing more goes onto it."""
        with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass

    def empty(self, process: Process) -> None:
        """There is room again."""
        (self.folder / "ballast").unlink()

    def resize(self, size: str) -> None:
        """Make it larger."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def close(self) -> None:
        """When nobody uses it any more."""
        subprocess.run(["umount", self.folder], check=True)


class Limit:
    """A process that may write no file: for it alone, any disk is full. Needs no root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, process: Process) -> None:
        """From now on it writes nothing more, its log included."""
        self._set(process, full=True)

    def empty(self, process: Process) -> None:
        """It may write again."""
        self._set(process, full=False)

    def _set(self, process: Process, full: bool) -> None:
        if sys.platform != "linux":
            pytest.skip("only Linux limits a process that runs")
        of = psutil.Process(process.pid)
        _, hard = of.rlimit(psutil.RLIMIT_FSIZE)
        of.rlimit(psutil.RLIMIT_FSIZE, (0 if full else hard, hard))

    def close(self) -> None:
        """There is nothing to put away."""


Disk = Mount | Limit


@pytest.fixture
def small_disk(suite: Suite, tmp_path: Path) -> Iterator[Mount]:
    """A disk of 1 MB for the suite's data."""
    disk = Mount(tmp_path / "disk", "1m")
    suite.data = disk.folder
    try:
        yield disk
    finally:
        suite.end()
        disk.close()


@pytest.fixture(params=["mount", "limit"])
def disk(request: pytest.FixtureRequest, suite: Suite, tmp_path: Path) -> Iterator[Disk]:
    """A disk for one service's data; the others' is elsewhere."""
    disk: Disk = Mount(tmp_path / "disk", "100m") if request.param == "mount" else Limit(tmp_path / "disk")
    try:
        yield disk
    finally:
        suite.end()
        disk.close()


def start_with(suite: Suite, disk: Disk, service: str) -> Process:
    """Start an inbox whose timelines hold everything, or an outbox, with its data on that disk."""
    elsewhere, suite.data = suite.data, disk.folder
    arguments = {"inbox": ("--history", "100000"), "outbox": ("--push", "bizlogic", "--accept", "bark")}
    try:
        return suite.start("manifold", service, *arguments[service])
    finally:
        suite.data = elsewhere


AUTHORS = ["ann", "bob", "cid"]


class Authors:
    """They bark and bark, each numbers 0, 1, 2 …, as long as not too many are on their way to the disk."""

    def __init__(self, client: Client, received: Callable[[], int]) -> None:
        """`received`: how many barks the service with the disk has, of all authors together."""
        self._client, self._received = client, received
        self.sent = 0
        """How many barks each has sent."""

    def bark(self) -> None:
        """As many barks of each as may be on their way."""
        while len(AUTHORS) * self.sent - self._received() < 500:
            for author in AUTHORS:
                self._client.bark(author, f"{self.sent} {'-' * 250}")
            self.sent += 1

    def bark_until(self, condition: Callable[[], bool], what: str) -> None:
        """Bark until something is so."""

        def look() -> bool:
            self.bark()
            return condition()

        wait_for(look, what, 30)


def standing_still(count: Callable[[], int], seconds: float = 0.4) -> Callable[[], bool]:
    """A condition: for so long, the count has not changed."""
    last, since = -1, 0.0

    def still() -> bool:
        nonlocal last, since
        if count() != last:
            last, since = count(), time.monotonic()
        return time.monotonic() - since > seconds

    return still


def check_timeline(suite: Suite, authors: Authors) -> None:
    """Rex, who reads from the beginning, has each bark of each author once, and in order."""
    with contextlib.closing(Client(suite.place)) as reader:
        reader.read("rex")
        wait_for(lambda: len({bark.id for bark in reader.timelines["rex"]}) == 3 * authors.sent, "all", 30)
        # Behind them, nothing more comes.
        reader.bark("ann", "the last")
        wait_for(lambda: reader.texts("rex")[-1] == "the last", "the last")
        barks = reader.timelines["rex"][:-1]
    for author in AUTHORS:
        numbers = [int(bark.text.split()[0]) for bark in barks if bark.user == author]
        assert numbers == list(range(authors.sent)), f"the barks of {author}, in the order of rex's timeline"


@pytest.mark.parametrize("service", ["inbox", "outbox"])
def test_a_disk_that_fills_and_empties_under_load_delays_and_changes_nothing(
    suite: Suite, client: Client, disk: Disk, service: str
) -> None:
    suite.users([("rex", author) for author in AUTHORS]).close()
    process = start_with(suite, disk, service)
    inbox = process if service == "inbox" else start_with(suite, Limit(suite.data), "inbox")
    if service == "inbox":
        suite.outbox()
    bizlogic = suite.bizlogic()
    client.read("rex")

    def received() -> int:
        return len(client.accepted) if service == "outbox" else client.read_count

    authors = Authors(client, received)
    for _ in range(4 if isinstance(disk, Mount) else 2):
        before = received()
        authors.bark_until(lambda: received() > before + 300, "barks go through")  # noqa: B023
        disk.fill(process)
        if service == "outbox":
            bizlogic.kill(signal.SIGSTOP)  # Else what goes makes room for what comes.
        authors.bark_until(standing_still(received), "nothing more goes onto the disk")
        disk.empty(process)
        bizlogic.kill(signal.SIGCONT)
    wait_for(lambda: len(client.accepted) == 3 * authors.sent, "all are accepted", 30)
    assert inbox.popen.poll() is None
    assert process.popen.poll() is None
    assert "Traceback" not in process.log
    check_timeline(suite, authors)


@pytest.mark.parametrize("service", ["inbox", "outbox"])
def test_a_manifold_starts_on_a_full_disk_and_goes_on_when_there_is_room(
    suite: Suite, client: Client, disk: Disk, service: str
) -> None:
    suite.users([("rex", author) for author in AUTHORS]).close()
    process = start_with(suite, disk, service)

    def received() -> int:
        return len(client.accepted) if service == "outbox" else client.read_count

    authors = Authors(client, received)
    if service == "inbox":
        suite.outbox()
        suite.bizlogic()
        client.read("rex")
    authors.bark_until(lambda: len(client.accepted) >= 60, "barks are accepted")
    wait_for(lambda: len(client.accepted) == 3 * authors.sent, "all are accepted")
    before = 3 * authors.sent
    if service == "inbox":
        wait_for(lambda: client.read_count == before, "all are on the timeline")
    disk.fill(process)
    process.restart()
    if isinstance(disk, Limit):
        disk.fill(process)  # Long before it has read its first module.
    if service == "inbox":
        with contextlib.closing(Client(suite.place)) as reader:
            reader.read("rex")
            wait_for(lambda: reader.read_count == before, "what is on timelines can be read")
    else:
        suite.wait_for_state(process, depth=before)
        start_with(suite, Limit(suite.data), "inbox")
        suite.bizlogic()
        client.read("rex")
        wait_for(lambda: client.read_count == before, "what is stored is delivered")
    if isinstance(disk, Mount):
        authors.bark_until(lambda: "is full: make room" in process.log, "it says that the disk is full")
    authors.bark_until(standing_still(received), "nothing more goes onto the disk")
    disk.empty(process)
    wait_for(lambda: len(client.accepted) == 3 * authors.sent, "all are accepted", 30)
    assert "Traceback" not in process.log
    check_timeline(suite, authors)


def test_a_full_disk_stops_the_outbox_until_there_is_room(
    suite: Suite, client: Client, small_disk: Mount
) -> None:
    outbox = suite.outbox()
    for number in range(4_000):
        client.bark("ann", f"{number:>200}")
    wait_for(lambda: "is full: make room" in outbox.log, "the outbox tells that the disk is full")
    taken = len(client.accepted)
    assert taken < 4_000
    outbox.kill()
    small_disk.resize("16m")
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
