"""Makes these files anew: ``python -m tests.store.layouts.make``, from the root of a clone with its history.

Each commit below runs, in a worktree of its own, a suite that is killed: ``ann`` has barked 0 to 9, of which
0 to 6 are in the inbox, and 3 to 9 in the outbox: 3 to 6 are the ones that an upgrade may not deliver again.
``star`` has barked once, in four parts. One message came to ``inbox/rex`` alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, cast

from barker.amqp.message import encode_bark
from barker.core.barks import Bark
from barker.store.social import FILE_NAME, Users
from tests.harness import ROOT, Client, Process, Suite, free_port, wait_for

HERE = Path(__file__).parent

COMMITS = {
    "ee4337d": "layout 1; keys without the number of parts",
    "66cf51b": "layout 1; keys with the number of parts, if there are several",
    "ba17513": "layout 2, with checksums; the same keys",
    "2f62977": "layout 2; keys with the number of parts, always",
    "7290067": "layout 3, with other checksums; the same keys",
}
"""The last, or nearly, with each form of the journals and their keys."""

FANS = [f"fan{number}" for number in range(9)]

FOUR_TO_A_PART = """
import barker.bizlogic as program
try:
    from barker.core.fan_out import FanOuts
    FanOuts.__init__.__defaults__ = (1, 4)
except ImportError:
    program.PART = 4
program.main()
"""


def state_of(process: Process) -> dict[str, Any]:
    """What it says of itself."""
    return Suite.state(cast(Suite, None), process)


def make(commit: str, folder: Path) -> Path:
    """The data folder of a suite of that commit."""
    code, data = folder / "code", folder / "data"
    subprocess.run(["git", "worktree", "add", "-f", code, commit], cwd=ROOT, check=True, capture_output=True)
    users = Users(data / FILE_NAME, create=True)
    users.add((), [("rex", "ann"), ("spot", "ann"), *((fan, "star") for fan in FANS)])
    users.close()
    running: list[Process] = []

    def start(name: str, *arguments: str, port: int = 0) -> Process:
        port = port or free_port()
        places = ["--port", str(port), *(["--directory", directory] if name != "directory" else [])]
        command = ["env", "-C", str(code), sys.executable, *arguments, *places]
        running.append(Process(folder / f"{name}.log", command, port))
        return running[-1]

    directory = f"127.0.0.1:{start('directory', '-m', 'barker.directory').port}"
    stored = ("--data", str(data))
    inbox = start("inbox", "-m", "barker.manifold", "inbox", "--history", "25", *stored)
    outbox = start("outbox", "-m", "barker.manifold", "outbox", "--push", "bizlogic", *stored)
    client = Client(directory)
    try:

        def bark(user: str, number: int) -> None:
            client.send(Bark(f"{user}-{number}", user, f"bark {number}", 1_700_000_000_000 + number))

        def accepted(*numbers: int) -> None:
            wait_for(lambda: {f"ann-{number}" for number in numbers} <= client.accepted.keys(), "accepted")

        def delivered(count: int) -> None:
            wait_for(lambda: len(client.timelines["rex"]) == count, "delivered")

        bizlogic = start("bizlogic", "-c", FOUR_TO_A_PART, *stored)
        alone = encode_bark(Bark("alone", "ann", "to rex alone", 1_700_000_000_000))
        client.send_raw("inbox/rex", alone)
        wait_for(lambda: alone in client.accepted, "accepted")
        client.read("rex")
        client.read("fan8")
        bark("star", 0)
        for number in range(3):
            bark("ann", number)
        delivered(4)
        wait_for(lambda: client.timelines["fan8"], "delivered")
        wait_for(lambda: state_of(outbox)["depth"] == 0, "the outbox is empty")
        bizlogic.kill()
        for number in range(3, 7):
            bark("ann", number)
        accepted(*range(7))
        outbox.kill()
        (folder / "before").mkdir()
        for file in data.glob("outbox-*"):
            shutil.copy(file, folder / "before")
        outbox.restart()
        bizlogic.restart()
        delivered(8)
        for process in (inbox, bizlogic, outbox):
            process.kill()
        for file in data.glob("outbox-*"):
            file.unlink()
        for file in (folder / "before").iterdir():
            shutil.copy(file, data)
        outbox.restart()
        for number in range(7, 10):
            bark("ann", number)
        accepted(*range(10))
        outbox.kill()
    finally:
        client.close()
        for process in running:
            process.end()
        subprocess.run(["git", "worktree", "remove", "-f", code], cwd=ROOT, check=True)
    for file in [*data.iterdir()]:
        if file.name.startswith(("inbox-", "outbox-")):  # Without their ports.
            file.rename(data / file.name.replace(f"-{inbox.port}", "").replace(f"-{outbox.port}", ""))
    return data


def main() -> None:
    """All of them."""
    for commit in COMMITS:
        with tempfile.TemporaryDirectory() as folder:
            data = make(commit, Path(folder))
            with tarfile.open(HERE / f"{commit}.tar.xz", "w:xz") as archive:
                for file in sorted(data.iterdir()):
                    if not file.name.endswith("-shm"):
                        archive.add(file, file.name)
        print(commit, (HERE / f"{commit}.tar.xz").stat().st_size)


if __name__ == "__main__":
    main()
