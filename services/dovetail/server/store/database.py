"""What the store uses of Peewee's `Database` and migrations, with types: Peewee has few of its own.

There is no cast: pyright compares what is passed on here with what it knows of Peewee.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import peewee
from peewee import Database, Node
from playhouse.migrations import Runner


class Cursor(Protocol):
    """A cursor of the driver (PEP 249)."""

    rowcount: int

    @property
    def description(self) -> Sequence[Any] | None:
        """The columns of the result; None for a statement without one."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


class Context(Protocol):
    """Builds the text of a query for one kind of database."""

    def sql(self, query: Node, /) -> Context:
        """Add a query."""
        ...

    def query(self) -> tuple[str, list[Any]]:
        """The text, and its parameters in order."""
        ...


class TypedDatabase(Protocol):
    """A database. Each thread has a connection of its own; a call without one opens it."""

    param: str
    """How its SQL writes a parameter."""

    def init(self, database: str, **options: object) -> None:
        """Name the database that connections open."""

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open this thread's connection. Returns whether it was closed before."""
        ...

    def close(self) -> bool:
        """Close this thread's connection. Returns whether there was one."""
        ...

    def is_closed(self) -> bool:
        """Whether this thread has no connection."""
        ...

    def connection(self) -> Any:
        """The driver's connection of this thread."""

    def execute_sql(self, sql: str, params: Sequence[object] | None = None) -> Cursor:
        """Run one statement."""
        ...

    def get_sql_context(self) -> Context:
        """A builder of queries."""
        ...


def driver_errors() -> AbstractContextManager[None]:
    """Raise errors of the driver as Peewee's, as `execute_sql` does, for what is run without it."""
    wrapper: AbstractContextManager[None] = getattr(peewee, "__exception_wrapper__")  # noqa: B009
    return wrapper


def typed(database: Database) -> TypedDatabase:
    """The same database, with types."""
    return database


class Migration(Protocol):
    """A step of the schema, named as its file is."""

    @property
    def name(self) -> str:
        """The name of its file."""
        ...

    @property
    def path(self) -> str | None:
        """The file; None: this release does not have it, but the database does."""
        ...

    @property
    def applied(self) -> object:
        """When it was applied; None: not yet."""
        ...


class Migrations(Protocol):
    """The migrations of a database."""

    def status(self) -> Sequence[Migration]:
        """All that are in the folder or in the database, in order."""
        ...

    def up(self) -> object:
        """Apply those that are not applied yet, and note it in the database."""


def migrations(database: Database, folder: Path) -> Migrations:
    """The migrations of a database, from the files of a folder."""
    return Runner(database, str(folder))
