"""The engine for more than one machine: PostgreSQL, through psycopg 3.

Each thread has a connection of its own (Peewee keeps it), and only `_Connections` knows them all.
Listener, announcer and analyzer have one each beside those, always outside of transactions.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import peewee
import psycopg
from peewee import PeeweeException
from psycopg.conninfo import conninfo_to_dict

from dovetail.server.errors import (
    DovetailError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from dovetail.server.store.database import Cursor, typed
from dovetail.server.store.engines.analyzer import Analyzer
from dovetail.server.store.engines.announcer import CHANNEL, Announcer
from dovetail.server.store.engines.base import (
    CLOSE_SECONDS,
    Engine,
    Sizes,
    StoreOpenError,
    chain,
    plain,
    unavailable,
)
from dovetail.server.store.engines.interrupts import Breaker, hang_up
from dovetail.server.store.engines.postgres_sets import POSITION, PostgresSets, PostgresSnapshot
from dovetail.server.store.engines.presence import BE_PRESENT
from dovetail.server.store.engines.wakeups import decode_ring
from dovetail.server.store.group import LOCK_TEAM_FOR_UPDATE, WriteGroup
from dovetail.server.store.rings import WakeKey
from dovetail.server.store.schema import TABLE_NAMES
from dovetail.server.store.transaction import GlobalSnapshot, Statement

MIGRATION_LOCK = 0x0D0E7A11
CONNECT_SECONDS = 3
# A peer that vanished is noticed after about 20 s: the system's own limits are hours for an idle
# connection, and a quarter of an hour for one that does not confirm what was sent.
DEAD_PEER = {
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
POLL_SECONDS = 1.0
GLANCE_SECONDS = 0.1  # psycopg itself looks up from its wait as often
RETRY_SECONDS = 0.5
# libpq's buffers grow to a connection's largest statement and never shrink. One that sent a larger
# statement than this is closed after its transaction; the next one opens another, in milliseconds.
KEPT_BUFFER_BYTES = 512 * 1024
# All chosen. lock_timeout: how long a thread waits for a team that another session holds, before it
# serves other teams. statement_timeout: for short reads in groups, which we do not cancel. The
# last: a process that is stopped while it holds a team's row loses it after a minute.
SETTINGS = (
    "-c lock_timeout=300ms -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
)
_SIZE = Statement(peewee.SQL("SELECT pg_database_size(current_database())"))
BEGIN_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresEngine(Engine):
    """A team's writes are serial, by a lock on its row; teams commit side by side."""

    # Chosen: two may be stuck on blocked teams (see the executor), which leaves two for the rest.
    writers = 4
    commits_apart = False

    def __init__(self, url: str) -> None:
        """Connect to `url`, a connection string of libpq."""
        try:
            parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        except psycopg.ProgrammingError:  # Its text quotes the URL, and with it the password.
            raise StoreOpenError(
                "the store's URL cannot be read: use postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        shown = f"{parts.get('host', 'localhost')}:{parts.get('port', '5432')}"
        self._conninfo: dict[str, Any] = {
            "connect_timeout": str(CONNECT_SECONDS),
            **DEAD_PEER,
            "application_name": "dovetail",
            **parts,
            "client_encoding": "UTF8",  # Whatever the environment says.
            "options": f"{SETTINGS} {parts.get('options', '')}".strip(),
        }
        name = self._conninfo.pop("dbname", "postgres")
        self._connections = _Connections()
        database = PostgresqlDatabase(name, prefer_psycopg3=True, **self._conninfo)
        database.connections = self._connections
        database.largest = _Largest()
        self._postgres = database
        super().__init__(database, f"postgresql://{shown}/{name}")
        self._conninfo["dbname"] = name
        try:
            database.connect()
            self._check_encoding()
        except PeeweeException as error:
            raise StoreOpenError(f"{self.address} cannot be reached: {plain(error)}") from error
        except StoreOpenError:
            self.close_connection()
            raise
        self._announcer = Announcer(self._connection)
        self._analyzer = Analyzer(self._connection)
        self._breaker = Breaker()
        self._present: psycopg.Connection[Any] | None = None

    def _check_encoding(self) -> None:
        """Refuse a database that cannot hold all text."""
        (encoding,) = typed(self.database).execute_sql("SHOW server_encoding").fetchone()
        if encoding != "UTF8":
            raise StoreOpenError(
                f"{self.address} has the encoding {encoding}, which cannot hold all text: make one"
                " with UTF8 (CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0)"
            )

    def foreign_tables(self, tables: set[str]) -> set[str]:
        """Those with the names of ours: a database may be shared with other programs."""
        return tables.intersection(TABLE_NAMES)

    def partition(self, team_id: str) -> str:
        """One queue for each team."""
        # So a group has one team, and its transaction waits for one row: a team that is blocked
        # blocks no other. Only administration locks a second row (see `Transaction.team`).
        return team_id

    @contextmanager
    def write(self) -> Generator[WriteGroup]:
        """Write; each team's row is locked before the first look at its data."""
        sets = self.sets()
        with self.span("", sets.commit):
            database = typed(self.database)
            yield WriteGroup(database, POSITION, self.times, LOCK_TEAM_FOR_UPDATE, sets)
        self.note_write()

    def note_write(self) -> None:
        """Let the analyzer look."""
        self._analyzer.note_write()

    def sets(self) -> PostgresSets:
        """One statement for each set."""
        return self._sets(b"BEGIN")

    def _sets(self, begin: bytes) -> PostgresSets:
        note_size = self._postgres.note_size
        return PostgresSets(typed(self.database), note_size, self._reconnect, begin)

    @contextmanager
    def probe(self) -> Generator[None]:
        """Run an empty transaction: it needs no team's row, so no blocked team can delay it."""
        with self.span("BEGIN", "ROLLBACK"):
            yield

    def is_blocked(self, error: BaseException) -> bool:
        """Whether another session held the team's row for too long."""
        return any(isinstance(link, psycopg.errors.LockNotAvailable) for link in chain(error))

    def abort(self) -> None:
        """Hang up on the database: threads that wait for its reply fail at once."""
        for connection in self._connections.open_ones():
            hang_up(connection)

    @contextmanager
    def read(self) -> Generator[GlobalSnapshot]:
        """Read one snapshot."""
        sets = self._sets(BEGIN_READ)
        with self.span("", sets.commit):
            yield PostgresSnapshot(typed(self.database), self.times, sets)

    def sizes(self, snapshot: GlobalSnapshot) -> Sizes:
        """The database; its log is that of the whole server."""
        ((size,),) = snapshot.rows(_SIZE)
        return Sizes(parts={"database": size})

    @contextmanager
    def cancelling(self, when: Callable[[], bool]) -> Generator[None]:
        """Let the database cancel the queries of this thread as soon as `when` returns True."""
        with self._breaker.watching(typed(self.database).connection(), when):
            yield

    def was_cancelled(self, error: BaseException) -> bool:
        """Whether it was cancelled; nothing more can be asked in the same transaction."""
        return any(isinstance(link, psycopg.errors.QueryCanceled) for link in chain(error))

    @contextmanager
    def span(self, begin: str, commit: str | Callable[[], object]) -> Generator[None]:
        """Run a block between two statements, and let a connection go whose buffers grew large."""
        try:
            with super().span(begin, commit):
                yield
        finally:
            if self._postgres.has_large_buffers():
                self.close_connection()

    def begin(self, statement: str) -> None:
        """Begin, on a new connection if the old one died while it was idle."""
        # Nothing of this transaction has been sent, so trying again cannot do anything twice. A
        # connection that dies later ends the transaction, and the error goes to the callers.
        try:
            super().begin(statement)
        except PeeweeException:
            self._reconnect()
            super().begin(statement)

    def _reconnect(self) -> None:
        self.close_connection()
        typed(self.database).connect()
        self._breaker.follow(typed(self.database).connection())

    def announce(self, inboxes: Iterable[WakeKey]) -> None:
        """Pass the names to the announcer, which notifies outside of every transaction."""
        # A transaction that notifies holds a lock of the whole cluster while it commits: teams
        # would commit one after the other.
        self._announcer.add(inboxes)

    def listen(
        self, stop: threading.Event, ring: Callable[[Iterable[WakeKey] | None], None]
    ) -> None:
        """LISTEN on one connection; while there is none, ring "any" at every attempt."""
        # First LISTEN, then a look (`ring(None)`): what is committed before LISTEN takes effect is
        # found by the look, what is committed later is notified. The other order has a gap.
        while not stop.is_set():
            ring(None)
            with contextlib.suppress(psycopg.Error), self._listening() as connection:
                connection.execute(f"LISTEN {CHANNEL}".encode())
                while not stop.is_set():
                    ring(None)
                    self._hear(connection, stop, ring)
            stop.wait(RETRY_SECONDS)

    def classify(self, error: BaseException) -> DovetailError | None:
        """Tell a full disk and a lost connection from a fault of ours, by SQLSTATE."""
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate or ""
        if state == "55P03":
            return UnavailableError(
                Reason.STORE_BUSY,
                f"another session of {self.address} holds the team's row: nothing was done."
                " Look for it in pg_stat_activity, where its query began long ago",
                retry_after=1.0,
            )
        if state == "53100":
            return ResourceExhaustedError(
                Reason.STORE_FULL, f"the disk of {self.address} is full: nothing was written"
            )
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        if lost or state[:2] in _OUTAGES:
            return unavailable(f"{self.address} cannot be reached, or was interrupted")
        return None

    def migrate(self) -> None:
        """As every engine; from now on it shows that a server is there."""
        # Before the look for an unfinished move, and until the end: see `presence.py`.
        try:
            self._present = self._present_connection()
        except psycopg.Error as error:
            raise StoreOpenError(f"{self.address} cannot be reached: {plain(error)}") from error
        if self._present is None:
            raise StoreOpenError(f"{self.address} is being moved: start again when that has ended")
        super().migrate()

    @contextmanager
    def migration_lock(self) -> Generator[None]:
        """A lock of this session, which the database frees when the session ends."""
        database = typed(self.database)
        database.connect(reuse_if_open=True)
        # A migration of a large store may take long, this one or another process's. The settings
        # end with this connection, which the store closes after the migration.
        database.execute_sql("SET lock_timeout = 0")
        database.execute_sql("SET statement_timeout = 0")
        database.execute_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            yield
        finally:
            database.execute_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Stop the announcer, the analyzer and the breaker, and be there no more."""
        if self._present:
            self._present.close()
        self._announcer.close(seconds)
        self._analyzer.close(seconds)
        self._breaker.close(seconds)

    def _listening(self) -> psycopg.Connection[Any]:
        """The connection that shows a server, or another. Raises psycopg.Error."""
        made, self._present = self._present or self._present_connection(), None
        if made is None:
            raise psycopg.OperationalError("the store is being moved")
        return made

    def _present_connection(self) -> psycopg.Connection[Any] | None:
        """A connection that holds the lock of servers; None: a move has it for itself."""
        made = self._connection()
        if made.execute(BE_PRESENT.encode()).fetchone() == (True,):
            return made
        made.close()
        return None

    def _connection(self) -> psycopg.Connection[Any]:
        made = psycopg.connect(autocommit=True, **self._conninfo)
        self._connections.add(made)
        return made

    def _hear(
        self,
        connection: psycopg.Connection[Any],
        stop: threading.Event,
        ring: Callable[[Iterable[WakeKey] | None], None],
    ) -> None:
        """Listen until the next look is due, or until `stop`."""
        # A look each second, however many notifications come: those that were sent while the
        # connection was down are lost, and their senders do not know.
        due = time.monotonic() + POLL_SECONDS
        while time.monotonic() < due and not stop.is_set():
            for notification in connection.notifies(timeout=GLANCE_SECONDS):
                origin, _, names = notification.payload.partition(" ")
                if origin != self._announcer.name:
                    ring(decode_ring(names))


class _Connections:
    """The connections of an engine, whichever threads use them.

    For `abort` alone, which other threads call. Each connection belongs to its thread, which may
    drop it at any time, hence weak references. Without the lock an addition would break a loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: WeakSet[psycopg.Connection[Any]] = WeakSet()

    def add(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            self._all.add(connection)

    def open_ones(self) -> list[psycopg.Connection[Any]]:
        with self._lock:
            return [each for each in self._all if not each.closed]


class PostgresqlDatabase(peewee.PostgresqlDatabase):
    """Peewee's database, which also reports each connection that it makes and its buffers.

    Statements and migrations tell kinds of databases by the name of this class: do not change it.
    """

    connections: _Connections
    largest: _Largest

    def connect(self, reuse_if_open: bool = False) -> bool:
        """As Peewee's, which calls it wherever there is no connection; also reports a new one."""
        if is_new := super().connect(reuse_if_open):
            self.connections.add(typed(self).connection())
            self.largest.sent_bytes = 0
        return is_new

    def execute_sql(self, sql: str, params: Sequence[object] | None = None) -> Cursor:
        """As Peewee's; also keeps the size of what is sent."""
        size = len(sql) + sum(len(each) for each in params or () if isinstance(each, (str, bytes)))
        self.note_size(size)
        return typed(super()).execute_sql(sql, params)

    def note_size(self, size: int) -> None:
        """Keep the size of a statement that was sent."""
        self.largest.sent_bytes = max(self.largest.sent_bytes, size)

    def has_large_buffers(self) -> bool:
        """Whether this thread's connection has sent a large statement."""
        return self.largest.sent_bytes > KEPT_BUFFER_BYTES


class _Largest(threading.local):
    """The largest statement that a thread's connection has sent, in characters: at most its bytes.

    One for each thread, as connections are; so it needs no lock.
    """

    sent_bytes = 0


# Connection exceptions, no standby writes, out of resources, an operator stepped in, rolled back.
_OUTAGES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
