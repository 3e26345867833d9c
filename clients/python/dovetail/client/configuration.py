"""A client's settings: from arguments, else the environment, else the file, else the default.

The command line has the same order, names and file (dovetail.settings).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

_TLS = {
    "ca": "tls-ca",
    "cert": "tls-client-cert",
    "key": "tls-client-key",
    "server_name": "tls-server-name",
}


class Configuration:
    """The settings of the environment and the file. The file is read once, here."""

    def __init__(self) -> None:
        """Read the file. Raises ConfigurationError if it is wrong."""
        self._file = _file()

    def value(self, name: str, given: Any = None) -> Any:
        """The value of a setting; `given` is the argument, or None."""
        return given if given is not None else self._read(CLIENT[name])

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
        text, named = _environment(CLIENT["token"]), _environment(CLIENT["token-file"])
        return Token(text, named or (None if text else self._file.get(CLIENT["token-file"])))

    def _read(self, setting: Setting) -> Any:
        text = _environment(setting)
        if not text:
            return self._file.get(setting, setting.default)
        try:
            return converted(setting, text)
        except ValueError as error:
            raise ConfigurationError(f"{setting.variable}: {error}") from error


def _environment(setting: Setting) -> str:
    """The value in the environment; an empty variable is the same as none."""
    return os.environ.get(setting.variable, "")


def _file() -> Mapping[Setting, Any]:
    named = _environment(CONFIG)
    path = Path(named) if named else usual_file()
    if path is None:
        return {}
    try:
        return read_settings(path)
    except SettingsFileError as error:
        raise ConfigurationError(str(error)) from error
