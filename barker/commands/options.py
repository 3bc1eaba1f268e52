"""What the commands share: options, logging, and how a mistake is told."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from barker.amqp.agent import LAUNCHED
from barker.amqp.handlers import DEFAULT_LIMITS, Limits
from barker.amqp.links import Place, Places
from barker.amqp.reactor import taken_port
from barker.commands.keys import AS, CERTIFICATE, KEY, SESSION, TLS
from barker.commands.output import show
from barker.commands.session import running
from barker.core.access import on_loopback
from barker.core.advertised import Advertised
from barker.core.broker import Broker
from barker.core.errors import BarkerError, Mistake
from barker.core.log_share import LogShare, Peer
from barker.core.printable import printable, printable_lines
from barker.core.routing import POLICIES
from barker.environment import DATA as DATA
from barker.store.journal import SYNC

log = logging.getLogger(__name__)

DIRECTORY = "127.0.0.1:5672"
"""Where the directory is, unless one is told otherwise."""

INSECURE = "barker.insecure"
"""Where click keeps the value of ``--insecure``."""

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


class Written(click.ParamType[T]):
    """What stands for something else on the command line, such as HOST:PORT for a place."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        """`parse` raises a Mistake for what is none."""
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """What it stands for, or the usual error for a wrong option."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except Mistake as mistake:
            self.fail(str(mistake), param, ctx)


_PLACES = Written("HOST:PORT[,...]", Places.parse)


class BarkerCommand(click.Command):
    """A command whose options can be given by variables of the environment, too: BARKER_X for --x."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.epilog = "Each option has a variable, too, such as BARKER_LOG_LEVEL for --log-level."
        for option in self.params:
            if isinstance(option, click.Option) and option.envvar is None and not option.is_eager:  # Help is.
                option.envvar = variable(option)


class BarkerGroup(click.Group):
    """Several of them."""

    command_class = BarkerCommand


def variable(option: click.Option) -> str:
    """The variable of the environment that an option has."""
    return "BARKER_" + max(option.opts, key=len).lstrip("-").replace("-", "_").upper()


command = functools.partial(click.command, cls=BarkerCommand)
"""The decorator that makes a command of a function."""


def _keep_as(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        ctx.meta[name] = value
        return value

    return keep


as_json = click.option("--json", "json", is_flag=True, help="Print one JSON object a line.")
suite_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where a suite listens.")
_host = click.option("--host", default="127.0.0.1", show_default=True, help="Listen at this address.")
_insecure = click.option(
    "--insecure",
    is_flag=True,
    expose_value=False,
    callback=_keep_as(INSECURE),
    help="With --host: let other machines in without --tls; nothing is encrypted, and all are strangers.",
)


advertise = click.option(
    "--advertise",
    "advertised",
    type=Written("HOST[:PORT]", Advertised.parse),
    metavar="HOST[:PORT]",
    help="Where others reach it, if not at --host and --port: the directory sends them there.",
)


def host(command: Command) -> Command:
    """--host, --advertise and --insecure, for who listens; :func:`program` sees whether it may."""
    return _host(advertise(_insecure(command)))


def _find(ctx: click.Context, param: click.Parameter, value: Places | None) -> Places | None:
    """Where the directory is, if nobody says: at the usual place, or of the one suite that runs here."""
    usual = Place.parse(DIRECTORY)
    if value is not None or ctx.resilient_parsing:
        return value
    suites = running()
    if taken_port(usual.host, usual.port) is not None:
        its = (suite.directories for suite in suites if usual in suite.directories)
        return next(its, Places([usual]))
    if len(suites) > 1:
        places = ", or ".join(f"--directory {suite.directory} (data in {suite.data})" for suite in suites)
        ctx.fail(f"several suites run here: choose one with {places}")
    for suite in suites:
        show(f"-- the suite at {suite.directory}, data in {suite.data}", err=True)
    return suites[0].directories if suites else Places([usual])


_directory = click.option(
    "--directory",
    "directories",
    type=_PLACES,
    callback=_find,
    metavar="HOST:PORT[,...]",
    help=f"Where the directory is (default: {DIRECTORY}, or that of the one suite that runs here). Of "
    "several the next is asked when one is away; services register with each.",
)
other_directories = click.option(
    "--directory",
    "directories",
    type=_PLACES,
    metavar="HOST:PORT[,...]",
    help="Where the suite's other directories are, if there are several: they know of this one, too.",
)
"""The option --directory of a directory itself."""


session = click.option(
    "--session",
    "session_file",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_keep_as(SESSION),
    help="The file that tells of a suite, as its launcher wrote it (default: of the suite at --directory).",
)
_key = click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_keep_as(KEY),
    help="The file with the suite's key (default: key in the data folder of the suite at --directory).",
)


tls = click.option(
    "--tls",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_keep_as(TLS),
    help="Speak TLS, with the certificates in this folder, which 'barker certs' makes; commands find that of "
    "a suite that runs here.",
)
own_tls = click.option(
    "--tls",
    is_flag=True,
    envvar=(),  # BARKER_TLS names a folder.
    help="Have it speak TLS, with certificates of its own.",
)
"""The option --tls of what has a suite of its own, as `tls`."""
_certificate = click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_keep_as(CERTIFICATE),
    help="With TLS: show this certificate (default: that of the service in --tls, or the operator's).",
)


sign_in = click.option(
    "--as",
    metavar="NAME",
    expose_value=False,
    callback=_keep_as(AS),
    help="With TLS: sign in as this user. The password is asked for, or is the first line of standard input.",
)
"""The option --as, for what people do."""


def certificates(command: Command) -> Command:
    """The options --tls and --certificate, for `keys.py`."""
    return tls(_certificate(command))


def key(command: Command) -> Command:
    """The options --key, --tls and --certificate, for `keys.py`."""
    return _key(certificates(command))


def directory(command: Command) -> Command:
    """The options --directory, as `directories`, and those of :func:`key`."""
    return _directory(key(command))


allow_host = click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="A further name that browsers may reach the gateway by; may be repeated. Needed for those that come "
    "from other machines, as with --host 0.0.0.0 or ::, for each name or address that they type in; "
    "without a port it is the gateway's own.",
)
data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    show_default=True,
    help="The folder where everything that must last is kept.",
)


sync = click.option(
    "--sync",
    type=click.Choice(list(SYNC)),
    default="normal",
    show_default=True,
    help="; ".join(f"{name}: what is accepted is {how}" for name, how in SYNC.items()) + ".",
)


class BrokerType(click.ParamType[Broker]):
    """A broker's URL on the command line."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Broker:
        """A :class:`Broker`, or the usual error for a wrong option, without the password."""
        if isinstance(value, Broker):
            return value
        try:
            return Broker.parse(str(value))
        except Mistake as mistake:
            self.fail(str(mistake), param, ctx)


broker = click.option(
    "--broker",
    type=BrokerType(),
    metavar="URL",
    help="A RabbitMQ 4 between outboxes, bizlogics and inboxes, such as amqp://USER:PASSWORD@HOST:5672 (of "
    "several nodes HOST:5672,HOST:5672). By BARKER_BROKER nobody sees the password.",
)


def port(default: int) -> Callable[[Command], Command]:
    """The option --port."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=default,
        show_default=True,
        help="Listen at this port (0: any that is free).",
    )


def policy(default: str) -> Callable[[Command], Command]:
    """The option --policy."""
    return click.option(
        "--policy",
        type=click.Choice(POLICIES),
        default=default,
        show_default=True,
        help="How the directory chooses among several of these.",
    )


def limits(command: Command) -> Command:
    """The options that bound what peers may take, from --max-connections on, as one `limits`."""

    @click.option(
        "--max-connections",
        type=click.IntRange(1),
        default=DEFAULT_LIMITS.connections,
        show_default=True,
        help="How many there may be at one time; more are turned away.",
    )
    @click.option(
        "--max-links",
        type=click.IntRange(1),
        default=DEFAULT_LIMITS.links,
        show_default=True,
        help="How many links a peer may attach on one connection.",
    )
    @click.option(
        "--max-frame-size",
        type=click.IntRange(512, 2**31 - 1),
        default=DEFAULT_LIMITS.frame_size,
        show_default=True,
        metavar="BYTES",
        help="Larger frames end their connection.",
    )
    @click.option(
        "--open-seconds",
        type=click.FloatRange(0, min_open=True),
        default=DEFAULT_LIMITS.open_seconds,
        show_default=True,
        help="Who has not opened its connection after so long is turned away.",
    )
    @click.option(
        "--idle-seconds",
        type=click.FloatRange(0, min_open=True),
        default=DEFAULT_LIMITS.idle_seconds,
        show_default=True,
        help="Who is silent for so long is taken to be dead; Barker's own always after 2 s.",
    )
    @functools.wraps(command)
    def run(
        *args: Any,
        max_connections: int,
        max_links: int,
        max_frame_size: int,
        open_seconds: float,
        idle_seconds: float,
        **kwargs: Any,
    ) -> Any:
        limits = Limits(max_connections, max_links, max_frame_size, open_seconds, idle_seconds)
        return command(*args, limits=limits, **kwargs)

    return run  # type: ignore[return-value]


class Formatter(logging.Formatter):
    """A record is one line, and the lines of a traceback are indented: a peer can write none of its own."""

    def __init__(self) -> None:
        # Of several that write to one terminal, each says its name.
        name = os.environ.get(LAUNCHED, "").replace("%", "%%")
        super().__init__(f"%(asctime)s %(levelname)-7s {name + ' ' if name else ''}%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, whatever the error says of what a peer sent."""
        return "  " + printable_lines(super().formatException(ei)).replace("\n", "\n  ")


class Handler(logging.StreamHandler[TextIO]):
    """Writes the log to standard error; about one peer so much and no more (`core/log_share.py`)."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(Formatter())
        self._share = LogShare()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, unless there are too many of its peer."""
        for told in self._share.left_out(record.created):
            super().emit(log.makeRecord(log.name, logging.WARNING, "", 0, told, (), None))
        about = record.args if isinstance(record.args, tuple) else ()
        peers = [each for each in about if isinstance(each, Peer)]
        # Who wants to know everything is told everything.
        if record.levelno < logging.INFO or all(map(self._share.admit, peers)):
            super().emit(record)


def _check_text(arguments: dict[str, Any]) -> None:
    """See that what was typed is text. (Paths may be any bytes.)

    :raises Mistake: when it is not.
    """
    for value in arguments.values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise Mistake(f"{text!r:.100} is no text: its bytes are not UTF-8")


def _check_reach(host: str) -> None:
    """See that who listens at `host` lets in nobody whom it cannot know, unless it was told to.

    :raises Mistake: when it would.
    """
    meta = click.get_current_context().meta
    if INSECURE not in meta or on_loopback(host) or meta.get(TLS) is not None:
        return
    if not meta[INSECURE]:
        raise Mistake(
            f"--host {host!r} lets other machines in: 'barker certs init DIR' makes certificates, and --tls "
            "DIR turns away who has none; or say --insecure: anybody may bark then, as anybody, and read"
        )
    if not os.environ.get(LAUNCHED):  # Its launcher has said so.
        may = "may bark, as anybody, and read; nothing is encrypted"
        log.warning("--insecure: whoever reaches %s %s", host, may)


def program(command: Command) -> Command:
    """A command with --log-level, where what goes wrong is one line on standard error and a status.

    Each error has its status (`core/errors.py`): a person's mistake 2, Ctrl-C 130.
    """

    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="warning",
        show_default=True,
        help="How much is told on standard error.",
    )
    @click.help_option("-h", "--help")
    @functools.wraps(command)
    def run(*args: Any, log_level: str, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # Also where not every letter can be shown.
        logging.basicConfig(level=log_level.upper(), handlers=[Handler()])
        os.umask(0o077)  # What is written is this user's alone.
        try:
            _check_text(kwargs)
            if "host" in kwargs:
                _check_reach(kwargs["host"])
            return command(*args, **kwargs)
        except BarkerError as error:
            if str(error):
                click.echo(f"barker: {printable_lines(str(error))}", err=True)
            sys.exit(error.status)
        except KeyboardInterrupt:
            sys.exit(130)

    return run  # type: ignore[return-value]
