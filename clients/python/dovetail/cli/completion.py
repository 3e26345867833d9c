"""`dovetail completion`: what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

KINDS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command()
@click.argument("shell", type=click.Choice(list(KINDS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete `dovetail` commands.

    For bash: eval "$(dovetail completion bash)" in ~/.bashrc; for zsh the same in ~/.zshrc; for
    fish: dovetail completion fish > ~/.config/fish/completions/dovetail.fish
    """
    entrance = context.find_root().command
    # Not source(): it would ask the shell for its version, and warn of one it cannot tell.
    script = KINDS[shell](entrance, {}, "dovetail", "_DOVETAIL_COMPLETE")
    click.echo(script.source_template % script.source_vars())
