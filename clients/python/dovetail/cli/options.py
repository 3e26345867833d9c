"""What all commands that call servers share: options, the connection, error handling."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import click
from click.core import ParameterSource

from dovetail.cli.exit_codes import INTERRUPTED, INVALID, MISUSED, CommandError, command_error
from dovetail.cli.output import Output
from dovetail.cli.settings import SERVERS, with_settings
from dovetail.cli.text import escape_controls
from dovetail.cli.times import read_time
from dovetail.client import Agent, ConfigurationError, DovetailError, Tls, connect
from dovetail.client.agent import TIMEOUT
from dovetail.settings import CLIENT

P = ParamSpec("P")

PATIENCE = 1.0
"""Seconds for which a command tries to reach a server, while a person waits."""

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

_TLS = {
    "ca": "tls_ca",
    "cert": "tls_client_cert",
    "key": "tls_client_key",
    "server_name": "tls_server_name",
}


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The servers' addresses, and how to connect to them."""

    messaging: str
    tasks: str
    token_file: Path | None = None
    tls: Tls | None = None
    insecure: bool = False

    @property
    def has_token(self) -> bool:
        """Whether a token names the caller."""
        return bool(self.token_file or os.environ.get(CLIENT["token"].variable))

    def connect(
        self, agent_id: str = "", team_id: str = "", seconds: float = TIMEOUT
    ) -> AbstractAsyncContextManager[Agent]:
        """Connect as an agent; a call takes at most `seconds`."""
        return connect(
            agent_id,
            team_id=team_id,
            messaging=self.messaging,
            tasks=self.tasks,
            timeout=seconds,
            patience=PATIENCE,
            token_file=self.token_file,
            tls=self.tls,
            insecure=self.insecure,
        )


@dataclass(frozen=True, kw_only=True)
class Session:
    """A command's connection and its output."""

    agent: Agent
    out: Output
    timeout: float
    team_id: str
    servers: Servers


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def stacked(*options: Decorator) -> Decorator:
    """One decorator for several options, which help lists in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def server_options(function: Callable[Concatenate[Servers, P], None]) -> Callable[..., None]:
    """Give a command the options for the servers' addresses and for connecting to them."""

    @with_settings(*SERVERS)
    @click.pass_context
    @functools.wraps(function)
    def command(context: click.Context, /, **arguments: Any) -> None:
        servers = _servers(context, {one.key: arguments.pop(one.key) for one in SERVERS})
        function(servers, **arguments)  # type: ignore[call-arg]

    return command


def calls(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> Callable[..., None]:
    """Turn a coroutine function that calls servers into a command."""

    @with_settings(*(CLIENT[name] for name in ("agent", "team", "timeout")))
    @server_options
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object per item.")
    @functools.wraps(function)
    def command(
        servers: Servers, agent: str, team: str, timeout: float, as_json: bool, **arguments: Any
    ) -> None:
        async def call() -> None:
            async with servers.connect(agent, team, timeout) as caller:
                session = Session(
                    agent=caller,
                    out=Output(as_json),
                    timeout=timeout,
                    team_id=team,
                    servers=servers,
                )
                await function(session, **arguments)  # type: ignore[call-arg]

        with failures_explained():
            asyncio.run(call())

    return command


@contextmanager
def failures_explained() -> Generator[None]:
    """Turn errors of the block into the documented exit codes and texts."""
    try:
        yield
    except DovetailError as error:
        raise command_error(error) from error
    except ConfigurationError as error:
        raise CommandError(str(error), MISUSED) from error
    except ValueError as error:
        raise CommandError(f"a value cannot be sent: {error}", INVALID) from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _servers(context: click.Context, given: dict[str, Any]) -> Servers:
    tls = {part: given[key] for part, key in _TLS.items()}
    return Servers(
        messaging=given["messaging"],
        tasks=given["tasks"],
        token_file=_token_file(context, given["token_file"]),
        tls=Tls(**tls) if given["tls"] or any(tls.values()) else None,
        insecure=given["insecure"],
    )


def _token_file(context: click.Context, file: Path | None) -> Path | None:
    """The token file; None if the environment has a token, unless the option was given.

    If the environment has both, the client raises.
    """
    source = context.get_parameter_source(CLIENT["token-file"].key)
    given = source is ParameterSource.COMMANDLINE
    return file if given or not os.environ.get(CLIENT["token"].variable) else None


class _Label(click.ParamType[tuple[str, str]]):
    name = "KEY=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        key, separator, text = str(value).partition("=")
        if not separator:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


class _Time(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        try:
            read = read_time(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if read.remark:
            click.echo(f"dovetail: {escape_controls(read.remark)}", err=True)
        return read.time


class _Length(click.ParamType[timedelta]):
    name = "LENGTH"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        match = re.fullmatch(r"(\d{1,15})([smhdw])", str(value))
        if not match:
            self.fail(f"{value!r} is not a duration: write 90s, 30m, 12h or 7d", param, ctx)
        try:
            return timedelta(seconds=int(match[1]) * UNITS[match[2]])
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)


class _Object(click.ParamType[dict[str, Any]]):
    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"{value!r} is not a JSON object", param, ctx)
        return cast("dict[str, Any]", parsed)


LABEL = _Label()
TIME = _Time()
LENGTH = _Length()
OBJECT = _Object()

label_option = click.option(
    "--label", "labels", type=LABEL, multiple=True, help="A label; may be given several times."
)


def enum_names(values: Iterable[str], prefix: str) -> list[str]:
    """The names of an enum's values as they are typed on the command line."""
    names = (value.removeprefix(prefix).lower().replace("_", "-") for value in values)
    return [name for name in names if name != "unspecified"]
