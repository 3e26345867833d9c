"""The settings: one table, of which options, variables, file keys, help and docs are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])

PREFIX = "DOVETAIL_"
MESSAGING = "127.0.0.1:50051"
TASKS = "127.0.0.1:50052"

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: an option, an environment variable and a key of the file.

    `told` is the default in words, where it is no fixed value. `as_flag` and `as_variable` are for
    those whose names do not follow from `name`. What is `environment_only` is a secret: it has no
    option and no key, and is never printed.
    """

    name: str
    section: str
    help: str
    type: click.ParamType[Any] = click.STRING
    metavar: str | None = None
    default: Any = None
    told: str = ""
    as_flag: str = ""
    as_variable: str = ""
    environment_only: bool = False

    @property
    def flag(self) -> str:
        """Its option; a secret has none: other users of the machine see command lines."""
        return "" if self.environment_only else self.as_flag or f"--{self.name}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.as_variable or PREFIX + self.name.upper().replace("-", "_")

    @property
    def key(self) -> str:
        """Its name in the file, below its section; also that of the option's parameter."""
        return self.name.replace("-", "_")

    @property
    def in_file(self) -> bool:
        """Whether it may stand in the file."""
        return bool(self.section) and not self.environment_only

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.type is click.BOOL

    @property
    def default_words(self) -> str:
        """Its default, as people read it."""
        return self.told or ("" if self.default is None or self.is_switch else str(self.default))


def _server(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="server", help=help, **more)


def _client(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="client", help=help, **more)


_ADDRESS: dict[str, Any] = {"metavar": "HOST:PORT"}
_FILE: dict[str, Any] = {"metavar": "FILE", "type": FILE}
_SWITCH: dict[str, Any] = {"type": click.BOOL, "default": False}

SETTINGS = (
    _server(
        "store",
        "sqlite:///PATH or postgresql://…",
        metavar="URL",
        told="dovetail.db in the data folder",
    ),
    _server(
        "data-dir",
        "The data folder.",
        metavar="DIR",
        type=FOLDER,
        told="dovetail in XDG_DATA_HOME or ~/.local/share",
    ),
    _server(
        "listen",
        "Where `serve` listens; port 0: any free one.",
        told="127.0.0.1:50051 (messaging), :50052 (tasks)",
        **_ADDRESS,
    ),
    _server(
        "messaging-listen",
        "Where messaging of `up` listens; port 0: any free one.",
        default=MESSAGING,
        **_ADDRESS,
    ),
    _server(
        "tasks-listen",
        "Where tasks of `up` listens; port 0: any free one.",
        default=TASKS,
        **_ADDRESS,
    ),
    _server(
        "insecure",
        "Allow an address that other machines can reach, without TLS or without credentials.",
        **_SWITCH,
    ),
    _server("credentials", "Ask every caller for a token.", **_SWITCH),
    _server(
        "admin-token-file",
        "With --credentials: where the first admin's token stands. It is made if it is missing.",
        **_FILE,
    ),
    _server("tls-cert", "The server's certificate and its chain (PEM); turns TLS on.", **_FILE),
    _server("tls-key", "The key of --tls-cert (PEM).", **_FILE),
    _server(
        "tls-client-ca",
        "Ask every client for a certificate of these authorities (PEM).",
        **_FILE,
    ),
    _server(
        "audit-log",
        "Where changes of rights and refusals are written.",
        told="the server's log",
        **_FILE,
    ),
    _server(
        "drain-seconds",
        "How long calls may take to finish when a server stops.",
        metavar="SECONDS",
        type=click.FloatRange(0),
        default=10.0,
    ),
    _server(
        "heartbeat-seconds",
        "How often a stream without news says that it lives.",
        metavar="SECONDS",
        type=click.FloatRange(0.1),
        default=30.0,
    ),
    _server(
        "shortest-lease-seconds",
        "The shortest lease that a task may be held under: how soon a dead worker can be noticed.",
        metavar="SECONDS",
        type=click.FloatRange(0.5, 60),
        default=10.0,
    ),
    _client("agent", "Who calls.", metavar="AGENT", default="", as_flag="--as"),
    _client(
        "team", "In which team.", metavar="TEAM", default="", told="default, or that of the token"
    ),
    _client("messaging", "Where messaging serves.", default=MESSAGING, **_ADDRESS),
    _client("tasks", "Where tasks serves.", default=TASKS, **_ADDRESS),
    _client(
        "timeout",
        "How long a call may take.",
        metavar="SECONDS",
        type=click.FloatRange(0.1),
        default=30.0,
    ),
    _client(
        "token",
        "The token itself, of which --token-file names a file.",
        environment_only=True,
    ),
    _client("token-file", "Where the token stands; a file of yours alone (mode 0600).", **_FILE),
    _client("tls", "Use TLS, and trust the authorities that this system trusts.", **_SWITCH),
    _client("tls-ca", "Use TLS, and trust these authorities alone (PEM).", **_FILE),
    _client(
        "tls-server-name",
        "What the server's certificate must be for; servers on several hosts have it in common.",
        metavar="NAME",
        default="",
        told="the host of the address",
    ),
    _client("tls-client-cert", "The certificate to show to a server that asks (PEM).", **_FILE),
    _client("tls-client-key", "The key of --tls-client-cert (PEM).", **_FILE),
    _client(
        "insecure",
        "Allow the token to be sent without TLS to another machine.",
        # Not DOVETAIL_INSECURE: what opens a server must not give tokens away as well.
        as_variable="DOVETAIL_CLIENT_INSECURE",
        **_SWITCH,
    ),
)

CONFIG = Setting(
    name="config",
    section="",
    help="The file that settings are read from (TOML).",
    told="config.toml in dovetail in XDG_CONFIG_HOME or ~/.config, if there is one",
    **_FILE,
)

SERVER = {setting.name: setting for setting in SETTINGS if setting.section == "server"}
CLIENT = {setting.name: setting for setting in SETTINGS if setting.section == "client"}

_ADDRESSES = ("listen", "messaging-listen", "tasks-listen")
SERVING = tuple(setting for name, setting in SERVER.items() if name not in _ADDRESSES)
"""What every server is told, beside where it listens."""

_CALLING = ("agent", "team", "timeout", "token")
SERVERS = tuple(setting for name, setting in CLIENT.items() if name not in _CALLING)
"""How clients reach servers."""

CALLING = (*(CLIENT[name] for name in _CALLING[:-1]), *SERVERS)
"""What every command is told that makes calls."""


class SettingOption(click.Option):
    """The option of a setting, which knows the setting."""

    def __init__(self, *declarations: Any, setting: Setting, **attributes: Any) -> None:
        """Make the option of `setting`."""
        super().__init__(*declarations, **attributes)
        self.setting = setting


def with_settings(*settings: Setting) -> Callable[[F], F]:
    """Give a command the options of settings; its parameters are named like their keys."""

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            function = option(setting, setting.flag, setting.key)(function)
        return function

    return decorate


def option(setting: Setting, flag: str, parameter: str) -> Callable[[F], F]:
    """The option of a setting, as `flag`, for a `parameter` of the command."""
    made = click.option(
        flag,
        parameter,
        cls=SettingOption,
        setting=setting,
        type=setting.type,
        is_flag=setting.is_switch,
        metavar=setting.metavar,
        default=setting.default,
        envvar=setting.variable,
        show_envvar=True,
        show_default=setting.told or setting.default_words != "",
        help=setting.help,
        callback=_warn_of_password if setting.name == "store" else None,
    )
    return cast("Callable[[F], F]", made)


def _warn_of_password(context: click.Context, parameter: click.Parameter, store: Any) -> Any:
    """Warn of a password that came by the option: other users of the machine can read it."""
    given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    if given and without_password(store) != store:
        click.echo(
            "dovetail: warning: the password in --store can be read by other users, in the list of"
            f" processes: give it as {SERVER['store'].variable}, or in the configuration file",
            err=True,
        )
    return store


def options_of(command: click.Command) -> list[SettingOption]:
    """The options of a command that are settings."""
    return [each for each in command.params if isinstance(each, SettingOption)]


def without_password(url: str) -> str:
    """An address of a store, fit to be shown."""
    url = re.sub(r"(://[^:/@]*:).+@", r"\1…@", url)
    return re.sub(r"(?i)(?<=password=)[^&]+", "…", url)
