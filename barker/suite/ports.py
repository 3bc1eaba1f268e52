"""The ports of a suite: whether they are free, who has them, and which to take instead."""

from __future__ import annotations

import contextlib
from pathlib import Path

from barker.amqp.reactor import taken_port
from barker.amqp.system import System, listener, listeners, processes
from barker.commands import options
from barker.core.errors import Mistake
from barker.suite.found import Found, suites
from barker.suite.shape import Shape, plan

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux says which ports it gives to outgoing connections."""


def check_ports(shape: Shape) -> None:
    """See that all ports are free.

    :raises Mistake: for those that are not, with who has each, and what to do.
    """
    having, others = holders(shape)
    lines = [f"{having_it} has its ports" for having_it in map(str, having)] + others
    if lines:
        raise Mistake(
            "not every port is free:\n  " + "\n  ".join(lines) + "\n"
            f"End what holds them, or start elsewhere: {elsewhere(shape)}"
        )


def elsewhere(shape: Shape) -> str:
    """The options with which a second suite can be started beside the one of that shape."""
    return f"--port-offset {shape.port_offset + 1000} --data {options.DATA}/second"


def holders(shape: Shape) -> tuple[list[Found], list[str]]:
    """The suites that have a suite's ports; and of each port that another process has, which that is."""
    taken = {}
    for port, name in _ports(shape).items():
        error = taken_port(shape.host, port)
        if error is not None:
            unseen = f"{error.strerror or error}; which process has it cannot be seen by this user"
            taken[port] = f"port {port} ({name}): {listener(port) or unseen}"
    owners = listeners() if taken else {}
    having = [suite for suite in suites(processes()) if any(owners.get(port) in suite.pids for port in taken)]
    theirs = {port for port in taken for suite in having if owners.get(port) in suite.pids}
    return having, [text for port, text in taken.items() if port not in theirs]


def _ports(shape: Shape) -> dict[int, str]:
    """All ports that a suite listens at, and who does."""
    ports = {program.port: program.name for program in plan(shape) if program.port is not None}
    return {**ports, shape.launcher.port: f"launcher-{shape.launcher.port}"}


def among_outgoing(shape: Shape, system: Path = OUTGOING) -> str:
    """A warning if a suite's ports are of those that the system gives to outgoing connections, or nothing."""
    try:
        first, last = map(int, system.read_text().split())
    except (OSError, ValueError):
        return ""  # Another system, or one that does not tell.
    ports = [port for port in _ports(shape) if first <= port <= last]
    if not ports:
        return ""
    return (
        f"of its ports, {min(ports)} to {max(ports)} lie among those that this system gives to outgoing "
        f"connections, {first} to {last}: one of these may have a service's port while that is down. "
        "Choose another --port-offset"
    )


def free_offset() -> int:
    """A port offset with which all ports of a suite are free now."""
    while True:
        # Below those that Linux gives to outgoing connections: such a one could hold the port of who is down.
        offset = System().chance.randrange(5_000, 26_000)
        with contextlib.suppress(Mistake):
            check_ports(Shape(port_offset=offset, monitoring=True))
            return offset
