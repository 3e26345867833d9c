"""What programs are started with: their environment, and streams that never block."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dovetail.cli.options.calling import Servers, Session
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.worker.descendants import Families, adopt_orphans
from dovetail.cli.worker.display import Display, Mark, open_streams
from dovetail.cli.worker.programs import Program
from dovetail.settings import CLIENT


@dataclass(frozen=True, kw_only=True)
class ProgramOptions:
    """The program of a command, and how long it may take."""

    words: tuple[str, ...]
    time_limit: timedelta | None


@contextmanager
def prepared(
    session: Session, options: ProgramOptions, marks: dict[str, Mark]
) -> Generator[tuple[Program, Display]]:
    """A program that can be run again and again, and the display of what becomes of it."""
    if shutil.which(options.words[0]) is None:
        raise CommandError(f"there is no program {options.words[0]!r}", MISUSED)
    adopt_orphans()
    limit = options.time_limit
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-programs-") as folder,
        open_streams(session.out) as streams,
    ):
        logging.getLogger("dovetail").addHandler(logging.StreamHandler(streams.errors))
        program = Program(
            words=options.words,
            environment=_environment(session),
            timeout=limit.total_seconds() if limit else None,
            folder=Path(folder),
            errors=streams.errors,
            families=Families(),
        )
        with Display(streams, session.out, marks).open() as display:
            yield program, display


def _environment(session: Session) -> dict[str, str]:
    """The environment of a program, with this command's settings of the servers."""
    servers = session.servers
    given = {
        "team": session.team_id,
        "messaging": servers.messaging,
        "tasks": servers.tasks,
        "insecure": "1" if servers.insecure else "",
        "token-file": str(servers.token_file.absolute()) if servers.token_file else "",
        **_tls(servers),
    }
    known = {CLIENT[name].variable: value for name, value in given.items() if value}
    dropped = {CLIENT["token"].variable} if servers.token_file else set[str]()
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | known


def _tls(servers: Servers) -> dict[str, str]:
    if servers.tls is None:
        return {}
    files = {
        "tls-ca": servers.tls.ca,
        "tls-client-cert": servers.tls.cert,
        "tls-client-key": servers.tls.key,
    }
    named = {name: str(Path(file).absolute()) for name, file in files.items() if file}
    return {"tls": "1", "tls-server-name": servers.tls.server_name, **named}
