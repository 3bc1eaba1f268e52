"""Hosts with addresses of their own, on one machine: network namespaces at a switch, which is one as well.

Nothing is added to the machine's own network. All is gone when the namespaces are, their devices too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness import Process

PREFIX = "barker-test-"
"""What the names of all namespaces begin with; the process that has made them follows."""

NETWORK = "10.77.0"
"""The addresses' first three numbers."""

NEW_NETWORK = 0x40000000
"""Linux's CLONE_NEWNET."""


def lacking() -> str:
    """Why there can be no hosts here; empty if there can."""
    if shutil.which("ip") is None:
        return "there is no ip (iproute2)"
    if os.geteuid() != 0:
        return "network namespaces take root"
    devices = "ip link add one type bridge && ip link add two type veth peer name three"
    command = ["unshare", "--net", "sh", "-c", devices]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    return made.stderr.strip()


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Host:
    """One host: what is started on it has its address, and reaches others by the switch alone."""

    def __init__(self, switch: str, number: int) -> None:
        self.namespace, self._switch = f"{PREFIX}{os.getpid()}-{number}", switch
        self.address, self._port = f"{NETWORK}.{number}", f"port{number}"
        self.processes: list[Process] = []
        ip("netns", "add", self.namespace)
        ip("-n", switch, "link", "add", self._port, "type", "veth", "peer", "eth0", "netns", self.namespace)
        ip("-n", switch, "link", "set", self._port, "master", "bridge", "up")
        ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self.namespace, "link", "set", device, "up")

    @property
    def within(self) -> list[str]:
        """What a command begins with that is run on this host."""
        return ["ip", "netns", "exec", self.namespace]

    def start(self, log: Path, program: str, *arguments: str) -> Process:
        """Start `barker.PROGRAM` on this host."""
        command = [*self.within, sys.executable, "-m", f"barker.{program}", *arguments]
        process = Process(log, [*command, "--log-level", "info"])
        self.processes.append(process)
        return process

    @property
    def cable(self) -> tuple[list[str], list[str]]:
        """The commands that pull its cable, and plug it in again."""
        down, up = (["ip", "-n", self._switch, "link", "set", self._port, state] for state in ("down", "up"))
        return down, up

    def cut_off(self) -> None:
        """Pull its cable."""
        ip(*self.cable[0][1:])

    def join(self) -> None:
        """Plug it in again."""
        ip(*self.cable[1][1:])

    def be_gone(self) -> None:
        """It loses its power: nothing says goodbye."""
        self.cut_off()
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def enter(self) -> None:
        """Have the thread that calls this be on this host, with all sockets that it makes from now on."""
        with open(f"/run/netns/{self.namespace}") as namespace:
            entered = ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), NEW_NETWORK)
            assert entered == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts at one switch; within it they are there, with all that is started on them."""
    _remove(lambda pid: not psutil.pid_exists(pid))  # What a run has left that was killed.
    switch, made = f"{PREFIX}{os.getpid()}-switch", []
    try:
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for number in range(1, count + 1):
            made.append(Host(switch, number))
        yield made
    finally:
        for host in made:
            for process in reversed(host.processes):
                process.end()
        _remove(lambda pid: pid == os.getpid())


def namespaces() -> list[str]:
    """The names of all that were made here, by whatever process."""
    folder = Path("/run/netns")
    return sorted(path.name for path in folder.glob(f"{PREFIX}*")) if folder.exists() else []


def _remove(whose: Callable[[int], bool]) -> None:
    for name in namespaces():
        if whose(int(name.removeprefix(PREFIX).partition("-")[0])):
            ip("netns", "delete", name)


NOT_HERE = lacking()

needs_hosts = pytest.mark.skipif(bool(NOT_HERE), reason=f"no hosts can be made here: {NOT_HERE}")
