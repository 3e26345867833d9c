"""The default folders of a user's files; the user of a container may have none."""

from __future__ import annotations

import os
from pathlib import Path

SQLITE = "sqlite:///"


def config_home() -> Path | None:
    """The folder of configuration: XDG_CONFIG_HOME or ~/.config; None if no home is known."""
    return _folder("XDG_CONFIG_HOME", ".config")


def data_home() -> Path | None:
    """The folder of data: XDG_DATA_HOME or ~/.local/share; None if no home is known."""
    return _folder("XDG_DATA_HOME", ".local/share")


def without_tilde(path: str) -> Path:
    """A path with its `~` replaced. Raises ValueError if no home is known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{path!r} starts at a home folder, and none is known: set HOME, or write a full path"
        ) from None


def store_url_of(store: str, folder: Path) -> str:
    """The URL of a store; a relative path starts at `folder`.

    Text with a colon or an equals sign may be a URL or a connection string: it is not changed.
    """
    if not store or ":" in store or "=" in store:
        return store
    return f"{SQLITE}{os.path.abspath(folder / without_tilde(store))}"


def _folder(variable: str, below_home: str) -> Path | None:
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / below_home
    except RuntimeError:  # Without HOME and without an entry in passwd.
        return None
