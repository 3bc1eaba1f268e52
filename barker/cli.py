"""The command `barker`: one name for all the programs."""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
from typing import Any

import click

from barker import __version__
from barker.environment import use_virtual_environment

COMMANDS = {
    "up": ("barker.launcher", "main", "Start the whole suite."),
    "chaos": ("barker.chaos", "main", "Break a suite of its own again and again; see that nothing is lost."),
    "simulate": ("barker.simulate", "main", "Break a simulated suite, on virtual time."),
    "bench": ("barker.bench", "main", "Measure, in a form that takes seconds."),
    "directory": ("barker.directory", "main", "Run the directory."),
    "manifold": ("barker.manifold", "main", "Run a manifold: outbox, inbox, or your own."),
    "bizlogic": ("barker.bizlogic", "main", "Run a bizlogic."),
    "gateway": ("barker.gateway", "main", "Run the gateway for browsers."),
    "monitor": ("barker.monitor", "main", "Run the monitor."),
    "autobark": ("barker.autobark", "main", "Make traffic."),
    "bark": ("barker.bark", "bark", "Bark once."),
    "listen": ("barker.listen", "main", "Show a timeline, live."),
    "follow": ("barker.bark", "follow", "Have a user follow another."),
    "unfollow": ("barker.bark", "unfollow", "Have a user no longer follow another."),
    "routes": ("barker.routes", "main", "Show who is where."),
    "queues": ("barker.depths", "main", "Show what every queue holds, and who takes it."),
    "users": ("barker.users", "main", "Make, import and list users."),
    "repartition": ("barker.repartition", "main", "Have other numbers of partitions."),
    "certs": ("barker.certs", "main", "Make the certificates for TLS."),
    "people": ("barker.people", "main", "Say who may sign in by a password."),
    "pages": ("barker.browse", "main", "Print the links of the web pages, with the key that they take."),
    "top": ("barker.top", "main", "Show how every service does, live."),
    "ps": ("barker.control", "ps", "Show the processes of a launched suite."),
    "logs": ("barker.logs", "main", "Show what they have written."),
    "kill": ("barker.control", "kill", "Kill one of them (SIGKILL)."),
    "freeze": ("barker.control", "freeze", "Freeze one (SIGSTOP)."),
    "thaw": ("barker.control", "thaw", "Thaw it (SIGCONT)."),
    "stop": ("barker.control", "stop", "Have one end (SIGTERM)."),
    "start": ("barker.control", "start", "Start one again."),
    "add": ("barker.control", "add", "Start one more bizlogic, outbox or autobark."),
    "doctor": ("barker.doctor", "main", "Say what keeps Barker from working here."),
    "health": ("barker.health", "main", "Ask one service whether it answers."),
    "completion": ("barker.completion", "main", "Have the shell complete commands, services and users."),
    "rate": ("barker.control", "rate", "Set the autobarks' rate."),
}
"""Each command's module, the name of its function there, and a line about it."""

ALIASES = {"launch": "up"}
"""Other names that commands have had."""


class _Commands(click.Group):
    """Loads a command's module only when it is used: most need little, and start the faster for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or what else may be meant."""
        close = difflib.get_close_matches(args[0], [*COMMANDS, *ALIASES], n=3, cutoff=0.5)
        known = args[0] in COMMANDS or args[0] in ALIASES
        if not known and not args[0].startswith("-") and close:
            ctx.fail(f"there is no command {args[0]!r}; did you mean {' or '.join(close)}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; what it imports may lack, and help, too, may have nowhere to go."""
        try:
            return super().main(*args, **kwargs)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("barker"):
                raise
            use_virtual_environment("-m", "barker", *sys.argv[1:])
            raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            sys.exit(f"barker: cannot write to standard output: {error.strerror}")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Barker: what Twitter did in 2012, as AMQP 1.0 microservices that you can kill.

    Start it all with 'barker up'; see the help of each command for what it takes.
    """


if __name__ == "__main__":
    main()
