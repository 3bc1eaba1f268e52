"""The launcher: starts the suite, each service a process of its own, and ends it.

What is started is a plain list of commands (:func:`plan`). A service is ready when the directory knows it;
nothing sleeps. A child ends when the launcher does, even when that is killed: the child's standard input
is a pipe whose other end closes then.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from barker import options
from barker.amqp.links import Place
from barker.amqp.service import LAUNCHED
from barker.core.errors import BarkerError, Mistake
from barker.core.routes import Route
from barker.store.users import FILE_NAME
from barker.terminal import Terminal
from barker.users import import_users, make_users
from barker.watch import Watcher

READY_SECONDS = 30.0
"""How long the suite may take to be ready."""

END_SECONDS = 5.0
"""How long a service may take to end before it is killed."""

WEBUI = Path(__file__).resolve().parent.parent / "webui"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a suite is to be started, and where."""

    host: str = "127.0.0.1"
    port_offset: int = 0
    outboxes: int = 3
    bizlogics: int = 2
    autobarks: int = 5
    rate: float = 5.0
    """Barks/s of each autobark."""
    data: Path = Path(options.DATA)
    log_level: str = "warning"
    session: Path = WEBUI / "session.js"
    """The file by which the pages know where the gateway is."""

    @property
    def directory(self) -> Place:
        """Where its directory is."""
        return Place(self.host, 5672 + self.port_offset)

    @property
    def gateway(self) -> Place:
        """Where its gateway is."""
        return Place(self.host, 5673 + self.port_offset)


@dataclass(frozen=True, slots=True)
class Program:
    """One process to start."""

    name: str
    arguments: tuple[str, ...]
    port: int | None = None
    does: str = ""

    @property
    def command(self) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", *self.arguments]


def plan(shape: Shape) -> list[Program]:
    """Which processes a suite of that shape is made of."""
    places = ["--directory", str(shape.directory), "--log-level", shape.log_level]
    data = ["--data", str(shape.data)]

    def service(kind: str, port: int, does: str, *arguments: str) -> Program:
        port += shape.port_offset
        listen = ["--host", shape.host, "--port", str(port)]
        return Program(f"{kind}-{port}", (*arguments, *listen), port, does)

    programs = [
        service(
            "directory",
            5672,
            "tells everyone where everyone is",
            *("barker.directory", "--log-level", shape.log_level),
        ),
        service("gateway", 5673, "brings browsers in: HTTP and WebSocket", "barker.gateway", *places),
        service(
            "inbox", 5820, "holds timelines", *("barker.manifold", "inbox", "--history", "25", *places, *data)
        ),
    ]
    for number in range(shape.outboxes):
        arguments = ("barker.manifold", "outbox", "--push", "bizlogic", "--accept", "bark", *places, *data)
        programs.append(
            service("outbox", 5800 + number, "takes barks, holds them until delivered", *arguments)
        )
    for number in range(shape.bizlogics):
        does = "works out who must see a bark" if not number else "stands by"
        programs.append(service("bizlogic", 5680 + number, does, "barker.bizlogic", *places, *data))
    for number in range(shape.autobarks):
        arguments = ("barker.autobark", f"{shape.rate:g}", "--host", shape.host, *places, *data)
        programs.append(
            Program(f"autobark-{number + 1}", arguments, None, f"barks {shape.rate:g} times a second")
        )
    return programs


def check_ports(host: str, programs: list[Program]) -> None:
    """See that all ports are free.

    :raises Mistake: for those that are not, with the process that has each, and what to do.
    """
    taken = []
    for program in programs:
        if program.port is None:
            continue
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, program.port))
            except OSError as error:
                taken.append(f"port {program.port} ({program.name}): {_holder(program.port, error)}")
    if taken:
        lines = "\n  ".join(taken)
        raise Mistake(
            f"not every port is free:\n  {lines}\nEnd what holds them, or start elsewhere: --port-offset 1000"
        )


def _holder(port: int, error: OSError) -> str:
    """Which process listens at a port, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                command = " ".join(psutil.Process(found.pid).cmdline())
                return f"process {found.pid} has it: {command:.100}"
    return f"{error.strerror or error}; which process has it cannot be seen by this user"


def write_session(file: Path, gateway: Place) -> None:
    """Tell the pages where the gateway is, and the run's token; readable by this user only."""
    text = f'window.BARKER_SESSION = {{gateway: "{gateway}", token: "{secrets.token_urlsafe(24)}"}};\n'
    try:
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        click.echo(f"barker: {file}: {error.strerror}; open the pages with ?gateway={gateway}", err=True)


class Launcher:
    """A running suite."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.programs = plan(shape)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ready = False
        self._begun = time.monotonic()
        self._terminal = Terminal(shape.directory)
        self._watcher = Watcher(self._terminal.network, self._on_change)

    def run(self) -> None:
        """Start everything, show it, and stay until Ctrl-C, SIGTERM, or an error; then end everything.

        :raises BarkerError: when a port is taken, or a service does not become ready.
        """
        check_ports(self.shape.host, self.programs)
        write_session(self.shape.session, self.shape.gateway)
        reactor = self._terminal.reactor
        signal.signal(signal.SIGCHLD, lambda *_: reactor.call_from_thread(self._on_child))
        signal.signal(signal.SIGHUP, lambda *_: reactor.call_from_thread(self._terminal.stop))
        reactor.after(READY_SECONDS, self._check_ready)
        try:
            for program in self.programs:
                self._start(program)
            self._terminal.run()
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._end_all()

    def _start(self, program: Program) -> None:
        self._children[program.name] = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            env={**os.environ, LAUNCHED: "1"},
            start_new_session=True,  # Ctrl-C is for the launcher, which ends them in its own order.
        )

    # Until it is ready

    def _on_change(self, change: str, route: Route | None) -> None:
        if not self._ready and not self._missing():
            self._ready = True
            self._show()

    def _missing(self) -> list[str]:
        """Services that the directory does not know yet."""
        known = {route.port for route in self._watcher.routes}
        return [
            program.name
            for program in self.programs[1:]  # The directory itself: it has answered.
            if program.port is not None and program.port not in known
        ]

    def _check_ready(self) -> None:
        if not self._ready:
            names = ", ".join(self._missing())
            self._terminal.fail(
                BarkerError(f"not ready after {READY_SECONDS:g} s: {names}; --log-level info tells more")
            )

    def _show(self) -> None:
        seconds = time.monotonic() - self._begun
        click.echo(f"{'service':<16} {'pid':>7} {'port':>6}   what it does")
        for program in self.programs:
            child, port = self._children[program.name], program.port or "-"
            click.echo(f"{program.name:<16} {child.pid:>7} {port:>6}   {program.does}")
        gateway = self.shape.gateway
        click.echo(
            f"\nReady after {seconds:.1f} s. Open http://{gateway}/  or  file://{WEBUI / 'index.html'}"
        )
        click.echo("Kill what you like; Ctrl-C ends it all.")
        sys.stdout.flush()

    # Until it ends

    def _on_child(self) -> None:
        for name, child in list(self._children.items()):
            status = child.poll()
            if status is None:
                continue
            del self._children[name]
            _close(child)
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            click.echo(f"{time.strftime('%H:%M:%S')} {name} (pid {child.pid}) is gone: {how}", err=True)
            if not self._ready:
                self._terminal.fail(BarkerError(f"{name} ended before the suite was ready"))

    def _end_all(self) -> None:
        """Clients first, the directory last."""
        for child in reversed(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
                child.send_signal(signal.SIGCONT)  # One that somebody froze cannot end otherwise.
        deadline = time.monotonic() + END_SECONDS
        for name, child in self._children.items():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                click.echo(f"{name} (pid {child.pid}) did not end within {END_SECONDS:g} s: killed", err=True)
                child.kill()
                child.wait()
            _close(child)


def _close(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()


@click.command("launch")
@options.host
@click.option("--port-offset", type=click.IntRange(-5000, 59000), default=0, help="Added to every port.")
@click.option("--users", type=click.IntRange(1), default=100, show_default=True, help="Users made at first.")
@click.option("--graph", type=click.Path(path_type=Path, dir_okay=False), help="Users from an edge list.")
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@click.option("--outboxes", type=click.IntRange(1, 20), default=3, show_default=True, help="How many.")
@click.option("--bizlogics", type=click.IntRange(0, 100), default=2, show_default=True, help="How many.")
@click.option("--autobarks", type=click.IntRange(0, 100), default=5, show_default=True, help="How many.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Barks/s of each autobark.",
)
@click.option(
    "--session",
    type=click.Path(path_type=Path, dir_okay=False),
    default=WEBUI / "session.js",
    help="Where the pages look for the gateway's address (default: beside them).",
)
@options.data
@options.program
@click.pass_context
def main(
    ctx: click.Context,
    host: str,
    port_offset: int,
    users: int,
    graph: Path | None,
    mutual: bool,
    outboxes: int,
    bizlogics: int,
    autobarks: int,
    rate: float,
    session: Path,
    data: Path,
) -> None:
    """Start the whole suite; Ctrl-C ends it.

    Users are made at the first start, or come from --graph; later starts find them in --data.
    """
    log_level: str = ctx.params["log_level"]
    shape = Shape(host, port_offset, outboxes, bizlogics, autobarks, rate, data.resolve(), log_level, session)
    if graph is not None:
        import_users(data, graph, mutual).close()
    elif mutual:
        raise Mistake("--mutual says how to read --graph FILE; there is none")
    elif not (data / FILE_NAME).exists():
        make_users(data, users).close()
    Launcher(shape).run()


if __name__ == "__main__":
    main()
