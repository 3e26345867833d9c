"""The embedded engine: one SQLite file in WAL mode, shared by the processes of one host."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import cysqlite
import structlog
from peewee import DatabaseError, PeeweeException
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.errors import DovetailError, Reason, ResourceExhaustedError
from dovetail.server.open_files import are_used_up, used_up_text
from dovetail.server.store.database import TypedDatabase, typed
from dovetail.server.store.engines.base import (
    CLOSE_SECONDS,
    Engine,
    Sizes,
    StoreOpenError,
    plain,
    unavailable,
)
from dovetail.server.store.engines.doorbell import Doorbell, is_anyone_listening
from dovetail.server.store.engines.files import StoreFiles, has_lost_its_log
from dovetail.server.store.engines.locations import SQLITE, Folder, check_place, is_text, shown
from dovetail.server.store.engines.sqlite_sets import SqliteSets
from dovetail.server.store.engines.turnstile import PlaceTakenError, Turnstile
from dovetail.server.store.engines.vacuuming import (
    SMALL_BYTES,
    is_shrinkable,
    make_shrinkable,
    write_anew,
)
from dovetail.server.store.group import LOCK_TEAM, WriteGroup
from dovetail.server.store.rings import WakeKey
from dovetail.server.store.transaction import GlobalSnapshot

# Older releases can corrupt a WAL file that two processes use (sqlite.org/wal.html#walresetbug).
OLDEST = (3, 51, 3)
# SQLite's own wait, for programs that do not queue at the turnstile, such as a backup. Chosen, as
# are all numbers here.
BUSY_SECONDS = 5
OPEN_SECONDS = 10
MIGRATE_SECONDS = 60  # The migration of another process may take long.
LONG_SECONDS = 2.0
ADVICE = "Is its folder writable, its disk not full, and no other program holding it?"
POLL_SECONDS = 0.25
POSITION = "INSTR"
PROGRESS_STEPS = 20_000  # Of SQLite's machine: a few ms.
# SQLite itself folds the log in at 1,000 pages (4 MiB). A log of this size means that long queries
# have prevented that for a while.
LOG_BYTES_MAX = 24 * 1024 * 1024
# All writers wait meanwhile, so it is short: the next commit tries again.
FOLD_MILLISECONDS = 30
# A commit is synced before its callers get their results, hence `full`.
PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1, "cache_size": -16_000}


log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.store")


class SqliteEngine(Engine):
    """All writers of all processes take turns at a turnstile."""

    writers = 1
    survives_cancelled_query = True

    def __init__(self, path: Path) -> None:
        """Open the file at `path`; it and its folder are created if they do not exist."""
        path = path.resolve()
        check_place(path)
        if CySqliteDatabase.server_version < OLDEST:
            raise StoreOpenError(f"SQLite {CySqliteDatabase.server_version} is older than {OLDEST}")
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._rescued = False
        super().__init__(CySqliteDatabase(None, rank_functions=False), f"{SQLITE}{shown(path)}")
        with ExitStack() as undo:
            try:
                self._open(undo)
            except (OSError, PeeweeException, cysqlite.DatabaseError) as error:
                raise StoreOpenError(self._why_not(error)) from error
            self._opened = undo.pop_all()

    def _open(self, undo: ExitStack) -> None:
        """Open all that a store needs; `undo` closes it."""
        path = self._path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = undo.enter_context(closing(Folder(path.parent)))
        name = self._name_for_driver()
        self._refuse_lost_log()
        self._refuse_foreign_tables(name)
        self._turnstile = undo.enter_context(closing(Turnstile(path)))
        typed(self.database).init(name, pragmas=PRAGMAS, timeout=BUSY_SECONDS)
        undo.callback(self.close_connection)
        with self._turnstile.open_within(OPEN_SECONDS):
            # Only if it is new: closing another descriptor of the file would free SQLite's locks.
            if not path.exists():
                path.touch(mode=0o600)
            if not path.stat().st_size:
                make_shrinkable(name)
            with self.span("BEGIN IMMEDIATE", "ROLLBACK"):
                pass
            self._anchor = undo.enter_context(closing(_anchor(name)))
            self._files = StoreFiles(path)
        self._doorbell = undo.enter_context(closing(Doorbell(path)))

    def _name_for_driver(self) -> str:
        """The path in the form that the driver takes, which must be text."""
        if is_text(str(self._path)):
            return str(self._path)
        if not is_text(self._path.name) or not self._folder.has_short_names:
            raise StoreOpenError(
                f"{self.address} cannot be opened: its name is not UTF-8. Name another: --store"
            )
        return self._folder.short_name(self._path.name)

    def _refuse_lost_log(self) -> None:
        """Refuse a store whose log was removed while servers use it: their state is not the file's.

        If no server uses it there is no such state, and SQLite begins a new log.
        """
        if has_lost_its_log(self._path) and is_anyone_listening(self._path):
            raise StoreOpenError(
                f"{self.address}-wal was removed while other servers use the store: stop them all,"
                " then start them again"
            )

    def _refuse_foreign_tables(self, name: str) -> None:
        """Refuse a database that is no store, before anything is created beside it or changed."""
        if not self._path.exists():
            return
        # Without our settings: they would make its journal a WAL.
        looking = CySqliteDatabase(name, rank_functions=False, timeout=BUSY_SECONDS)
        with closing(typed(looking)):
            self.refuse_foreign_tables(set(looking.get_tables()))

    def _why_not(self, error: BaseException) -> str:
        if isinstance(error, PlaceTakenError):
            return f"{error}: {error.advice}"
        if are_used_up():
            return f"{self.address} cannot be opened: {used_up_text()}"
        if "not a database" in str(error):
            return f"{self.address} is no SQLite database: name another file for the store"
        return f"{self.address} cannot be opened: {plain(error)}. {ADVICE}"

    def foreign_tables(self, tables: set[str]) -> set[str]:
        """All of them: a file belongs to the store alone."""
        return tables

    def partition(self, team_id: str) -> str:  # noqa: ARG002
        """One queue for all teams: there is one writer."""
        return ""

    @contextmanager
    def write(self) -> Generator[WriteGroup]:
        """Pass the turnstile, then write."""
        with self._turnstile.pass_through():
            self._check_files(self._rescue)
            with self.span("BEGIN IMMEDIATE", "COMMIT"):
                database = typed(self.database)
                yield WriteGroup(database, POSITION, self.times, LOCK_TEAM, self.sets())
            self._check_files(self._rescue)  # Before any caller gets its result.
            if self.is_log_large():
                self._fold_log()

    def sets(self) -> SqliteSets:
        """One statement for each row."""
        return SqliteSets(typed(self.database))

    @contextmanager
    def probe(self) -> Generator[None]:
        """Pass the turnstile and take SQLite's own lock for a moment."""
        with self._turnstile.peep_through():
            self._check_files(self._rescue)
            with self.span("BEGIN IMMEDIATE", "ROLLBACK"):
                yield

    def prepare(self) -> None:
        """Open this thread's connection, and by a first look the files that it uses."""
        with self.span("BEGIN", "COMMIT"):
            typed(self.database).execute_sql("SELECT COUNT(*) FROM sqlite_master").fetchone()

    def obstacle(self) -> str:
        """The holder of the turnstile, if this process's writer has been waiting for long."""
        if self._turnstile.waiting_seconds() < LONG_SECONDS:
            return ""
        taken = self._turnstile.taken()
        return f"{taken}: {taken.advice}"

    @contextmanager
    def read(self) -> Generator[GlobalSnapshot]:
        """Read; writers do not wait for it, nor it for them."""
        self._check_files(_no_rescue)
        with self.span("BEGIN", "COMMIT"):
            yield GlobalSnapshot(typed(self.database), POSITION, self.times)

    @contextmanager
    def cancelling(self, when: Callable[[], bool]) -> Generator[None]:
        """Let SQLite call `when` every few milliseconds of a query."""
        connection = typed(self.database).connection()
        connection.progress(when, PROGRESS_STEPS)
        try:
            yield
        finally:
            connection.progress(None, 0)

    def was_cancelled(self, error: BaseException) -> bool:
        """SQLite reports "interrupted"; the transaction and its snapshot stay valid."""
        return isinstance(error, DatabaseError) and "interrupted" in str(error).lower()

    def sizes(self, snapshot: GlobalSnapshot) -> Sizes:
        """The file and its log."""
        del snapshot
        parts = {"database": self._path.stat().st_size, "wal": self._log.stat().st_size}
        return Sizes(parts=parts, disk_free=shutil.disk_usage(self._path.parent).free)

    def is_log_large(self) -> bool:
        """Whether the write-ahead log has grown beyond what checkpoints keep it at."""
        try:
            return os.stat(self._log).st_size > LOG_BYTES_MAX
        except OSError:
            return False

    def tidy(self) -> None:
        """Fold the log in, whatever its size."""
        with self._turnstile.pass_through():
            self._check_files(self._rescue)
            typed(self.database).connect(reuse_if_open=True)
            self._fold_log()

    def _fold_log(self) -> None:
        """Copy the log into the file and cut it, unless a reader holds it; wait only a moment.

        Called while this process holds the writer's place, so that no other writes.
        """
        database = typed(self.database)
        with contextlib.suppress(PeeweeException):
            database.execute_sql(f"PRAGMA busy_timeout = {FOLD_MILLISECONDS}")
            try:
                database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                database.execute_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")

    def announce(self, inboxes: Iterable[WakeKey]) -> None:
        """Ring the doorbells of the other processes."""
        self._doorbell.ring_others(inboxes)

    def listen(
        self, stop: threading.Event, ring: Callable[[Iterable[WakeKey] | None], None]
    ) -> None:
        """Wait for the doorbell; check regularly whether another process changed the file."""
        seen: object = None
        polled = time.monotonic()
        while not stop.is_set():
            for inboxes in self._doorbell.wait(POLL_SECONDS):
                ring(inboxes)
            if time.monotonic() - polled < POLL_SECONDS:
                continue
            polled = time.monotonic()
            with contextlib.suppress(PeeweeException, DovetailError):
                version = self._data_version()
                if version != seen:
                    seen = version
                    ring(None)
        self.close_connection()

    def interrupt(self) -> None:
        """Ring this process's own doorbell."""
        self._doorbell.ring_here()

    def classify(self, error: BaseException) -> DovetailError | None:
        """Tell a full disk and an unreachable file from a fault of ours, by SQLite's texts."""
        # Only of its own errors and the system's: the texts of others quote what callers sent.
        if not isinstance(error, (OSError, DatabaseError, cysqlite.DatabaseError)):
            return None
        text = str(error).lower()
        if "disk is full" in text or "no space left" in text:
            return ResourceExhaustedError(
                Reason.STORE_FULL, f"the disk of {self.address} is full: nothing was written"
            )
        for words, meaning in _OUTAGES.items():
            if any(word in text for word in words):
                return unavailable(f"{self.address} {meaning}")
        return None

    def after_migration(self) -> None:
        """Write a small file of an older release anew, so that it gives room back.

        A large one stays as it is: its callers would wait, and `dovetail compact` does it.
        """
        database = typed(self.database)
        if is_shrinkable(database) or self._path.stat().st_size > SMALL_BYTES:
            return
        try:
            write_anew(database)
        except PeeweeException as error:
            log.warning("the file stays as large as it is", store=self.address, cause=plain(error))

    @contextmanager
    def migration_lock(self) -> Generator[None]:
        """The writer's place is the lock."""
        try:
            with self._turnstile.open_within(MIGRATE_SECONDS):
                yield
        except PlaceTakenError as error:
            raise StoreOpenError(self._why_not(error)) from error

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Close the doorbell, the lock files and the folder."""
        del seconds
        self._opened.close()

    def _data_version(self) -> object:
        self._check_files(_no_rescue)
        database = typed(self.database)
        database.connect(reuse_if_open=True)
        return database.execute_sql("PRAGMA data_version").fetchone()

    def _check_files(self, rescue: Callable[[], None]) -> None:
        """Refuse to work on files that were moved away or replaced: writes would be lost."""
        lost = self._files.lost()
        if lost is None:
            return
        if self._files.is_database(lost):
            self.close_connection()
            raise unavailable(
                f"{self.address} was removed or replaced while the server was running:"
                " put the file back, or restart the server"
            )
        rescue()
        raise unavailable(
            f"{SQLITE}{shown(lost)} was removed or replaced while servers were running: stop all"
            " servers of this store, then start them again"
        )

    def _rescue(self) -> None:
        """Copy what a removed log holds into the file, before the last connection to it closes.

        While holding the writer's place. The anchor has the old log open for certain; a new
        connection might create a new one. If there is another log already, a process may use it:
        then nothing is touched, and the last connection that closes does the same copy.
        """
        if self._rescued or self._log.exists():
            return
        with contextlib.suppress(PeeweeException):
            (busy, *_) = self._anchor.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._rescued = not busy
        if self._rescued:
            log.error("what the removed log held is in the file now", store=self.address)


def _anchor(name: str) -> TypedDatabase:
    """A connection that has read the store, and stays open for as long as the engine is."""
    database = typed(
        CySqliteDatabase(name, rank_functions=False, thread_safe=False, timeout=BUSY_SECONDS)
    )
    database.connect()
    database.execute_sql("SELECT COUNT(*) FROM sqlite_master").fetchone()
    database.execute_sql(f"PRAGMA busy_timeout = {FOLD_MILLISECONDS}")
    return database


def _no_rescue() -> None:
    """What a reader does about a lost log: nothing, since writers rescue it."""


# SQLite's texts, and those for callers; the log has SQLite's own.
_OUTAGES = {
    ("locked", "busy"): "is locked by another program",
    ("i/o error", "unable to open"): "cannot be read or written: look at its disk",
    ("readonly",): "cannot be written: look at the rights of the file and its folder",
    ("fts5: corruption",): "has a damaged index of words: run dovetail doctor --rebuild-search",
    ("not a database", "malformed"): "is damaged: stop the servers and restore a copy",
}
