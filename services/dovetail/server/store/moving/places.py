"""A store as a command sees it that moves rows: one connection, without a server's threads.

`alone` is what makes a move sound. Inside it no server uses the store and none can start, so that
nobody else writes: on SQLite by the writer's place, through which every start goes, and on
PostgreSQL by a lock that all servers share (`engines/presence.py`). `reading_alone` adds the
database's own lock for a source: it keeps out even a writer that neither of them shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import cysqlite
from peewee import Database, PeeweeException
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.store.database import driver_errors, migrations, typed
from dovetail.server.store.doctor import UNFINISHED, Level, check_rows
from dovetail.server.store.engines.base import MIGRATIONS, MIGRATIONS_TABLE, StoreOpenError, plain
from dovetail.server.store.engines.doorbell import is_anyone_listening
from dovetail.server.store.engines.files import has_lost_its_log
from dovetail.server.store.engines.locations import SQLITE, Folder, is_text, shown, sqlite_path
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.engines.sqlite import BUSY_SECONDS
from dovetail.server.store.engines.turnstile import PlaceTakenError, Turnstile
from dovetail.server.store.moving.errors import MoveRefusedError, NotThereError, ServedError
from dovetail.server.store.moving.tables import MovedTable, Row

PLACE_SECONDS = 10.0
CACHE_KIB = 64_000
PRAGMAS = {"synchronous": "full", "foreign_keys": 1, "cache_size": -CACHE_KIB}


class Place(ABC):
    """A store that is read or written. For one thread; close it at the end."""

    begin_reading = "BEGIN"
    begin_reading_alone = ("BEGIN IMMEDIATE",)
    begin_writing = "BEGIN IMMEDIATE"

    def __init__(self, address: str, database: Database) -> None:
        """Use `database`; `address` is its name for people, without a password."""
        self.address = address
        self._peewee = database
        self._database = typed(database)

    def tables(self) -> set[str]:
        """The tables that are there."""
        return set(self._peewee.get_tables())

    def schema(self) -> list[str]:
        """The migrations that were applied; none where there is no store."""
        if MIGRATIONS_TABLE not in self.tables():  # Their runner would create it.
            return []
        return [each.name for each in self._migrations() if each.applied]

    def check_schema(self) -> None:
        """Refuse a store that is not of this release."""
        if MIGRATIONS_TABLE not in self.tables():
            raise NotThereError(f"{self.address} is no store of Dovetail")
        unknown = [each.name for each in self._migrations() if each.path is None]
        waiting = [each.name for each in self._migrations() if not each.applied]
        if unknown:
            raise MoveRefusedError(
                f"{self.address} is of a newer release (it has {', '.join(unknown)}): use that one"
            )
        if waiting:
            raise MoveRefusedError(
                f"{self.address} is of an older release (without {', '.join(waiting)}): start a"
                " server of this release once, which brings it up to date"
            )

    def _migrations(self) -> Sequence[Any]:
        return migrations(self._peewee, MIGRATIONS).status()

    def faults(self) -> list[str]:
        """What does not agree in the store, by the checks of `dovetail doctor`."""
        return [
            f"{each.check} {each.text}"
            for each in check_rows(self._peewee)
            if each.level is Level.FAIL and each.check != UNFINISHED
        ]

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What a query returns. A parameter is a question mark."""
        return self._database.execute_sql(self._text(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run a statement without a result."""
        self._database.execute_sql(self._text(sql), values)

    def run_for_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of parameters."""
        with driver_errors():
            self._execute_many(self._text(sql), rows)

    @abstractmethod
    def insert(self, table: MovedTable, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write rows with these columns; the others get their defaults."""

    @abstractmethod
    def is_served(self) -> bool:
        """Whether servers use the store now."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Use the store without servers. Raises ServedError."""

    def refuse_servers(self) -> None:
        """Raise ServedError where servers use the store; `alone` also keeps them away."""
        if self.is_served():
            raise ServedError(f"servers use the store at {self.address}: stop all of them first")

    @contextmanager
    def reading(self) -> Generator[None]:
        """Read one state of the store, as it is when the block begins; writers do not wait."""
        with self._span(self.begin_reading):
            yield

    @contextmanager
    def reading_alone(self) -> Generator[None]:
        """The same, and nobody can write meanwhile, not even without a server."""
        with self._span(*self.begin_reading_alone):
            yield

    @contextmanager
    def writing(self) -> Generator[None]:
        """Write in one transaction, which is on disk when the block has ended."""
        with self._span(self.begin_writing):
            yield

    @contextmanager
    def trying(self) -> Generator[None]:
        """Undo what the block writes if it fails, and nothing else of the transaction."""
        self.run("SAVEPOINT trying")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO SAVEPOINT trying")
            self.run("RELEASE SAVEPOINT trying")
            raise
        self.run("RELEASE SAVEPOINT trying")

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def _execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None: ...

    def _text(self, sql: str) -> str:
        return sql if self._database.param == "?" else sql.replace("?", self._database.param)

    @contextmanager
    def _span(self, *begin: str) -> Generator[None]:
        for statement in begin:
            self.run(statement)
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            try:
                if not self._database.is_closed():
                    self.run("ROLLBACK")
            except PeeweeException:
                self._database.close()
            raise


class SqlitePlace(Place):
    """A file."""

    def __init__(self, path: Path) -> None:
        """Open a file that is there."""
        self._path = path.resolve()
        name = f"{SQLITE}{shown(self._path)}"
        if not self._path.is_file():
            raise NotThereError(f"there is no store at {name}")
        if has_lost_its_log(self._path) and is_anyone_listening(self._path):
            raise MoveRefusedError(
                f"{name}-wal was removed while servers use the store: stop them all, then start"
                " them again"
            )
        with ExitStack() as opened:
            text = str(self._path)
            if not is_text(text):
                folder = opened.enter_context(closing(Folder(self._path.parent)))
                text = folder.short_name(self._path.name)
            database = CySqliteDatabase(
                text, rank_functions=False, timeout=BUSY_SECONDS, pragmas=PRAGMAS
            )
            super().__init__(name, database)
            self._database.connect()
            opened.callback(self._database.close)
            self._opened = opened.pop_all()

    def insert(self, table: MovedTable, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """One prepared statement, run for each row."""
        named = ", ".join(f'"{each}"' for each in columns)
        marks = ", ".join("?" * len(columns))
        self.run_for_each(f'INSERT INTO "{table.name}" ({named}) VALUES ({marks})', rows)

    def is_served(self) -> bool:
        """Whether a process listens at the store's doorbells."""
        return is_anyone_listening(self._path)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold the writer's place, at which every start waits, and then fails."""
        # The place first: a server that is starting has its doorbell before it comes here.
        try:
            with (
                closing(Turnstile(self._path)) as turnstile,
                turnstile.open_within(PLACE_SECONDS),
            ):
                self.refuse_servers()
                yield
        except PlaceTakenError as error:
            raise ServedError(f"{error}: {error.advice}") from error

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def _execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self._database.connection().executemany(sql, rows)


class PostgresPlace(Place):
    """A database."""

    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    # Each write locks its team's row first. The state that is read begins after the lock.
    begin_reading_alone = (
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        'LOCK TABLE "teams" IN EXCLUSIVE MODE',
    )
    begin_writing = "BEGIN"

    # Each page is short, but a reader of ours may be slow. Rows are read by their keys: a planner
    # without statistics would take a new table for small, and sort all of it for each page.
    SETTINGS = (
        "SET statement_timeout = 0",
        "SET idle_in_transaction_session_timeout = 0",
        "SET lock_timeout = '10s'",
        "SET enable_seqscan = off",
        "SET enable_sort = off",
    )

    def __init__(self, url: str) -> None:
        """Connect to a database."""
        self._engine = open_engine(url)
        super().__init__(self._engine.address, self._engine.database)
        for statement in self.SETTINGS:
            self.run(statement)

    def insert(self, table: MovedTable, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """One COPY for all rows."""
        named = ", ".join(f'"{each}"' for each in columns)
        statement = f'COPY "{table.name}" ({named}) FROM STDIN'.encode()
        with (
            driver_errors(),
            self._database.connection().cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def is_served(self) -> bool:
        """Whether a server's session holds the shared lock."""
        from dovetail.server.store.engines.presence import IS_ANYBODY_THERE

        return bool(self.rows(IS_ANYBODY_THERE)[0][0])

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold the lock of all servers for this session."""
        from dovetail.server.store.engines.presence import BE_ALONE, BE_ALONE_NO_MORE

        if not self.rows(BE_ALONE)[0][0]:
            self.refuse_servers()
            raise ServedError(f"another command moves rows to or from {self.address}: wait for it")
        try:
            yield
        finally:
            if not self._database.is_closed():
                self.run(BE_ALONE_NO_MORE)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Write in one transaction; the engine then looks whether statistics are still true."""
        with super().writing():
            yield
        self._engine.note_write()

    def close(self) -> None:
        """Hang up."""
        self._engine.close_connection()
        self._engine.close()

    def _execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self._database.connection().cursor() as cursor:
            cursor.executemany(sql.encode(), rows)


@contextmanager
def opened(url: str) -> Generator[Place]:
    """A store that is there, of whatever release. Raises MoveError and StoreOpenError."""
    path = sqlite_path(url)
    with _explained(url):
        place: Place = PostgresPlace(url) if path is None else SqlitePlace(path)
        with closing(place):
            yield place


def prepare(url: str) -> None:
    """Make a store where there is none, and bring one of an older release up to date."""
    engine = open_engine(url)
    try:
        engine.migrate()
    finally:
        engine.close_connection()
        engine.close()


@contextmanager
def _explained(url: str) -> Generator[None]:
    """Raise errors of the database as ours."""
    try:
        yield
    except (PeeweeException, cysqlite.DatabaseError) as error:
        path = sqlite_path(url)
        name = "the database" if path is None else f"{SQLITE}{shown(path)}"
        raise StoreOpenError(f"{name}: {plain(error)}") from error
