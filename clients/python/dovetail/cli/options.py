"""What the commands that call servers have in common: options, a connection, how they fail."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, cast

import click

from dovetail.cli.exits import INTERRUPTED, INVALID, CommandError, explained
from dovetail.cli.output import Output
from dovetail.client import Agent, DovetailError, connect

P = ParamSpec("P")

MESSAGING = "127.0.0.1:50051"
TASKS = "127.0.0.1:50052"
PATIENCE = 1.0
"""Seconds for which a command tries to reach a server: a person waits for it."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A command's connection, and where it writes."""

    agent: Agent
    out: Output
    timeout: float
    team_id: str
    messaging: str
    tasks: str


_SERVER_OPTIONS = (
    click.option(
        "--messaging",
        metavar="HOST:PORT",
        envvar="DOVETAIL_MESSAGING",
        default=MESSAGING,
        show_default=True,
        show_envvar=True,
        help="Where messaging serves.",
    ),
    click.option(
        "--tasks",
        metavar="HOST:PORT",
        envvar="DOVETAIL_TASKS",
        default=TASKS,
        show_default=True,
        show_envvar=True,
        help="Where tasks serves.",
    ),
)

_OPTIONS = (
    click.option(
        "--as",
        "caller_id",
        metavar="AGENT",
        envvar="DOVETAIL_AGENT",
        default="",
        show_envvar=True,
        help="Who calls.",
    ),
    click.option(
        "--team",
        "team_id",
        metavar="TEAM",
        envvar="DOVETAIL_TEAM",
        default="default",
        show_default=True,
        show_envvar=True,
        help="In which team.",
    ),
    *_SERVER_OPTIONS,
    click.option(
        "--timeout",
        type=click.FloatRange(0.1),
        metavar="SECONDS",
        default=30.0,
        show_default=True,
        help="How long a call may take.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object per item."),
)


def server_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the servers are."""
    return functools.reduce(lambda made, option: option(made), reversed(_SERVER_OPTIONS), function)


def calls(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of a coroutine function that calls servers."""

    @functools.wraps(function)
    def command(  # noqa: PLR0913 - one parameter per option
        caller_id: str,
        team_id: str,
        messaging: str,
        tasks: str,
        timeout: float,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        async def call() -> None:
            async with connect(
                caller_id,
                team_id=team_id,
                messaging=messaging,
                tasks=tasks,
                timeout=timeout,
                patience=PATIENCE,
            ) as agent:
                session = Session(
                    agent=agent,
                    out=Output(as_json),
                    timeout=timeout,
                    team_id=team_id,
                    messaging=messaging,
                    tasks=tasks,
                )
                await function(session, **arguments)  # type: ignore[call-arg]

        try:
            asyncio.run(call())
        except DovetailError as error:
            raise explained(error) from error
        except ValueError as error:
            raise CommandError(f"a value cannot be sent: {error}", INVALID) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


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
            return datetime.fromisoformat(str(value)).astimezone()
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-11-30T17:00 or 2026-11-30", param, ctx)


class _Object(click.ParamType[dict[str, Any]]):
    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        try:
            made = json.loads(value)
        except json.JSONDecodeError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)
        if not isinstance(made, dict):
            self.fail(f"{value!r} is not a JSON object", param, ctx)
        return cast("dict[str, Any]", made)


LABEL = _Label()
TIME = _Time()
OBJECT = _Object()

label_option = click.option(
    "--label", "labels", type=LABEL, multiple=True, help="A label; may be given several times."
)


def enum_names(values: Iterable[str], prefix: str) -> list[str]:
    """The names of an enum's values, as one types them."""
    names = (value.removeprefix(prefix).lower().replace("_", "-") for value in values)
    return [name for name in names if name != "unspecified"]
