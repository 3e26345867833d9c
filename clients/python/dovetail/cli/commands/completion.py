"""`dovetail completion`: scripts with which shells complete `dovetail` commands."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from dovetail.cli.options.values import Word

KINDS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command()
@click.argument("shell", type=Word(list(KINDS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for shell completion.

    For bash: eval "$(dovetail completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc; for
    fish: dovetail completion fish > ~/.config/fish/completions/dovetail.fish
    """
    root = context.find_root().command
    # Not source(): it would run the shell for its version, and warn if it cannot find that out.
    script = KINDS[shell](root, {}, "dovetail", "_DOVETAIL_COMPLETE")
    click.echo(script.source_template % script.source_vars())
