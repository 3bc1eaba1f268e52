"""The event loop: sockets over epoll, timers on the monotonic clock, one flush a turn.

It moves bytes between sockets and the connections of `connection.py`, and is all that Barker uses in place of
Proton's Container, whose I/O is `select` (at most 1,024 descriptors), scans every connection each turn,
listens with a backlog of 10, blocks on names and runs timers on the wall clock.

A turn: read the sockets that have something, for a while; run the timers that are due; call the turn hooks
(:meth:`Reactor.each_turn`; journals commit there, once for all that came in); write.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import heapq
import itertools
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from barker.amqp.connection import Connection, Share
from barker.amqp.dial import Dial
from barker.amqp.handlers import DEFAULT_LIMITS, SILENT, Condition, ConnectionHandler, Limits
from barker.amqp.sasl import CertifiedServer, Sasl, SaslServer, client
from barker.amqp.sign_in import SignIn
from barker.amqp.system import System
from barker.core.access import Credentials
from barker.core.errors import Mistake, NotAuthentic
from barker.core.log_share import Peer

if TYPE_CHECKING:
    from barker.amqp.certificates import Certificates
    from barker.amqp.tls import Tls

log = logging.getLogger(__name__)

BACKLOG = 4096
"""How many connections may wait to be accepted; the kernel's somaxconn caps it."""

ACCEPTED = 100
"""So many are accepted before others have their turn."""

TURN_SECONDS = 0.05
"""So long a turn reads. Who has to wait then comes first in the next one."""

FIRST_READ_BYTES = 8 * 1024
"""So many bytes of a peer are read at first, and twice as many each time they take little: of a new one it is
not known how much work its bytes are."""

LEAST_READ_BYTES = 2 * 1024
"""So much is read of a socket, however long it takes to do what its bytes ask for."""

STILL_SECONDS = 1.0
"""After a turn that took longer it is looked which peers have given this process up."""

SWEEPS = 8
"""So often in an idle time-out these and heartbeats are looked at, for all connections at once."""

GOODBYE_SECONDS = 0.25
"""So long who ends waits for its peers' goodbyes."""

DIAL_SECONDS = 2.0
"""A peer that we dialled and that has not opened the connection after so long is given up."""


class Timer:
    """A call that is due once; :meth:`cancel` it while it is not."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It will not be called."""
        self.call = None


class Reactor:
    """One thread's loop over all its connections."""

    def __init__(
        self, container: str, system: System | None = None, credentials: Credentials | None = None
    ) -> None:
        """`container` is the AMQP container id of every connection made here.

        `system` tells the time, and has chance; the machine's if it is not given. With `credentials` it shows
        whom it dials who it is, and knows who dials it; without, all are strangers. With those that are a
        certificate it speaks TLS with everybody.

        :raises Mistake: when the certificate cannot be read.
        """
        self.container = container
        self.credentials = credentials
        self._verifier = None
        self._certificates: Certificates | None = None
        self.sign_in: SignIn | None = None
        """Looks at the passwords of people, with TLS."""
        self.system = system = system or System()
        self.clock, self.wall, self.chance = system.clock, system.wall, system.chance
        if credentials is not None and credentials.authority:
            from barker.amqp.certificates import Certificates  # With OpenSSL: for those who need it.

            self._certificates = Certificates(credentials, self.clock)
            if credentials.passwords is not None:
                self.sign_in = SignIn(credentials.passwords, self.call_from_thread)
        elif credentials is not None:
            self._verifier = credentials.verifier()
        self.connections: dict[Connection, None] = {}
        """The connections that stand, accepted and dialled."""
        self._bounds = system.bounds
        self._selector = system.sockets.selector()
        self._ready: dict[int, tuple[Callable[[int], None], int]] = {}
        self._looked = self.clock()
        self._share = Share()
        self._wires: dict[Connection, _Wire] = {}
        self._dialling: dict[Connection, Dial] = {}
        self._foreign: set[Connection] = set()
        self._dirty: dict[Connection, None] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._hooks: list[Callable[[], None]] = []
        self._at_end: deque[Callable[[], None]] = deque()
        self._listeners: dict[Listener, None] = {}
        self._running = False
        self._from_threads: deque[Callable[[], None]] = deque()
        self._wake_in, self._wake_out = system.sockets.pair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._on_wake)

    # What programs call

    @property
    def running(self) -> bool:
        """False before :meth:`run`, and again once the loop is to end."""
        return self._running

    def listen(
        self,
        host: str,
        port: int,
        handler: ConnectionHandler,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Listener:
        """Take connections at host:port (port 0: any that is free); each gets `handler`.

        :raises Mistake: when the port is in use or the host is not this machine's.
        """
        return Listener(self, host, port, handler, limits)

    def connect(
        self,
        host: str,
        port: int,
        handler: ConnectionHandler,
        foreign: Sasl | None = None,
        hostname: str = "",
        limits: Limits = DEFAULT_LIMITS,
    ) -> Connection:
        """Dial host:port; `handler` hears of the outcome later, never from within this call.

        `foreign`: how to show a server who we are that is none of the suite's; it is spoken to without TLS.
        It may take what `limits` say, to open, or to say nothing.
        `hostname`: what the connection asks for there (AMQP 1.0 §2.7.1), if it is not the host.
        """
        connection = Connection(
            handler,
            self.container,
            server=False,
            hostname=hostname or host,
            on_output=self._mark,
            limits=limits,
            share=self._share,
            bounds=replace(self._bounds, idle_seconds=limits.idle_seconds) if foreign else self._bounds,
            sasl=foreign or client(self.credentials, self.system.nonce),
        )
        if foreign is not None:
            self._foreign.add(connection)
        connection.peer = f"{host}:{port}"
        self.connections[connection] = None
        self._resolve(host, port, lambda found: self._dial(connection, found))
        patience = DIAL_SECONDS if foreign is None else limits.open_seconds
        self.after(patience, lambda: self._check_open(connection, patience))
        return connection

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call `call` once, `seconds` from now."""
        timer = Timer(self.clock() + seconds, call)
        heapq.heappush(self._timers, (timer.due, next(self._count), timer))
        return timer

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` each `seconds` from now on."""

        def again() -> None:
            self.after(seconds, again)
            call()

        self.after(seconds, again)

    def watch(
        self, file: socket.socket | int, call: Callable[[], None], events: int = selectors.EVENT_READ
    ) -> None:
        """Call `call` whenever `file` has something to read, or there are those `events`, or it has ended."""
        self._selector.register(file, events, lambda mask: call())

    def unwatch(self, file: socket.socket | int) -> None:
        """No longer look at `file`."""
        self._unregister(file)

    def each_turn(self, hook: Callable[[], None]) -> None:
        """Call `hook` at the end of each turn, before anything is written."""
        self._hooks.append(hook)

    def at_end(self, call: Callable[[], None]) -> None:
        """Call `call` once, at the end of this turn, after what :meth:`each_turn` was given."""
        self._at_end.append(call)

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Have `call` called in the loop; the one method that other threads and signal handlers may use."""
        self._from_threads.append(call)
        # It is awake already, or, as the call was to end it, has ended by now.
        with contextlib.suppress(OSError):
            self._wake_out.send(b"!")

    def run(self) -> None:
        """Turn until :meth:`stop`; then :meth:`close`."""
        self.begin()
        while self._running:
            self.turn()
        self._say_goodbye()
        self.close()

    def begin(self) -> None:
        """What comes before the first :meth:`turn`, for who takes turns himself."""
        self._running = True
        self._looked = self.clock()
        self._sweep()

    def _say_goodbye(self) -> None:
        """Close every connection, and wait for the peers to do so, too, for a moment (AMQP 1.0 §2.4.3).

        A socket that is closed with something unread is reset: then peers may never read what they were told
        last, such as what was accepted.
        """
        with contextlib.closing(self.system.sockets.selector()) as selector:
            for connection, wire in list(self._wires.items()):
                connection.close()
                with contextlib.suppress(OSError):
                    while output := wire.stream.output():
                        wire.stream.sent(wire.socket.send(output))
                selector.register(wire.socket, selectors.EVENT_READ)
            end = self.clock() + GOODBYE_SECONDS
            while selector.get_map() and (left := end - self.clock()) > 0:
                for key, _ in selector.select(left):
                    if _ended(key.fileobj):
                        selector.unregister(key.fileobj)

    def close(self) -> None:
        """Close every connection, with a goodbye to who listens, and every listener."""
        for connection in list(self.connections):
            connection.close()
            self._flush(connection)
            self._drop(connection, None)
        for listener in list(self._listeners):
            listener.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def stop(self) -> None:
        """End :meth:`run` after this turn."""
        self._running = False

    # A turn

    def turn(self, wait: bool = True) -> None:
        """Wait for what is to be done, and do it; without `wait`, only what is to be done now."""
        self._look(self.patience() if wait else 0)
        self._read()
        self.call_due()
        self.end_turn()
        while self._dirty:
            # Backwards: what goes on to the next hop came about last, and is waited for more than answers.
            connection, _ = self._dirty.popitem()
            self._flush(connection)

    def _look(self, patience: float | None) -> None:
        """Wait for sockets, and note which have something."""
        found = self._selector.select(patience)
        now = self.clock()
        stood_still, self._looked = now - self._looked, now
        if stood_still > STILL_SECONDS:
            self._give_up(stood_still)
        for key, mask in found:
            self._ready[key.fd] = key.data, mask

    def _give_up(self, seconds: float) -> None:
        """This process was frozen: drop the connections whose peers have done so.

        What they had sent they have given to somebody else since, so it must not be read.
        """
        for connection in list(self._wires):
            if connection.gave_up(seconds):
                text = f"this process stood still for {seconds:.1f} s"
                self._drop(connection, Condition("barker:connection-lost", text))

    def _read(self) -> None:
        """Let those have their turn that are ready, for as long as a turn may take."""
        if not self._ready:
            return
        end = self.clock() + TURN_SECONDS
        while self._ready:
            file = next(iter(self._ready))
            call, mask = self._ready.pop(file)
            self._guard(call, mask)
            if self.clock() >= end:
                return

    def call_due(self) -> None:
        """Call what timers and other threads want called."""
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                self._guard(timer.call)
        while self._from_threads:
            self._guard(self._from_threads.popleft())

    def end_turn(self) -> None:
        """What is due before anything is written."""
        for hook in self._hooks:
            self._guard(hook)
        while self._at_end:
            self._guard(self._at_end.popleft())

    def patience(self) -> float | None:
        """How long the next turn may wait for sockets, in seconds; None: for ever."""
        if self._dirty or self._from_threads or self._at_end or self._ready:
            return 0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self.clock()) if self._timers else None

    def _guard(self, call: Callable[..., None], *args: object) -> None:
        """An error of ours in one place must not end the loop for all others."""
        try:
            call(*args)
        except Exception:
            log.exception("an error of ours; the service goes on")

    def _on_wake(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_in.recv(4096)

    def _sweep(self) -> None:
        """Heartbeats and idle time-outs of every connection."""
        for connection, wire in list(self._wires.items()):
            # Silence is what was looked for and not there: not what still waits to be read.
            if not wire.ready and not connection.tick(self._looked):
                wire.flush()
                # Also one whose socket is full, and never takes the goodbye.
                self._drop(connection, None)
        self.after(self._bounds.idle_seconds / SWEEPS, self._sweep)

    def _mark(self, connection: Connection) -> None:
        self._dirty[connection] = None

    def _unregister(self, file: socket.socket | int) -> None:
        key = self._selector.unregister(file)
        self._ready.pop(key.fd, None)

    # Connections

    def _resolve(self, host: str, port: int, then: Callable[[Sequence[Any] | OSError], None]) -> None:
        """Look up a name without keeping the loop waiting: numbers at once, names in a thread."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            self.after(0, lambda: then(found))
        except OSError:

            def look_up() -> None:
                found: Sequence[Any] | OSError
                try:
                    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                except OSError as error:
                    found = error
                self.call_from_thread(lambda: then(found))

            threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()

    def _dial(self, connection: Connection, found: Sequence[Any] | OSError) -> None:
        if isinstance(found, OSError) or not found:
            self._dialled(connection, str(found))
        else:
            dial = Dial(self, connection, found, lambda found: self._dialled(connection, found))
            self._dialling[connection] = dial
            dial.begin()

    def _dialled(self, connection: Connection, found: socket.socket | str) -> None:
        """A dial has ended: with a socket, or why there is none."""
        self._dialling.pop(connection, None)
        if isinstance(found, str):
            self._drop(connection, Condition("barker:unreachable", f"{connection.peer}: {found}"))
        elif connection.live:
            self._begin(connection, found)
        else:
            found.close()
            self._drop(connection, None)

    def _begin(self, connection: Connection, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            secured = self._certificates if connection not in self._foreign else None
            stream = secured.secure(connection, self._mark) if secured else connection
        except NotAuthentic as error:
            sock.close()
            self._drop(connection, Condition(error.condition, str(error)))
            return
        self.connections[connection] = None
        self._wires[connection] = _Wire(self, connection, sock, stream)
        self._share.among(len(self._wires))
        self._mark(connection)

    def _accepted(self, sock: socket.socket, peer: Peer, handler: ConnectionHandler, limits: Limits) -> None:
        if len(self._wires) >= limits.connections:
            # Before there is a connection, AMQP has no way to say why.
            sock.close()
            log.warning("%s is turned away: %d connections are all there may be", peer, limits.connections)
            return
        sock.setblocking(False)
        connection = Connection(
            handler,
            self.container,
            server=True,
            on_output=self._mark,
            limits=limits,
            share=self._share,
            bounds=self._bounds,
            sasl=self._sasl_server(peer),
        )
        connection.peer = peer
        self._begin(connection, sock)
        self.after(limits.open_seconds, lambda: self._check_open(connection, limits.open_seconds))

    def _sasl_server(self, peer: Peer) -> Sasl:
        if self._certificates is None:
            return SaslServer(self._verifier, self.system.nonce)
        if self.sign_in is None or not self.sign_in.there:
            return CertifiedServer()
        return CertifiedServer(functools.partial(self.sign_in.ask, peer.host))

    def _check_open(self, connection: Connection, seconds: float) -> None:
        if connection.live and not connection.opened:
            text = f"no connection was opened within {seconds:g} s"
            self._drop(connection, Condition(SILENT, text))

    def _flush(self, connection: Connection) -> None:
        wire = self._wires.get(connection)
        if wire is not None:
            wire.flush()

    def _drop(self, connection: Connection, condition: Condition | None) -> None:
        """Close the socket, if there is one yet, and tell everybody who is concerned."""
        wire = self._wires.pop(connection, None)
        if wire is not None:
            wire.close()
            self._share.among(len(self._wires))
        dial = self._dialling.pop(connection, None)
        if dial is not None:
            dial.close()
        self.connections.pop(connection, None)
        self._foreign.discard(connection)
        self._guard(connection.lost, condition)
        self.after(0, lambda: None)  # It may be the end of a turn: what this has changed is for one at once.


class _Wire:
    """One socket and the AMQP connection that is spoken over it."""

    def __init__(
        self, reactor: Reactor, connection: Connection, sock: socket.socket, stream: Connection | Tls
    ) -> None:
        """The socket's bytes are those of `stream`: the connection's own, or what TLS makes of them."""
        self._reactor, self._connection, self.socket, self.stream = reactor, connection, sock, stream
        self._full = False
        self._read_bytes = min(FIRST_READ_BYTES, reactor._bounds.read_bytes)
        reactor._selector.register(sock, selectors.EVENT_READ, self._on_ready)

    def close(self) -> None:
        self._reactor._unregister(self.socket)
        self.socket.close()

    @property
    def ready(self) -> bool:
        """Whether the socket has something that is not read yet."""
        return self.socket.fileno() in self._reactor._ready

    def flush(self) -> None:
        """Write what there is, until the socket is full."""
        if self._full:
            return
        while True:
            output = self.stream.output()
            if output is None:
                self._reactor._drop(self._connection, None)
                return
            if not output:
                self._connection.resume()
                return
            try:
                self.stream.sent(self.socket.send(output))
            except BlockingIOError:
                self._set_full(True)
                return
            except OSError as error:
                self._reactor._drop(self._connection, _broken(error))
                return

    def _on_ready(self, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            self._read()
        if mask & selectors.EVENT_WRITE and self._stands:
            self._set_full(False)
            self.flush()

    def _read(self) -> None:
        begun = self._reactor.clock()
        try:
            data = self.socket.recv(self._read_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._reactor._drop(self._connection, _broken(error))
            return
        more = self.stream.receive(data) if data else False
        self._took(self._reactor.clock() - begun)
        if more and self._full and self._connection.owes_much:
            self._set_full(True)
        if not more:
            # The end of the stream, or bytes that are no AMQP: say what is left to say, and go.
            self.flush()
            if self._stands:
                self._reactor._drop(self._connection, None)

    def _took(self, seconds: float) -> None:
        """Read less of a peer whose bytes take longer than a turn, so that the others have theirs."""
        if seconds > TURN_SECONDS:
            self._read_bytes = max(LEAST_READ_BYTES, self._read_bytes // 2)
        elif seconds < TURN_SECONDS / 2:
            self._read_bytes = min(self._reactor._bounds.read_bytes, 2 * self._read_bytes)

    @property
    def _stands(self) -> bool:
        return self._reactor._wires.get(self._connection) is self

    def _set_full(self, full: bool) -> None:
        self._full = full
        events = selectors.EVENT_WRITE if full else selectors.EVENT_READ
        if full and not self._connection.owes_much:
            events |= selectors.EVENT_READ
        self._reactor._selector.modify(self.socket, events, self._on_ready)


class Listener:
    """A listening socket."""

    def __init__(
        self, reactor: Reactor, host: str, port: int, handler: ConnectionHandler, limits: Limits
    ) -> None:
        self._reactor, self.handler, self._limits = reactor, handler, limits
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except OSError as error:
            raise Mistake(cannot_listen(host, port, error)) from None
        self._socket = reactor.system.sockets.new(family, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise Mistake(cannot_listen(host, port, error)) from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        """The port listened at, also when it was chosen by the system."""
        reactor._listeners[self] = None
        self._watch()

    def close(self) -> None:
        """Take no more connections; those that stand go on."""
        self._reactor._listeners.pop(self, None)
        with contextlib.suppress(KeyError):
            self._reactor._unregister(self._socket)
        self._socket.close()

    def _watch(self) -> None:
        if self._socket.fileno() >= 0:
            self._reactor._selector.register(self._socket, selectors.EVENT_READ, self._on_ready)

    def _on_ready(self, mask: int) -> None:
        for _ in range(ACCEPTED):
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error(
                    "cannot take more connections: %s; raise the limit of open files (ulimit -n)", error
                )
                self._reactor._unregister(self._socket)
                self._reactor.after(1.0, self._watch)
                return
            self._reactor._accepted(sock, Peer(f"{peer[0]}:{peer[1]}"), self.handler, self._limits)


def _ended(sock: Any) -> bool:
    """Take what there is of a socket, and throw it away; whether nothing more can come."""
    try:
        return not sock.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _broken(error: OSError) -> Condition:
    return Condition("barker:connection-lost", error.strerror or str(error))


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """What to tell a person when a port cannot be listened at."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; end what uses it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one above 1023"
    return f"cannot listen at {host}:{port}: {error.strerror or error}"


def taken_port(host: str, port: int) -> OSError | None:
    """Why nobody else can listen at host:port now; None if somebody can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
