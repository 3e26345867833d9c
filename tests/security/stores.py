"""Stores that can be taken away from under the servers, and spoiled, on each engine."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import cysqlite
import psycopg

from support.databases import Postgres


class Store:
    """A store that can be taken away, and spoiled: whatever is written to a table is refused."""

    url: str

    def files(self) -> list[Path]:
        """Where it keeps what it holds."""
        raise NotImplementedError

    def take_away(self) -> None:
        """Have it answer no more."""
        raise NotImplementedError

    def bring_back(self) -> None:
        """Have it answer again."""
        raise NotImplementedError

    @contextmanager
    def spoiled(self, table: str) -> Generator[None]:
        """Refuse what is written to a table, in the block, by a fault that names what it was."""
        raise NotImplementedError
        yield


class SqliteStore(Store):
    """A file, moved away."""

    def __init__(self, folder: Path) -> None:
        """Have it in `folder`."""
        self._file = folder / "store.db"
        self.url = f"sqlite:///{self._file}"

    def files(self) -> list[Path]:
        return [file for file in self._file.parent.glob("store.db*") if file.is_file()]

    def take_away(self) -> None:
        self._file.rename(f"{self._file}.elsewhere")

    def bring_back(self) -> None:
        Path(f"{self._file}.elsewhere").rename(self._file)

    @contextmanager
    def spoiled(self, table: str) -> Generator[None]:
        """SQLite names no values by itself."""
        self._run(
            f"CREATE TRIGGER spoiled BEFORE INSERT ON {table} BEGIN"
            " SELECT RAISE(ABORT, 'spoiled'); END"
        )
        try:
            yield
        finally:
            self._run("DROP TRIGGER spoiled")

    def _run(self, statement: str) -> None:
        with closing(cast(Any, cysqlite).Connection(str(self._file))) as connection:
            connection.execute(statement)


class PostgresStore(Store):
    """A server, stopped."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        """Use a server that nobody else uses, which has everything in `folder`."""
        self._server = server
        self._folder = folder
        self.url = server.url

    def files(self) -> list[Path]:
        return [file for file in self._folder.rglob("data/*/**/*") if file.is_file()]

    def take_away(self) -> None:
        self._server.stop()

    def bring_back(self) -> None:
        self._server.start()

    @contextmanager
    def spoiled(self, table: str) -> Generator[None]:
        """PostgreSQL's error for a missing value tells the whole row."""
        self._run(f"ALTER TABLE {table} ADD COLUMN spoiled int NOT NULL DEFAULT 1")
        self._run(f"ALTER TABLE {table} ALTER COLUMN spoiled DROP DEFAULT")
        try:
            yield
        finally:
            self._run(f"ALTER TABLE {table} DROP COLUMN spoiled")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())
