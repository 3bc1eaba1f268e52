"""What other programs have of a command: JSON, and what a shell completes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from barker.amqp.links import Place
from barker.amqp.message import decode_bark, encode_bark, encode_map
from barker.cli import main
from barker.commands.session import write_session
from barker.core.barks import Bark
from barker.core.broker import DEAD_LETTERS as LETTERS
from barker.core.broker import Broker, reports_of
from barker.core.reports import QUEUES, QueueReport, queue_reports
from barker.store.first_users import make_users
from barker.store.social import FILE_NAME
from tests.commands.fake import Fake, listening
from tests.harness import ROOT

PROCESS = {"name": "inbox-5820", "kind": "inbox", "pid": 7, "port": 5820, "state": "running", "does": "holds"}
ROUTE = {"address": "inbox", "host": "127.0.0.1", "port": 5820, "policy": "ordered", "since": 1.7e9}
BARK = Bark("id", "ann", "woof \x1b[1m\N{DOG FACE}", 1_700_000_000_000)


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    says = {
        "inbox/ann": [encode_bark(BARK)],
        "launcher": [encode_map("processes", {"processes": [PROCESS] * 2, "rate": 1.0})],
        "directory": [encode_map("routes", [ROUTE])],
    }
    with listening(Fake(says)) as fake:
        yield fake


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_one_object_a_line(fake: Fake, tmp_path: Path) -> None:
    assert objects(fake.run("ps", "--json").stdout) == [PROCESS] * 2
    [route] = objects(fake.run("routes", "--json").stdout)
    assert {key: route[key] for key in ROUTE} == ROUTE
    assert objects(fake.run("listen", "ann", "--count", "1", "--json").stdout) == [BARK._asdict()]
    [accepted] = objects(fake.run("bark", "ann", "woof", "woof", "--json").stdout)
    assert (accepted["user"], accepted["text"], accepted["outbox"]) == ("ann", "woof woof", fake.place)
    sent = decode_bark(fake.took[-1])
    assert accepted["id"] == sent.id
    [followed] = objects(fake.run("follow", "ann", "bob", "--json").stdout)
    assert (followed["user"], followed["other"], followed["wanted"]) == ("ann", "bob", True)
    make_users(tmp_path / FILE_NAME, 3, 1).close()
    listed = CliRunner().invoke(main, ["users", "list", "--json", "--data", str(tmp_path)])
    assert [set(user) for user in objects(listed.output)] == [{"name", "follows", "followers"}] * 3


def completed(words: list[str], **environment: str) -> list[str]:
    """What bash is offered for the last word."""
    done = subprocess.run(
        [sys.executable, "-c", "from barker.cli import main; main(prog_name='barker')"],
        capture_output=True, text=True, timeout=30, check=True, cwd=ROOT,
        env={
            **os.environ, "_BARKER_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1), **environment,
        },
    )  # fmt: skip
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.split()]


def test_services_and_users_are_completed(fake: Fake, tmp_path: Path) -> None:
    session = tmp_path / "session.js"
    write_session(session, Place("127.0.0.1", 1), "t", launcher=fake.place, data=str(tmp_path))
    users = make_users(tmp_path / FILE_NAME, 5, 1)
    users.add(["xerxes"], [])
    users.close()
    here = {"BARKER_SESSION": str(session), "BARKER_DATA": str(tmp_path)}
    assert completed(["barker", "lis"]) == ["listen"]
    assert completed(["barker", "kill", "in"], **here) == ["inbox-5820"] * 2
    assert completed(["barker", "kill", "out"], **here) == []
    assert completed(["barker", "listen", "xe"], **here) == ["xerxes"]
    assert "--watch" in completed(["barker", "routes", "--w"])


def test_what_does_not_answer_completes_nothing(tmp_path: Path) -> None:
    write_session(tmp_path / "s.js", Place("127.0.0.1", 1), "t", launcher="127.0.0.1:1", data=str(tmp_path))
    here = {"BARKER_SESSION": str(tmp_path / "s.js"), "BARKER_DATA": str(tmp_path)}
    assert completed(["barker", "kill", ""], **here) == []
    assert completed(["barker", "bark", ""], **here) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_says_where_it_goes_and_is_one(shell: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert done.output.startswith("# To have it in every shell: ")
    assert f"_BARKER_COMPLETE={shell}_complete" in done.output
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.output)
        subprocess.run([shell, "-n", str(script)], check=True, timeout=30)


def agent(port: int, **more: Any) -> dict[str, list[bytes]]:
    """What a process reports, and that of its queues."""
    report = {"name": f"{more.pop('name')}-{port}", "type": "x", "pid": 1, "host": "127.0.0.1", "port": port}
    queues = more.pop("queues", None)
    address = f"agents/127.0.0.1-{port}"
    told = {address: [encode_map("report", report | more)]}
    return told | ({address + QUEUES: [encode_map("queues", queues)]} if queues is not None else {})


def test_queues_are_shown_with_who_takes_them() -> None:
    orders = [QueueReport("orders/\x1b[1m", 12_345, 10, 2, 3), QueueReport("orders")]
    outbox = [QueueReport("outbox-1-of-2", 5, 4, 1, 0, "127.0.0.1:1"), QueueReport("outbox-2-of-2", 7)]
    says = {
        **agent(1, name="bizlogic", active=True),
        **agent(2, name="outbox", mode="push", consumer="127.0.0.1:1", queues=queue_reports(outbox)),
        **agent(6, name="outbox", mode="push", consumer="", queues=queue_reports([QueueReport("outbox")])),
        **agent(3, name="orders", mode="pull", consumer="", queues=queue_reports(orders)),
        **agent(4, name="liar", mode="pull", queues=["nonsense"]),
        **agent(5, name="older", mode="pull"),
    }
    routes = [{**ROUTE, "address": address, "port": 1} for address in says if "queues" not in address]
    with listening(Fake({"directory": [encode_map("routes", routes)], **says})) as fake:
        done = fake.run("queues")
        assert (done.returncode, done.stderr) == (0, "")
        assert [re.split("  +", line) for line in done.stdout.splitlines()] == [
            ["queue", "where", "depth", "in flight", "consumers", "dead letters", "active consumer"],
            ["orders", "127.0.0.1:3", "0", "0", "0", "0", "-"],
            ["orders/\\x1b[1m", "127.0.0.1:3", "12345", "10", "2", "3", "-"],
            ["outbox", "127.0.0.1:6", "0", "0", "0", "0", "-"],
            ["outbox-1-of-2", "127.0.0.1:2", "5", "4", "1", "0", "bizlogic-1"],
            ["outbox-2-of-2", "127.0.0.1:2", "7", "0", "0", "0", "-"],
        ]
        [_, _, _, told, _] = objects(fake.run("queues", "--json").stdout)
        assert {
            "address": "outbox-1-of-2",
            "port": 2,
            "active": "bizlogic-1",
            "depth": 5,
        }.items() <= told.items()
        # One that is frozen keeps nobody waiting.
        fake.says["agents/127.0.0.1-2"] = []
        done = fake.run("queues")
        assert done.returncode == os.EX_UNAVAILABLE
        assert "orders" in done.stdout
        assert done.stderr == "barker: no answer within 2 s from 127.0.0.1:2\n"


def test_what_a_broker_has_is_told_by_the_monitor() -> None:
    """Its queues and streams, whose depth is in messages of theirs; a stream has none."""
    broker = Broker.parse("amqp://127.0.0.1:9")
    takes = [
        {"name": f"bizlogic-{port}", "takes": "barker-outbox", "active": port == 1} for port in (1, 2)
    ] + [{"name": f"inbox-{port}", "takes": "barker-inbox"} for port in (3, 4)]
    services = [
        {**each, "host": "127.0.0.1", "port": port, "broker": each["takes"]}
        for port, each in enumerate(takes, 1)
    ]
    answers = {
        "barker-outbox": {"message_count": 5, "consumer_count": 1, "type": "quorum"},
        LETTERS: {"message_count": 2, "consumer_count": 0, "type": "quorum"},
        "barker-inbox": {"message_count": 77, "consumer_count": 0, "type": "stream"},
    }
    told = encode_map("reports", {"time": time.time(), "reports": reports_of(broker, answers, services)})
    says = {"monitor": [told]}
    for each in services:
        fields = {key: value for key, value in each.items() if key not in ("host", "port", "name")}
        says |= agent(each["port"], name=each["name"].partition("-")[0], **fields)
    relayed = queue_reports([QueueReport("outbox", 3, 1, 1, 0, "barker-outbox")])
    says |= agent(5, name="outbox", mode="relay", broker="barker-outbox", queues=relayed)
    routes = [{**ROUTE, "address": address, "port": 1} for address in says if "queues" not in address]
    with listening(Fake({"directory": [encode_map("routes", routes)], **says})) as fake:
        done = fake.run("queues")
        assert (done.returncode, done.stderr) == (0, "")
        assert [re.split("  +", line) for line in done.stdout.splitlines()[1:]] == [
            ["outbox", "127.0.0.1:5", "3", "1", "1", "0", "barker-outbox"],
            ["barker-outbox", "127.0.0.1:9", "5", "-", "2", "-", "bizlogic-1"],
            [LETTERS, "127.0.0.1:9", "-", "-", "0", "2", "-"],
            ["barker-inbox", "127.0.0.1:9", "-", "-", "2", "-", "inbox-3 inbox-4"],
        ]
        [_, queue, _, _] = objects(fake.run("queues", "--json").stdout)
        assert queue["address"] == queue["name"] == "barker-outbox"
        assert (queue["depth"], queue["in_flight"], queue["active"]) == (5, None, "bizlogic-1")
        # Without one that tells, that is said.
        fake.says["monitor"] = [encode_map("reports", {"time": time.time(), "reports": []})]
        done = fake.run("queues")
        assert len(done.stdout.splitlines()) == 2
        assert done.stderr == "-- the broker's queues are not shown: a monitor with --broker tells of them\n"


def test_logs_that_are_empty_are_said_to_be() -> None:
    with listening(Fake({"launcher/logs": [encode_map("kept", {"names": ["inbox-5820"]})]})) as fake:
        done = fake.run("logs")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("-- nothing is written yet; ")
