"""Empty stores: a SQLite file, or a PostgreSQL server of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.databases import empty_database, running_postgres

ENGINES = ("sqlite", "postgres")


@dataclass(frozen=True, kw_only=True)
class OpenStore:
    """Where a store is, and the first process of its database, if it has processes."""

    url: str
    database: tuple[int, ...] = ()


@contextmanager
def empty_store(engine: str, folder: Path) -> Generator[OpenStore]:
    """An empty store in a new folder."""
    # The user that runs PostgreSQL must be able to pass through.
    folder.mkdir(mode=0o711, parents=True)
    if engine == "sqlite":
        yield OpenStore(url=f"sqlite:///{folder}/store.db")
        return
    home = folder / "server"
    home.mkdir()
    with running_postgres(home) as server, empty_database(server.url) as url:
        first = int((home / "data" / "postmaster.pid").read_text().split()[0])
        yield OpenStore(url=url, database=(first,))
