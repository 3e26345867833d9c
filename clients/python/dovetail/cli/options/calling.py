"""What all commands that call servers share: options, the connection, error handling."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from click.core import ParameterSource

from dovetail.cli import late
from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import SERVERS, with_settings
from dovetail.cli.output.exit_codes import (
    INTERRUPTED,
    INVALID,
    MISUSED,
    CommandError,
)
from dovetail.cli.output.printing import Output
from dovetail.settings import CLIENT

TIMEOUT: float = CLIENT["timeout"].default
DEFAULT_TEAM = "default"
"""The team of callers that name none, on servers without credentials."""

P = ParamSpec("P")

LOOK_PATIENCE = 1.0
"""Seconds for which a command tries to reach a server that asks whether it runs."""

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
    tls: late.client.Tls | None = None
    insecure: bool = False

    @property
    def has_token(self) -> bool:
        """Whether a token names the caller."""
        return bool(self.token_file or os.environ.get(CLIENT["token"].variable))

    def connect(
        self,
        agent_id: str = "",
        team_id: str = "",
        seconds: float = TIMEOUT,
        patience: float | None = LOOK_PATIENCE,
    ) -> AbstractAsyncContextManager[late.client.Agent]:
        """Connect as an agent; a call takes at most `seconds`, and is repeated for `patience`."""
        return late.client.connect(
            agent_id,
            team_id=team_id,
            messaging=self.messaging,
            tasks=self.tasks,
            timeout=seconds,
            patience=patience,
            token_file=self.token_file,
            tls=self.tls,
            insecure=self.insecure,
        )


@dataclass(frozen=True, kw_only=True)
class Session:
    """A command's connection and its output."""

    agent: late.client.Agent
    out: Output
    timeout: float
    team_id: str
    servers: Servers

    @property
    def known_team_id(self) -> str:
        """The team; empty where only the caller's token says which."""
        return self.team_id or ("" if self.servers.has_token else DEFAULT_TEAM)


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

    @with_settings(*(CLIENT[name] for name in ("agent", "team", "timeout", "patience")))
    @server_options
    @prints
    @functools.wraps(function)
    def command(  # noqa: PLR0913 - one parameter per option
        servers: Servers,
        agent: str,
        team: str,
        timeout: float,
        patience: float | None,
        output: Output,
        **arguments: Any,
    ) -> None:
        async def call() -> None:
            if not output.as_json:
                late.outages.tell_of_outages()
            async with servers.connect(agent, team, timeout, patience) as caller:
                session = Session(
                    agent=caller,
                    out=output,
                    timeout=timeout,
                    team_id=team,
                    servers=servers,
                )
                await function(session, **arguments)  # type: ignore[call-arg]

        with failures_explained(servers):
            late.asyncio.run(call())

    return command


@contextmanager
def failures_explained(servers: Servers | None = None) -> Generator[None]:
    """Turn errors of the block into the documented exit codes and texts.

    With `servers`, which the block called, a wrong address among them is named.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except late.client.DovetailError as error:
        if swapped := _swapped(error, servers):
            raise CommandError(swapped, MISUSED) from error
        raise late.failures.command_error(error) from error
    except late.client.ConfigurationError as error:
        raise CommandError(str(error), MISUSED, hint=_where_named(error)) from error
    except ValueError as error:
        raise CommandError(f"a value cannot be sent: {error}", INVALID) from error


def _swapped(error: late.client.DovetailError, servers: Servers | None) -> str:
    """What is wrong if a service was called at the address of the other one; else empty."""
    is_unknown = isinstance(error, late.client.UnimplementedError) and not error.reason
    if not (is_unknown and servers):
        return ""
    from dovetail.cli.services import swapped  # Loads what only this needs.

    named = {"messaging": servers.messaging, "tasks": servers.tasks}
    return late.asyncio.run(swapped(error.address, named, servers.tls))


def _servers(context: click.Context, given: dict[str, Any]) -> Servers:
    _check_addresses(given)
    _refuse_profiles_token(context, given)
    tls = {part: given[key] for part, key in _TLS.items()}
    return Servers(
        messaging=given["messaging"],
        tasks=given["tasks"],
        token_file=_token_file(context, given["token_file"]),
        tls=late.client.Tls(**tls) if given["tls"] or any(tls.values()) else None,
        insecure=given["insecure"],
    )


def _where_named(error: Exception) -> str:
    """Where to look for the name of a file that is not there."""
    is_missing = "No such file" in str(error)
    return "See where it is named: dovetail config" if is_missing else ""


def _check_addresses(given: dict[str, Any]) -> None:
    """Raise CommandError for an address without a port; a name may have several."""
    for name in ("messaging", "tasks"):
        for address in filter(None, map(str.strip, given[name].split(","))):
            if not (":" in address and address.rpartition(":")[2]):
                flag = CLIENT[name].flag
                raise CommandError(f"{flag} {address!r} has no port: write HOST:PORT", MISUSED)


def _refuse_profiles_token(context: click.Context, given: dict[str, Any]) -> None:
    """Raise CommandError if the token of the profile would go to a server that an option names."""
    profile = context.find_root().obj.profile
    source = context.get_parameter_source(CLIENT["token-file"].key)
    if not profile or not profile.has_token or source is not ParameterSource.DEFAULT_MAP:
        return
    try:
        profile.refuse_other_servers({name: given[name] for name in ("messaging", "tasks")})
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from error


def _token_file(context: click.Context, file: Path | None) -> Path | None:
    """The token file; None if the environment has a token, unless the option was given.

    If the environment has both, the client raises.
    """
    source = context.get_parameter_source(CLIENT["token-file"].key)
    given = source is ParameterSource.COMMANDLINE
    return file if given or not os.environ.get(CLIENT["token"].variable) else None
