"""The configuration file: found, read and checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from dovetail.settings.exposure import Exposure, exposure
from dovetail.settings.places import config_home, store_url_of, without_tilde
from dovetail.settings.table import CLIENT, SETTINGS, Kind, Setting, converted, without_password

SECTIONS = tuple(dict.fromkeys(setting.section for setting in SETTINGS))


class SettingsFileError(ValueError):
    """The file cannot be read, or a value in it is wrong; the text names the file and the key."""


def read_settings(path: Path) -> Mapping[Setting, Any]:
    """Read the settings of a file. Raises SettingsFileError."""
    import tomllib  # Only where there is a file: it takes as long to load as all of this package.

    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _fault(path, f"is not TOML: {error}") from error
    return dict(_value(path, *each) for each in _entries(path, tables))


def usual_path() -> Path | None:
    """The default path of the file; None if this user has no home folder."""
    home = config_home()
    return home and home / "dovetail" / "config.toml"


def usual_file() -> Path | None:
    """The file at the default path; None if there is none."""
    path = usual_path()
    # A folder that is closed to this user is another's: HOME may be that of a container's starter.
    return path if path and os.path.exists(path) else None


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint at the known name that is most like a wrong one; empty if none is alike."""
    import difflib  # as slow, and only for a mistake

    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def _fault(path: Path, text: str) -> SettingsFileError:
    return SettingsFileError(f"{path}: {text}")


def _entries(path: Path, tables: dict[str, Any]) -> Iterable[tuple[Setting, Any]]:
    """The settings in the file. Raises SettingsFileError for an unknown section or key."""
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
    """A hint at the right key or section for a wrong key."""
    if section == "client" and key == CLIENT["token"].key:
        return ": keep the token in a file of its own, and name that in token_file"
    own = [one.key for one in SETTINGS if one.section == section and one.in_file]
    return _whose(key) or nearest(key, own)


def _whose(key: str) -> str:
    """A hint at the section of a known key."""
    places = [one.section for one in SETTINGS if one.in_file and one.key == key]
    return f": it belongs below [{places[0]}]" if places else ""


def _value(path: Path, setting: Setting, value: Any) -> tuple[Setting, Any]:
    """Convert a value as the setting's option would. Raises an error that names the key."""
    place = f"[{setting.section}] {setting.key}"
    kinds, words = _kind(setting)
    if type(value) not in kinds:
        raise _fault(path, f"{place} must be {words}, not {value!r}")
    if setting.kind in (Kind.FILE, Kind.FOLDER):
        # So that it means the same from every working directory.
        value = path.absolute().parent / _expanded(path, place, value)
    try:
        parsed = converted(setting, value)
    except ValueError as error:
        raise _fault(path, f"{place}: {error}") from error
    if setting.name == "store":
        parsed = _store(path, place, parsed)
        _check_password(path, parsed)
    return setting, parsed


def _expanded(path: Path, place: str, value: str) -> Path:
    try:
        return without_tilde(value)
    except ValueError as error:
        raise _fault(path, f"{place}: {error}") from error


def _store(path: Path, place: str, value: str) -> str:
    try:
        return store_url_of(value, path.absolute().parent)
    except ValueError as error:
        raise _fault(path, f"{place}: {error}") from error


def _kind(setting: Setting) -> tuple[tuple[type, ...], str]:
    """The types of TOML that a setting accepts, and their name in an error."""
    if setting.is_switch:
        return (bool,), "true or false"
    if setting.kind is Kind.LENGTH:
        return (int, float, str), 'a number of seconds, or a length as "1m"'
    if setting.kind is Kind.COUNT:
        return (int,), "a whole number"
    return (str,), 'a text in "quotes"'


def _check_password(path: Path, store: str) -> None:
    """Raise SettingsFileError if the store has a password and other users can read the file."""
    if without_password(store) == store:
        return
    with path.open("rb") as file:
        open_to = exposure(file.fileno())
    if open_to is not Exposure.NOBODY:
        raise _fault(
            path,
            f"[server] store holds a password, and other users may read the file: chmod 600 {path}",
        )
