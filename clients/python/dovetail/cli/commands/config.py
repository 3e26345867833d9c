"""`dovetail config`: the value of every setting, and its source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.config_file import ConfigFile
from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import option, topic_of
from dovetail.cli.options.unknown_variables import unknown_variables
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.output.printing import Output
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Column, Group, Shown, Table
from dovetail.cli.output.text import escape_controls
from dovetail.settings import (
    PROFILE,
    SETTINGS,
    Kind,
    Setting,
    SettingsFileError,
    without_password,
)
from dovetail.settings.profiles import CONNECTION, NONE, Profile, current_name, names
from dovetail.settings.profiles import use as use_profile

NOT_SHOWN = "(set, not shown)"
SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
    ParameterSource.DEFAULT: "default",
}
HEAD = """\
# Dovetail's settings. A flag has precedence over an environment variable, and that over this file.
# A profile that is in use (dovetail config use) says how to connect instead of this file.
# To set one, remove the # before its key. The value shown is its default, or in capitals the kind
# of its value. Relative paths start at the folder of this file.
"""


@dataclass(frozen=True, kw_only=True)
class Effective:
    """One setting with its current value."""

    section: str
    key: str
    variable: str
    option: str
    value: Any
    source: str


def _flags() -> dict[str, Setting]:
    """A flag for each setting; if two have the same, the second is prefixed with its section."""
    flags: dict[str, Setting] = {}
    for setting in filter(lambda one: one.flag, SETTINGS):
        taken = setting.flag in flags
        flags[f"--{setting.section}-{setting.name}" if taken else setting.flag] = setting
    return flags


def _with_all_settings(function: Callable[..., None]) -> Callable[..., None]:
    for flag, setting in reversed(_flags().items()):
        function = option(setting, flag, _parameter(setting), topic_of(setting))(function)
    return function


def _parameter(setting: Setting) -> str:
    return f"{setting.section}_{setting.key}"


@click.group(cls=LazyGroup, invoke_without_command=True)
@_with_all_settings
@click.option("--template", is_flag=True, help="Print a file with every key instead.")
@prints
@click.pass_context
def config(context: click.Context, output: Output, template: bool, **_: object) -> None:
    """Show settings and their sources.

    A flag goes before the environment, that before the profile, that before the file, and that
    before the default.

    With the flags of another command it shows the settings of that command. It warns of environment
    variables that look like settings but are not.
    """
    if context.invoked_subcommand:
        return
    if template:
        click.echo(_template(), nl=False)
        return
    file: ConfigFile = context.obj
    effective = [_effective(context, setting) for setting in SETTINGS]
    output.facts_list(
        [asdict(each) for each in effective], lambda: _picture(file, effective), _brief
    )
    for warning in unknown_variables():
        click.echo(f"dovetail: {warning}", err=True)


def _effective(context: click.Context, setting: Setting) -> Effective:
    value, source = _found(context, setting)
    if isinstance(value, Path):
        value = str(value)
    return Effective(
        section=setting.section,
        key=setting.key,
        variable=setting.variable,
        option=setting.flag,
        value=without_password(value) if setting.name == "store" and value else value,
        source=source,
    )


def _found(context: click.Context, setting: Setting) -> tuple[Any, str]:
    """A setting's value and its source. The value of a secret is not returned."""
    if setting.environment_only:
        given = bool(os.environ.get(setting.variable))
        return (NOT_SHOWN, "environment") if given else (None, "default")
    name = _parameter(setting)
    source = context.get_parameter_source(name) or ParameterSource.DEFAULT
    file: ConfigFile = context.obj
    is_of_profile = file.profile is not None and setting in file.profile.values
    if source is ParameterSource.DEFAULT_MAP and is_of_profile:
        return context.params[name], "profile"
    return context.params[name], SOURCES[source]


def _picture(file: ConfigFile, effective: list[Effective]) -> Shown:
    columns = (Column(name=name, cells_min=20, folds=True) for name in ("setting", "value", "from"))
    table = Table(*columns, head="bold dim")
    for setting, each in zip(SETTINGS, effective, strict=True):
        default = each.source == "default"
        table.add_row(
            f"{each.section}.{each.key}",
            Text(_words(setting, each.value), style="dim" if default else ""),
            Text(_origin(each), style="dim" if default else "bold"),
        )
    head = [Text(f"file: {_place(file)}")]
    if file.profile:
        head.append(Text(f"profile: {_chosen(file.profile)}"))
    return Group(*head, Text(""), table)


def _chosen(profile: Profile) -> str:
    """The profile in force, its file, and what chose it."""
    by = {"flag": PROFILE.flag, "environment": PROFILE.variable, "file": "dovetail config use"}
    path = escape_controls(str(profile.path))
    return f"{profile.name} ({path}), chosen by {by[profile.chosen_by]}"


def _brief(setting: Mapping[str, Any]) -> str:
    value = escape_controls(str(setting["value"] or ""))
    return f"{setting['section']}.{setting['key']}={value} {setting['source']}"


def _place(file: ConfigFile) -> str:
    """The path of the file, and whether it exists."""
    if file.path is None:
        return "none (no home folder is known: name one with --config, or set HOME)"
    there = "" if file.exists else " (there is none)"
    return f"{escape_controls(str(file.path))}{there}"


def _words(setting: Setting, value: Any) -> str:
    if value is None or value == "":
        return setting.shown_default or "none"
    if setting.is_switch:
        return "on" if value else "off"
    return escape_controls(str(value))


def _origin(each: Effective) -> str:
    named = {"flag": each.option, "environment": each.variable}.get(each.source)
    return f"{each.source} {named}" if named else each.source


@config.command()
@click.argument("name", metavar="[NAME]", default="")
@click.option("--none", "is_none", is_flag=True, help="Use no profile again.")
@prints
@click.pass_context
def use(context: click.Context, output: Output, name: str, is_none: bool) -> None:
    """Use a profile from now on: how to connect to one pair of servers.

    `dovetail up` writes one for its servers. Without NAME it lists them.
    """
    if name and not is_none:
        _use(name)
    elif is_none:
        _use(NONE)
    file: ConfigFile = context.find_root().obj
    current = current_name()
    facts = [{"profile": each, "current": each == current} for each in names()]
    output.facts_list(facts, lambda: _list(facts), lambda each: str(each["profile"]))
    in_force = file.profile.name if file.profile else ""
    overriding = [each.variable for each in CONNECTION if os.environ.get(each.variable)]
    if current and overriding and not in_force:
        click.echo(f"dovetail: {overriding[0]} is in the environment, and goes before it", err=True)


def _use(name: str) -> None:
    try:
        use_profile(name)
    except SettingsFileError as error:
        raise CommandError(str(error), MISUSED) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error


def _list(facts: Sequence[Mapping[str, Any]]) -> Shown:
    if not facts:
        return Text("no profiles: dovetail up writes one")
    rows = (f"{'*' if each['current'] else ' '} {each['profile']}" for each in facts)
    return Text("\n".join(rows))


def _template() -> str:
    """A configuration file in which every setting is commented out."""
    lines = [HEAD]
    for section, settings in groupby(SETTINGS, lambda setting: setting.section):
        lines += [f"[{section}]", ""]
        for setting in filter(lambda one: one.in_file, settings):
            lines += [_comment(setting), f"#{setting.key} = {_literal(setting)}", ""]
    return "\n".join(lines)


def _comment(setting: Setting) -> str:
    default = f" Default: {setting.default_text}." if setting.default_text else ""
    help_ = setting.help if setting.help.endswith(".") else f"{setting.help}."
    return f"# {help_}{default}\n# Also {setting.flag}, {setting.variable}."


def _literal(setting: Setting) -> str:
    """The default as TOML; without a default, the kind of the value."""
    unset = {Kind.LENGTH: "30s", Kind.COUNT: 100}.get(setting.kind, setting.metavar)
    value = unset if setting.default in (None, "") else setting.default
    return json.dumps(value)
