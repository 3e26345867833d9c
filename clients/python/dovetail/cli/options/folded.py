"""Options that the help of a command leaves out, for a page of their own."""

from __future__ import annotations

from typing import Any

import click


class FoldedOption(click.Option):
    """An option. With a topic, help shows it under `dovetail help TOPIC` alone."""

    def __init__(self, *declarations: Any, topic: str, **attributes: Any) -> None:
        """Make it an option of the topic, if that is not empty."""
        super().__init__(*declarations, **attributes)
        self.topic = topic

    @property
    def page(self) -> str:
        """The topic whose page has it; a page may also have options that help shows."""
        return self.topic

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The row in the help of a command."""
        return None if self.topic else super().get_help_record(ctx)

    def full_record(self, context: click.Context) -> tuple[str, str] | None:
        """The row in the help of its topic."""
        return super().get_help_record(context)


def folded_options(command: click.Command) -> list[FoldedOption]:
    """The options of a command that a page of a topic has."""
    return [each for each in command.params if isinstance(each, FoldedOption)]
