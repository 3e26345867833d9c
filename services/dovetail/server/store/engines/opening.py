"""Which engine opens a store."""

from __future__ import annotations

from dovetail.server.store.engines.base import Engine, StoreOpenError
from dovetail.server.store.engines.locations import sqlite_path


def open_engine(url: str) -> Engine:
    """Return the engine for a URL: `sqlite:///PATH`, a plain path, or `postgresql://…`."""
    path = sqlite_path(url)
    if path is not None:
        from dovetail.server.store.engines.sqlite import SqliteEngine

        return SqliteEngine(path)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from dovetail.server.store.engines.postgres import PostgresEngine
        except ImportError as error:
            raise StoreOpenError(
                f"a PostgreSQL store needs psycopg: pip install 'dovetail[postgres]' ({error})"
            ) from error
        return PostgresEngine(url)
    raise StoreOpenError(
        f"no store of the kind {url.partition(':')[0]!r}: use sqlite:///PATH, or a plain path, or"
        " postgresql://…"
    )
