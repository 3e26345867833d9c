"""What an engine must do for the store; `sqlite.py` and `postgres.py` do it."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from peewee import Database, PeeweeException

from dovetail.server.errors import (
    DovetailError,
    InternalError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from dovetail.server.open_files import are_used_up, says_used_up, used_up_text
from dovetail.server.store.database import migrations, typed
from dovetail.server.store.group import WriteGroup
from dovetail.server.store.rings import WakeKey
from dovetail.server.store.sets import SetDriver
from dovetail.server.store.times import Times
from dovetail.server.store.transaction import GlobalSnapshot

MIGRATIONS = Path(__file__).parents[1] / "migrations"
MIGRATIONS_TABLE = "schema_migration"
UNFINISHED_TABLE = "unfinished_move"
"""In a store into which rows are moved until that has ended (`moving/unfinished.py`)."""

CLOSE_SECONDS = 2.0
NAMED_MAX = 3


class StoreOpenError(Exception):
    """The store cannot be opened; the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large a store is, in bytes, by its parts; and what its disk has free, where known."""

    parts: Mapping[str, int]
    disk_free: int | None = None


class Engine(ABC):
    """One kind of database. Its connections belong to the thread that uses them."""

    writers: int
    """How many threads may commit at the same time."""

    commits_apart = True
    """Whether COMMIT is a statement of its own; else the last rows are sent with it."""

    survives_cancelled_query = False
    """Whether a transaction can be used further after a query in it was cancelled."""

    def __init__(self, database: Database, address: str) -> None:
        """Use `database`; `address` is its name for people, without a password."""
        self.database = database
        self.address = address
        self.times = Times()

    @abstractmethod
    def partition(self, team_id: str) -> str:
        """Name the queue in which a team's units wait; a group is taken from one queue."""

    @abstractmethod
    def write(self) -> AbstractContextManager[WriteGroup]:
        """A write transaction: committed to disk if the block returns, rolled back if it raises."""

    @abstractmethod
    def read(self) -> AbstractContextManager[GlobalSnapshot]:
        """A read transaction that sees one state of the store, not older than its beginning."""

    @abstractmethod
    def probe(self) -> AbstractContextManager[None]:
        """Do what a write does, up to the point where something would be written."""

    @abstractmethod
    def sizes(self, snapshot: GlobalSnapshot) -> Sizes:
        """How large the store is now, on a thread that reads."""

    def note_write(self) -> None:
        """Look soon whether the database plans with statistics that are still true."""
        return

    @abstractmethod
    def sets(self) -> SetDriver:
        """How this thread runs statements over sets of rows."""

    def prepare(self) -> None:
        """Open what this thread will need, while there are descriptors for it; may fail."""
        return

    def obstacle(self) -> str:
        """What blocks writers, as far as that is known without waiting; else empty."""
        return ""

    def is_blocked(self, error: BaseException) -> bool:
        """Whether nothing was done because another session holds a lock: try again."""
        del error
        return False

    def abort(self) -> None:
        """Let threads that wait for the database fail soon, if the engine can do that."""
        return

    @abstractmethod
    def announce(self, inboxes: Iterable[WakeKey]) -> None:
        """Tell other processes that these inboxes changed. Never waits; may lose."""

    @abstractmethod
    def listen(
        self, stop: threading.Event, ring: Callable[[Iterable[WakeKey] | None], None]
    ) -> None:
        """Until `stop`, call `ring` with inboxes that changed elsewhere, or None for "any"."""

    def interrupt(self) -> None:
        """Let `listen` look at `stop` now; without this call, it looks soon."""
        return

    @abstractmethod
    def classify(self, error: BaseException) -> DovetailError | None:
        """The error for callers, for one of the database; None for a fault of ours."""

    @abstractmethod
    def migration_lock(self) -> AbstractContextManager[None]:
        """Hold off every other process that wants to migrate."""

    def migrate(self) -> None:
        """Bring the schema up to date, or refuse one that is newer than this code."""
        try:
            with self.migration_lock():
                self._migrate()
                self.after_migration()
        except PeeweeException as error:
            full = self.error_for(error)
            if isinstance(full, ResourceExhaustedError):
                raise StoreOpenError(f"{full.message}. Make room, or use another store") from error
            raise StoreOpenError(f"{self.address} cannot be migrated: {plain(error)}") from error

    def after_migration(self) -> None:
        """Do what else a store of an older release needs, while no other process migrates."""
        return

    @abstractmethod
    def foreign_tables(self, tables: set[str]) -> set[str]:
        """The tables in a database without our schema that forbid its use for a store."""

    def refuse_foreign_tables(self, tables: set[str]) -> None:
        """Refuse a database that another program has filled."""
        if MIGRATIONS_TABLE not in tables and (strange := self.foreign_tables(tables)):
            named = ", ".join(sorted(strange)[:NAMED_MAX])
            raise StoreOpenError(
                f"{self.address} is a database of another program (it has the tables {named}):"
                " use another for the store"
            )

    def _migrate(self) -> None:
        tables = set(self.database.get_tables())
        self.refuse_foreign_tables(tables)
        self._refuse_unfinished(tables)
        ours = migrations(self.database, MIGRATIONS)
        unknown = [each.name for each in ours.status() if each.path is None]
        if unknown:
            raise StoreOpenError(
                f"{self.address} was made by a newer release (it has {', '.join(unknown)}):"
                " upgrade this one, or use another store"
            )
        ours.up()

    def _refuse_unfinished(self, tables: set[str]) -> None:
        """Refuse a store into which not all is written that is to be in it."""
        if UNFINISHED_TABLE in tables:
            query = f"SELECT kind, source FROM {UNFINISHED_TABLE}"
            kind, source = typed(self.database).execute_sql(query).fetchone()
            raise StoreOpenError(
                f"{self.address} holds only a part of what is moved there. "
                + unfinished_way(kind, source)
            )

    @contextmanager
    def cancelling(self, when: Callable[[], bool]) -> Generator[None]:
        """Cancel a query of this thread as soon as `when` returns True, if the engine can."""
        del when
        yield

    def was_cancelled(self, error: BaseException) -> bool:
        """Whether an error is the end of a query that was cancelled, not a failure."""
        del error
        return False

    def is_log_large(self) -> bool:
        """Whether long queries should wait, so that a log of changes can be folded in."""
        return False

    def tidy(self) -> None:
        """Fold a log of changes in, on a writer's thread and outside of transactions."""
        return

    def close_connection(self) -> None:
        """Close this thread's connection."""
        typed(self.database).close()

    @abstractmethod
    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Release what the engine holds beside connections, waiting at most so long."""

    def error_for(self, error: BaseException) -> DovetailError:
        """The error that a caller receives for this one."""
        if isinstance(error, DovetailError):
            return error
        for link in chain(error):
            link.args = tuple(map(_first_line, link.args))
        for link in chain(error):
            known = self._classify(link)
            if known is not None:
                known.__cause__ = link
                return known
        internal = InternalError(Reason.INTERNAL, "an internal error")
        internal.__cause__ = error
        return internal

    def _classify(self, error: BaseException) -> DovetailError | None:
        known = self.classify(error)
        want = says_used_up(error) or (isinstance(known, UnavailableError) and are_used_up())
        return unavailable(used_up_text()) if want else known

    def begin(self, statement: str) -> None:
        """Begin a transaction on this thread's connection."""
        typed(self.database).execute_sql(statement)

    @contextmanager
    def span(self, begin: str, commit: str | Callable[[], object]) -> Generator[None]:
        """Run a block between two statements. If it fails, roll back, or else hang up.

        Without `begin` the block begins by itself.
        """
        database = typed(self.database)
        database.connect(reuse_if_open=True)
        try:
            if begin:
                self.begin(begin)
            yield
            commit() if callable(commit) else database.execute_sql(commit)
        except BaseException:
            try:
                if not database.is_closed():
                    database.execute_sql("ROLLBACK")
            except PeeweeException:
                database.close()
            raise


def unfinished_way(kind: str, source: str) -> str:
    """What to do about a store that holds only a part of what is moved to it."""
    if kind == "import":
        return f"Go on with dovetail import {source}, or undo it with dovetail import --undo"
    return f"Go on with dovetail store copy {source}, or remove this store"


_DRIVER_NOISE = re.compile(r"error (compiling|executing) \w+: \[.*?\] | \(code=.*?\)", re.DOTALL)


def plain(error: BaseException) -> str:
    """The text of a database's error, on one line, without the statement."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return " ".join(_DRIVER_NOISE.sub("", str(error)).split()).rstrip(".")


def _first_line(text: object) -> object:
    """The part of an error that may go into a log: below it a database may quote a whole row."""
    return text.partition("\n")[0] if isinstance(text, str) else text


def unavailable(message: str) -> UnavailableError:
    """The error for a store that cannot be reached now."""
    return UnavailableError(Reason.STORE_UNAVAILABLE, message, retry_after=1.0)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
