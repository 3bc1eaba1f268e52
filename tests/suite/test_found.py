"""Which suites run, told by a list of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from barker.amqp.system import Seen
from barker.suite.found import Found, program, suites

PYTHON = "/home/ark3/barker/.venv/bin/python"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python -m barker.manifold outbox", "manifold"),
        ("python -m barker up --monitoring", "up"),
        ("python barker/bizlogic.py --port 5680", "bizlogic"),
        (f"{PYTHON} launch.py --users 100", "launch"),
        ("python3 /somewhere/launch-no-bizlogic.py", "launch-no-bizlogic"),
        ("/usr/bin/python3 /usr/local/bin/barker listen ark3", ""),
        (f"{PYTHON} -m pytest tests", ""),
        (f"{PYTHON} /home/ark3/barker/setup.py", ""),
        ("vim README.rst", ""),
        ("/usr/bin/python3 /usr/local/bin/barker directory", "directory"),
        ("barker", ""),
    ],
)
def test_a_program_is_known_by_its_command_line(command: str, name: str) -> None:
    assert program(command.split()) == name


def seen(pid: int, parent: int, command: str, folder: str = "/home/ark3/barker") -> Seen:
    return Seen(pid, parent, tuple(command.split()), folder)


def test_a_suite_is_its_launcher_and_what_that_has_started() -> None:
    launched = [
        seen(10, 1, f"{PYTHON} launch.py"),
        seen(11, 10, f"{PYTHON} -m barker.directory --host 127.0.0.1 --port 5672"),
        seen(12, 10, f"{PYTHON} -m barker.manifold inbox --directory 127.0.0.1:5672 --data /data"),
        seen(13, 1, f"{PYTHON} -m http.server"),
        seen(14, 10, "sleep 5"),
    ]
    assert suites(launched) == [Found("127.0.0.1:5672", 10, Path("/data"), frozenset({10, 11, 12}))]


BOTH = "10.0.0.7:5672,10.0.0.7:5675"


def test_two_directories_of_a_launcher_are_one_suites() -> None:
    directory = f"{PYTHON} -m barker.directory --host 0.0.0.0 --advertise 10.0.0.7"
    launched = [
        seen(10, 1, f"{PYTHON} launch.py"),
        seen(11, 10, f"{directory} --port 5672 --directory {BOTH}"),
        seen(12, 10, f"{directory} --port 5675 --directory {BOTH}"),
        seen(13, 10, f"{PYTHON} -m barker.manifold inbox --directory {BOTH} --data /data"),
    ]
    assert suites(launched) == [Found(BOTH, 10, Path("/data"), frozenset({10, 11, 12, 13}))]


def test_two_directories_that_a_service_was_given_by_hand_are_one_suites() -> None:
    by_hand = [
        seen(21, 20, "python barker/directory.py --host 10.0.0.7"),
        seen(22, 20, "python barker/directory.py --host 10.0.0.7 --port 5675"),
        seen(23, 20, f"python barker/manifold.py inbox --directory {BOTH} --data /data"),
        seen(24, 20, "python barker/directory.py"),
    ]
    assert suites(by_hand) == [
        Found(BOTH, 0, Path("/data"), frozenset({21, 22, 23})),
        Found("127.0.0.1:5672", 0, None, frozenset({24})),
    ]


def test_what_was_started_by_hand_belongs_to_its_directory() -> None:
    by_hand = [
        seen(20, 1, "bash"),
        seen(21, 20, "python barker/directory.py --port 6672"),
        seen(22, 20, "python barker/manifold.py outbox --directory 127.0.0.1:6672 --data .barker"),
        seen(23, 20, "python barker/directory.py"),
    ]
    assert suites(by_hand) == [
        Found("127.0.0.1:5672", 0, None, frozenset({23})),
        Found("127.0.0.1:6672", 0, Path("/home/ark3/barker/.barker"), frozenset({21, 22})),
    ]
