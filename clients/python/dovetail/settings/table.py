"""The settings: one table from which options, variables, file keys, help and docs are generated.

The client library and the command line both read it, so that an argument, the environment, the file
and the default mean the same to both. It depends on the standard library only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from dovetail.settings.lengths import EXAMPLES, check_length, length_text, read_length

PREFIX = "DOVETAIL_"
MESSAGING = "127.0.0.1:50051"
TASKS = "127.0.0.1:50052"
WEB = "127.0.0.1:50053"


class Kind(Enum):
    """The kind of a setting's value."""

    TEXT = auto()
    FILE = auto()
    FOLDER = auto()
    LENGTH = auto()
    """A length of time; its value is a number of seconds."""
    COUNT = auto()
    SWITCH = auto()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: an option, an environment variable and a key of the file.

    A length or a count is in the range `at_least` to `at_most`. `default_text` describes a default
    that is not a fixed value. `as_flag` and `as_variable` are for names that do not follow from
    `name`. A setting that is `environment_only` is a secret: it has no option and no key, and is
    not printed.
    """

    name: str
    section: str
    help: str
    kind: Kind = Kind.TEXT
    at_least: float | None = None
    at_most: float | None = None
    metavar: str | None = None
    default: Any = None
    default_text: str = ""
    as_flag: str = ""
    as_variable: str = ""
    environment_only: bool = False

    @property
    def flag(self) -> str:
        """Its option; a secret has none because other users of the machine see command lines."""
        return "" if self.environment_only else self.as_flag or f"--{self.name}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.as_variable or PREFIX + self.name.upper().replace("-", "_")

    @property
    def key(self) -> str:
        """Its name in its section of the file, and the name of the option's parameter."""
        return self.name.replace("-", "_")

    @property
    def in_file(self) -> bool:
        """Whether the file may set it."""
        return bool(self.section) and not self.environment_only

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.kind is Kind.SWITCH

    @property
    def shown_default(self) -> str:
        """Its default as shown to people."""
        if self.default_text or self.default is None or self.is_switch:
            return self.default_text
        return length_text(self.default) if self.kind is Kind.LENGTH else str(self.default)


def _server(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="server", help=help, **more)


def _client(name: str, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, section="client", help=help, **more)


_ADDRESS: dict[str, Any] = {"metavar": "HOST:PORT"}
_FILE: dict[str, Any] = {"metavar": "FILE", "kind": Kind.FILE}
_SWITCH: dict[str, Any] = {"kind": Kind.SWITCH, "default": False}
_LIMIT: dict[str, Any] = {
    "metavar": "NUMBER",
    "kind": Kind.COUNT,
    "at_least": 0,
    "at_most": 1_000_000,
}

SETTINGS = (
    _server(
        "store",
        "A file (or sqlite:///PATH) in a folder that exists, or postgresql://…",
        metavar="URL",
        default_text="dovetail.db in the data folder",
    ),
    _server(
        "data-dir",
        "The data folder.",
        metavar="DIR",
        kind=Kind.FOLDER,
        default_text="dovetail in XDG_DATA_HOME or ~/.local/share",
    ),
    _server(
        "listen",
        "Where it listens; port 0: any free one.",
        default_text="127.0.0.1:50051 (messaging), :50052 (tasks)",
        **_ADDRESS,
    ),
    _server(
        "messaging-listen",
        "Where messaging listens; port 0: any free one.",
        default=MESSAGING,
        **_ADDRESS,
    ),
    _server(
        "tasks-listen",
        "Where tasks listens; port 0: any free one.",
        default=TASKS,
        **_ADDRESS,
    ),
    _server(
        "web-listen",
        "Where the page listens, with dovetail[web]; off: none.",
        default=WEB,
        **_ADDRESS,
    ),
    _server(
        "insecure",
        "Allow an address that other machines can reach, without TLS or without credentials.",
        **_SWITCH,
    ),
    _server("credentials", "Require a token of every caller.", **_SWITCH),
    _server(
        "admin-token-file",
        "With --credentials: the file of the first admin's token. It is created if missing.",
        **_FILE,
    ),
    _server("tls-cert", "The server's certificate and its chain (PEM); turns TLS on.", **_FILE),
    _server("tls-key", "The key of --tls-cert (PEM).", **_FILE),
    _server(
        "tls-client-ca",
        "Require of every client a certificate signed by these authorities (PEM).",
        **_FILE,
    ),
    _server(
        "audit-log",
        "The file to which changes of rights and refusals are logged.",
        default_text="the server's log",
        **_FILE,
    ),
    _server(
        "drain-seconds",
        "How long calls may take to finish when a server stops.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0,
        default=10.0,
    ),
    _server(
        "workers",
        "How many processes serve one address (Linux); each has its own share of the connections.",
        metavar="NUMBER",
        kind=Kind.COUNT,
        at_least=1,
        at_most=64,
        default=1,
    ),
    _server(
        "heartbeat-seconds",
        "How often an idle stream sends a heartbeat.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0.1,
        default=30.0,
    ),
    _server(
        "shortest-lease-seconds",
        "The shortest lease of a task that is allowed: how soon a dead worker can be noticed.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0.5,
        at_most=60,
        default=10.0,
    ),
    _server(
        "metrics-listen",
        "Where Prometheus gets metrics: worker N at port + 2(N - 1). `up`: messaging; tasks at +1.",
        default="",
        default_text="nowhere",
        **_ADDRESS,
    ),
    _server(
        "loop-hops",
        "The longest chain of messages of agents that answer each other; 0: no limit.",
        default_text="no limit; of `dovetail up`: 64",
        **_LIMIT,
    ),
    _server(
        "loop-thread-hour",
        "How many messages agents may send in a thread in an hour without a person; 0: no limit.",
        default_text="no limit; of `dovetail up`: 150",
        **_LIMIT,
    ),
    _server(
        "loop-depth",
        "How often agents may pass on what they are sent, without an answer back; 0: no limit.",
        default_text="no limit; of `dovetail up`: 16",
        **_LIMIT,
    ),
    _server(
        "away-seconds",
        "How long an agent that was asked may be away before the one that asked is told; 0: never.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0,
        at_most=31_536_000,
        default_text="never; of `dovetail up`: 15m",
    ),
    _server(
        "retention",
        "What teams keep that say nothing themselves: messages=90d,ended-tasks-count=100000.",
        metavar="RULES",
        default="",
        default_text="notices=30d",
    ),
    _client(
        "agent",
        "Who calls; also DOVETAIL_AGENT.",
        metavar="AGENT",
        default="",
        as_flag="--as",
    ),
    _client(
        "team",
        "The team.",
        metavar="TEAM",
        default="",
        default_text="default, or that of the token",
    ),
    _client("messaging", "The address of messaging.", default=MESSAGING, **_ADDRESS),
    _client("tasks", "The address of tasks.", default=TASKS, **_ADDRESS),
    _client(
        "timeout",
        "How long a call may take.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0.1,
        default=30.0,
    ),
    _client(
        "patience",
        "How long a call is tried again while no server can be reached; at most --timeout.",
        metavar="LENGTH",
        kind=Kind.LENGTH,
        at_least=0,
        default_text="the timeout",
    ),
    _client(
        "token",
        "The token itself; --token-file names a file that holds it.",
        environment_only=True,
    ),
    _client("token-file", "The file of the token, readable by you only (mode 0600).", **_FILE),
    _client("tls", "Use TLS, and trust the authorities that this system trusts.", **_SWITCH),
    _client("tls-ca", "Use TLS, and trust only these authorities (PEM).", **_FILE),
    _client(
        "tls-server-name",
        "The name in the server's certificate; servers on several hosts must share one.",
        metavar="NAME",
        default="",
        default_text="the host of the address",
    ),
    _client("tls-client-cert", "The certificate for servers that require one (PEM).", **_FILE),
    _client("tls-client-key", "The key of --tls-client-cert (PEM).", **_FILE),
    _client(
        "insecure",
        "Allow the token to be sent without TLS to another machine.",
        # Not DOVETAIL_INSECURE: opening a server must not also expose tokens.
        as_variable="DOVETAIL_CLIENT_INSECURE",
        **_SWITCH,
    ),
)

CONFIG = Setting(
    name="config",
    section="",
    help="The file from which settings are read (TOML).",
    default_text="config.toml in dovetail in XDG_CONFIG_HOME or ~/.config, if there is one",
    **_FILE,
)

PROFILE = Setting(
    name="profile",
    section="",
    help="The profile: how to connect to one pair of servers; none: without one.",
    metavar="NAME",
    default_text="that of `dovetail config use`, if any",
)

SERVER = {setting.name: setting for setting in SETTINGS if setting.section == "server"}
CLIENT = {setting.name: setting for setting in SETTINGS if setting.section == "client"}


def without_password(url: str) -> str:
    """The URL of a store, with its password replaced."""
    url = re.sub(r"(://[^:/@]*:).+@", r"\1…@", url)
    return re.sub(r"(?i)(?<=password=)[^&]+", "…", url)


_ON = {"1", "true", "t", "yes", "y", "on"}
_OFF = {"0", "false", "f", "no", "n", "off"}


def converted(setting: Setting, value: Any) -> Any:
    """Convert a setting's value from the environment or the file. Raises ValueError."""
    if setting.kind in (Kind.FILE, Kind.FOLDER):
        return _path(setting, Path(value))
    if setting.kind is Kind.LENGTH:
        seconds = _seconds(value)
        check_length(seconds, setting.at_least, setting.at_most)
        return seconds
    if setting.kind is Kind.COUNT:
        return _in_range(setting, _count(value))
    if setting.is_switch and isinstance(value, str):
        return _switch(value)
    return value


def _path(setting: Setting, path: Path) -> Path:
    """A path; it need not exist, because it may be created later."""
    if setting.kind is Kind.FILE and path.is_dir():
        raise ValueError(f"File '{path}' is a directory")
    if setting.kind is Kind.FOLDER and path.exists() and not path.is_dir():
        raise ValueError(f"Directory '{path}' is a file")
    return path


def _seconds(value: Any) -> float:
    """A length in seconds: a number in a file, a text everywhere else."""
    if isinstance(value, str):
        return read_length(value).total_seconds()
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a length of time: {EXAMPLES}")
    return float(value)


def _count(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


def _in_range(setting: Setting, number: int) -> int:
    low = -math.inf if setting.at_least is None else setting.at_least
    high = math.inf if setting.at_most is None else setting.at_most
    if not low <= number <= high:
        raise ValueError(f"{number} is not in the range {low:g}<=x<={high:g}")
    return number


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _ON | _OFF:
        raise ValueError(f"{text!r} is neither on nor off: write 1 or 0")
    return word in _ON
