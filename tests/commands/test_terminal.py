"""Commands that find nobody: they say so soon, and end with a status that says so, too."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from barker.amqp.handlers import ConnectionHandler
from tests.harness import Client, Process, free_port, wait_for

ENDLESS = {"listen ann": "", "routes --watch": "", "autobark 5 --user ann": ""}
"""Commands that go on until they are interrupted, and what they say then."""

ENDING = {
    "bark ann woof": "interrupted: not accepted",
    "follow ann bob": "interrupted: not accepted",
    "unfollow ann bob": "interrupted: not accepted",
    "kill bizlogic-5680": "interrupted: not done: kill",
    "ps": "",
    "routes": "",
    "queues": "",
    "pages": "",
    "top --once": "",
    "listen ann --count 2": "interrupted: 2 of 2 barks have not come",
    "autobark 5 --user ann --count 3": "interrupted: 0 of 3 barks accepted",
}
"""Commands that are to be done at some time, likewise."""


def start(log: Path, command: str, place: str) -> Process:
    return Process(log, [sys.executable, "-m", "barker", *command.split(), "--directory", place])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_finds_nobody_says_so_and_an_interruption_is_none_of_success(
    tmp_path: Path, number: signal.Signals
) -> None:
    place = f"127.0.0.1:{free_port()}"
    commands = {**ENDLESS, **ENDING}
    running = {
        command: start(tmp_path / f"{count}.log", command, place) for count, command in enumerate(commands)
    }
    try:
        for command, process in running.items():
            wait_for(lambda process=process: "trying again" in process.log, f"{command} says where nobody is")
            told = [line for line in process.log.splitlines() if line.startswith("-- ")]
            assert told == [f"-- nobody at {place}; trying again"]
        for process in running.values():
            process.popen.send_signal(number)
        for command, process in running.items():
            assert process.popen.wait(10) == (0 if command in ENDLESS else 128 + number), command
            said = [line for line in process.log.splitlines() if line.startswith("barker: ")]
            assert said == ([f"barker: {commands[command]}"] if commands[command] else []), command
    finally:
        for process in running.values():
            process.end()


def test_a_directory_that_takes_connections_and_says_nothing_is_nobody_too(tmp_path: Path) -> None:
    with closing(Client("127.0.0.1:1")) as client:
        mute = client.reactor.listen("127.0.0.1", 0, ConnectionHandler())
        place = f"127.0.0.1:{mute.port}"
        client.reactor.call_from_thread(lambda: client.reactor.unwatch(mute._socket))
        process = start(tmp_path / "log", "listen ann", place)
        try:
            wait_for(lambda: process.log, "it says so")
            assert process.log == f"-- nobody at {place}; trying again\n"
        finally:
            process.end()


def test_what_is_not_answered_in_time_has_a_status_of_its_own_and_says_where_it_has_looked(
    tmp_path: Path,
) -> None:
    one, other = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    both = f"{one},{other}"
    said = {one: f"The directory looked at is {one}", both: f"The directories are {both}"}
    running = {place: start(tmp_path / f"{len(place)}.log", "routes", place) for place in said}
    try:
        for place, process in running.items():
            assert process.popen.wait(30) == os.EX_UNAVAILABLE
            *looked, gave_up = process.log.splitlines()
            assert set(looked) <= {f"-- nobody at {each}; trying again" for each in place.split(",")}
            assert gave_up.endswith(f"is the suite running? {said[place]}")
    finally:
        for process in running.values():
            process.end()
