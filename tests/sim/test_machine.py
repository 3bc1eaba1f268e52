"""What befalls the simulated machine: its disks, what is between processes, its limits and its clocks."""

from __future__ import annotations

import random
import selectors
from contextlib import closing
from pathlib import Path

import pytest

from barker.amqp.message import encode_bark
from barker.core.barks import Bark
from barker.core.errors import Damaged, StorageError
from barker.core.faults import SIMULATED_KINDS, Fault
from barker.sim.damage import flip, held, log_at, lose_power
from barker.sim.disk import Disk, SimulatedQueueJournal, SimulatedTimelineJournal
from barker.sim.network import Network, Port
from barker.sim.plan import Plan
from barker.sim.simulation import simulate
from barker.sim.sockets import HEARTBEAT, Socket
from barker.sim.world import World
from barker.store.journal import Post, QueueJournal
from barker.store.social import Users
from barker.store.sqlite_pages import log_of
from tests.seed import SEED, seeded


def nothing(*_: object) -> None:
    """What nobody wants to hear of."""


def barks(first: int, count: int) -> list[tuple[str, bytes]]:
    made = [Bark(f"a:{number}", "a", "x", 0) for number in range(first, first + count)]
    return [("outbox", encode_bark(bark)) for bark in made]


def numbers(*stretch: int) -> set[tuple[str, int]]:
    return {("a", number) for number in range(*stretch)}


# Disks


@pytest.fixture
def disk() -> Disk:
    return Disk(nothing, nothing, seeded())


def killed(folder: Path, disk: Disk, count: int) -> Path:
    """A journal with so many barks, of a process that was killed."""
    path = folder / "j.sqlite3"
    journal = disk.open(SimulatedQueueJournal, path)
    for number in range(count):
        journal.commit(barks(number, 1), [])
    disk.vanish()
    return path


def test_what_a_journal_holds(tmp_path: Path, disk: Disk) -> None:
    assert set(held(killed(tmp_path, disk, 5)).values()) == numbers(5)


def test_of_a_bark_in_parts_power_loss_may_take_one(tmp_path: Path) -> None:
    for seed in range(SEED, SEED + 100):
        disk, folder = Disk(nothing, nothing, random.Random(seed)), tmp_path / str(seed)
        disk.sync = "normal"
        folder.mkdir()
        path = folder / "j.sqlite3"
        journal = disk.open(SimulatedTimelineJournal, path)
        for part in ("0/2", "1/2"):
            journal.commit([Post(f"a/a:0\n{part}", "a", barks(0, 1)[0][1])])
        disk.vanish()
        disk.lose_power()
        left = len(held(path))
        assert disk.lost == (numbers(1) if left < 2 else set())
        if left == 1:
            return
    pytest.fail("power never took one alone")


def test_power_loss_takes_nothing_that_was_synced(tmp_path: Path, disk: Disk) -> None:
    path = killed(tmp_path, disk, 30)
    for _ in range(20):
        lose_power(path, "full", seeded())
    with closing(QueueJournal(path)) as journal:
        assert journal.queues() == {"outbox": 30}


def test_power_loss_may_take_all_that_was_not_synced(tmp_path: Path, disk: Disk) -> None:
    path, left = killed(tmp_path, disk, 30), set()
    whole = log_of(path).read_bytes()
    for seed in range(SEED, SEED + 30):
        log_of(path).write_bytes(whole)
        lose_power(path, "normal", random.Random(seed))
        left.add(len(held(path)))
    assert min(left) < 15 < max(left)
    assert len(left) > 3, "not only all or nothing"


def test_power_loss_tears_the_write_that_is_under_way(tmp_path: Path, disk: Disk) -> None:
    path = killed(tmp_path, disk, 20)
    before = log_at(path)
    journal = disk.open(SimulatedQueueJournal, path)
    journal.commit(barks(20, 40), [])
    disk.vanish()
    whole = {file.name: file.read_bytes() for file in (path, log_of(path))}
    found = set()
    for seed in range(SEED, SEED + 20):
        (tmp_path / str(seed)).mkdir()
        for name, data in whole.items():
            (tmp_path / str(seed) / name).write_bytes(data)
        path = tmp_path / str(seed) / path.name
        lose_power(path, "full", random.Random(seed), before)
        with closing(QueueJournal(path)) as after:
            found.add(sum(after.queues().values()))
    assert min(found) >= 20
    assert len(found) > 1


def test_a_bit_flips_and_what_the_disk_held_is_excused(tmp_path: Path, disk: Disk) -> None:
    path = killed(tmp_path, disk, 5)
    before = [path.read_bytes(), log_of(path).read_bytes()]
    assert "bit" in disk.flip()
    after = [path.read_bytes(), log_of(path).read_bytes()]
    pairs = [
        (a, b) for one, other in zip(before, after, strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert sum((a ^ b).bit_count() for a, b in pairs) == 1
    assert disk.doubtful == numbers(5)
    assert flip(tmp_path / "none", seeded()) == ""


def test_what_a_disk_says_when_it_takes_nothing(tmp_path: Path, disk: Disk) -> None:
    journal = disk.open(SimulatedQueueJournal, tmp_path / "j.sqlite3")
    for trouble, words in {
        "broken": "the disk fails",
        "read_only": "cannot be written",
        "full": "full",
    }.items():
        setattr(disk, trouble, True)
        with pytest.raises(StorageError, match=words):
            journal.commit(barks(0, 1), [])
        setattr(disk, trouble, False)
    assert journal.queues() == {}
    disk.vanish()
    disk.read_only = True
    with pytest.raises(StorageError, match="cannot be written"):
        disk.open(SimulatedQueueJournal, tmp_path / "j.sqlite3")


def test_what_cannot_be_read_now_can_be_later(tmp_path: Path, disk: Disk) -> None:
    path = killed(tmp_path, disk, 3)
    journal = disk.open(SimulatedQueueJournal, path)
    users_path = tmp_path / "users.sqlite3"
    Users(users_path, create=True).close()
    users = disk.open_users(users_path)
    disk.unreadable = True
    with pytest.raises(Damaged, match="disk I/O error"):
        list(journal.load("outbox", 0, 10))
    with pytest.raises(Damaged, match="disk I/O error"):
        users.news()
    assert disk.misread == 2
    disk.vanish()
    with pytest.raises(StorageError, match="the disk fails"):
        disk.open(SimulatedQueueJournal, path)
    disk.unreadable = False
    assert len(list(disk.open(SimulatedQueueJournal, path).load("outbox", 0, 10))) == 3
    disk.vanish()


def test_a_slow_disk_takes_time(tmp_path: Path) -> None:
    waits: list[float] = []
    disk = Disk(nothing, nothing, seeded(), wait=waits.append)
    journal = disk.open(SimulatedQueueJournal, tmp_path / "j.sqlite3")
    journal.commit(barks(0, 1), [])
    assert waits == []
    disk.slow = True
    journal.commit(barks(1, 1), [])
    assert 0.01 <= waits[0] <= 3
    disk.vanish()


def test_the_users_file_is_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "users.sqlite3"
    Users(path, create=True).close()
    users = disk.open_users(path)
    disk.full = 1
    with pytest.raises(StorageError, match="full"):
        users.follow("ark", "bea")
    disk.full = 0
    users.follow("ark", "bea")
    assert users.names() == ["ark", "bea"]
    disk.vanish()


# Between processes


class Pair:
    """Two processes, and a connection between them."""

    def __init__(self) -> None:
        self.world = World(SEED)
        self.network = Network(self.world)
        self.one, self.other = (
            Port(self.network, name, nothing, nothing, nothing) for name in ("one", "other")
        )
        self.listener = self.other.new()
        self.listener.bind(("127.0.0.1", 5))
        self.listener.listen()
        self.near = self.dial()
        self.far, _ = self.listener.accept()

    def dial(self) -> Socket:
        near = self.one.new()
        near.connect_ex(("127.0.0.1", 5))
        self.settle()
        return near

    def settle(self) -> None:
        self.world.run()


def received(socket: Socket) -> bytes | None:
    try:
        return socket.recv(1000)
    except BlockingIOError:
        return None


@pytest.mark.parametrize(("way", "comes", "goes"), [("from", True, False), ("to", False, True)])
def test_a_cut_of_one_way_is_of_no_other(way: str, comes: bool, goes: bool) -> None:
    pair = Pair()
    pair.network.cut("other", (way,))
    pair.near.send(b"there")
    pair.far.send(b"back")
    pair.settle()
    assert received(pair.far) == (b"there" if comes else None)
    assert received(pair.near) == (b"back" if goes else None)
    pair.network.join("other", (way,))
    pair.settle()
    assert received(pair.far if goes else pair.near) == (b"there" if goes else b"back")


def test_whose_machine_is_gone_is_heard_of_no_more_and_breaks_when_it_is_back() -> None:
    pair = Pair()
    pair.other.vanish()
    pair.near.send(b"lost")
    pair.settle()
    assert received(pair.near) is None, "no end, and no reset"
    assert pair.near.writable
    assert not pair.dial().writable, "nobody answers"
    pair.other.begin()
    assert pair.dial().getsockopt(0, 0), "nobody listens"
    pair.near.send(b"more")
    pair.settle()
    with pytest.raises(ConnectionResetError):
        pair.near.recv(1000)


def test_who_is_stalled_reads_and_accepts_nothing() -> None:
    pair = Pair()
    pair.other.stall(True)
    pair.near.send(b"hello")
    late = pair.dial()
    assert late.writable, "the kernel has answered"
    assert not pair.far.readable
    assert not pair.listener.readable
    assert received(pair.far) is None
    with pytest.raises(BlockingIOError):
        pair.listener.accept()
    pair.other.stall(False)
    assert received(pair.far) == b"hello"
    assert pair.listener.readable


def test_who_sips_reads_little_at_a_time() -> None:
    pair = Pair()
    pair.other.sip = 2
    pair.near.send(b"hello")
    pair.settle()
    assert [received(pair.far) for _ in range(4)] == [b"he", b"ll", b"o", None]


def test_nobody_is_woken_for_a_heartbeat_alone() -> None:
    pair, woken = Pair(), []
    pair.other.wake = lambda: woken.append(pair.world.now)
    pair.other.selector().register(pair.far, selectors.EVENT_READ)
    pair.near.send(HEARTBEAT)
    pair.settle()
    assert not woken
    assert pair.other.ready, "who has a turn reads it"
    pair.near.send(b"hello")
    pair.settle()
    assert woken
    assert [received(pair.far) for _ in range(2)] == [HEARTBEAT, b"hello"]


def test_no_more_sockets_than_there_may_be() -> None:
    pair = Pair()
    pair.other.most_sockets = len(pair.other.sockets)
    pair.dial()
    for make in (pair.listener.accept, pair.other.new):
        with pytest.raises(OSError, match="Too many open files"):
            make()
    pair.far.close()
    pair.listener.accept()


# Clocks


def test_a_clock_that_drifts_is_a_little_off_and_stays_so() -> None:
    world = World(SEED)
    world.set_wall(100)
    world.drift(1.1)
    world.now = 10.0
    assert world.skew == pytest.approx(101)
    world.drift(1.0)
    world.now = 20.0
    assert world.skew == pytest.approx(101)
    assert world.clock() == 20


# All of it


@pytest.mark.parametrize("kind", SIMULATED_KINDS)
def test_each_kind_of_fault_by_itself(kind: str) -> None:
    names = (
        ("outbox-1", "inbox-1") if kind not in ("vanish", "power") else ("outbox-1", "outbox-2", "inbox-1")
    )
    faults = [Fault(at, kind, names, 0.0 if kind == "failing" else 1.0) for at in (2.0, 5.0)]
    outcome = simulate(Plan(SEED, seconds=8, rate=8, faults=faults, authors=4, readers=4))
    assert outcome.wrong == []
    if kind != "flip":
        assert outcome.figures["excused"] == 0
