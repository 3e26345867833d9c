"""The configuration file, passed to the commands as their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dovetail.cli.lazy import loaded
from dovetail.cli.options.settings import options_of
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.settings import Setting, SettingsFileError, read_settings, usual_file, usual_path


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """The file's path, whether it exists, and its settings; no path if no home is known."""

    path: Path | None
    exists: bool
    values: Mapping[Setting, Any]


class Defaults(Mapping[str, Any]):
    """A file's values for the options of a command, and the Defaults of its subcommands, by name.

    This is click's `default_map`. Only the subcommand that click asks for is loaded.
    """

    def __init__(self, file: ConfigFile, command: click.Command) -> None:
        """Look up what a command asks for in `file`."""
        self._file = file
        self._values = {
            str(option.name): file.values[option.setting]
            for option in options_of(command)
            if option.setting in file.values
        }
        self._commands: Mapping[str, click.Command] = (
            command.commands if isinstance(command, click.Group) else {}
        )

    def __getitem__(self, name: str) -> Any:
        if name in self._commands:
            return Defaults(self._file, loaded(self._commands[name]))
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._values, **self._commands})

    def __len__(self) -> int:
        return len({**self._values, **self._commands})


def read_config(named: Path | None) -> ConfigFile:
    """Read the named file, or else the one at the default path if it exists."""
    path = named or usual_file()
    if path is None:
        return ConfigFile(path=usual_path(), exists=False, values={})
    try:
        return ConfigFile(path=path, exists=True, values=read_settings(path))
    except SettingsFileError as error:
        raise CommandError(str(error), MISUSED) from error
