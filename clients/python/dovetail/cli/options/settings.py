"""The settings as options of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from dovetail.cli.options.folded import FoldedOption
from dovetail.settings import CLIENT, SERVER, Kind, Setting, converted, without_password

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)

_TYPES: dict[Kind, click.ParamType[Any]] = {
    Kind.TEXT: click.STRING,
    Kind.FILE: FILE,
    Kind.FOLDER: click.Path(path_type=Path, file_okay=False),
    Kind.SWITCH: click.BOOL,
}

_ADDRESSES = ("listen", "messaging-listen", "tasks-listen", "web-listen")
SHOWN = (*_ADDRESSES, "store", "data-dir", "credentials", "agent")
"""The settings that the help of a command shows, besides the page of their topic."""
SERVING = tuple(setting for name, setting in SERVER.items() if name not in _ADDRESSES)
"""The settings of every server, except its address."""

_CALLING = ("agent", "team", "timeout", "patience", "token")
SERVERS = tuple(setting for name, setting in CLIENT.items() if name not in _CALLING)
"""The settings with which clients connect to servers."""

CALLING = (*(CLIENT[name] for name in _CALLING[:-1]), *SERVERS)
"""The settings of every command that calls servers."""


def topic_of(setting: Setting) -> str:
    """The topic of help that has the option of a setting."""
    return "server" if setting.section == "server" else "connection"


class _SettingLength(click.ParamType[float]):
    """A length of time, in seconds, as the environment and the file have it."""

    name = "LENGTH"

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        try:
            return converted(self._setting, value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SettingOption(FoldedOption):
    """An option with its setting."""

    def __init__(self, *declarations: Any, setting: Setting, topic: str, **attributes: Any) -> None:
        """Make the option of `setting`."""
        super().__init__(*declarations, topic=topic, **attributes)
        self.setting = setting

    @property
    def page(self) -> str:
        """The topic whose page has it, also where help shows it."""
        return topic_of(self.setting)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """What is wrong: the option, or the variable that has its value."""
        source = ctx and ctx.get_parameter_source(str(self.name))
        if source is ParameterSource.ENVIRONMENT:
            return f"'{self.setting.variable}'"
        return super().get_error_hint(ctx)

    def full_record(self, context: click.Context) -> tuple[str, str] | None:
        """The row in the help of its topic, with its variable."""
        self.show_envvar = True
        try:
            return super().full_record(context)
        finally:
            self.show_envvar = False


def with_settings(*settings: Setting, is_folded: bool = True) -> Callable[[F], F]:
    """Give a command the options of settings; its parameters have the names of their keys.

    Help shows under a topic of its own what most calls do without, unless it is the very subject
    of the command.
    """

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            topic = topic_of(setting) if is_folded and setting.name not in SHOWN else ""
            function = option(setting, setting.flag, setting.key, topic)(function)
        return function

    return decorate


def option(setting: Setting, flag: str, parameter: str, topic: str) -> Callable[[F], F]:
    """The option of a setting, as `flag`, for a `parameter` of the command."""
    decorator = click.option(
        flag,
        parameter,
        cls=SettingOption,
        setting=setting,
        topic=topic,
        type=_type(setting),
        is_flag=setting.is_switch,
        metavar=setting.metavar,
        default=setting.shown_default
        if setting.kind is Kind.LENGTH and setting.default is not None
        else setting.default,
        envvar=setting.variable,
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
    if setting.kind is Kind.LENGTH:
        return _SettingLength(setting)
    if setting.kind is Kind.COUNT:
        return click.IntRange(_whole(setting.at_least), _whole(setting.at_most))
    return _TYPES[setting.kind]


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def options_of(command: click.Command) -> list[SettingOption]:
    """The options of a command that are settings."""
    return [each for each in command.params if isinstance(each, SettingOption)]
