"""`barker ps`, `kill`, `freeze`, `thaw`, `stop`, `start`, `add`, `rate`: the launcher, from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from barker.amqp.links import Places
from barker.amqp.message import encode_command
from barker.amqp.outbound import Outbound, Outcome, Rejected
from barker.commands import options
from barker.commands.completing import launcher_of, processes, services
from barker.commands.output import as_json, show
from barker.commands.terminal import Terminal, refused
from barker.core.printable import printable
from barker.suite.found import program

WAIT_SECONDS = 10.0
"""How long the launcher has to answer."""


def order(directories: Places, session_file: Path | None, verb: str, **arguments: Any) -> None:
    """Have the launcher do something. The suite's session file tells where it is, with no directory, too.

    :raises Mistake: when it will not.
    """
    terminal = Terminal(launcher_of(session_file, directories))

    def on_outcome(outcome: Outcome) -> None:
        if isinstance(outcome, Rejected):
            terminal.fail(refused(verb, outcome.condition))
        else:
            terminal.stop()

    def undone() -> str:
        return f"not known whether it is done: {verb}" if outbound.in_flight else f"not done: {verb}"

    outbound = Outbound(terminal.network, "launcher")
    outbound.send(encode_command(verb, arguments), on_outcome)
    terminal.expect("no launcher has answered", WAIT_SECONDS, undone)
    terminal.run()


@options.command("ps")
@options.as_json
@options.session
@options.directory
@options.program
def ps(json: bool, session_file: Path | None, directories: Places) -> None:
    """Show the processes that the launcher has started."""
    found = processes(launcher_of(session_file, directories), WAIT_SECONDS)
    width = max([16, *(len(str(process["name"])) for process in found)])
    if not json:
        show(f"{'service':<{width}} {'pid':>7} {'port':>6} {'state':<8} what it does")
    for process in found:
        port, held = process["port"] or "-", str(process.get("held", ""))
        state = "by hand" if program(held.split()) else process["state"]
        line = f"{process['name']!s:<{width}} {process['pid']!s:>7} {port!s:>6} {state!s:<8}"
        text = printable(f"{line} {held or process['does']}")
        show(as_json(process) if json else text)


def _on_process(verb: str, line: str, done: str) -> click.Command:
    """The command that does `verb` to one process."""

    @options.command(verb, help=line)
    @click.argument("name", shell_complete=services)
    @options.session
    @options.directory
    @options.program
    def command(name: str, session_file: Path | None, directories: Places) -> None:
        order(directories, session_file, verb, name=name)
        show(f"{name} {done}")

    return command


kill = _on_process("kill", "Kill the process NAME (SIGKILL).", "is killed")
freeze = _on_process("freeze", "Freeze the process NAME (SIGSTOP).", "is frozen")
thaw = _on_process("thaw", "Thaw the process NAME (SIGCONT).", "goes on")
stop = _on_process("stop", "Have the process NAME end (SIGTERM).", "is told to end")
start = _on_process("start", "Start the process NAME again; done when it is ready.", "is ready")


@options.command("add")
@click.argument("kind", type=click.Choice(["bizlogic", "outbox", "autobark"]))
@options.session
@options.directory
@options.program
def add(kind: str, session_file: Path | None, directories: Places) -> None:
    """Start one more process of that KIND."""
    order(directories, session_file, "add", kind=kind)
    show(f"one more {kind} is started")


@options.command("rate")
@click.argument("rate", type=click.FloatRange(0, min_open=True))
@options.session
@options.directory
@options.program
def rate(rate: float, session_file: Path | None, directories: Places) -> None:
    """Have every autobark bark RATE times a second: it ends, and begins anew."""
    order(directories, session_file, "rate", rate=rate)
    show(f"every autobark begins anew, and barks {rate:g} times a second")
