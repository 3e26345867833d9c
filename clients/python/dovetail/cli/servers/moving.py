"""`dovetail export`, `import` and `store copy`: what a store holds, elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import INVALID, MISUSED, NOT_FOUND, REFUSED, CommandError
from dovetail.cli.output.printing import Output
from dovetail.cli.output.styled import Text
from dovetail.cli.servers.progress import Progress, progress_shown
from dovetail.cli.servers.serve import served_store, store_url
from dovetail.settings import SERVER, store_url_of, without_password

if TYPE_CHECKING:
    from dovetail.server.main import Archived, Imported, Pass

SHOWN = ("agents", "messages", "tasks")
"""The tables whose rows are counted for people; programs get the number of all rows too."""

with_teams = click.option(
    "--team", "team_ids", multiple=True, metavar="TEAM", help="Only this team; may be repeated."
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@with_settings(SERVER["store"], SERVER["data-dir"])
@with_teams
@prints
def export(
    file: Path, store: str | None, data_dir: Path | None, team_ids: Sequence[str], output: Output
) -> None:
    """Write all that a store holds to FILE, as lines of JSON.

    FILE is new, or - for standard output. Servers may keep running: the lines are of one moment.
    With --team credentials are left out. It is for your eyes only: it holds all messages, and the
    leases of tasks that are being worked on.
    """
    from dovetail.server.main import export_store, new_file  # Slow to load.

    url, began = store_url(store, data_dir), time.monotonic()
    with _explained(str(file)), progress_shown() as progress:
        if str(file) == "-":
            export_store(url, team_ids, sys.stdout.buffer, progress.step)
            return
        with new_file(file.expanduser().absolute()) as out:
            archived = export_store(url, team_ids, out, progress.step)
    facts: dict[str, Any] = {"file": str(file), "bytes": archived.bytes, "sha256": archived.sha256}
    _tell(output, facts, archived, began, f"{file} written")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@with_settings(SERVER["store"], SERVER["data-dir"])
@with_teams
@click.option("--undo", is_flag=True, help="Remove what an unfinished import has written.")
@prints
def import_(
    file: Path | None, team_ids: Sequence[str], undo: bool, output: Output, **place: Any
) -> None:
    """Read FILE, which `dovetail export` wrote, into a store.

    The store is empty, or has none of the teams. No servers may use it meanwhile. If it is cut off,
    run it again: it goes on where it was.
    """
    url = served_store(place["store"], place["data_dir"])
    if undo:
        _undo(url, file, output)
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    from dovetail.server.main import ImportRequest, import_file  # Slow to load.

    began = time.monotonic()
    with _explained(str(file)), progress_shown() as progress:
        path = file.expanduser().absolute()
        imported = import_file(
            ImportRequest(url=url, file=path, team_ids=team_ids, progress=progress.step)
        )
    facts: dict[str, Any] = {"file": str(file), "resumed": imported.resumed}
    _tell(output, facts, imported, began, f"{file} imported: start the servers")


def _undo(url: str, file: Path | None, output: Output) -> None:
    from dovetail.server.main import undo_import  # Slow to load.

    if file is not None:
        raise click.UsageError("--undo takes no FILE: the store knows what it was")
    with _explained(url):
        source = undo_import(url)
    output.facts({"file": source}, lambda: Text(f"the unfinished import of {source} is removed"))


@click.group(cls=LazyGroup)
def store() -> None:
    """Move a store to another database."""


@store.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--live", is_flag=True, help="Servers may write to FROM until you stop them.")
@prints
def copy(source: str, target: str, live: bool, output: Output) -> None:
    """Copy a store into an empty one, and compare all rows.

    FROM and TO are files, or postgresql://…. If it is cut off, run it again: it goes on where it
    was. Without --live no servers may use FROM; with it the copy follows what they write, and ends
    after you have stopped them.
    """
    from dovetail.server.main import CopyRequest, copy_store  # Slow to load.

    urls = [_url(name, given) for name, given in (("FROM", source), ("TO", target))]
    began = time.monotonic()
    with _explained(source), progress_shown() as progress:
        copied = copy_store(
            CopyRequest(
                source_url=urls[0],
                target_url=urls[1],
                follows=live,
                progress=progress.step,
                told=_Follower(progress),
            )
        )
    facts = {
        "source": copied.source,
        "target": copied.target,
        **_counts(copied.rows),
        "passes": copied.passes,
        "written": copied.written,
        "seconds": round(time.monotonic() - began, 3),
    }
    counts = _counts_text(copied.rows)
    output.facts(
        facts,
        lambda: Text(f"{copied.target} holds the same: {counts}. Start the servers with it"),
    )


class _Follower:
    """Tells whoever looks on when the copy has caught up, so that servers can be stopped."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_told = False

    def __call__(self, done: Pass) -> None:
        if not self._has_told:
            rows = sum(done.rows.values())
            text = f"{rows:,} rows are copied. Stop the servers of FROM; until then it is followed"
            self._progress.say(text)
            self._has_told = True


def _url(name: str, given: str) -> str:
    """The URL of a store in an argument, which other users of the machine can read."""
    if without_password(given) != given:
        click.echo(
            f"dovetail: warning: the password in {name} can be read by other users, in the list of"
            " processes: give it as PGPASSWORD, or in ~/.pgpass",
            err=True,
        )
    try:
        return store_url_of(given, Path.cwd())
    except ValueError as error:
        raise CommandError(f"{name} {error}", MISUSED) from error


@contextmanager
def _explained(name: str) -> Generator[None]:
    from dovetail.server import main as server

    codes: dict[type[Exception], int] = {
        server.MoveRefusedError: REFUSED,
        server.NotThereError: NOT_FOUND,
        server.FaultyFileError: INVALID,
    }
    try:
        yield
    except (server.MoveError, server.StoreOpenError) as error:
        code = next((each for kind, each in codes.items() if isinstance(error, kind)), 1)
        raise CommandError(str(error), code) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or name}: {error.strerror}") from error


def _tell(
    output: Output,
    facts: Mapping[str, Any],
    moved: Archived | Imported,
    began: float,
    done: str,
) -> None:
    known = {
        **facts,
        "teams": len(moved.team_ids),
        **_counts(moved.rows),
        "seconds": round(time.monotonic() - began, 3),
    }
    teams = f"{len(moved.team_ids):,} teams, {_counts_text(moved.rows)}"
    output.facts(known, lambda: Text(f"{done}: {teams}"))


def _counts(rows: Mapping[str, int]) -> dict[str, int]:
    return {**{name: rows[name] for name in SHOWN}, "rows": sum(rows.values())}


def _counts_text(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in _counts(rows).items())
