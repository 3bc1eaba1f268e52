"""The launcher: starts the suite, each service a process of its own, and ends it.

What is started is a plain list of commands (`suite.py`). A service is ready when the directory knows it;
nothing sleeps. A child ends when the launcher does, even when that is killed: the child's standard input
is a pipe whose other end closes then. The launcher is a service itself: at ``launcher`` it kills, freezes
and starts what it has started, for who has the run's token.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import psutil

from barker import options
from barker.amqp.agent import LAUNCHED, TOKEN
from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.engine import Delivery, LinkHandler, Receiver, Sender
from barker.amqp.links import Place
from barker.amqp.message import decode_command, encode_map
from barker.amqp.service import Service, Serving
from barker.core.errors import BarkerError, InvalidField, Mistake, NotAllowed, NotFound
from barker.core.keeper import STEADY_SECONDS, Keeper
from barker.core.printable import printable
from barker.core.routes import Route
from barker.store.users import FILE_NAME
from barker.suite import MOST, Program, Shape, another, autobark, plan, take_over
from barker.users import import_users, make_users
from barker.watch import Watcher

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
"""How long the suite may take to be ready."""

COMMAND_BYTES = 64 * 1024
"""No command is larger."""

END_SECONDS = 5.0
"""How long a service may take to end before it is killed."""

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux says which ports it gives to outgoing connections."""

WEBUI = Path(__file__).resolve().parent.parent / "webui"


def check_ports(shape: Shape) -> None:
    """See that all ports are free.

    :raises Mistake: for those that are not, with the process that has each, and what to do.
    """
    taken = []
    for port, name in _ports(shape).items():
        with socket.socket(socket.AF_INET6 if ":" in shape.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((shape.host, port))
            except OSError as error:
                taken.append(f"port {port} ({name}): {_holder(port, error)}")
    if taken:
        lines = "\n  ".join(taken)
        raise Mistake(
            f"not every port is free:\n  {lines}\nEnd what holds them, or start elsewhere: --port-offset 1000"
        )


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
        offset = random.randrange(5_000, 26_000)
        with contextlib.suppress(Mistake):
            check_ports(Shape(port_offset=offset, monitoring=True))
            return offset


def _holder(port: int, error: OSError) -> str:
    """Which process listens at a port, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                command = " ".join(psutil.Process(found.pid).cmdline())
                return f"process {found.pid} has it: {command:.100}"
    return f"{error.strerror or error}; which process has it cannot be seen by this user"


def write_session(file: Path, gateway: Place, token: str) -> None:
    """Tell the pages where the gateway is, and the run's token; readable by this user only."""
    text = f'window.BARKER_SESSION = {{gateway: "{gateway}", token: "{token}"}};\n'
    try:
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        click.echo(f"barker: {file}: {error.strerror}; open the pages with ?gateway={gateway}", err=True)


class Child:
    """One program that was started, and may be started again."""

    def __init__(self, program: Program, environment: dict[str, str] | None = None) -> None:
        """`environment` is what it finds in its own besides the launcher's."""
        self.program = program
        self._environment = environment or {}
        self.frozen = False
        self.stopped = False
        """Whether it was told to end: then nobody starts it again by himself."""
        self.due = False
        """Whether it is to begin anew as soon as it has ended."""
        self.keeper = Keeper()
        self._popen: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The process id; that of the last process once it is gone."""
        return self._pid

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self._popen is not None

    @property
    def state(self) -> str:
        """``running``, ``frozen`` or ``gone``."""
        return ("frozen" if self.frozen else "running") if self.runs else "gone"

    def start(self) -> None:
        """Start the process; it ends when its standard input does."""
        self._popen = subprocess.Popen(
            self.program.command,
            stdin=subprocess.PIPE,
            env={**os.environ, **self._environment, LAUNCHED: self.program.name},
            start_new_session=True,  # Ctrl-C is for the launcher, which ends them in its own order.
        )
        self._pid, self.frozen, self.stopped, self.due = self._popen.pid, False, False, False
        self.keeper.started(time.monotonic())

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._popen is not None:
            self._popen.send_signal(number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self.frozen = number == signal.SIGSTOP

    def ended(self) -> str:
        """How its process ended, told once; empty while it runs, and after."""
        status = self._popen.poll() if self._popen is not None else None
        if status is None:
            return ""
        self._bury()
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; whether it did. After that, it is killed."""
        if self._popen is None:
            return True
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            return False
        finally:
            self._bury()
        return True

    def _bury(self) -> None:
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()
        self._popen = None


class Launcher(Service):
    """A running suite. At ``launcher``, who has the run's token kills, freezes and starts its processes.

    A command is a message with the command for subject, the application property ``token``, and a map for
    body: ``name`` of the process, ``kind`` for add, ``rate`` (barks/s) for rate. It is accepted when it is
    done, or rejected with the reason; ``rate`` is accepted at once, and each autobark begins anew as soon as
    it has ended. A receiver from ``launcher`` gets the list of processes at each change.
    """

    kind = "launcher"

    def __init__(self, shape: Shape, session: Path, keep_alive: bool = False) -> None:
        """Listen at the launcher's port; `session` is the file that tells the pages where the gateway is.

        With `keep_alive`, what dies is started again.

        :raises Mistake: when a port is taken.
        """
        self.shape, self._session, self._keep_alive = shape, session, keep_alive
        self.token = secrets.token_urlsafe(24)
        self.children = {
            program.name: Child(program, {TOKEN: self.token} if program.kind == "gateway" else None)
            for program in plan(shape)
        }
        check_ports(shape)
        super().__init__(Serving("launcher", shape.host, shape.launcher.port, shape.directory, "ordered"))
        self._ready = False
        self._stage = 0
        self._begun = time.monotonic()
        self._readers = Broadcast(lambda: [self._list()], Lag.NEWEST)
        self._watcher = Watcher(self.network, self._on_change)

    def run(self) -> None:
        """Start everything, show it, and stay until Ctrl-C, SIGTERM, or an error; then end everything.

        :raises BarkerError: when a service does not become ready.
        """
        write_session(self._session, self.shape.gateway, self.token)
        self.register()
        signal.signal(signal.SIGCHLD, lambda *_: self.reactor.call_from_thread(self._on_child))
        signal.signal(signal.SIGHUP, lambda *_: self.reactor.call_from_thread(self.stop))
        self.reactor.after(READY_SECONDS, self._check_ready)
        self._start(0)
        super().run()

    # Until it is ready

    def _on_change(self, change: str, route: Route | None) -> None:
        last = max(child.program.stage for child in self.children.values())
        while not self._ready and not self._missing():
            if self._stage < last:
                self._stage += 1
                self._start(self._stage)
            else:
                self._ready = True
                self._show()

    def _start(self, stage: int) -> None:
        for child in self.children.values():
            if child.program.stage == stage and not child.runs:
                child.start()

    def _missing(self) -> list[str]:
        """Services that run and that the directory does not know yet."""
        known = {route.port for route in self._watcher.routes}
        programs = [child.program for child in self.children.values() if child.runs]
        return [
            program.name for program in programs if program.port is not None and program.port not in known
        ]

    def _check_ready(self) -> None:
        if not self._ready:
            names = ", ".join(self._missing())
            self.fail(
                BarkerError(f"not ready after {READY_SECONDS:g} s: {names}; --log-level info tells more")
            )

    def _show(self) -> None:
        seconds = time.monotonic() - self._begun
        click.echo(f"{'service':<16} {'pid':>7} {'port':>6}   what it does")
        for child in self.children.values():
            program = child.program
            click.echo(f"{program.name:<16} {child.pid:>7} {program.port or '-':>6}   {program.does}")
        gateway = self.shape.gateway
        click.echo(
            f"\nReady after {seconds:.1f} s. Open http://{gateway}/  or  {(WEBUI / 'index.html').as_uri()}"
        )
        if self.shape.monitoring:
            page = (WEBUI.parent / "monitoring" / "index.html").as_uri()
            click.echo(f"The dashboard: http://{gateway}/monitoring/  or  {page}")
        click.echo("Kill what you like; Ctrl-C ends it all.")
        sys.stdout.flush()

    # Commands

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """Someone who has commands."""
        self.only_own(address)
        link.max_message_size = COMMAND_BYTES
        return _Commander(self)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """Someone who wants the list of processes."""
        self.only_own(address)
        return self._readers

    def command(self, verb: str, token: object, arguments: dict[str, Any]) -> None:
        """Do what a command says.

        :raises NotAllowed: without the run's token, or when the process is in no state for it.
        :raises NotFound: for a process or a command that is not there.
        :raises InvalidField: for an argument that is wrong.
        """
        given = token.encode(errors="replace") if isinstance(token, str) else b""
        if not secrets.compare_digest(given, self.token.encode()):
            raise NotAllowed("this takes the run's token: see session.js beside the pages")
        if verb in _SIGNALS:
            child = self._child(arguments)
            if not child.runs:
                raise NotAllowed(f"{child.program.name} is gone already")
            child.signal(_SIGNALS[verb])
            if verb in ("kill", "stop"):
                child.due = False
            if verb == "stop":
                child.stopped = True
                child.signal(signal.SIGCONT)  # One that is frozen cannot end otherwise.
        elif verb == "start":
            child = self._child(arguments)
            if child.runs:
                raise NotAllowed(f"{child.program.name} runs already, as process {child.pid}")
            child.keeper.forgive()
            self._begin(child)
        elif verb == "add":
            programs = [child.program for child in self.children.values()]
            child = Child(another(_text(arguments, "kind"), self.shape, programs))
            self._begin(child)
            self.children[child.program.name] = child
        elif verb == "rate":
            self._set_rate(arguments.get("rate"))
        else:
            raise NotFound(
                f"there is no command {_shown(verb)}; there are {', '.join([*_SIGNALS, 'start, add, rate'])}"
            )
        self._tell()

    def _child(self, arguments: dict[str, Any]) -> Child:
        name = _text(arguments, "name")
        if name not in self.children:
            raise NotFound(f"no process here is called {_shown(name)}; there are {', '.join(self.children)}")
        return self.children[name]

    def _begin(self, child: Child) -> None:
        """Start it.

        :raises NotAllowed: when the system has no room for a process more.
        """
        try:
            child.start()
        except OSError as error:
            raise NotAllowed(f"{child.program.name} cannot be started: {error.strerror or error}") from None

    def _set_rate(self, rate: object) -> None:
        """Another rate for every autobark that runs, and for all to come."""
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate <= 100_000:
            raise InvalidField(f"rate is a number of barks/s above 0, 100,000 at most; it is {_shown(rate)}")
        self.shape = dataclasses.replace(self.shape, rate=float(rate))
        for child in self.children.values():
            if child.program.kind == "autobark":
                number = int(child.program.name.rpartition("-")[2])
                child.program = autobark(self.shape, number)
                if child.runs and not child.stopped:
                    self._renew(child)

    def _renew(self, child: Child) -> None:
        """Have it end, to begin anew: nobody waits for it, and if it takes too long it is killed."""
        child.due, pid = True, child.pid
        child.signal(signal.SIGTERM)
        child.signal(signal.SIGCONT)

        def kill() -> None:
            if child.due and child.pid == pid:
                _say(f"{child.program.name} (pid {pid}) did not end within {END_SECONDS:g} s: killed")
                child.signal(signal.SIGKILL)

        self.reactor.after(END_SECONDS, kill)

    def _tell(self) -> None:
        self._readers.send(self._list())

    def _list(self) -> bytes:
        processes = [
            {
                "name": name,
                "kind": child.program.kind,
                "pid": child.pid,
                "port": child.program.port,
                "state": child.state,
                "does": child.program.does,
            }
            for name, child in self.children.items()
        ]
        return encode_map("processes", {"processes": processes, "rate": self.shape.rate})

    # Until it ends

    def _on_child(self) -> None:
        for name, child in self.children.items():
            how = child.ended()
            if how and child.due:
                child.due = False
                self._again(child)
            elif how:
                _say(f"{name} (pid {child.pid}) is gone: {how}")
                if not self._ready:
                    self.fail(BarkerError(f"{name} ended before the suite was ready"))
                elif self._keep_alive and not child.stopped:
                    self._revive(child)
        self._tell()

    def _revive(self, child: Child) -> None:
        """Start it again after a while: the longer, the oftener it has died soon after its start."""
        wait = child.keeper.died(time.monotonic())
        if child.keeper.deaths > 1:
            _say(
                f"{child.program.name} has died {child.keeper.deaths} times in a row, within "
                f"{STEADY_SECONDS:g} s of its start: again in {wait:g} s"
            )

        def start() -> None:
            if not child.runs and not child.stopped:
                self._again(child)
                self._tell()

        self.reactor.after(wait, start)

    def _again(self, child: Child) -> None:
        """Start it again, and say so; or why not, and then it is gone."""
        try:
            self._begin(child)
        except NotAllowed as error:
            _say(str(error))
            if self._keep_alive:
                self._revive(child)
        else:
            _say(f"{child.program.name} is started again (pid {child.pid})")

    def on_stop(self) -> None:
        """End every process: clients first, the directory last."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for child in reversed(self.children.values()):
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)
        deadline = time.monotonic() + END_SECONDS
        for name, child in self.children.items():
            if not child.wait(max(0.1, deadline - time.monotonic())):
                click.echo(f"{name} (pid {child.pid}) did not end within {END_SECONDS:g} s: killed", err=True)


def _say(what: str) -> None:
    """One line for the terminal: what has happened just now."""
    click.echo(printable(f"{time.strftime('%H:%M:%S')} {what}"), err=True)


def _text(arguments: dict[str, Any], key: str) -> str:
    """A command's argument that is a string.

    :raises InvalidField: when it is none.
    """
    value = arguments.get(key)
    if not isinstance(value, str):
        raise InvalidField(f"{key} is a string; it is {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """What a peer has sent, as an error may say it: of lists and the like only what they are."""
    return printable(repr(value) if isinstance(value, str | int | float) else type(value).__name__, 60)


_SIGNALS = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "thaw": signal.SIGCONT,
    "stop": signal.SIGTERM,
}
"""The commands that are a signal."""


class _Commander(LinkHandler):
    """Someone who has commands."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def on_opened(self, link: Receiver) -> None:
        link.window = 10

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        verb, token, arguments = decode_command(data)
        self._launcher.command(verb, token, arguments)
        log.info("%s: %s %s", link.connection.peer, verb, arguments)
        delivery.accept()


@click.command("launch")
@options.host
@click.option("--port-offset", type=click.IntRange(-5000, 59000), default=0, help="Added to every port.")
@click.option("--users", type=click.IntRange(1), default=100, show_default=True, help="Users made at first.")
@click.option("--graph", type=click.Path(path_type=Path, dir_okay=False), help="Users from an edge list.")
@click.option("--mutual", is_flag=True, help="Each line of --graph is a friendship of both.")
@click.option(
    "--outboxes", type=click.IntRange(1, MOST["outbox"]), default=3, show_default=True, help="How many."
)
@click.option(
    "--inboxes",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="How many; several have a part of the users each, always the same one.",
)
@click.option(
    "--bizlogics", type=click.IntRange(0, MOST["bizlogic"]), default=2, show_default=True, help="How many."
)
@click.option(
    "--autobarks", type=click.IntRange(0, MOST["autobark"]), default=5, show_default=True, help="How many."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Barks/s of each autobark.",
)
@click.option("--keep-alive", is_flag=True, help="Start again what dies, unless it was told to end.")
@click.option("--monitoring", is_flag=True, help="Start the monitor too, for the dashboard.")
@click.option(
    "--session",
    type=click.Path(path_type=Path, dir_okay=False),
    default=WEBUI / "session.js",
    help="Where the pages look for the gateway's address (default: beside them).",
)
@options.allow_host
@options.data
@options.sync
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
    inboxes: int,
    bizlogics: int,
    autobarks: int,
    rate: float,
    keep_alive: bool,
    monitoring: bool,
    session: Path,
    allow_hosts: tuple[str, ...],
    data: Path,
    sync: str,
) -> None:
    """Start the whole suite; Ctrl-C ends it.

    Users are made at the first start, or come from --graph; later starts find them in --data.
    """
    log_level: str = ctx.params["log_level"]
    shape = Shape(
        host=host,
        port_offset=port_offset,
        outboxes=outboxes,
        inboxes=inboxes,
        bizlogics=bizlogics,
        autobarks=autobarks,
        rate=rate,
        data=data.resolve(),
        log_level=log_level,
        monitoring=monitoring,
        sync=sync,
        allow_hosts=allow_hosts,
    )
    shape, lines = take_over(shape)
    for line in filter(None, [*lines, among_outgoing(shape)]):
        click.echo(f"barker: {line}", err=True)
    if graph is not None:
        import_users(data, graph, mutual).close()
    elif mutual:
        raise Mistake("--mutual says how to read --graph FILE; there is none")
    elif not (data / FILE_NAME).exists():
        make_users(data, users).close()
    Launcher(shape, session, keep_alive).run()


if __name__ == "__main__":
    main()
