"""`dovetail web`: the page, and the RPCs of both services for browsers."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import json
import sys
from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING

import click

from dovetail.cli import late, signals
from dovetail.cli.options.calling import Servers, failures_explained, server_options
from dovetail.cli.options.formats import errors_as_lines
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.output.sink import Sink
from dovetail.settings import CLIENT, SERVER

if TYPE_CHECKING:
    import socket

MISSING = "the page is served by connectrpc and uvicorn: pip install 'dovetail[web]'"
EVERYWHERE = ("0.0.0.0", "::", "")
_LISTEN = SERVER["web-listen"]


@click.command()
@with_settings(_LISTEN, *(CLIENT[name] for name in ("agent", "team")))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Another name by which browsers reach it, through a proxy. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, callback=errors_as_lines, help="Print JSON.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="Stop when its parent ends.")
@server_options
def web(
    servers: Servers,
    web_listen: str,
    agent: str,
    team: str,
    hosts: tuple[str, ...],
    as_json: bool,
    until_stdin_closes: bool,
) -> None:
    """Serve the page for people.

    Open the address that it prints. Each person acts there by a token of their own, or, where the
    servers ask for none, by the name that they give; --as proposes one.
    """
    host, port = _address(web_listen, servers)
    if host in EVERYWHERE and not hosts:
        raise CommandError(
            f"{_LISTEN.flag} {web_listen}: by which names do browsers reach it? Others are refused,"
            " against foreign names that lead here: --host NAME:PORT",
            MISUSED,
        )
    server = _load()
    config = server.WebConfig(
        messaging=servers.messaging,
        tasks=servers.tasks,
        tls=servers.tls,
        hosts=hosts,
        team_id=team,
        agent_id=agent,
    )
    if until_stdin_closes:
        signals.end_with_parent()
    listener = _listener(server, host, port)

    with closing(listener), closing(Sink(sys.stdout)) as out:

        def ready(port: int) -> None:
            url = f"http://{server.in_url(host)}:{port}/"
            out.line(json.dumps({"web": url}) if as_json else f"the page is at {url}")

        async def serve() -> None:
            stopped = late.asyncio.Event()
            for number in signals.ending_signals():
                late.asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            await server.serve(config, listener, stopped, ready)

        with failures_explained(servers):
            late.asyncio.run(serve())


def _load() -> ModuleType:
    """The server, with its libraries: an extra."""
    try:
        from dovetail.bridges.web import server
    except ImportError as error:
        raise CommandError(f"{MISSING} ({error})", MISUSED) from error
    return server


def _address(text: str, servers: Servers) -> tuple[str, int]:
    """The host and port to listen at. Raises CommandError."""
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and int(port) < 65_536):
        raise CommandError(
            f"{_LISTEN.flag} {text!r} must be HOST:PORT, with a port up to 65535", MISUSED
        )
    from dovetail.client.security import is_local  # Loads gRPC: not for --help.

    host = host.strip("[]")
    if not (is_local(f"[{host}]:{port}") or servers.insecure):
        raise CommandError(
            f"{_LISTEN.flag} {text}: the page has no TLS, so others could read tokens on their way."
            " Let a proxy with TLS lead to it (--host NAME), or say --insecure where the network"
            " itself keeps strangers out",
            MISUSED,
        )
    return host, int(port)


def _listener(server: ModuleType, host: str, port: int) -> socket.socket:
    try:
        return server.listen(host, port)
    except OSError as error:
        raise CommandError(
            f"{_LISTEN.flag} {host}:{port}: {error.strerror}. Name another port:"
            f" {_LISTEN.flag} 127.0.0.1:0 takes any free one"
        ) from error
