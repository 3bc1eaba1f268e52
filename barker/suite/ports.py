"""The ports of a suite: whether they are free, who has them, and which to take instead."""

from __future__ import annotations

import contextlib
from pathlib import Path

from barker.amqp.reactor import taken_port
from barker.amqp.system import System, listener
from barker.core.errors import Mistake
from barker.suite.shape import Shape, plan

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux says which ports it gives to outgoing connections."""


def check_ports(shape: Shape) -> None:
    """See that all ports are free.

    :raises Mistake: for those that are not, with the process that has each, and what to do.
    """
    taken = taken_ports(shape).values()
    if taken:
        lines, other = "\n  ".join(taken), shape.port_offset + 1000
        raise Mistake(
            f"not every port is free:\n  {lines}\n"
            f"End what holds them, or start elsewhere: --port-offset {other}"
        )


def taken_ports(shape: Shape) -> dict[int, str]:
    """The ports of a suite that are not free: of each whose it is to be, and which process has it."""
    taken = {}
    for port, name in _ports(shape).items():
        error = taken_port(shape.host, port)
        if error is not None:
            unseen = f"{error.strerror or error}; which process has it cannot be seen by this user"
            taken[port] = f"port {port} ({name}): {listener(port) or unseen}"
    return taken


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
