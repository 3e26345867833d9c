"""`dovetail serve`: one server in this process."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from contextlib import closing, redirect_stderr
from pathlib import Path
from typing import Any, TextIO, cast

import click

from dovetail.cli.exit_codes import MISUSED, CommandError
from dovetail.cli.settings import SERVING, with_settings
from dovetail.cli.sink import Sink, told
from dovetail.cli.unknown_variables import refuse_unknown_variables
from dovetail.settings import SERVER, SQLITE, data_home, store_url_of

_FOLDER = SERVER["data-dir"]


def data_folder() -> Path:
    """Where data is kept unless told otherwise. Raises CommandError where no home is known."""
    home = data_home()
    if home is None:
        raise CommandError(
            f"there is no place for data: no home folder is known. Name one: {_FOLDER.flag} DIR,"
            f" or {_FOLDER.variable}, or set HOME",
            MISUSED,
        )
    return home / "dovetail"


def store_url(store: str | None, data_dir: Path | None) -> str:
    """The store that a command line names: `--store`, or a file in the data folder."""
    if not store:
        return f"{SQLITE}{(data_dir or data_folder()).absolute()}/dovetail.db"
    try:
        return store_url_of(store, Path.cwd())
    except ValueError as error:
        raise CommandError(f"{SERVER['store'].flag} {error}", MISUSED) from error


def served_store(store: str | None, data_dir: Path | None) -> str:
    """The store to serve. Raises CommandError where the folder of one that is named is missing.

    A file is made where there is none; a folder too would be made of a mistyped path, and serve an
    empty store that looks like one that works.
    """
    url = store_url(store, data_dir)
    folder = Path(url.removeprefix(SQLITE)).absolute().parent
    if store and url.startswith(SQLITE) and not folder.exists():
        raise CommandError(
            f"{SERVER['store'].flag} {store}: there is no folder {folder}. If the path is right,"
            f" make it first: mkdir -p {shlex.quote(str(folder))}",
            MISUSED,
        )
    return url


@click.command()
@click.argument("service", type=click.Choice(["messaging", "tasks"]))
@with_settings(SERVER["listen"], *SERVING)
@click.option("--json", "as_json", is_flag=True, help="Say where it serves as one JSON object.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="Stop when its parent ends.")
def serve(
    service: str,
    listen: str | None,
    as_json: bool,
    until_stdin_closes: bool,
    **settings: Any,
) -> None:
    """Run one server: `messaging` or `tasks`.

    It prints a line when it is ready, and stops at SIGTERM or Ctrl-C, once the calls it has begun
    are answered. Both services may share one store, from any number of processes.
    """
    refuse_unknown_variables()
    # gRPC's core writes by itself, into a pipe that may be full; where it matters, we log it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from dovetail.server import main as server  # the servers are heavy: only who serves loads them

    # Whether or not anyone reads it, or it has room: the server serves.
    out = Sink(sys.stdout)

    def ready(address: str, store: str) -> None:
        if as_json:
            out.line(json.dumps({"service": service, "address": address, "store": store}))
        else:
            out.line(f"{service} is serving at {address}, store {store}")

    try:
        config = server.ServerConfig(
            service=service,
            store=served_store(settings.pop("store"), settings.pop("data_dir")),
            listen=listen or f"{server.LOOPBACK}:{server.DEFAULT_PORTS[service]}",
            **settings,
        )
    except server.ConfigError as error:
        raise CommandError(str(error), MISUSED) from error
    if until_stdin_closes:
        # Its parent alone says when it ends, and says it by this signal, ignored elsewhere or not.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()
    # All that is logged, by libraries too, takes the same way: a full pipe stops no call.
    with closing(out), closing(Sink(sys.stderr, _left_out)) as errors:
        try:
            with redirect_stderr(cast(TextIO, errors)):
                server.run(config, ready)
        except server.StartError as error:
            raise CommandError(f"{service} cannot start: {error}") from error


def _left_out(size: int) -> str:
    """How the log says that some of it was left out, as all of its lines."""
    if sys.stderr.isatty():
        return told(size)
    line = {"event": "left out of this log", "bytes": size, "level": "warning"}
    return json.dumps(line)


def _stop_when_stdin_closes() -> None:
    """The other end of standard input is held by the parent: it closes however the parent ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
