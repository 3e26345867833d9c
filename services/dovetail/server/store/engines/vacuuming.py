"""Room in the file of an embedded store: how it is given back to the disk.

SQLite keeps the pages of what was removed for what is written next. It can give them back some at a
time (`PRAGMA incremental_vacuum`), but only in a file that was made for that, or written anew once.
"""

from __future__ import annotations

from contextlib import closing

from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.store.database import TypedDatabase, typed

SMALL_BYTES = 128 * 1024 * 1024
"""A file up to this size is written anew when a server of this release first opens it: some 2 s."""

INCREMENTAL = 2


def make_shrinkable(name: str) -> None:
    """Begin an empty file so that it can give room back: before its first table, or never."""
    database = CySqliteDatabase(name, rank_functions=False)
    with closing(typed(database)):
        typed(database).connect()
        typed(database).execute_sql(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        # This writes the first page, which says so.
        typed(database).execute_sql("PRAGMA journal_mode = wal").fetchall()


def is_shrinkable(database: TypedDatabase) -> bool:
    """Whether the file gives room back."""
    ((mode,),) = database.execute_sql("PRAGMA auto_vacuum").fetchall()
    return int(mode) == INCREMENTAL


def write_anew(database: TypedDatabase) -> None:
    """Write the whole file anew, without gaps and so that it gives room back.

    Other processes may read meanwhile, and none may write. All of it goes through the log.
    """
    database.execute_sql(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    database.execute_sql("VACUUM")
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
