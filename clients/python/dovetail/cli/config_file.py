"""The configuration file: read, checked, and handed to the commands as their defaults."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from dovetail.cli.exits import MISUSED, CommandError
from dovetail.cli.settings import (
    CLIENT,
    SETTINGS,
    Setting,
    options_of,
    without_password,
)

SECTIONS = tuple(dict.fromkeys(setting.section for setting in SETTINGS))
OTHERS = 0o077


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """The file, whether there is one, and what it sets."""

    path: Path
    exists: bool
    values: Mapping[Setting, Any]

    def defaults(self, command: click.Command) -> dict[str, Any]:
        """What it sets of a command's options and of those below it: click's `default_map`."""
        own = [option for option in options_of(command) if option.setting in self.values]
        made: dict[str, Any] = {str(each.name): self.values[each.setting] for each in own}
        if isinstance(command, click.Group):
            made |= {name: self.defaults(each) for name, each in command.commands.items()}
        return made


def read_config(named: Path | None) -> ConfigFile:
    """The file that is named, or else the usual one if there is one."""
    path = named or usual_path()
    if not named and not path.exists():
        return ConfigFile(path=path, exists=False, values={})
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _fault(path, f"is not TOML: {error}") from error
    values = dict(_value(path, *each) for each in _entries(path, tables))
    return ConfigFile(path=path, exists=True, values=values)


def usual_path() -> Path:
    """Where the file is looked for unless one is named: XDG_CONFIG_HOME/dovetail."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home, "dovetail", "config.toml")


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint at what a wrong name may have meant; empty where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def _fault(path: Path, text: str) -> CommandError:
    return CommandError(f"{path}: {text}", MISUSED)


def _entries(path: Path, tables: dict[str, Any]) -> Iterable[tuple[Setting, Any]]:
    """Every setting that stands in the file, or an error for what is none."""
    for section, table in tables.items():
        if section not in SECTIONS:
            hint = _whose(section) or nearest(section, SECTIONS)
            raise _fault(path, f"there is no {section}{hint or f': use {_tables()}'}")
        if not isinstance(table, dict):
            raise _fault(path, f"{section} must be a table: [{section}]")
        known = {setting.key: setting for setting in SETTINGS if setting.section == section}
        for key, value in cast("dict[str, Any]", table).items():
            if key not in known or not known[key].in_file:
                raise _fault(path, f"[{section}] has no {key}{_hint(section, key)}")
            yield known[key], value


def _tables() -> str:
    return " or ".join(f"[{section}]" for section in SECTIONS)


def _hint(section: str, key: str) -> str:
    """What a wrong key may have meant, in its own section or in the other."""
    if section == "client" and key == CLIENT["token"].key:
        return ": a token stands in a file of its own, which token_file names"
    own = [one.key for one in SETTINGS if one.section == section and one.in_file]
    return _whose(key) or nearest(key, own)


def _whose(key: str) -> str:
    """Where a known key belongs."""
    places = [one.section for one in SETTINGS if one.in_file and one.key == key]
    return f": it belongs below [{places[0]}]" if places else ""


def _value(path: Path, setting: Setting, value: Any) -> tuple[Setting, Any]:
    """A value as the setting's option would give it, or an error that names the key."""
    place = f"[{setting.section}] {setting.key}"
    kinds, words = _kind(setting)
    if type(value) not in kinds:
        raise _fault(path, f"{place} must be {words}, not {value!r}")
    if isinstance(setting.type, click.Path):
        # It means the same from wherever the command is run.
        value = path.absolute().parent / Path(value).expanduser()
    try:
        converted = setting.type.convert(value, None, None)
    except click.BadParameter as error:
        raise _fault(path, f"{place}: {error.message}") from error
    if setting.name == "store":
        _check_password(path, str(converted))
    return setting, converted


def _kind(setting: Setting) -> tuple[tuple[type, ...], str]:
    """Which types of TOML a setting takes, and how people call them."""
    if setting.is_switch:
        return (bool,), "true or false"
    if isinstance(setting.type, click.FloatRange):
        return (int, float), "a number"
    return (str,), 'a text in "quotes"'


def _check_password(path: Path, store: str) -> None:
    """A file with a password in it is its owner's alone."""
    if without_password(store) != store and path.stat().st_mode & OTHERS:
        raise _fault(
            path,
            f"[server] store holds a password, and other users may read the file: chmod 600 {path}",
        )
