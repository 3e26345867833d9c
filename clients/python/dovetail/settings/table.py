"""The settings: one table, of which options, variables, file keys, help and docs are made.

The client library and the command line both read it, so that an argument, the environment, the file
and the default mean the same to both. Nothing here needs more than Python's own library.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

PREFIX = "DOVETAIL_"
MESSAGING = "127.0.0.1:50051"
TASKS = "127.0.0.1:50052"


class Kind(Enum):
    """What a setting's value is."""

    TEXT = auto()
    FILE = auto()
    FOLDER = auto()
    NUMBER = auto()
    SWITCH = auto()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: an option, an environment variable and a key of the file.

    A number lies from `at_least` to `at_most`. `told` is the default in words, where it is no fixed
    value. `as_flag` and `as_variable` are for those whose names do not follow from `name`. What is
    `environment_only` is a secret: it has no option and no key, and is never printed.
    """

    name: str
    section: str
    help: str
    kind: Kind = Kind.TEXT
    at_least: float | None = None
    at_most: float | None = None
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
        return self.kind is Kind.SWITCH

    @property
    def default_words(self) -> str:
        """Its default, as people read it."""
        return self.told or ("" if self.default is None or self.is_switch else str(self.default))


def _server(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="server", help=help, **more)


def _client(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="client", help=help, **more)


_ADDRESS: dict[str, Any] = {"metavar": "HOST:PORT"}
_FILE: dict[str, Any] = {"metavar": "FILE", "kind": Kind.FILE}
_SWITCH: dict[str, Any] = {"kind": Kind.SWITCH, "default": False}

SETTINGS = (
    _server(
        "store",
        "The path of a file (or sqlite:///PATH), or postgresql://…; its folder must be there.",
        metavar="URL",
        told="dovetail.db in the data folder",
    ),
    _server(
        "data-dir",
        "The data folder.",
        metavar="DIR",
        kind=Kind.FOLDER,
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
        kind=Kind.NUMBER,
        at_least=0,
        default=10.0,
    ),
    _server(
        "heartbeat-seconds",
        "How often a stream without news says that it lives.",
        metavar="SECONDS",
        kind=Kind.NUMBER,
        at_least=0.1,
        default=30.0,
    ),
    _server(
        "shortest-lease-seconds",
        "The shortest lease that a task may be held under: how soon a dead worker can be noticed.",
        metavar="SECONDS",
        kind=Kind.NUMBER,
        at_least=0.5,
        at_most=60,
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
        kind=Kind.NUMBER,
        at_least=0.1,
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


def without_password(url: str) -> str:
    """An address of a store, fit to be shown."""
    url = re.sub(r"(://[^:/@]*:).+@", r"\1…@", url)
    return re.sub(r"(?i)(?<=password=)[^&]+", "…", url)


_ON = {"1", "true", "t", "yes", "y", "on"}
_OFF = {"0", "false", "f", "no", "n", "off"}


def converted(setting: Setting, value: Any) -> Any:
    """The value that stands for a setting in the environment or the file. Raises ValueError."""
    if setting.kind in (Kind.FILE, Kind.FOLDER):
        return _path(setting, Path(value))
    if setting.kind is Kind.NUMBER:
        return _number(setting, value)
    if setting.is_switch and isinstance(value, str):
        return _switch(value)
    return value


def _path(setting: Setting, path: Path) -> Path:
    """A path; what does not exist may be made later."""
    if setting.kind is Kind.FILE and path.is_dir():
        raise ValueError(f"File '{path}' is a directory")
    if setting.kind is Kind.FOLDER and path.exists() and not path.is_dir():
        raise ValueError(f"Directory '{path}' is a file")
    return path


def _number(setting: Setting, value: Any) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number") from None
    low = -math.inf if setting.at_least is None else setting.at_least
    high = math.inf if setting.at_most is None else setting.at_most
    if not low <= number <= high:
        most = "" if setting.at_most is None else f"<={high:g}"
        raise ValueError(f"{number} is not in the range {_least(setting, most)}")
    return number


def _least(setting: Setting, most: str) -> str:
    """The range as the command line writes it."""
    if setting.at_least is None:
        return f"x{most}"
    return f"{setting.at_least:g}<=x{most}" if most else f"x>={setting.at_least:g}"


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _ON | _OFF:
        raise ValueError(f"{text!r} is neither on nor off: write 1 or 0")
    return word in _ON
