"""The launcher's service: waits until a suite is ready, shows it, and takes orders for it at ``launcher``.

A service is ready when the directory knows it; nothing sleeps. What is done to processes is `supervisor.py`.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from barker.amqp.broadcast import Broadcast, Lag
from barker.amqp.handlers import LinkHandler
from barker.amqp.link import Delivery, Receiver, Sender
from barker.amqp.message import decode_command, encode_map
from barker.amqp.service import Service, Serving
from barker.amqp.watch import Watcher
from barker.commands.keys import certified
from barker.commands.options import DATA
from barker.commands.output import OutputLost, show
from barker.commands.session import file_of, page_link, query, remove_session, write_session
from barker.core.access import Credentials, pages_key, service
from barker.core.advertised import Advertised
from barker.core.errors import BarkerError, InvalidField, NotAllowed, NotFound
from barker.core.kennel import STAR
from barker.core.printable import printable
from barker.core.routing import Route
from barker.environment import INSTALLED, PAGES
from barker.store.key import made_key
from barker.suite.browser import browse
from barker.suite.ports import check_ports
from barker.suite.shape import Shape
from barker.suite.supervisor import SIGNALS, Supervisor, say

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
"""How long the suite may take to be ready."""

LOGS = "launcher/logs"
"""The address of what the processes write on standard error."""

START_SECONDS = 8.0
"""How long who has something started waits until it is ready."""

COMMAND_BYTES = 64 * 1024
"""No command is larger."""


class Launcher(Service):
    """A running suite. At ``launcher``, an operator or the gateway kills, freezes and starts its processes.

    A command is a message with the command for subject, and a map for body: ``name`` of the process, ``kind``
    for add, ``rate`` (barks/s) for rate. Who may send it is known by the connection. It is accepted when done
    (when something is started: as soon as that is ready), or rejected with the reason; ``rate`` is
    accepted at once, and each autobark begins anew as soon as it has ended. A receiver from ``launcher`` gets
    the list of processes at each change, and one from ``launcher/logs`` what they write.
    """

    kind = "launcher"

    def __init__(
        self,
        shape: Shape,
        sessions: Sequence[Path],
        star: str,
        keep_alive: bool = False,
        open_pages: bool = False,
    ) -> None:
        """Listen at the launcher's port; `sessions` are the files that tell the pages where the gateway is.

        `star` is the user whose page is printed. With `keep_alive`, what dies is started again; with
        `open_pages` the browser shows the pages as soon as all is ready.

        :raises Mistake: when a port is taken.
        """
        self._sessions, self._star, self._open_pages = sessions, star, open_pages
        if shape.users is not None and shape.users.password:
            os.environ["PGPASSWORD"] = shape.users.password  # For its processes, whose command lines all see.
        self._browser: Popen[bytes] | None = None
        check_ports(shape)
        key = Credentials(service("launcher"), made_key(shape.key), str(shape.key))
        self._key = pages_key(key.key)
        credentials = certified(key, shape.tls)
        place = "launcher", shape.host, shape.launcher.port, shape.directory_places, "ordered"
        advertised = Advertised(shape.advertised) if shape.advertised else None
        super().__init__(Serving(*place, credentials=credentials, advertised=advertised))
        self.suite = Supervisor(shape, self.reactor, keep_alive, self._tell, self._on_line)
        self._ready = False
        self._begun = self.reactor.clock()
        self._readers = Broadcast(lambda: [self._list()], Lag.NEWEST)
        self._log_readers = Broadcast(self._kept_lines, Lag.GAP)
        self._watcher = Watcher(self.network, self._on_change)
        self._starting: dict[str, list[Delivery]] = {}
        """By name of a process that is started: the commands that wait until it is ready."""
        self._orders: dict[str, Callable[[dict[str, Any]], str | None]] = {
            **{verb: self._signal_by(verb) for verb in SIGNALS},
            "start": lambda arguments: self.suite.start(_text(arguments, "name")),
            "add": lambda arguments: self.suite.add(_text(arguments, "kind")),
            "remove": lambda arguments: self.suite.remove(_text(arguments, "name")),
            "rate": lambda arguments: self.suite.set_rate(_number(arguments, "rate")),
        }

    def run(self) -> None:
        """Start everything, show it, and stay until Ctrl-C, SIGTERM, or an error; then end everything.

        :raises BarkerError: when a service does not become ready.
        """
        shape = self.suite.shape
        more = {"directory": str(shape.directory_places), "launcher": str(shape.launcher)}
        more |= {"data": str(shape.data), "tls": str(shape.tls or "")}
        for file in self._sessions:
            self._written = write_session(file, shape.gateway, self._key, pid=self.agent.process.pid, **more)
        self.register()
        signal.signal(signal.SIGCHLD, lambda *_: self.reactor.call_from_thread(self._on_child))
        signal.signal(signal.SIGHUP, lambda *_: self.reactor.call_from_thread(self.stop))
        self.reactor.after(READY_SECONDS, self._check_ready)
        self.suite.start_stage()
        super().run()

    def on_stop(self) -> None:
        """End every process."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.suite.end()
        remove_session(file_of(self.suite.shape.directory), self._written)

    # Until it is ready, and when something ends

    def _on_change(self, change: str, route: Route | None) -> None:
        if route is None:
            self._started(self._known())
        elif change == "added":
            self._started(self._known([route]))
        while not self._ready and not self._missing():
            if not self.suite.next_stage():
                self._ready = True
                try:
                    self._show()
                except OutputLost as error:
                    self.fail(error)

    def _missing(self) -> list[str]:
        """Services that run and that the directory does not know yet."""
        return self.suite.missing(self._known())

    def _known(self, routes: Iterable[Route] | None = None) -> set[int]:
        """The ports of these routes, or of all that the directory knows, that are of this suite's host."""
        known = self._watcher.routes if routes is None else routes
        return {route.port for route in known if route.host == self.place.host}

    def _check_ready(self) -> None:
        if not self._ready:
            names = ", ".join(self._missing())
            self.fail(
                BarkerError(f"not ready after {READY_SECONDS:g} s: {names}; --log-level info tells more")
            )

    def _show(self) -> None:
        seconds = self.reactor.clock() - self._begun
        processes = self.suite.processes()
        width = max(16, *(len(process["name"]) for process in processes))
        show(f"{'service':<{width}} {'pid':>7} {'port':>6}   what it does")
        for process in processes:
            port = process["port"] or "-"
            show(f"{process['name']:<{width}} {process['pid']:>7} {port:>6}   {process['does']}")
        shape = self.suite.shape
        page, dashboard = self._links()
        show(f"\nReady after {seconds:.1f} s. Open {'  or  '.join(page)}")
        if shape.monitoring:
            show(f"The dashboard: {'  or  '.join(dashboard)}")
        if shape.port_offset or shape.advertised or shape.data != Path(DATA).resolve():
            variables = f"BARKER_DIRECTORY={shape.directory_places}"
            variables += f" BARKER_DATA={shlex.quote(str(shape.data))}"
            variables += f" BARKER_TLS={shlex.quote(str(shape.tls))}" if shape.tls else ""
            show(f"In another terminal, for its commands: export {variables}")
        show("Kill what you like; Ctrl-C ends it all.")
        if self._open_pages:
            try:
                self._browser = browse([page[0], *(dashboard[:1] if shape.monitoring else [])], shape.data)
            except BarkerError as error:
                say(str(error))

    def _links(self) -> tuple[list[str], list[str]]:
        """The page's addresses and the dashboard's: at the gateway; on the disk, if there is a checkout."""
        shape = self.suite.shape
        who = {} if self._star == STAR else {"user": self._star}
        where = {"gateway": str(shape.gateway)} if shape.port_offset else {}

        def links(path: str, folder: str, who: dict[str, str]) -> list[str]:
            on_disk = f"{(PAGES / folder / 'index.html').as_uri()}{query(where | who)}"
            served = page_link(shape.gateway, self._key, shape.tls is not None, path, **who)
            # Those on the disk speak no TLS.
            return [served] if INSTALLED or shape.tls else [served, on_disk]

        return links("", "webui", who), links("monitoring/", "monitoring", {})

    def _on_child(self) -> None:
        for name, how in self.suite.bury().items():
            for delivery in self._starting.pop(name, []):
                delivery.reject(NotAllowed(f"{name} {how} before it was ready; its log tells more"))
            if not self._ready:
                self.fail(BarkerError(f"{name} ended before the suite was ready"))
            else:
                self.suite.revive(name)
        if self._browser is not None and self._browser.poll():
            self._browser = None
            say("no browser can be opened from here: open the page yourself")
        self._tell()

    # Orders

    def on_target(self, link: Receiver, address: str) -> LinkHandler:
        """Someone who has commands."""
        self.only_own(address)
        link.max_message_size = COMMAND_BYTES
        return _Commander(self)

    def on_source(self, link: Sender, address: str) -> LinkHandler:
        """Someone who wants the list of processes, or their lines."""
        if address == LOGS:
            return self._log_readers
        self.only_own(address)
        return self._readers

    def command(self, verb: str, arguments: dict[str, Any]) -> str | None:
        """Do what a command says; the process that is started, if it has to be waited for.

        :raises NotAllowed: when the process is in no state for it.
        :raises NotFound: for a process or a command that is not there.
        :raises InvalidField: for an argument that is wrong.
        """
        order = self._orders.get(verb)
        if order is None:
            raise NotFound(f"there is no command {_shown(verb)}; there are {', '.join(self._orders)}")
        started = order(arguments)
        self._tell()
        return started if self._watcher.current or (started or "").startswith("directory-") else None

    def accept_when_ready(self, name: str, delivery: Delivery) -> None:
        """A command is done when the directory knows that process, or it is rejected."""
        waiting = self._starting.setdefault(name, [])
        waiting.append(delivery)

        def give_up() -> None:
            if delivery in waiting and self._starting.get(name) is waiting:
                waiting.remove(delivery)
                delivery.reject(
                    NotAllowed(
                        f"{name} is started, and not ready after {START_SECONDS:g} s; it may become so"
                    )
                )

        self.reactor.after(START_SECONDS, give_up)

    def _started(self, ports: set[int]) -> None:
        """Services at these ports are ready."""
        for name in list(self._starting):
            if self.suite.children[name].program.port in ports:
                for delivery in self._starting.pop(name):
                    delivery.accept()

    def _signal_by(self, verb: str) -> Callable[[dict[str, Any]], None]:
        return lambda arguments: self.suite.signal(_text(arguments, "name"), verb)

    def _tell(self) -> None:
        self._readers.send(self._list())

    def _on_line(self, name: str, line: str) -> None:
        self._log_readers.send(encode_map("log", {"name": name, "line": line}))

    def _kept_lines(self) -> list[bytes]:
        """What is kept, and then who is there: what follows comes just then."""
        lines = [encode_map("log", {"name": name, "line": line}) for name, line in self.suite.lines.kept()]
        return [*lines, encode_map("kept", {"names": list(self.suite.children)})]

    def _list(self) -> bytes:
        processes, rate = self.suite.processes(), self.suite.shape.rate
        return encode_map("processes", {"processes": processes, "rate": rate})


class _Commander(LinkHandler):
    """Someone who has commands."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def on_opened(self, link: Receiver) -> None:
        link.window = 10

    def on_message(self, link: Receiver, delivery: Delivery, data: bytes) -> None:
        verb, arguments = decode_command(data)
        started = self._launcher.command(verb, arguments)
        log.info("%s: %s %s", link.connection.peer, verb, arguments)
        if started is None:
            delivery.accept()
        else:
            self._launcher.accept_when_ready(started, delivery)


def _text(arguments: dict[str, Any], key: str) -> str:
    """A command's argument that is a string.

    :raises InvalidField: when it is none.
    """
    value = arguments.get(key)
    if not isinstance(value, str):
        raise InvalidField(f"{key} is a string; it is {_shown(value)}")
    return value


def _number(arguments: dict[str, Any], key: str) -> float:
    """A command's argument that is a number.

    :raises InvalidField: when it is none.
    """
    value = arguments.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidField(f"{key} is a number; it is {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """What a peer has sent, as an error may say it: of lists and the like only what they are."""
    return printable(repr(value) if isinstance(value, str | int | float) else type(value).__name__, 60)
