"""Compacting an embedded store: its file is written anew, as small as its content."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass

import cysqlite
from peewee import PeeweeException
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.store.database import typed
from dovetail.server.store.engines import vacuuming
from dovetail.server.store.engines.base import MIGRATIONS_TABLE, StoreOpenError, plain
from dovetail.server.store.engines.doorbell import is_anyone_listening
from dovetail.server.store.engines.locations import shown, sqlite_path
from dovetail.server.store.engines.sqlite import BUSY_SECONDS

TEMPORARY = "SQLITE_TMPDIR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compacted:
    """The size of a store's file before and after."""

    bytes_before: int
    bytes: int


def compact(url: str) -> Compacted:
    """Write the file of a store anew. Raises StoreOpenError, and OSError.

    No server may use it: they would wait too long. If it is cut off, the file is as it was.
    """
    path = sqlite_path(url)
    if path is None:
        raise StoreOpenError(
            "this is for embedded stores: in PostgreSQL autovacuum makes room for new rows, and"
            " VACUUM FULL gives it back to the disk"
        )
    path = path.resolve()
    if not path.is_file():
        raise StoreOpenError(f"there is no store at {shown(path)}")
    if is_anyone_listening(path):
        raise StoreOpenError(f"servers use the store at {shown(path)}: stop them first")
    before = path.stat().st_size
    # The draft may be as large as the store: beside it there is room, or nowhere.
    os.environ.setdefault(TEMPORARY, str(path.parent))
    database = CySqliteDatabase(str(path), rank_functions=False, timeout=BUSY_SECONDS)
    try:
        with closing(typed(database)):
            typed(database).connect()
            if MIGRATIONS_TABLE not in database.get_tables():
                raise StoreOpenError(f"{shown(path)} is no store of Dovetail")
            vacuuming.write_anew(typed(database))
    except (PeeweeException, cysqlite.DatabaseError) as error:
        raise StoreOpenError(f"{shown(path)}: {plain(error)}") from error
    return Compacted(bytes_before=before, bytes=path.stat().st_size)
