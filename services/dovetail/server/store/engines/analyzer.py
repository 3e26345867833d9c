"""Fresh statistics: a thread that has PostgreSQL analyze our tables as soon as they have grown.

PostgreSQL plans with what the last ANALYZE saw, and a connection keeps its plans, also those by
which it checks foreign keys, until a table is analyzed again. Plans of a table that was never
analyzed, or had a few rows then, walk all rows of a team or of the table for each row that is
written. Autovacuum mends that after a minute, in which tables may grow to a hundred thousand rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from psycopg.errors import Diagnostic

from dovetail.server.store.engines.interrupts import hang_up
from dovetail.server.store.schema import TABLE_NAMES

LOOK_SECONDS = 1.0
# Of a smaller table PostgreSQL would read all pages for one row, once it knows how small it is, and
# go on so while the table grows. As long as it does not know, it assumes so many.
PAGES_MIN = 10
GROWTH = 2
SKIPPED = "55P03"  # lock_not_available

# Pages that the last ANALYZE saw: none if there was none. The times are asked for because VACUUM
# and CREATE INDEX set `relpages` too, so a store that was just restored has it without statistics.
_LOOK = """
    SELECT c.relname,
        pg_relation_size(c.oid) / current_setting('block_size')::bigint,
        CASE WHEN COALESCE(
            pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)
        ) IS NULL THEN 0 ELSE c.relpages END
    FROM unnest(%s::text[]) AS ours (name)
    JOIN pg_class c ON c.oid = to_regclass(quote_ident(ours.name))"""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.store")


class Analyzer:
    """Analyzes each table that has doubled, at most a second after a write of this process.

    Nothing waits for it, and it takes no lock that a read or write of ours waits for. Several
    processes may analyze a table one after the other, which costs some milliseconds.
    `_analyzed`, `_told` and `_warnings` belong to its thread. `_lock` guards `_connection`, which
    `close` hangs up.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        """Look over a connection of its own, opened at the first write."""
        self._connect = connect
        self._analyzed: dict[str, int] = {}
        self._told = False
        self._warnings: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._writes = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="analyzer", daemon=True)
        self._thread.start()

    def note_write(self) -> None:
        """Look at the tables soon: something may have been written."""
        self._writes.set()

    def close(self, seconds: float) -> None:
        """End, also in the middle of an ANALYZE, which has no effect then."""
        self._stop.set()
        self._writes.set()
        with self._lock:
            if self._connection:
                hang_up(self._connection)
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._writes.wait()
            try:
                self._look_on()
            except psycopg.Error as error:
                # An outage is what calls tell of.
                if not isinstance(error, psycopg.OperationalError):
                    self._tell(str(error))
                self._writes.set()
                self._stop.wait(LOOK_SECONDS)

    def _look_on(self) -> None:
        """Look after writes, for as long as the connection lasts."""
        if self._stop.is_set():
            return
        with self._connect() as connection:
            connection.add_notice_handler(self._hear)
            with self._lock:
                self._connection = connection
            try:
                while not self._stop.is_set():
                    self._writes.wait()
                    # Before the look: a write that it does not see sets the event again.
                    self._writes.clear()
                    self._look(connection)
                    self._stop.wait(LOOK_SECONDS)
            finally:
                with self._lock:
                    self._connection = None

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        for name, pages, seen in connection.execute(_LOOK, [TABLE_NAMES]).fetchall():
            known = max(seen, self._analyzed.get(name, 0))
            if not self._stop.is_set() and pages >= max(PAGES_MIN, GROWTH * known):
                self._analyze(connection, name, pages)

    def _analyze(self, connection: psycopg.Connection[Any], name: str, pages: int) -> None:
        self._warnings.clear()
        try:
            connection.execute(f"ANALYZE (SKIP_LOCKED) {name}".encode())
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._tell(str(error))
        if any(state == SKIPPED for state, _ in self._warnings):
            # Another process analyzes it, or VACUUM is at work: see what is left to do.
            self._writes.set()
            return
        # Who does not own the tables may not analyze them, which is a warning and no error.
        for _, text in self._warnings:
            self._tell(text)
        # Also if it failed: it is tried again when the table has doubled, not each second.
        self._analyzed[name] = pages

    def _hear(self, notice: Diagnostic) -> None:
        # psycopg frees the notice after this call, so its texts are taken here.
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append((notice.sqlstate or "", notice.message_primary or ""))

    def _tell(self, reason: str) -> None:
        """Log the first reason; what repeats with every look is not worth more."""
        if not self._told:
            self._told = True
            log.warning(
                "the store's statistics were not refreshed: calls may be slow until autovacuum or"
                " an operator's ANALYZE does it",
                reason=reason.partition("\n")[0],
            )
