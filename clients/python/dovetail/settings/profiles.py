"""Profiles: small files of client settings, each for one pair of servers.

How to connect (addresses, token, TLS) comes from one place as a whole, so that a token is never
sent to servers that it is not for: from a profile, or from the environment and the file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.settings.file import SettingsFileError, read_settings, usual_path
from dovetail.settings.table import CLIENT, CONFIG, PROFILE, Setting

NONE = "none"
"""The name that stands for no profile."""

FOLDER, CURRENT = "profiles", "current-profile"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

CONNECTION = tuple(
    setting
    for name, setting in CLIENT.items()
    if name in ("messaging", "tasks", "token", "token-file", "insecure") or name.startswith("tls")
)
"""The settings that come from one place as a whole."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile that is in force, and what chose it: `flag`, `environment` or `file`."""

    name: str
    path: Path
    values: Mapping[Setting, Any]
    chosen_by: str

    @property
    def has_token(self) -> bool:
        """Whether it names a token."""
        return bool(self.values.get(CLIENT["token-file"]))

    def refuse_other_servers(self, addresses: Mapping[str, str]) -> None:
        """Raise ValueError if the profile's token would go to other servers than the profile's.

        `addresses` has those that are called, by the name of their setting.
        """
        for name, address in addresses.items():
            own = self.values.get(CLIENT[name], CLIENT[name].default)
            if address != own:
                raise ValueError(
                    f"the token of the profile {self.name} is for its own servers, and {address} is"
                    f" none of them ({name}: {own}). Name the token for it too"
                    f" ({CLIENT['token-file'].flag}), or use no profile: {PROFILE.flag} {NONE}"
                )


def folder() -> Path | None:
    """The folder of the profiles and of the choice: that of the configuration file.

    None if there is no such folder: no home is known, or the environment names a device, so that
    no file is read.
    """
    named = os.environ.get(CONFIG.variable)
    file = Path(named).absolute() if named else usual_path()
    return None if file is None or file.is_char_device() else file.parent


def names() -> list[str]:
    """The names of all profiles."""
    place = folder()
    found = (place / FOLDER).glob("*.toml") if place else ()
    return sorted(path.stem for path in found if _NAME.fullmatch(path.stem))


def current_name() -> str:
    """The name that `use` wrote; empty if there is none."""
    place = folder()
    try:
        return (place / CURRENT).read_text().strip() if place else ""
    except OSError:
        return ""


def profile_in_force(given: str = "") -> Profile | None:
    """The profile that applies. Raises SettingsFileError.

    It is the given one, or that of the environment, or the current one. The environment may name
    how to connect instead; it must not do both.
    """
    if given:
        return _named(given, "flag")
    own = [setting.variable for setting in CONNECTION if os.environ.get(setting.variable)]
    name = os.environ.get(PROFILE.variable, "")
    if name and own and name != NONE:
        raise SettingsFileError(
            f"{PROFILE.variable} and {own[0]} are both in the environment, and may mean different"
            " servers: unset one of them"
        )
    if name:
        return _named(name, "environment")
    current = "" if own else current_name()
    return _named(current, "file") if current else None


def merged(file: Mapping[Setting, Any], profile: Profile | None) -> Mapping[Setting, Any]:
    """The settings of the configuration file under a profile."""
    if profile is None:
        return file
    kept = {setting: value for setting, value in file.items() if setting not in CONNECTION}
    return {**kept, **profile.values}


def use(name: str) -> None:
    """Make a profile the current one, or none. Raises SettingsFileError or OSError."""
    place = folder()
    if name != NONE:
        _named(name, "flag")
    if place is None:
        return
    if name == NONE:
        (place / CURRENT).unlink(missing_ok=True)
    else:
        write_private(place / CURRENT, f"{name}\n")


def write(name: str, comment: str, values: Mapping[str, str]) -> Path | None:
    """Write a profile that begins with this comment; None if there is no folder for it.

    A file of that name that does not begin with it was written by a person, and is kept. Raises
    OSError.
    """
    place = folder()
    if place is None:
        return None
    path = place / FOLDER / f"{name}.toml"
    first = f"# {comment}\n"
    if path.exists() and not path.read_text().startswith(first):
        return None
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()]
    write_private(path, "".join([first, "[client]\n", *lines]))
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read."""
    from dovetail.settings.replacing import replace_file  # Slow to load, and only for this.

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, text.encode(), 0o600)


def _named(name: str, chosen_by: str) -> Profile | None:
    if name == NONE:
        return None
    place, known = folder(), names()
    if place is None or name not in known:
        raise SettingsFileError(_unknown(name, known, chosen_by))
    path = place / FOLDER / f"{name}.toml"
    values = read_settings(path)
    for setting in values:
        if setting.section != "client":
            raise SettingsFileError(
                f"{path}: a profile has [client] alone, not [{setting.section}]"
            )
    return Profile(name=name, path=path, values=values, chosen_by=chosen_by)


def _unknown(name: str, known: list[str], chosen_by: str) -> str:
    if chosen_by == "file":
        return (
            f"no profile {name!r} any more, and it is in use. Use none: dovetail config use --none"
        )
    there = f"there are {', '.join(known)}" if known else "there is none: dovetail up writes one"
    return f"no profile {name!r}: {there}"
