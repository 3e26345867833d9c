"""`dovetail backup` and `restore`: a copy of the embedded store, and a store made of one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.printing import Output
from dovetail.cli.output.styled import Text
from dovetail.cli.servers.progress import progress_shown
from dovetail.cli.servers.serve import store_url
from dovetail.settings import SERVER

if TYPE_CHECKING:
    from dovetail.server.main import Content


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_settings(SERVER["store"], SERVER["data-dir"])
@prints
def backup(file: Path, store: str | None, data_dir: Path | None, output: Output) -> None:
    """Copy the store to a new FILE.

    Servers may keep running: the copy is of one moment, whole, and checked as doctor checks a
    store. For PostgreSQL use pg_dump.
    """
    from dovetail.server.main import back_up  # Slow to load.

    url = store_url(store, data_dir)
    with _explained(file), progress_shown() as progress:
        content = back_up(url, file.expanduser().absolute(), partial(progress.step, "copying"))
    _tell(output, content, file, "written, and checked")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_settings(SERVER["store"], SERVER["data-dir"])
@prints
def restore(file: Path, store: str | None, data_dir: Path | None, output: Output) -> None:
    """Make the store of a backup FILE.

    Nothing is replaced: there must be none yet. What agents did after the backup is gone: they
    begin again at their first unacknowledged message.
    """
    from dovetail.server.main import restore as make  # Slow to load.

    url = store_url(store, data_dir)
    with _explained(file):
        content = make(url, file.expanduser().absolute())
    _tell(output, content, file, "restored: start the servers")


@contextmanager
def _explained(file: Path) -> Generator[None]:
    from dovetail.server.main import StoreOpenError

    try:
        yield
    except StoreOpenError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or file}: {error.strerror}") from error


def _tell(output: Output, content: Content, file: Path, done: str) -> None:
    facts = {"file": str(file), **asdict(content)}
    counts = ", ".join(
        f"{facts[name]:,} {name}" for name in ("teams", "agents", "messages", "tasks")
    )
    output.facts(facts, lambda: Text(f"{file} {done}: {counts}, {content.bytes:,} bytes"))
