"""Backups of an embedded store: a copy of one moment, made while servers go on, and its way back.

A copy is read in one read transaction, so it is one commit's state, whole; writers do not wait for
it. Meanwhile SQLite cannot fold the log in, which grows by what is written. The copy becomes a file
of that name only when it is on disk and all checks of `doctor.py` pass: what is cut off leaves a
draft beside it, which no command takes for a backup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cysqlite
from peewee import PeeweeException
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.store.database import TypedDatabase, typed
from dovetail.server.store.doctor import SEARCH_INDEX, Level, check_file
from dovetail.server.store.engines.base import StoreOpenError, plain
from dovetail.server.store.engines.doorbell import is_anyone_listening
from dovetail.server.store.engines.files import SUFFIXES, has_lost_its_log
from dovetail.server.store.engines.locations import check_place, shown, sqlite_path
from dovetail.server.store.engines.sqlite import BUSY_SECONDS

STEP_PAGES = 1_000
"""Pages copied between two calls of `progress`: 4 MiB."""

DRAFT_NAME_CHARACTERS = 100

Progress = Callable[[int, int], None]
"""Called with how many pages are copied, and how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a copy holds."""

    bytes: int
    teams: int
    agents: int
    messages: int
    tasks: int


def back_up(url: str, target: Path, progress: Progress) -> Content:
    """Write a checked copy of a store to a new file. Raises StoreOpenError, and OSError."""
    path = _embedded(url, "pg_dump --format=custom --file FILE URL")
    if not path.is_file():
        raise StoreOpenError(f"there is no store at {shown(path)}")
    if has_lost_its_log(path) and is_anyone_listening(path):
        raise StoreOpenError(
            f"{shown(path)}-wal was removed while servers use the store: stop them all, then start"
            " them again"
        )
    with _draft(target) as draft:
        _copy(path, draft, progress)
        _sync(draft)
        content = _checked(draft, f"the copy of {shown(path)}")
        _place(draft, target)
    return content


def restore(url: str, backup: Path) -> Content:
    """Make a store of a backup, where there is none. Raises StoreOpenError, and OSError."""
    path = _embedded(url, "pg_restore --dbname URL FILE")
    check_place(path)
    if not backup.is_file():
        raise StoreOpenError(f"there is no backup at {shown(backup)}")
    if is_anyone_listening(path):
        raise StoreOpenError(f"servers use the store at {shown(path)}: stop them first")
    there = [each for suffix in SUFFIXES if (each := path.with_name(path.name + suffix)).exists()]
    if there:
        names = ", ".join(map(shown, there))
        raise StoreOpenError(f"{names} would be replaced: move what is there away first, all of it")
    with _draft(path) as draft:
        shutil.copyfile(backup, draft)
        _sync(draft)
        content = _checked(draft, shown(backup))
        _place(draft, path)
    return content


def _embedded(url: str, tool: str) -> Path:
    path = sqlite_path(url)
    if path is None:
        raise StoreOpenError(f"this is for embedded stores: PostgreSQL has its own tool, {tool}")
    return path.resolve()


@contextmanager
def _draft(target: Path) -> Generator[Path]:
    """A new, empty file beside the target, which is removed unless it was moved there."""
    if target.exists():
        raise StoreOpenError(f"{shown(target)} is there already: name a new file")
    prefix = f".{target.name[:DRAFT_NAME_CHARACTERS]}."
    number, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=".draft")
    os.close(number)
    draft = Path(name)
    try:
        yield draft
    finally:
        for suffix in (*SUFFIXES, "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(f"{draft}{suffix}")


def _copy(path: Path, draft: Path, progress: Progress) -> None:
    with _opened(path) as source, _opened(draft) as copy:
        source.execute_sql("BEGIN")
        # The first read takes the snapshot. It is kept through all steps, so none begins anew.
        source.execute_sql("SELECT COUNT(*) FROM sqlite_master").fetchone()

        def count(left: int, total: int, done: bool) -> None:
            del done
            progress(total - left, total)

        source.connection().backup(copy.connection(), pages=STEP_PAGES, progress=count)
        source.execute_sql("ROLLBACK")
        # One file, without a log beside it; the first server that opens it makes it a WAL again.
        copy.execute_sql("PRAGMA journal_mode = delete").fetchone()


def _checked(draft: Path, name: str) -> Content:
    """What the copy holds, if it is a whole store."""
    with _opened(draft) as copy:
        # An index that is damaged can be filled anew; what it is made of cannot.
        found = [each for each in check_file(copy) if each.check != SEARCH_INDEX]
        faults = [each for each in found if each.level is Level.FAIL]
        if faults:
            said = "; ".join(f"{each.check}: {each.text}" for each in faults)
            raise StoreOpenError(f"{name} is not whole, and was not taken: {said}")
        if "teams" not in copy.get_tables():
            raise StoreOpenError(f"{name} is no store of Dovetail")
        counts = {table: _count(copy, table) for table in ("teams", "agents", "messages", "tasks")}
    return Content(bytes=draft.stat().st_size, **counts)


def _count(database: Any, table: str) -> int:
    (count,) = database.execute_sql(f"SELECT COUNT(*) FROM {table}").fetchone()
    return count


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    """A connection to a file, closed at the end."""
    database: TypedDatabase = typed(
        CySqliteDatabase(str(path), rank_functions=False, timeout=BUSY_SECONDS)
    )
    try:
        database.connect()
        with closing(database):
            yield database
    except (PeeweeException, cysqlite.DatabaseError) as error:
        raise StoreOpenError(f"{shown(path)}: {plain(error)}") from error


def _sync(file: Path) -> None:
    number = os.open(file, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _place(draft: Path, target: Path) -> None:
    """Give the draft its name, unless that was taken meanwhile, and put that on disk too."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # A file system without links.
        if target.exists():
            raise
        os.rename(draft, target)
    _sync(target.parent)
