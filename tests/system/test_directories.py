"""Two directories: each knows every service; with one of them gone, all goes on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.harness import KEYS, ROOT, TLS, Client, Launched, Suite, credentials_at, known_at, wait_for

pytestmark = pytest.mark.system

READERS = ["ann", "bob"]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Suite]:
    """A suite with two directories, an inbox, two outboxes and two bizlogics; bob follows ann."""
    suite = Suite(tmp_path, directories=2)
    with contextlib.ExitStack() as ends:
        ends.callback(suite.end)
        suite.users([("bob", "ann")]).close()
        suite.inbox()
        for _ in range(2):
            suite.outbox()
            suite.bizlogic()
        yield suite


def barker(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)


def agree(suite: Suite) -> set[tuple[str, str, int]]:
    """Wait until both know the same, and as much as there is; what that is."""
    listening = len([process for process in suite.processes if process.port is not None])

    def same() -> set[tuple[str, str, int]] | None:
        places = [f"127.0.0.1:{directory.port}" for directory in suite.directories]
        one, other = (known_at(place, credentials_at(suite.place)) for place in places)
        agents = {address for address, _, _ in one if address.startswith("agents/")}
        return one if one == other and len(agents) == listening else None

    known: set[tuple[str, str, int]] = wait_for(same, "both directories know all, and the same")
    return known


def healthy(port: int) -> bool:
    """Whether the gateway there has a directory in sight, and all that it needs."""
    with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def texts(count: int) -> list[str]:
    return [str(number) for number in range(count)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_is_killed_or_hangs_under_load_is_missed_by_nobody(two: Suite, number: int) -> None:
    agree(two)
    first, _ = two.directories
    with contextlib.closing(Client(two.place)) as client:
        client.read_all(READERS)
        for text in texts(300):
            client.bark("ann", text)
            if text == "100":
                wait_for(lambda: client.texts("bob"), "barks flow")
                first.kill(number)
            if text == "200":
                # A bizlogic and an outbox that are lost now are found again at the other directory.
                for victim in two.processes[4:6]:
                    victim.kill()
        # Whoever comes now is given both, and finds its way by the one that is left.
        with contextlib.closing(Client(two.place)) as late:
            late.read_all(READERS)
            for victim in two.processes[4:6]:
                victim.restart()
            for user in READERS:
                wait_for(lambda user=user: len(client.timelines[user]) >= 300, f"{user} reads all")
                wait_for(lambda user=user: "299" in late.texts(user), f"who is late reads {user}'s last")
    assert len(client.accepted) == 300
    for user in READERS:
        assert sorted(client.texts(user), key=int) == texts(300), "each once"


def test_each_knows_every_service_and_soon_again_when_it_comes_back(two: Suite) -> None:
    before = agree(two)
    addresses = [address for address, _, _ in before]
    assert [addresses.count(name) for name in ("inbox", "outbox", "bizlogic")] == [1, 2, 2]
    for directory in two.directories:
        assert f"agents/127.0.0.1-{directory.port}" in addresses, "each knows of the other"
        directory.restart()
        assert agree(two) == before


def test_a_launched_suite_with_two_goes_on_with_either(tmp_path: Path) -> None:
    launched = Launched(tmp_path, "launch.py", "--directories", "2", "--autobarks", "1", "--monitoring")
    with contextlib.ExitStack() as ends:
        ends.callback(launched.end)
        launched.wait_until_ready()
        first, second = (f"127.0.0.1:{port + launched.offset}" for port in (5672, 5675))
        both = f"{first},{second}"
        KEYS[both] = launched.data / "key"
        for port in (5672, 5675):
            assert f"directory-{port + launched.offset}" in launched.output
        key = ["--directory", both, "--key", str(launched.data / "key")]

        def watched() -> bool:
            lines = barker("top", "--once", "--json", *key).stdout.splitlines()
            return sum(json.loads(line)["name"].startswith("directory-") for line in lines) == 2

        wait_for(watched, "each is watched, as it has told the other how to reach its agent")
        session = ["--session", str(launched.session)]
        for gone in (5672, 5675):
            name = f"directory-{gone + launched.offset}"
            assert barker("kill", name, *session).returncode == 0
            wait_for(lambda: TLS or healthy(5673 + launched.offset), "the gateway follows the other one")
            with contextlib.closing(Client(both)) as client:
                client.read("ark3")
                bark = client.bark("ark3", "still here")
                wait_for(lambda bark=bark: bark.id in client.arrived, "a newcomer barks and reads")
            started = barker("start", name, *session)
            assert started.returncode == 0, started.stderr
