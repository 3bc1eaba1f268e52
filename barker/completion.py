"""`barker completion`: has the shell complete Barker's commands, options, services and users."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from barker.commands import options
from barker.commands.output import show

SHELLS: dict[str, tuple[type[ShellComplete], str]] = {
    "bash": (BashComplete, 'put  eval "$(barker completion bash)"  into ~/.bashrc'),
    "zsh": (ZshComplete, 'put  eval "$(barker completion zsh)"  into ~/.zshrc, behind compinit'),
    "fish": (FishComplete, "barker completion fish > ~/.config/fish/completions/barker.fish"),
}
"""Each shell's script, and how it gets it."""


@options.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@options.program
def main(shell: str) -> None:
    """Print what has SHELL complete commands, options, and the names of services and users.

    \b
    bash:  put  eval "$(barker completion bash)"  into ~/.bashrc
    zsh:   put  eval "$(barker completion zsh)"  into ~/.zshrc, behind compinit
    fish:  barker completion fish > ~/.config/fish/completions/barker.fish
    """
    kind, how = SHELLS[shell]
    show(f"# To have it in every shell: {how}")
    # The script needs a name only; the commands are asked for later, by `barker` itself.
    show(kind(click.Group("barker"), {}, "barker", "_BARKER_COMPLETE").source())


if __name__ == "__main__":
    main()
