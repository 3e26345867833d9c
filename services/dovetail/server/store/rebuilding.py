"""What a store keeps beside its data, made anew: figures of reports, and the index of words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from peewee import PeeweeException

from dovetail.server.store import recounting, reindexing
from dovetail.server.store.counter_queries import TEAMS
from dovetail.server.store.database import typed
from dovetail.server.store.doctor import Level, check_schema
from dovetail.server.store.engines.base import Engine, StoreOpenError
from dovetail.server.store.engines.locations import sqlite_path
from dovetail.server.store.engines.opening import open_engine


def rebuild_figures(url: str) -> None:
    """Count the kept figures of all teams anew. Raises StoreOpenError. Writers wait meanwhile."""
    with _writable(url) as engine:
        for (team_id,) in typed(engine.database).execute_sql(TEAMS).fetchall():
            with engine.write() as group:
                group.team(team_id)  # Locked before its tasks are read.
                recounting.rebuild(group.unit(team_id))
                group.flush()


def rebuild_search(url: str) -> None:
    """Empty the index of words, which servers fill anew. Raises StoreOpenError."""
    with _writable(url) as engine, engine.write() as group:
        reindexing.empty(group.unit(""))
        group.flush()


@contextmanager
def _writable(url: str) -> Generator[Engine]:
    """The engine of a store of this release, of which something is written anew."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise StoreOpenError(f"there is no store at {path}")
    engine = open_engine(url)
    try:
        schema = check_schema(engine.database)
        if schema.level is not Level.OK:
            raise StoreOpenError(f"{engine.address} is {schema.text}. {schema.advice}")
        yield engine
    except PeeweeException as error:
        raise StoreOpenError(f"{engine.address}: {engine.error_for(error).message}") from error
    finally:
        engine.close_connection()
        engine.close()
