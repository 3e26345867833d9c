"""A client's settings: from arguments, else the environment, else the file, else the default.

The command line has the same order, names and file (dovetail.settings).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dovetail.client.connection import Addresses, split_addresses
from dovetail.client.security import ConfigurationError, Tls, Token
from dovetail.settings import (
    CLIENT,
    CONFIG,
    Setting,
    SettingsFileError,
    converted,
    read_settings,
    usual_file,
)
from dovetail.settings.profiles import CONNECTION, Profile, merged, profile_in_force

_TLS = {
    "ca": "tls-ca",
    "cert": "tls-client-cert",
    "key": "tls-client-key",
    "server_name": "tls-server-name",
}


class Configuration:
    """The settings of the environment, the profile and the file, which are read once, here."""

    def __init__(self, profile: str = "") -> None:
        """Read them, with this profile or the one in force. Raises ConfigurationError."""
        self._profile, self._file = _files(profile)
        # A profile that is an argument goes before the environment: it is how to connect, whole.
        self._is_given = bool(profile)
        self._has_profiles_token = False

    def value(self, name: str, given: Any = None) -> Any:
        """The value of a setting; `given` is the argument, or None."""
        return given if given is not None else self._read(CLIENT[name])

    def addresses(self, name: str, given: Addresses | None) -> tuple[str, ...]:
        """The addresses of a service. To be called after `token`, whose owner it checks."""
        found = split_addresses(self.value(name, given))
        if self._profile and self._has_profiles_token and given is not None:
            try:
                self._profile.refuse_other_servers({name: ",".join(found)})
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
        return found

    def tls(self, given: Tls | None) -> Tls | None:
        """The TLS files of the channel; None if it is not encrypted."""
        if given:
            return given
        parts = {part: self._read(CLIENT[name]) for part, name in _TLS.items()}
        return Tls(**parts) if self._read(CLIENT["tls"]) or any(parts.values()) else None

    def token(self, text: str, file: Path | str | None) -> Token:
        """The caller's token. One in the environment has precedence over the configuration file."""
        if text or file:
            return Token(text, file)
        text, named = self._variable(CLIENT["token"]), self._variable(CLIENT["token-file"])
        of_file = None if text or named else self._file.get(CLIENT["token-file"])
        self._has_profiles_token = bool(of_file and self._profile)
        return Token(text, named or of_file)

    def _read(self, setting: Setting) -> Any:
        text = self._variable(setting)
        if not text:
            return self._file.get(setting, setting.default)
        try:
            return converted(setting, text)
        except ValueError as error:
            raise ConfigurationError(f"{setting.variable}: {error}") from error

    def _variable(self, setting: Setting) -> str:
        is_replaced = self._is_given and setting in CONNECTION
        return "" if is_replaced else _environment(setting)


def _environment(setting: Setting) -> str:
    """The value in the environment; an empty variable is the same as none."""
    return os.environ.get(setting.variable, "")


def _files(given: str) -> tuple[Profile | None, Mapping[Setting, Any]]:
    """The profile in force, and the settings of the configuration file under it."""
    named = _environment(CONFIG)
    path = Path(named) if named else usual_file()
    try:
        profile = profile_in_force(given)
        return profile, merged(read_settings(path) if path else {}, profile)
    except SettingsFileError as error:
        raise ConfigurationError(str(error)) from error
