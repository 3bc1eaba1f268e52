"""``python -m benchmarks NAME``: measure."""

from __future__ import annotations

import importlib

import click

NAMES = (
    "fanout",
    "hop",
    "celebrity",
    "latency",
    "readers",
    "startup",
    "scale",
    "failover",
    "overload",
    "sync",
    "plan",
    "reporting",
    "dashboard",
    "page",
    "whole",
)
"""Each a module here with a command called main."""


class Benchmarks(click.Group):
    """Loads each only when it is asked for: what measures is to be as small as it can be."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are read about."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The one that is called so."""
        if name not in NAMES:
            return None
        command: click.Command = importlib.import_module(f"benchmarks.{name}").main
        return command


@click.group(cls=Benchmarks, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Barker. Each starts what it measures, on ports that are free."""


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
