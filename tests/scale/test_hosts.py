"""A suite over several hosts: one is cut off and joins again, one is gone for good.

```
 one                two                three                four
 directory          directory          inbox                clients
 bizlogic (active)  bizlogic           (listens everywhere,
 outbox             outbox             is advertised)
```
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from barker.amqp.system import wall
from barker.core.access import EVERYBODY, OPERATOR, Credentials
from barker.store.authority import Authority
from barker.store.key import made_key, read_key
from barker.store.social import FILE_NAME, Users
from tests.certified import credentials
from tests.harness import Client, Process, known_at, wait_for
from tests.scale.hosts import Host, hosts, namespaces, needs_hosts

pytestmark = needs_hosts

READERS = ["ann", "bob"]

Known = set[tuple[str, str, int]]


class Cluster:
    """A suite over hosts; `secrets` are the options by which its programs know each other."""

    def __init__(self, folder: Path, machines: list[Host], secure: bool) -> None:
        """If it is `secure`, it speaks TLS; else it was told to do without."""
        self.folder = folder
        self.one, self.two, self.three, self.four = machines
        self.places = f"{self.one.address}:5672,{self.two.address}:5672"
        made_key(key := folder / "key")
        self.secrets, self.operator = ["--key", str(key)], Credentials(OPERATOR, read_key(key))
        if secure:
            tls = folder / "tls"
            Authority.make(tls, EVERYBODY, [host.address for host in machines], days=1, now=wall())
            self.secrets, self.operator = [*self.secrets, "--tls", str(tls)], credentials(tls, OPERATOR)
        self.insecure = [] if secure else ["--insecure"]
        self.users = folder / "users"
        users = Users(self.users / FILE_NAME, create=True)
        users.add((), [("bob", "ann")])
        users.close()
        for host in (self.one, self.two):
            self.start(host, "directory")
        self.inbox = self.start_inbox(self.three)
        self.bizlogics = [self.start(self.one, "bizlogic", "--data", str(self.users))]
        self.outboxes = [self.start_outbox(self.one, "one"), self.start_outbox(self.two, "two")]
        # Later, so that the other one is active.
        wait_for(lambda: "bizlogic" in self.addresses(self.two), "the first bizlogic is known")
        self.bizlogics.append(self.start(self.two, "bizlogic", "--data", str(self.users)))

    def start(self, host: Host, program: str, *arguments: str, listens: str = "") -> Process:
        where = ["--host", listens, "--advertise", host.address] if listens else ["--host", host.address]
        places = ["--directory", self.places, *self.secrets, *self.insecure]
        log = self.folder / f"{program}-{host.address}.log"
        return host.start(log, program, *arguments, *where, *places)

    def start_inbox(self, host: Host) -> Process:
        """It listens at every address, so others are told by which to come."""
        data = ["--data", str(self.folder / "inbox"), "--journal", "inbox"]
        timelines = ["inbox", "--history", "1000", "--port", "5820"]
        return self.start(host, "manifold", *timelines, *data, listens="0.0.0.0")

    def start_outbox(self, host: Host, disk: str, port: int = 5800) -> Process:
        """With its journal on that disk."""
        data = ["--data", str(self.folder / disk), "--journal", "outbox"]
        pushes = ["outbox", "--push", "bizlogic", "--accept", "bark", "--port", str(port)]
        return self.start(host, "manifold", *pushes, *data)

    def client(self, host: Host | None = None) -> Client:
        """One on the fourth host, or on another."""
        return Client(self.places, credentials=self.operator, begin=(host or self.four).enter)

    def known(self, host: Host) -> Known:
        """What the directory on that host knows, asked from the fourth; nothing if it is not reached."""
        return known_at(f"{host.address}:5672", self.operator, self.four.enter)

    def addresses(self, host: Host) -> list[str]:
        return sorted(address for address, _, _ in self.known(host))

    def wait_until_all_agree(self, services: int) -> float:
        """Wait until both directories know the same, with so many processes; how many seconds that takes."""
        begun = time.monotonic()

        def agree() -> bool:
            one, two = self.known(self.one), self.known(self.two)
            return one == two and sum(address.startswith("agents/") for address, _, _ in one) == services

        wait_for(agree, f"both directories know the same {services} services")
        return time.monotonic() - begun


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """With TLS, unless a test says something else."""
    with hosts(4) as machines:
        cluster = Cluster(tmp_path, machines, getattr(request, "param", True))
        cluster.wait_until_all_agree(7)
        yield cluster


@contextlib.contextmanager
def barking(client: Client, rate: float = 100.0) -> Iterator[list[int]]:
    """Within it, ann barks all the while: numbers, in a list that grows."""
    ended = threading.Event()
    barked: list[int] = []

    def bark() -> None:
        while not ended.wait(1 / rate):
            client.bark("ann", str(len(barked)))
            barked.append(len(barked))

    thread = threading.Thread(target=bark)
    thread.start()
    try:
        yield barked
    finally:
        ended.set()
        thread.join()


def flows(client: Client, user: str = "bob", count: int = 50) -> float:
    """Wait until barks are read again; how many seconds that takes."""
    begun, before = time.monotonic(), len(client.timelines[user])
    wait_for(lambda: len(client.timelines[user]) >= before + count, f"{user} reads on")
    return time.monotonic() - begun


def all_is_read(client: Client, barked: list[int]) -> None:
    """Wait until all is on each timeline; see that it is there once."""
    for user in READERS:
        wait_for(lambda user=user: len(client.timelines[user]) >= len(barked), f"{user} reads all")
    for user in READERS:
        assert sorted(map(int, client.texts(user))) == barked


@pytest.mark.parametrize("cluster", [True, False], ids=["tls", "insecure"], indirect=True)
def test_a_host_that_is_cut_off_and_joins_again_has_lost_and_doubled_nothing(cluster: Cluster) -> None:
    with contextlib.closing(cluster.client()) as client:
        client.read_all(READERS)
        with barking(client) as barked:
            flows(client)
            cluster.one.cut_off()
            seconds = flows(client)
            # A newcomer has both directories, and finds all by the one that is left.
            with contextlib.closing(cluster.client()) as late:
                late.read_all(READERS)
                flows(late)
            cluster.one.join()
            agreed = cluster.wait_until_all_agree(7)
            flows(client)
        all_is_read(client, barked)
    print(f"barks flow {seconds:.1f} s after the cut, routes agree {agreed:.1f} s after the join")


def test_a_host_that_is_gone_for_good_is_replaced_by_the_other(cluster: Cluster) -> None:
    with contextlib.closing(cluster.client()) as client:
        client.read_all(READERS)
        with barking(client) as barked:
            flows(client)
            # Its outbox takes barks from those who are there, and cannot hand them on any more.
            cluster.one.cut_off()
            with contextlib.closing(cluster.client(cluster.one)) as there:
                kept = list(range(1_000_000, 1_000_020))
                for number in kept:
                    there.bark("ann", str(number))
                wait_for(lambda: len(there.accepted) == len(kept), "its outbox takes them")
            cluster.one.be_gone()
            flows(client)
            assert not {*map(str, kept)} & {*client.texts("ann")}
            # They are on its disk, which is put into another host.
            cluster.start_outbox(cluster.two, "one", port=5801)
        all_is_read(client, [*barked, *kept])


def test_readers_go_to_the_host_where_their_inbox_is_started_again(cluster: Cluster) -> None:
    with contextlib.closing(cluster.client()) as client:
        client.read_all(READERS)
        with barking(client) as barked:
            flows(client)
            cluster.three.be_gone()
            cluster.start_inbox(cluster.one)
            flows(client)
        all_is_read(client, barked)


def test_a_directory_that_is_started_again_soon_knows_what_the_other_knows(cluster: Cluster) -> None:
    directory = cluster.one.processes[0]
    before = directory.log.count("the directory is at")
    directory.restart()
    wait_for(lambda: directory.log.count("the directory is at") > before, "it listens")
    print(f"routes agree {cluster.wait_until_all_agree(7):.1f} s after the start")


def test_who_is_reached_where_it_is_advertised_is_told_so(cluster: Cluster) -> None:
    three = cluster.three.address
    known = wait_for(lambda: cluster.known(cluster.one), "the directory answers")
    assert {("inbox", three, 5820), (f"agents/{three}-5820", three, 5820)} <= known
    assert not [place for place in known if "0.0.0.0" in place[:2]]


def test_a_launched_suite_is_reached_from_another_host_where_it_is_advertised(tmp_path: Path) -> None:
    with hosts(2) as (one, two):
        tls = tmp_path / "tls"
        Authority.make(tls, EVERYBODY, [one.address], days=1, now=wall())
        where = ["--host", "0.0.0.0", "--advertise", one.address, "--tls", str(tls), "--directories", "2"]
        kept = ["--data", str(tmp_path / "data"), "--session", str(tmp_path / "session.js")]
        launched = one.start(tmp_path / "launched.log", "launcher", *where, *kept, "--autobarks", "1")
        wait_for(lambda: "Ready after" in launched.log, "the suite is ready")
        assert f"Open https://{one.address}:5673/" in launched.log
        places = f"{one.address}:5672,{one.address}:5675"
        assert f"for its commands: export BARKER_DIRECTORY={places} " in launched.log
        operator = credentials(tls, OPERATOR)
        with contextlib.closing(Client(places, credentials=operator, begin=two.enter)) as client:
            client.read("ark3")
            bark = client.bark("ark3", "from afar")
            wait_for(lambda: bark.id in client.arrived, "it is read there")


def test_nothing_is_left_of_hosts_when_what_was_done_with_them_has_failed() -> None:
    with contextlib.suppress(ZeroDivisionError), hosts(2) as machines:
        here = machines[0].namespace.rpartition("-")[0]
        assert len([name for name in namespaces() if name.startswith(here)]) == 3
        raise ZeroDivisionError
    assert not [name for name in namespaces() if name.startswith(here)]
