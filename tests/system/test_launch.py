"""The launcher, and the whole suite that it starts."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from barker.store.social import FILE_NAME, Users
from barker.suite.ports import OUTGOING, among_outgoing
from barker.suite.shape import Shape
from tests.harness import ROOT, Client, Launched, shown_key, wait_for
from tests.seed import seeded

pytestmark = pytest.mark.system

BARKS = 600
"""How many go through the real network."""

PACE = 20
"""So many at a time: all timelines are read over one connection here, and a timeline is 25 barks long."""


def runs(process: psutil.Process) -> bool:
    """Whether it is alive; an orphan that nobody has buried yet is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    launched: list[Launched] = []

    def start(script: str, *arguments: str, offset: int | None = None) -> Launched:
        launched.append(Launched(tmp_path, script, *arguments, offset=offset))
        return launched[-1]

    yield start
    for suite in launched:
        suite.end()


def test_everything_starts_is_shown_and_ends_on_ctrl_c(launch: Callable[..., Launched]) -> None:
    suite = launch("launch.py")
    suite.wait_until_ready()
    names = re.findall(r"^(\S+)\s+\d+\s+(?:\d+|-) ", suite.output, re.MULTILINE)
    kinds = [name.rpartition("-")[0] for name in names]
    assert kinds == ["directory", "gateway", "inbox", *["outbox"] * 3, *["bizlogic"] * 2, *["autobark"] * 5]
    link = f"http://127.0.0.1:{5673 + suite.offset}/#key={shown_key(suite.data / 'key')}"
    assert f"Open {link}  or  " in suite.output
    assert (ROOT / "webui" / "index.html").as_uri() in suite.output
    assert stat.S_IMODE(suite.session.stat().st_mode) == 0o600
    assert f'"127.0.0.1:{5673 + suite.offset}"' in suite.session.read_text()
    children = suite.children()
    assert len(children) == len(names)
    with closing(Client(suite.directory)) as client:
        client.read("ark3")
        wait_for(lambda: client.timelines["ark3"], "autobarks reach the timeline of ark3")
    suite.popen.send_signal(signal.SIGINT)
    assert suite.popen.wait(10) == 0
    assert not any(map(runs, children))
    assert "Traceback" not in suite.output


def test_the_pages_are_opened_in_the_browser_or_it_is_said_that_they_are_not(
    launch: Callable[..., Launched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, asked = tmp_path / "browser", tmp_path / "asked"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], file=open({str(asked)!r}, 'a'))\n"
    )
    with script.open("a") as file:
        file.write("sys.exit(1)\n")
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))  # Of no other browser.
    monkeypatch.delenv("DISPLAY", raising=False)
    suite = launch("launch.py", "--open", "--monitoring", "--autobarks", "0")
    suite.wait_until_ready()
    wait_for(lambda: "no browser can be opened from here" in suite.output, "it is said")
    page, dashboard = asked.read_text().splitlines()
    links = re.findall(r"(?:Open|dashboard:) (http://\S+)", suite.output)
    for file, link in zip((page, dashboard), links, strict=True):
        assert f'content="0; url={link}"' in Path(file.removeprefix("file://")).read_text()


def test_children_do_not_outlive_a_launcher_that_is_killed(launch: Callable[..., Launched]) -> None:
    suite = launch("launch-no-bizlogic.py", "--autobarks", "1")
    suite.wait_until_ready()
    children = suite.children()
    assert not any("bizlogic" in child.cmdline()[2] for child in children)
    suite.popen.kill()
    suite.popen.wait(5)
    wait_for(lambda: not any(map(runs, children)), "all children have ended")


def test_the_death_of_a_service_is_told(launch: Callable[..., Launched]) -> None:
    suite = launch("launch.py", "--autobarks", "0")
    suite.wait_until_ready()
    victim = next(child for child in suite.children() if "barker.bizlogic" in child.cmdline())
    victim.kill()
    wait_for(lambda: f"(pid {victim.pid}) is gone: killed by SIGKILL" in suite.output, "the death is told")
    assert suite.popen.poll() is None


def test_a_port_in_use_is_named_with_the_process_that_has_it(launch: Callable[..., Launched]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        offset = taken.getsockname()[1] - 5801
        command = [sys.executable, str(ROOT / "launch.py"), "--port-offset", str(offset)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert f"port {5801 + offset} (outbox-{5801 + offset}): process {os.getpid()} has it" in done.stderr
    assert "--port-offset" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("system", "offset", "told"),
    [
        ("32768\t60999\n", 0, False),
        ("32768\t60999\n", 26_767, False),
        ("32768\t60999\n", 26_768, True),
        ("32768\t60999\n", 55_326, True),
        ("32768\t60999\n", 55_328, False),
        ("1024 65535", 0, True),
        ("nonsense", 30_000, False),
        (None, 30_000, False),
    ],
)
def test_ports_among_the_outgoing_ones_are_told(
    tmp_path: Path, system: str | None, offset: int, told: bool
) -> None:
    file = tmp_path / "ip_local_port_range"
    if system is not None:
        file.write_text(system)
    line = among_outgoing(Shape(port_offset=offset, monitoring=True), file)
    assert bool(line) == told
    assert not told or (" to ".join(str(system).split()) in line and "--port-offset" in line)


def test_a_start_among_the_outgoing_ports_warns(tmp_path: Path) -> None:
    if not OUTGOING.exists():
        pytest.skip("this system does not tell its outgoing ports")
    first = int(OUTGOING.read_text().split()[0])
    command = [sys.executable, str(ROOT / "launch.py"), "--data", str(tmp_path)]
    command += ["--port-offset", str(first - 5672), "--graph", "missing.edges"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert f"barker: of its ports, {first} to {first + 148} lie among" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--graph", "missing.edges"], "missing.edges cannot be read"),
        (["--mutual"], "--graph"),
        (["--outboxes", "none"], "'none' is not a valid integer"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    command = [sys.executable, str(ROOT / "launch.py"), "--data", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def offered(suite: Launched, number: int, author: str, texts: list[str]) -> None:
    """Have the `number`-th outbox (from 0) of a suite accept these barks, of a user who is made for it."""
    with closing(Users(suite.data / FILE_NAME)) as users:
        users.add([author], [])
    with closing(Client(f"127.0.0.1:{5800 + number + suite.offset}")) as client:
        for text in texts:
            client.bark(author, text)
        wait_for(lambda: len(client.accepted) == len(texts), f"outbox {number} has all that {author} barked")


def delivered(suite: Launched, expected: dict[str, list[str]]) -> None:
    """All these barks are on the timelines of their authors, once and in order."""
    with closing(Client(suite.directory)) as client:
        client.read_all(list(expected))
        total = sum(map(len, expected.values()))
        wait_for(lambda: client.read_count >= total, f"{total} barks")
        assert {author: client.texts(author) for author in expected} == expected


TEXTS = [f"bark {number}" for number in range(20)]


@pytest.mark.parametrize(
    ("fewer", "elsewhere"),
    [(("--outboxes", "1"), False), ((), True), (("--outboxes", "1"), True)],
    ids=["one outbox", "at other ports", "one outbox at other ports"],
)
def test_accepted_barks_are_delivered_however_the_suite_is_started_again(
    launch: Callable[..., Launched], fewer: tuple[str, ...], elsewhere: bool
) -> None:
    suite = launch("launch-no-bizlogic.py", "--autobarks", "0")
    suite.wait_until_ready()
    for number in range(3):
        offered(suite, number, f"dog{number}", TEXTS)
    suite.end()
    again = launch("launch.py", "--autobarks", "0", *fewer, offset=None if elsewhere else suite.offset)
    again.wait_until_ready()
    delivered(again, {f"dog{number}": TEXTS for number in range(3)})
    assert ("3 outboxes, not 1: so many journals" in again.output) == bool(fewer)


def test_an_outbox_that_was_added_is_there_again_while_it_holds_barks(
    launch: Callable[..., Launched],
) -> None:
    suite = launch("launch-no-bizlogic.py", "--autobarks", "0", "--outboxes", "1")
    suite.wait_until_ready()
    command = [sys.executable, "-m", "barker", "add", "outbox"]
    command += ["--directory", suite.directory, "--session", str(suite.session)]
    subprocess.run(command, check=True, timeout=30)
    offered(suite, 1, "ann", TEXTS)
    suite.end()
    again = launch("launch.py", "--autobarks", "0", "--outboxes", "1", offset=suite.offset)
    again.wait_until_ready()
    assert "2 outboxes" not in again.output  # The first holds nothing: one is enough.
    delivered(again, {"ann": TEXTS})


def test_timelines_are_found_again_at_other_ports(launch: Callable[..., Launched]) -> None:
    suite = launch("launch.py", "--autobarks", "0", "--inboxes", "2", "--outboxes", "1")
    suite.wait_until_ready()
    dogs = [f"dog{number}" for number in range(6)]
    for dog in dogs:
        offered(suite, 0, dog, TEXTS)
    delivered(suite, dict.fromkeys(dogs, TEXTS))
    suite.end()
    again = launch("launch-no-bizlogic.py", "--autobarks", "0", "--inboxes", "2", "--users", "1000")
    again.wait_until_ready()
    assert f"changes nothing: {suite.data / FILE_NAME} has 106 already" in again.output
    delivered(again, dict.fromkeys(dogs, TEXTS))


def test_data_of_a_suite_that_runs_is_refused(launch: Callable[..., Launched]) -> None:
    suite = launch("launch-no-bizlogic.py", "--autobarks", "0")
    suite.wait_until_ready()
    offered(suite, 0, "ann", TEXTS)
    before = sorted(suite.data.iterdir())
    other = launch("launch.py", "--autobarks", "0")
    assert other.popen.wait(20) == 2
    assert "is in use by another process: this is the data of a suite that runs" in other.output
    assert "Traceback" not in other.output
    assert sorted(suite.data.iterdir()) == before
    offered(suite, 0, "bob", TEXTS)


def friendships(folder: Path) -> Path:
    """The real network if the environment names it, else one of the same size."""
    named = os.environ.get("BARKER_TEST_GRAPH")
    if named:
        return Path(named)
    chance = seeded()
    made: set[tuple[int, int]] = set()
    while len(made) < 18_812:
        a, b = sorted(chance.sample(range(962), 2))
        made.add((a, b))
    file = folder / "made.edges"
    file.write_text("% as many people and friendships as Reed98\n" + "".join(f"{a} {b}\n" for a, b in made))
    return file


def test_in_a_real_network_every_bark_reaches_exactly_whom_it_should(
    launch: Callable[..., Launched], tmp_path: Path
) -> None:
    file = friendships(tmp_path)
    # Read here once more and in another way than the program does, so that both must agree.
    friends: dict[str, set[str]] = defaultdict(set)
    for line in file.read_text().splitlines():
        if line[0] not in "%#":
            a, b = line.split()[:2]
            friends[a].add(b)
            friends[b].add(a)
    suite = launch("launch.py", "--graph", str(file), "--mutual", "--autobarks", "0")
    suite.wait_until_ready()
    most = max(map(len, friends.values()))
    pages = re.findall(r"/(?:index\.html)?\?(?:\S+&)?user=([^\s#]+)", suite.output)
    assert [len(friends[name]) for name in pages] == [most] * 2, "nobody here is ark3"
    users = Users(tmp_path / "data" / FILE_NAME)
    with closing(users):
        assert users.names() == sorted(friends)
    chance = seeded()
    people = sorted(friends)
    expected: dict[str, set[str]] = {}
    with closing(Client(suite.directory)) as client:
        client.read_all(people)
        for number in range(BARKS):
            author = chance.choice(people)
            mentioned = chance.sample(people, chance.choice((0, 0, 1, 3)))
            bark = client.bark(author, f"number {number} " + " ".join(f"@{name}" for name in mentioned))
            expected[bark.id] = {author, *friends[author], *mentioned}
            if number % PACE == PACE - 1:
                total = sum(map(len, expected.values()))
                wait_for(lambda total=total: client.read_count >= total, f"{total} deliveries", 20)
        assert len(client.accepted) == BARKS
        got: dict[str, list[str]] = defaultdict(list)
        for user, barks in client.timelines.items():
            for bark in barks:
                got[bark.id].append(user)
    assert {id: sorted(users) for id, users in expected.items()} == {id: sorted(got[id]) for id in got}
