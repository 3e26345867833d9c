"""How far a long command is: a bar where somebody looks on."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

import click

from dovetail.cli.output.terminal import is_in_foreground


class Progress(Protocol):
    """Where a command shows how far it is."""

    def step(self, what: str, done: int, total: int) -> None:
        """Show what is done, how much of it is, and how much there is."""

    def say(self, text: str) -> None:
        """Say something meanwhile, on standard error."""


class _Silent:
    def step(self, what: str, done: int, total: int) -> None:
        del what, done, total

    def say(self, text: str) -> None:
        click.echo(f"dovetail: {text}", err=True)


@contextmanager
def progress_shown() -> Generator[Progress]:
    """Show a bar for as long as the block lasts."""
    if not is_in_foreground(sys.stderr):
        yield _Silent()
        return
    from rich import progress as rich  # Slow to load.
    from rich.console import Console

    class Bar:
        def step(self, what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        def say(self, text: str) -> None:
            bar.console.print(f"dovetail: {text}", markup=False, highlight=False)

    with rich.Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield Bar()
