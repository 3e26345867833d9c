"""What all commands of admins share."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from dovetail.cli import late
from dovetail.cli.options.calling import Servers, failures_explained, server_options
from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.printing import Output
from dovetail.settings import CLIENT

P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True)
class Administration:
    """A command's connection as an admin, and its output."""

    admin: late.admin.Admin
    out: Output


def administers(
    function: Callable[Concatenate[Administration, P], Awaitable[None]],
) -> Callable[..., None]:
    """Turn a coroutine function of an admin into a command; its token alone names the caller."""

    @with_settings(CLIENT["timeout"], CLIENT["patience"])
    @server_options
    @prints
    @functools.wraps(function)
    def command(
        servers: Servers, timeout: float, patience: float | None, output: Output, **arguments: Any
    ) -> None:
        async def call() -> None:
            async with late.admin.connect_admin(
                messaging=servers.messaging,
                tasks=servers.tasks,
                timeout=timeout,
                patience=patience,
                token_file=servers.token_file,
                tls=servers.tls,
                insecure=servers.insecure,
            ) as admin:
                session = Administration(admin=admin, out=output)
                await function(session, **arguments)  # type: ignore[call-arg]

        with failures_explained():
            late.asyncio.run(call())

    return command
