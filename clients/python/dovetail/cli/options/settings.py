"""The settings as options of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from dovetail.settings import CLIENT, SERVER, Kind, Setting, without_password

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)

_TYPES: dict[Kind, click.ParamType[Any]] = {
    Kind.TEXT: click.STRING,
    Kind.FILE: FILE,
    Kind.FOLDER: click.Path(path_type=Path, file_okay=False),
    Kind.SWITCH: click.BOOL,
}

_ADDRESSES = ("listen", "messaging-listen", "tasks-listen")
SERVING = tuple(setting for name, setting in SERVER.items() if name not in _ADDRESSES)
"""The settings of every server, except its address."""

_CALLING = ("agent", "team", "timeout", "token")
SERVERS = tuple(setting for name, setting in CLIENT.items() if name not in _CALLING)
"""The settings with which clients connect to servers."""

CALLING = (*(CLIENT[name] for name in _CALLING[:-1]), *SERVERS)
"""The settings of every command that calls servers."""


class SettingOption(click.Option):
    """An option with its setting."""

    def __init__(self, *declarations: Any, setting: Setting, **attributes: Any) -> None:
        """Make the option of `setting`."""
        super().__init__(*declarations, **attributes)
        self.setting = setting


def with_settings(*settings: Setting) -> Callable[[F], F]:
    """Give a command the options of settings; its parameters have the names of their keys."""

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            function = option(setting, setting.flag, setting.key)(function)
        return function

    return decorate


def option(setting: Setting, flag: str, parameter: str) -> Callable[[F], F]:
    """The option of a setting, as `flag`, for a `parameter` of the command."""
    decorator = click.option(
        flag,
        parameter,
        cls=SettingOption,
        setting=setting,
        type=_type(setting),
        is_flag=setting.is_switch,
        metavar=setting.metavar,
        default=setting.default,
        envvar=setting.variable,
        show_envvar=True,
        show_default=setting.default_text or setting.shown_default != "",
        help=setting.help,
        callback=_warn_of_password if setting.name == "store" else None,
    )
    return cast("Callable[[F], F]", decorator)


def _warn_of_password(context: click.Context, parameter: click.Parameter, store: Any) -> Any:
    """Warn of a password in the option: other users of the machine can read it."""
    given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    if given and without_password(store) != store:
        click.echo(
            "dovetail: warning: the password in --store can be read by other users, in the list of"
            f" processes: give it as {SERVER['store'].variable}, or in the configuration file",
            err=True,
        )
    return store


def _type(setting: Setting) -> click.ParamType[Any]:
    """The click type that parses, completes and describes a setting's value."""
    if setting.kind is Kind.NUMBER:
        return click.FloatRange(setting.at_least, setting.at_most)
    if setting.kind is Kind.COUNT:
        return click.IntRange(_whole(setting.at_least), _whole(setting.at_most))
    return _TYPES[setting.kind]


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def options_of(command: click.Command) -> list[SettingOption]:
    """The options of a command that are settings."""
    return [each for each in command.params if isinstance(each, SettingOption)]
