"""Checks of a store and of the disk or database under it. They change nothing."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import cysqlite
from peewee import Database, PeeweeException
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server import clock
from dovetail.server.store import recounting, reindexing
from dovetail.server.store.counter_queries import COUNTERS, NAMED_MAX, TEAMS
from dovetail.server.store.database import migrations, typed
from dovetail.server.store.engines.base import (
    MIGRATIONS,
    MIGRATIONS_TABLE,
    UNFINISHED_TABLE,
    StoreOpenError,
    unfinished_way,
)
from dovetail.server.store.engines.doorbell import is_anyone_listening
from dovetail.server.store.engines.files import has_lost_its_log
from dovetail.server.store.engines.locations import sqlite_path
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.engines.sqlite import BUSY_SECONDS, OLDEST
from dovetail.server.store.engines.turnstile import PlaceTakenError, Turnstile
from dovetail.server.store.engines.vacuuming import is_shrinkable
from dovetail.server.store.times import WARN_SECONDS, Times
from dovetail.server.store.transaction import GlobalSnapshot

SCARCE_BYTES = 1024**3
TOO_FEW_BYTES = 64 * 1024**2
SLOW_FSYNC_SECONDS = 0.02
FSYNCS = 11
HELD_SECONDS = 3.0
BLOCK = b"\0" * 4_096
OLDEST_POSTGRES = 140_000
BEGIN_READ = {"sqlite": "BEGIN", "postgres": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}

UNFINISHED = "unfinished move"

BRINGS_UP = "The next server of this release to start brings it up to date"
UNREACHABLE = "Does it run, and are address and credentials right?"
NEWER = "Upgrade Dovetail here, or use another store: servers of this release refuse it"
SEARCH_INDEX = "search index"
REINDEX = "dovetail doctor --rebuild-search"
RECOVER = "Stop the servers, copy the file with its -wal and -shm, and restore a copy that is whole"


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check found, and what to do about it, if anything."""

    check: str
    level: Level
    text: str
    advice: str = ""


def check_store(url: str) -> list[Finding]:
    """Check the store of a URL, and the disk or server that it is on."""
    path = sqlite_path(url)
    return list(_engine(url) if path is None else _sqlite(path.absolute()))


def _sqlite(path: Path) -> Iterator[Finding]:
    yield _library()
    yield from _folder(path.parent)
    if not path.exists():
        yield _ok("store", f"there is none at {path} yet: the first server to start makes it")
        return
    if CySqliteDatabase.server_version < OLDEST:
        return
    if has_lost_its_log(path) and is_anyone_listening(path):
        # Opening the database itself would begin a new log beside that of the servers.
        text = f"{path}-wal was removed while servers use the store"
        yield _fail("log", text, "Stop all servers of this store, then start them again")
        return
    yield from _writer(path)
    database = CySqliteDatabase(str(path), rank_functions=False, timeout=BUSY_SECONDS)
    try:
        typed(database).connect()
        with closing(typed(database)):
            yield from check_file(database)
    except (OSError, PeeweeException, cysqlite.DatabaseError) as error:
        yield _fail("store", f"{path} cannot be read: {error}", RECOVER)


def _library() -> Finding:
    version = ".".join(map(str, CySqliteDatabase.server_version))
    if CySqliteDatabase.server_version >= OLDEST:
        return _ok("SQLite", f"version {version}")
    oldest = ".".join(map(str, OLDEST))
    return _fail("SQLite", f"version {version} can corrupt a store", f"Use {oldest} or newer")


def _folder(folder: Path) -> Iterator[Finding]:
    """Check the disk: permissions, free space, speed."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield _fail("folder", f"{place} cannot be written", "Name another: --data-dir DIR")
        return
    yield _ok("folder", f"{folder}{'' if place == folder else ' will be made'}")
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free"
    if free < TOO_FEW_BYTES:
        yield _fail("disk", text, "Make room: writes will soon be refused")
    elif free < SCARCE_BYTES:
        yield _warn("disk", text, "Make room soon")
    else:
        yield _ok("disk", text)
    yield _fsync(place)


def _fsync(folder: Path) -> Finding:
    """Measure how long a commit waits for the disk, at the least."""
    try:
        seconds = _fsync_seconds(folder)
    except OSError as error:
        return _fail("fsync", f"a write fails: {error}", "Is the disk full, or about to break?")
    text = f"{1_000 * seconds:.2f} ms, the median of {FSYNCS}"
    if seconds > SLOW_FSYNC_SECONDS:
        return _warn("fsync", text, "Each commit waits as long: put the store on a faster disk")
    return _ok("fsync", text)


def _fsync_seconds(folder: Path) -> float:
    times: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            begin = time.perf_counter()
            file.write(BLOCK)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _writer(path: Path) -> Iterator[Finding]:
    """Check that no process keeps the others from writing."""
    if not path.with_name(path.name + "-writer").exists():
        return
    try:
        turnstile = Turnstile(path)
    except OSError as error:
        yield _fail(
            "writer", f"its lock files cannot be opened: {error}", "See who owns the folder"
        )
        return
    try:
        turnstile.check(HELD_SECONDS)
    except PlaceTakenError as error:
        yield _fail(
            "writer", f"{error}, and all others wait", error.advice[0].upper() + error.advice[1:]
        )
    else:
        yield _ok("writer", "nobody keeps the others from writing")
    finally:
        turnstile.close()


def check_file(database: Database) -> Iterator[Finding]:
    """Check the file by SQLite's own means, then by ours."""
    found = [str(row[0]) for row in _rows(database, "PRAGMA quick_check") if row[0] != "ok"]
    faults, of_index = reindexing.split(found)
    if of_index:
        yield _fail(SEARCH_INDEX, f"it is damaged, all else is not: {of_index[0]}", REINDEX)
    if faults:
        yield _fail("integrity", "; ".join(faults[:NAMED_MAX]), RECOVER)
        return
    yield _ok("integrity", "quick_check finds no fault")
    orphans = {str(row[0]) for row in _rows(database, "PRAGMA foreign_key_check")}
    if orphans:
        tables = ", ".join(sorted(orphans))
        yield _fail("references", f"rows of {tables} belong to rows that are not there", RECOVER)
    else:
        yield _ok("references", "every row has what it refers to")
    (mode,) = _rows(database, "PRAGMA journal_mode")[0]
    if mode == "wal":
        yield _ok("journal", "wal")
    else:
        yield _warn("journal", f"{mode}, not wal", "A server sets it to wal when it starts")
    if not is_shrinkable(typed(database)):
        text = "the file stays as large as it is, whatever is removed"
        yield _warn("file size", text, "Stop the servers, then: dovetail compact")
    yield from _content(database, BEGIN_READ["sqlite"])


def check_rows(database: Database) -> Iterator[Finding]:
    """Check whether schema, counters and figures of an open database agree with its rows."""
    is_file = isinstance(database, CySqliteDatabase)
    yield from _content(database, BEGIN_READ["sqlite" if is_file else "postgres"])


def _engine(url: str) -> Iterator[Finding]:
    """Check a store in a PostgreSQL database."""
    try:
        engine = open_engine(url)
    except StoreOpenError as error:
        # Of all others the text says what to do.
        is_away = "cannot be reached" in str(error)
        yield _fail("store", str(error), UNREACHABLE if is_away else "")
        return
    try:
        yield _ok("store", f"{engine.address} responds")
        yield from _settings(engine.database)
        yield from _content(engine.database, BEGIN_READ["postgres"])
    except PeeweeException as error:
        yield _fail("store", f"{engine.address}: {error}", "Its own log says more")
    finally:
        engine.close_connection()
        engine.close()


def _settings(database: Database) -> Iterator[Finding]:
    """Check that a write which has returned survives a loss of power."""
    version, number, fsync, commit = (
        str(_rows(database, f"SHOW {name}")[0][0])
        for name in ("server_version", "server_version_num", "fsync", "synchronous_commit")
    )
    if int(number) < OLDEST_POSTGRES:
        yield _warn("PostgreSQL", f"version {version} is old", "Use 14 or newer")
    else:
        yield _ok("PostgreSQL", f"version {version}")
    for name, value in (("fsync", fsync), ("synchronous_commit", commit)):
        if value == "off":
            yield _fail(name, "off: answered writes can be lost", f"Set {name} = on")
        else:
            yield _ok(name, value)


def _content(database: Database, begin: str) -> Iterator[Finding]:
    """Check the schema and, if it is ours, whether the counters agree with the rows."""
    schema = check_schema(database)
    yield schema
    if schema.level is not Level.OK:
        return
    yield from _unfinished(database)
    _rows(database, begin)
    try:
        yield _stamps(database)
        for check, query in COUNTERS.items():
            yield _counters(check, [":".join(map(str, row)) for row in _rows(database, query)])
        yield _figures(database)
        yield _index(database)
    finally:
        typed(database).execute_sql("ROLLBACK")


def check_schema(database: Database) -> Finding:
    """Check whether the schema is that of this release."""
    tables = set(database.get_tables())
    if MIGRATIONS_TABLE not in tables:  # The runner of migrations would create it now.
        return _no_schema(sorted(tables), isinstance(database, CySqliteDatabase))
    status = migrations(database, MIGRATIONS).status()
    unknown = [migration.name for migration in status if migration.path is None]
    waiting = [migration.name for migration in status if not migration.applied]
    if unknown:
        return _fail("schema", f"of a newer release (it has {', '.join(unknown)})", NEWER)
    if waiting:
        return _warn("schema", f"of an older release (without {', '.join(waiting)})", BRINGS_UP)
    return _ok("schema", status[-1].name)


def _unfinished(database: Database) -> Iterator[Finding]:
    """Find what was moved here and not to its end: no server opens such a store."""
    if UNFINISHED_TABLE in database.get_tables():
        ((kind, source),) = _rows(database, f"SELECT kind, source FROM {UNFINISHED_TABLE}")
        text = f"a part of what is moved here ({kind} of {source})"
        yield _fail(UNFINISHED, text, unfinished_way(kind, source))


def _no_schema(tables: list[str], alone: bool) -> Finding:
    """A database that no server has used; a file with other tables belongs to another program."""
    if tables and alone:
        named = ", ".join(tables[:NAMED_MAX])
        text = f"this is a database of another program (it has the tables {named})"
        return _fail("schema", text, "Name another file for the store: --store FILE")
    return _warn("schema", "none yet", BRINGS_UP)


def _stamps(database: Database) -> Finding:
    """Check whether a team's time is ahead, because a server's clock was wrong."""
    latest = clock.now() + WARN_SECONDS * clock.MICROS
    query = f"SELECT team_id, last_time FROM teams WHERE last_time > {latest} ORDER BY 2 DESC"
    ahead = _rows(database, f"{query} LIMIT {NAMED_MAX}")
    if not ahead:
        return _ok("time", "no team is stamped with a time to come")
    named = ", ".join(f"{team_id} by {_ahead(last - latest)}" for team_id, last in ahead)
    advice = "Set the clocks of all servers. These teams' times go on from there, and stay ahead"
    return _warn("time", f"stamps are ahead of the clock: {named}", advice)


def _ahead(micros: int) -> str:
    return str(timedelta(seconds=WARN_SECONDS + micros // clock.MICROS))


def _counters(check: str, wrong: list[str]) -> Finding:
    if not wrong:
        return _ok(check, "agree with the rows")
    named = ", ".join(wrong[:NAMED_MAX]) + (" and more" if len(wrong) > NAMED_MAX else "")
    return _fail(check, f"do not agree with the rows of {named}", f"Please report it. {RECOVER}")


def _figures(database: Database) -> Finding:
    """Compare what reports read with the tasks themselves."""
    whole = GlobalSnapshot(typed(database), "", Times())
    teams = [team_id for (team_id,) in _rows(database, TEAMS)]
    wrong = [team_id for team_id in teams if not recounting.is_right(whole.of(team_id))]
    if not wrong:
        return _ok("report figures", "agree with the tasks")
    named = ", ".join(wrong[:NAMED_MAX]) + (" and more" if len(wrong) > NAMED_MAX else "")
    text = f"do not agree with the tasks of {named}"
    return _fail("report figures", text, "Please report it. dovetail doctor --rebuild-figures")


def _index(database: Database) -> Finding:
    """See how far the index of words is."""
    state = reindexing.state(GlobalSnapshot(typed(database), "", Times()))
    if state.wrong:
        named = ", ".join(state.wrong[:NAMED_MAX]) + (" and more" * (len(state.wrong) > NAMED_MAX))
        return _fail("indexed", f"more than there is, of {named}", f"Please report it. {REINDEX}")
    left = f"all but {state.lag:,} of what was written: servers index it" if state.lag else "all"
    return _ok("indexed", left)


def _rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    cursor = typed(database).execute_sql(query)
    return cursor.fetchall() if cursor.description else []


def _ok(check: str, text: str) -> Finding:
    return Finding(check=check, level=Level.OK, text=text)


def _warn(check: str, text: str, advice: str) -> Finding:
    return Finding(check=check, level=Level.WARN, text=text, advice=advice)


def _fail(check: str, text: str, advice: str) -> Finding:
    return Finding(check=check, level=Level.FAIL, text=text, advice=advice)
