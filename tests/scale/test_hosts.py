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

from barker.amqp.links import Network, Place
from barker.amqp.reactor import Reactor
from barker.amqp.system import wall
from barker.amqp.watch import Watcher
from barker.core.access import EVERYBODY, OPERATOR
from barker.core.routing import Route
from barker.store.authority import Authority
from barker.store.social import FILE_NAME, Users
from tests.certified import credentials
from tests.harness import Client, Process, wait_for
from tests.scale.hosts import Host, hosts, namespaces, needs_hosts

pytestmark = needs_hosts

READERS = ["ann", "bob"]

Known = set[tuple[str, str, int]]


class Cluster:
    """A suite over hosts; `secrets` are the options by which its programs know each other."""

    def __init__(self, folder: Path, machines: list[Host]) -> None:
        self.folder = folder
        self.one, self.two, self.three, self.four = machines
        self.places = f"{self.one.address}:5672,{self.two.address}:5672"
        self.tls = folder / "tls"
        Authority.make(self.tls, EVERYBODY, [host.address for host in machines], days=1, now=wall())
        self.secrets = ["--tls", str(self.tls), "--key", str(folder / "key")]
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
        places = ["--directory", self.places, *self.secrets]
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

    def client(self) -> Client:
        """One on the fourth host."""
        return Client(self.places, credentials=credentials(self.tls, OPERATOR), begin=self.four.enter)

    def known(self, host: Host) -> Known:
        """What the directory on that host knows, asked from the fourth; nothing if it is not reached."""
        known: Known = set()

        def look() -> None:
            self.four.enter()
            reactor = Reactor("look", credentials=credentials(self.tls, OPERATOR))

            def on_change(change: str, route: Route | None) -> None:
                known.update(route.place for route in watcher.routes)
                reactor.stop()

            watcher = Watcher(Network(reactor, Place(host.address, 5672)), on_change)
            reactor.after(2, reactor.stop)
            reactor.run()

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return known

    def addresses(self, host: Host) -> list[str]:
        return sorted(address for address, _, _ in self.known(host))

    def wait_until_all_agree(self, services: int, seconds: float = 30.0) -> None:
        """Both directories know the same, with so many processes."""

        def agree() -> bool:
            one, two = self.known(self.one), self.known(self.two)
            return one == two and sum(address.startswith("agents/") for address, _, _ in one) == services

        wait_for(agree, f"both directories know the same {services} services", seconds)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with hosts(4) as machines:
        cluster = Cluster(tmp_path, machines)
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
    """Wait until all is accepted, and on each timeline; see that it is there once."""
    wait_for(lambda: len(client.accepted) == len(barked), "all is accepted", 60)
    for user in READERS:
        wait_for(lambda user=user: len(client.timelines[user]) >= len(barked), f"{user} reads all", 60)
    for user in READERS:
        assert sorted(map(int, client.texts(user))) == barked


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
            joined = time.monotonic()
            cluster.wait_until_all_agree(7)
            agreed = time.monotonic() - joined
            flows(client)
        all_is_read(client, barked)
    print(f"barks flow {seconds:.1f} s after the cut, routes agree {agreed:.1f} s after the join")


def test_a_host_that_is_gone_for_good_is_replaced_by_the_other(cluster: Cluster) -> None:
    with contextlib.closing(cluster.client()) as client:
        client.read_all(READERS)
        with barking(client) as barked:
            flows(client)
            cluster.one.be_gone()
            flows(client)
            # What its outbox had accepted is on its disk, which is put into another host.
            cluster.start_outbox(cluster.two, "one", port=5801)
            flows(client)
        all_is_read(client, barked)
    assert cluster.addresses(cluster.two).count("outbox") == 2


def test_readers_go_to_the_host_where_their_inbox_is_started_again(cluster: Cluster) -> None:
    with contextlib.closing(cluster.client()) as client:
        client.read_all(READERS)
        with barking(client) as barked:
            flows(client)
            cluster.three.be_gone()
            cluster.start_inbox(cluster.one)
            flows(client)
        all_is_read(client, barked)


def test_a_directory_that_is_started_again_knows_within_a_second_what_the_other_knows(
    cluster: Cluster,
) -> None:
    directory = cluster.one.processes[0]
    before = directory.log.count("the directory is at")
    directory.restart()
    wait_for(lambda: directory.log.count("the directory is at") > before, "it listens")
    time.sleep(1)  # That is what is promised.
    assert cluster.known(cluster.one) == cluster.known(cluster.two)


def test_who_is_reached_where_it_is_advertised_is_told_so(cluster: Cluster) -> None:
    three = cluster.three.address
    known = cluster.known(cluster.one)
    assert {("inbox", three, 5820), (f"agents/{three}-5820", three, 5820)} <= known
    assert not [place for place in known if "0.0.0.0" in place[:2]]


def test_nothing_is_left_of_hosts_when_what_was_done_with_them_has_failed() -> None:
    with contextlib.suppress(ZeroDivisionError), hosts(2) as machines:
        here = machines[0].namespace.rpartition("-")[0]
        assert len([name for name in namespaces() if name.startswith(here)]) == 3
        raise ZeroDivisionError
    assert not [name for name in namespaces() if name.startswith(here)]
