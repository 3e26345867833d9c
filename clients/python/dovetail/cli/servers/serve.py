"""`dovetail serve`: one server in this process."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import closing, redirect_stderr
from pathlib import Path
from typing import Any, TextIO, cast

import click

from dovetail.cli import signals
from dovetail.cli.options.formats import errors_as_lines
from dovetail.cli.options.settings import SERVING, with_settings
from dovetail.cli.options.unknown_variables import refuse_unknown_variables
from dovetail.cli.options.values import Word
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.output.sink import Sink, left_out_note
from dovetail.settings import SERVER, SQLITE, data_home, store_url_of

_FOLDER = SERVER["data-dir"]


def data_folder() -> Path:
    """The default data folder. Raises CommandError if no home folder is known."""
    home = data_home()
    if home is None:
        raise CommandError(
            f"there is no data folder: no home folder is known. Name one: {_FOLDER.flag} DIR,"
            f" or {_FOLDER.variable}, or set HOME",
            MISUSED,
        )
    return home / "dovetail"


def store_url(store: str | None, data_dir: Path | None) -> str:
    """The URL of the store: `--store`, or a file in the data folder."""
    if not store:
        return f"{SQLITE}{(data_dir or data_folder()).absolute()}/dovetail.db"
    try:
        return store_url_of(store, Path.cwd())
    except ValueError as error:
        raise CommandError(f"{SERVER['store'].flag} {error}", MISUSED) from error


def served_store(store: str | None, data_dir: Path | None) -> str:
    """The store to serve. Raises CommandError if the folder of a named file does not exist.

    A missing file is created. Creating its folder too would turn a mistyped path into an empty
    store that looks like a working one.
    """
    url = store_url(store, data_dir)
    folder = Path(url.removeprefix(SQLITE)).absolute().parent
    if store and url.startswith(SQLITE) and not folder.exists():
        raise CommandError(
            f"{SERVER['store'].flag} {store}: there is no folder {folder}. If the path is right,"
            f" create it first: mkdir -p {shlex.quote(str(folder))}",
            MISUSED,
        )
    return url


@click.command()
@click.argument("service", type=Word(["messaging", "tasks"]))
@with_settings(SERVER["listen"], *SERVING)
@click.option("--json", "as_json", is_flag=True, callback=errors_as_lines, help="Print JSON.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="Stop when its parent ends.")
@click.option("--worker", type=click.IntRange(0), default=0, hidden=True, help="Its number.")
def serve(
    service: str,
    listen: str | None,
    as_json: bool,
    until_stdin_closes: bool,
    worker: int,
    **settings: Any,
) -> None:
    """Run one server.

    It prints a line when it is ready. At SIGTERM or Ctrl-C it finishes open calls, and stops. Any
    number of processes may share one store; --workers starts several at one address.
    """
    refuse_unknown_variables()
    # gRPC's core logs by itself, into a pipe that may be full; the server logs what matters.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from dovetail.server import main as server  # slow to load: only for commands that serve

    # A sink, because a full or closed standard output must not stop the server.
    out = Sink(sys.stdout)

    def ready(address: str, store: str, metrics: str) -> None:
        more = {"workers": workers if workers > 1 else 0, "metrics": metrics}
        if as_json:
            facts: dict[str, Any] = {"service": service, "address": address, "store": store}
            out.line(json.dumps(facts | {name: fact for name, fact in more.items() if fact}))
        else:
            many = f", {workers} workers" if workers > 1 else ""
            shown = f", metrics at {metrics}" if metrics else ""
            out.line(f"{service} is serving at {address}, store {store}{many}{shown}")

    workers: int = settings.pop("workers")
    try:
        config = server.ServerConfig(
            service=service,
            store=served_store(settings.pop("store"), settings.pop("data_dir")),
            listen=listen or f"{server.LOOPBACK}:{server.DEFAULT_PORTS[service]}",
            worker=worker,
            has_parent=until_stdin_closes,
            **settings,
        )
        if workers > 1:
            server.check_shareable(config.listen)
    except server.ConfigError as error:
        raise CommandError(str(error), MISUSED) from error
    if until_stdin_closes:
        signals.end_with_parent()
    # The logs of libraries go through the sink too: a full pipe must not block a call.
    with closing(out), closing(Sink(sys.stderr, _left_out)) as errors:
        try:
            with redirect_stderr(cast(TextIO, errors)):
                if workers > 1:
                    from dovetail.cli.servers.supervisor import Plan, supervise  # As slow to load.

                    supervise(Plan(config=config, workers=workers, settings=settings), ready)
                else:
                    server.run(config, ready)
        except (server.StartError, server.ConfigError) as error:
            raise CommandError(f"{service} cannot start: {error}") from error


def _left_out(size: int) -> str:
    """The line of the log that says how much was left out, in the format of its other lines."""
    if sys.stderr.isatty():
        return left_out_note(size)
    line = {"event": "left out of this log", "bytes": size, "level": "warning"}
    return json.dumps(line)
