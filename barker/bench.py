"""`barker bench`: the benchmarks, in short forms that take seconds; from a wheel as from a checkout."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click

from barker.commands import options
from barker.commands.output import show, styled
from barker.core.errors import Mistake
from barker.environment import PAGES, extra

FOLDER = PAGES / "benchmarks"
"""What measures is no part of the package that it measures: it lies beside the pages."""


def short_forms() -> dict[str, tuple[str, ...]]:
    """The options of each benchmark that has a short form, by name.

    :raises Mistake: when this Barker came without its benchmarks.
    """
    if not FOLDER.exists():
        raise Mistake(f"there are no benchmarks in {FOLDER}: take a checkout, or a wheel of one")
    sys.path.insert(0, str(FOLDER.parent))
    found: dict[str, tuple[str, ...]] = importlib.import_module("benchmarks.short").SHORT
    return found


def _names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in short_forms() if name.startswith(incomplete)] if FOLDER.exists() else []


@options.command("bench", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", required=False, shell_complete=_names)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF THAT]...")
@options.program
def main(name: str | None, arguments: tuple[str, ...]) -> None:
    """Measure this machine: the benchmark NAME, or each of them, in a form that takes seconds.

    Each starts what it measures, on ports that are free and in a folder of its own. What stands behind NAME
    are its own options, such as --help, --json, or --seconds 20.
    """
    short = short_forms()
    if name is None:
        _each(list(short))
    if name not in short:
        raise Mistake(f"there is no benchmark {name!r:.40}; there are {', '.join(short)}")
    with extra("terminal"):
        command: click.Command = importlib.import_module(f"benchmarks.{name}").main
    command.main([*short[name], *arguments], prog_name=f"barker bench {name}")


def _each(names: list[str]) -> None:
    """All of them, each in a process of its own: what measures is part of what is measured."""
    failed = []
    for number, name in enumerate(names, 1):
        show(styled(f"{number} of {len(names)}: {name}", bold=True))
        if subprocess.run([sys.executable, "-m", "barker", "bench", name], check=False).returncode:
            failed.append(name)
    sys.exit(f"these failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
