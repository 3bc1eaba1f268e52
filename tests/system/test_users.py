"""One rule for users: they exist when made or imported; what names nobody is rejected, with a sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from barker.amqp.system import new_id
from barker.core.barks import Bark, Follow
from barker.store.social import FILE_NAME
from tests.harness import ROOT, Client, Suite, wait_for

pytestmark = pytest.mark.system


def barker(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barker", *arguments, "--directory", suite.place]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)


def test_what_names_nobody_is_rejected_at_the_outbox_and_the_inbox(suite: Suite, client: Client) -> None:
    users = suite.users([("ann", "bob")])
    file = ("--users-file", str(suite.data / FILE_NAME))
    for _ in (suite.inbox(*file), suite.outbox(*file), suite.bizlogic()):
        pass
    words = [
        Bark(new_id(), "nobody", "woof", 1),
        Follow(new_id(), "ann", "nobody", 1, wanted=True),
        Follow(new_id(), "nobody", "ann", 1, wanted=False),
    ]
    for word in words:
        client.send(word)
    client.read("ann")
    bark = client.bark("bob", "@nobody is text")
    wait_for(lambda: len(client.rejected) == 3 and bark.id in client.accepted, "each has its outcome")
    for word in words:
        condition = client.rejected[word.id]
        assert condition is not None
        assert condition.name == "amqp:not-found"
        assert condition.description.startswith("there is no user 'nobody'")
    for arguments in (["bark", "nobody", "woof"], ["follow", "ann", "nobody"], ["listen", "nobody"]):
        done = barker(suite, *arguments)
        assert done.returncode == 2, arguments
        assert "there is no user 'nobody'" in done.stderr.splitlines()[-1]
    # Who is made while all runs is one at once.
    users.add(["nobody"], [])
    users.close()
    assert barker(suite, "bark", "nobody", "woof").returncode == 0
    assert "nobody: woof" in barker(suite, "listen", "nobody", "--count", "1").stdout
