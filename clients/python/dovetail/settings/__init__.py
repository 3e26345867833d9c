"""The settings that the client library and the command line share."""

from dovetail.settings.file import (
    SettingsFileError,
    nearest,
    read_settings,
    usual_file,
    usual_path,
)
from dovetail.settings.places import SQLITE, data_home, store_url_of
from dovetail.settings.table import (
    CLIENT,
    CONFIG,
    MESSAGING,
    PREFIX,
    PROFILE,
    SERVER,
    SETTINGS,
    TASKS,
    Kind,
    Setting,
    converted,
    without_password,
)

__all__ = [
    "CLIENT",
    "CONFIG",
    "MESSAGING",
    "PREFIX",
    "PROFILE",
    "SERVER",
    "SETTINGS",
    "SQLITE",
    "TASKS",
    "Kind",
    "Setting",
    "SettingsFileError",
    "converted",
    "data_home",
    "nearest",
    "read_settings",
    "store_url_of",
    "usual_file",
    "usual_path",
    "without_password",
]
