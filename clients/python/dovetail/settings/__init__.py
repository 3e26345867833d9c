"""The settings that the client library and the command line share."""

from dovetail.settings.file import (
    SettingsFileError,
    nearest,
    read_settings,
    usual_file,
    usual_path,
)
from dovetail.settings.places import data_home
from dovetail.settings.table import (
    CLIENT,
    CONFIG,
    MESSAGING,
    PREFIX,
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
    "SERVER",
    "SETTINGS",
    "TASKS",
    "Kind",
    "Setting",
    "SettingsFileError",
    "converted",
    "data_home",
    "nearest",
    "read_settings",
    "usual_file",
    "usual_path",
    "without_password",
]
