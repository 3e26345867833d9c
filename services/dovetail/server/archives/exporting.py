"""Writing an archive: one state of a store, or of some of its teams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import BinaryIO

from dovetail.server import clock
from dovetail.server.archives.columns import time_text
from dovetail.server.archives.ends import Footer, Header, footer_line, header_line
from dovetail.server.archives.lines import Writer
from dovetail.server.store.moving import reading
from dovetail.server.store.moving.errors import MoveRefusedError, NotThereError
from dovetail.server.store.moving.places import Place, opened
from dovetail.server.store.moving.tables import MOVED, NO_TEAM, TEAMS, MovedTable, Row
from dovetail.server.store.moving.unfinished import find

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it is, and how much there is."""

PROGRESS_ROWS = 500
WRITERS = {table.name: Writer(table) for table in MOVED}
TABLES_OF_STORE = [table for table in MOVED if not table.is_of_teams]
TABLES_OF_TEAMS = [table for table in MOVED if table.is_of_teams]


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """What an archive holds: rows by table, bytes, and the checksum in its footer."""

    team_ids: Sequence[str]
    rows: dict[str, int]
    bytes: int
    sha256: str


def export_store(url: str, team_ids: Sequence[str], out: BinaryIO, progress: Progress) -> Archived:
    """Write a store, or these of its teams. Raises MoveError, StoreOpenError and OSError.

    Servers may run: what is written is one state, as it was at the beginning.
    """
    with opened(url) as place:
        place.check_schema()
        if find(place):
            raise MoveRefusedError(f"{place.address} is not whole: end what is moved there first")
        with place.reading():
            return _Export(place, _chosen(place, team_ids), not team_ids, out).run(progress)


def _chosen(place: Place, team_ids: Sequence[str]) -> list[str]:
    """The teams to write, in order."""
    there = [team_id for (team_id,) in reading.keys(place, TEAMS) if team_id != NO_TEAM]
    missing = sorted({*team_ids}.difference(there))
    if missing:
        known = f"; it has {', '.join(there[:10])}{' and more' if len(there) > 10 else ''}"
        raise NotThereError(f"{place.address} has no team {missing[0]!r}{known if there else ''}")
    return [each for each in there if each in {*team_ids}] if team_ids else there


class _Export:
    def __init__(self, place: Place, team_ids: list[str], is_all: bool, out: BinaryIO) -> None:
        self._place = place
        self._team_ids = team_ids
        self._out = out
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._rows = dict.fromkeys((table.name for table in MOVED), 0)
        self._total = sum(reading.count(place, None if is_all else team_ids).values())
        # What belongs to no team goes along only where all teams do.
        self._has_credentials = is_all and _has_rows_of_no_team(place)

    def run(self, progress: Progress) -> Archived:
        """Write all lines."""
        self._write(header_line(self._header()))
        for done, (table, row) in enumerate(self._moved()):
            if not done % PROGRESS_ROWS:
                progress("exporting", min(done, self._total), self._total)
            self._write(WRITERS[table.name].line(row))
            self._rows[table.name] += 1
        sha256 = self._digest.hexdigest()
        self._write(footer_line(Footer(rows=self._rows, sha256=sha256)))
        progress("exporting", self._total, self._total)
        return Archived(team_ids=self._team_ids, rows=self._rows, bytes=self._bytes, sha256=sha256)

    def _header(self) -> Header:
        return Header(
            release=version("dovetail"),
            schema=self._place.schema(),
            create_time=time_text(clock.now()),
            has_credentials=self._has_credentials,
            team_ids=self._team_ids,
            columns={table.name: table.column_names for table in MOVED},
        )

    def _moved(self) -> Iterator[tuple[MovedTable, Row]]:
        """All rows, each after those that it refers to: first those of no team, then by team."""
        if self._has_credentials:
            yield from self._rows_of(NO_TEAM)
            for table in TABLES_OF_STORE:
                yield from ((table, row) for row in reading.rows(self._place, table))
        for team_id in self._team_ids:
            yield from self._rows_of(team_id)

    def _rows_of(self, team_id: str) -> Iterator[tuple[MovedTable, Row]]:
        for table in TABLES_OF_TEAMS:
            yield from ((table, row) for row in reading.rows(self._place, table, team_id))

    def _write(self, line: bytes) -> None:
        self._out.write(line)
        self._digest.update(line)
        self._bytes += len(line)


def _has_rows_of_no_team(place: Place) -> bool:
    return any(
        next(reading.pages(place, table, table.key, team_id), None)
        for table, team_id in ((TEAMS, NO_TEAM), *((each, None) for each in TABLES_OF_STORE))
    )
