"""The configuration file, passed to the commands as their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dovetail.cli.options.settings import options_of
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.settings import Setting, SettingsFileError, read_settings, usual_file, usual_path


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """The file's path, whether it exists, and its settings; no path if no home is known."""

    path: Path | None
    exists: bool
    values: Mapping[Setting, Any]

    def defaults(self, command: click.Command) -> dict[str, Any]:
        """Its values for the options of a command and its subcommands: click's `default_map`."""
        own = [option for option in options_of(command) if option.setting in self.values]
        found: dict[str, Any] = {str(each.name): self.values[each.setting] for each in own}
        if isinstance(command, click.Group):
            found |= {name: self.defaults(each) for name, each in command.commands.items()}
        return found


def read_config(named: Path | None) -> ConfigFile:
    """Read the named file, or else the one at the default path if it exists."""
    path = named or usual_file()
    if path is None:
        return ConfigFile(path=usual_path(), exists=False, values={})
    try:
        return ConfigFile(path=path, exists=True, values=read_settings(path))
    except SettingsFileError as error:
        raise CommandError(str(error), MISUSED) from error
