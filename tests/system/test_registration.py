"""Two services that want the same place: one has it, the other gets it when it is free."""

from __future__ import annotations

import contextlib
import time

import pytest

from barker.amqp.agent import register
from barker.amqp.watch import Watcher
from barker.core.routing import Route
from barker.store.social import FILE_NAME, Users
from tests.harness import Client, Suite, wait_for

pytestmark = pytest.mark.system


def test_a_service_that_is_refused_tries_again_until_the_place_is_free(
    suite: Suite, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[tuple[str, float]] = []
    watchers: list[Watcher] = []

    def on_change(change: str, route: Route | None) -> None:
        if route is not None and route.address == "billing":
            changes.append((change, route.since))

    client.reactor.call_from_thread(lambda: watchers.append(Watcher(client.network, on_change)))
    wait_for(lambda: watchers and watchers[0].current, "the directory is found")
    now = time.time()
    older, newer = (Route("billing", "127.0.0.1", 5950, "ordered", since) for since in (now - 20, now - 10))
    with contextlib.closing(Client(suite.place)) as second:
        with contextlib.closing(Client(suite.place)) as first:
            first.reactor.call_from_thread(lambda: register(first.network, older))
            wait_for(lambda: changes == [("added", older.since)], "the first is known")
            second.reactor.call_from_thread(lambda: register(second.network, newer))
            wait_for(lambda: "amqp:resource-locked" in caplog.text, "the second is refused")
            assert changes == [("added", older.since)]
        took_over = [("added", older.since), ("removed", older.since), ("added", newer.since)]
        wait_for(lambda: changes == took_over, "the second has the place")
        wait_for(lambda: "takes this service now" in caplog.text, "and is told")
        assert caplog.text.count("amqp:resource-locked") == 1, "however often it tried"


def test_a_bizlogic_with_other_users_never_takes_over(suite: Suite, client: Client) -> None:
    suite.users([("rex", "ann")])
    suite.inbox()
    suite.outbox()
    right = suite.bizlogic()
    suite.wait_for_state(right, users=2)
    client.bark("ann", "first")
    client.read("rex")
    wait_for(lambda: client.texts("rex") == ["first"], "the right one works")
    elsewhere = suite.folder / "elsewhere"
    with contextlib.closing(Users(elsewhere / FILE_NAME, create=True)) as users:
        users.add(["ann"], ())
    wrong = suite.start("bizlogic", "--data", str(elsewhere), data=False)
    right.kill()  # Whether it comes before or after the other has asked.
    wrong.popen.wait(20)
    assert wrong.popen.returncode == 2
    assert f"{suite.data / FILE_NAME} here" in wrong.log
    assert f"{elsewhere / FILE_NAME} is something else: start it with the --data of the others" in wrong.log
    assert "Traceback" not in wrong.log
    client.bark("ann", "second")
    right.restart()
    wait_for(lambda: client.texts("rex") == ["first", "second"], "nothing went to its author only")


def test_a_bizlogic_makes_no_users_in_a_folder_without(suite: Suite) -> None:
    lost = suite.bizlogic()
    assert lost.popen.wait(20) == 2
    assert f"barker: there are no users: {suite.data / FILE_NAME} is missing" in lost.log
    assert not (suite.data / FILE_NAME).exists()
