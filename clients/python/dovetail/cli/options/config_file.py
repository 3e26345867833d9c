"""The configuration file, passed to the commands as their defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dovetail.cli.lazy import loaded
from dovetail.cli.options.settings import options_of
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.settings import (
    PROFILE,
    Setting,
    SettingsFileError,
    read_settings,
    usual_file,
    usual_path,
)
from dovetail.settings.profiles import CONNECTION, NONE, Profile, merged, profile_in_force


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """The file's path, whether it exists, and its settings; no path if no home is known.

    `values` are its settings under `profile`, which is the profile in force, if any.
    """

    path: Path | None
    exists: bool
    values: Mapping[Setting, Any]
    profile: Profile | None = None


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


def read_config(named: Path | None, profile: str = "") -> ConfigFile:
    """Read the named file, or else the one at the default path, and the profile in force."""
    path = named or usual_file()
    try:
        in_force = profile_in_force(profile)
        values = merged(read_settings(path) if path else {}, in_force)
    except SettingsFileError as error:
        raise CommandError(str(error), MISUSED) from error
    return ConfigFile(
        path=path or usual_path(), exists=path is not None, values=values, profile=in_force
    )


def without_profile(named: Path | None) -> ConfigFile:
    """Read the file alone."""
    return read_config(named, NONE)


def prefer_profile(name: str) -> None:
    """Have this profile in force for the rest of this process, and those that it starts.

    It says how to connect, as a whole: what the environment says of that is removed.
    """
    for setting in CONNECTION if name != NONE else ():
        os.environ.pop(setting.variable, None)
    os.environ[PROFILE.variable] = name
