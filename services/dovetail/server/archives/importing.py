"""Reading an archive into a store: checked first, then written in bites that a kill does not undo.

The file is read twice. The first time its checksum and header are compared, so that a file that was
cut, or is of another release, is refused before anything is written. The second time its rows are
written, some in each transaction, which also notes how far the file is in (`moving/unfinished.py`).
A line that is wrong nevertheless, or rows that do not agree with each other, end the import for
good: what was written is removed again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dovetail.server.archives import versions
from dovetail.server.archives.columns import ColumnError
from dovetail.server.archives.drafts import BUFFER_BYTES
from dovetail.server.archives.ends import Footer, Header, read_footer, read_header
from dovetail.server.archives.exporting import Progress
from dovetail.server.archives.lines import LINE_BYTES_MAX, Reader, parse
from dovetail.server.store.engines.base import NAMED_MAX, unfinished_way
from dovetail.server.store.moving import reading, unfinished
from dovetail.server.store.moving.errors import (
    FaultyFileError,
    MoveRefusedError,
    NotThereError,
    RowError,
)
from dovetail.server.store.moving.places import Place, opened, prepare
from dovetail.server.store.moving.tables import BY_NAME, NO_TEAM, TEAM_ID, TEAMS, Row
from dovetail.server.store.moving.unfinished import Unfinished
from dovetail.server.store.moving.writing import insert, remove_teams

BITE_ROWS = 5_000
BITE_BYTES = 4 * 1024 * 1024
"""A transaction writes what so many bytes of the file hold, or one line. Both are chosen."""

PROGRESS_LINES = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What to import: a file, or of it only these teams, without credentials."""

    url: str
    file: Path
    team_ids: Sequence[str]
    progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What was written, and whether an earlier attempt had begun with it."""

    team_ids: Sequence[str]
    rows: dict[str, int]
    resumed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    """A file whose checksum is right."""

    header: Header
    footer: Footer
    header_bytes: int
    lines: int
    bytes: int


def import_file(asked: ImportRequest) -> Imported:
    """Write what a file holds to a store. Raises MoveError, StoreOpenError and OSError."""
    with _named(asked.file), _open(asked.file) as file:
        checked = _check(file, asked.progress)
        _check_teams(checked.header, asked.team_ids)
        if not _is_begun(asked.url):
            prepare(asked.url)
        with opened(asked.url) as place, place.alone():
            place.check_schema()
            return _Import(place, file, checked, asked).run()


def undo_import(url: str) -> str:
    """Remove what an import wrote that has not ended. Returns the name of its file."""
    with opened(url) as place, place.alone():
        move = unfinished.find(place)
        if move is None:
            raise NotThereError(f"{place.address} holds no import that has not ended")
        if move.kind != unfinished.IMPORT:
            raise MoveRefusedError(
                f"{place.address} holds a part of {move.source}, by dovetail store copy: remove it"
            )
        _undo(place, move)
        return move.source


class _Import:
    def __init__(
        self, place: Place, file: BinaryIO, checked: _Checked, asked: ImportRequest
    ) -> None:
        header = checked.header
        self._place = place
        self._file = file
        self._checked = checked
        self._asked = asked
        self._takes_credentials = header.has_credentials and not asked.team_ids
        self._team_ids = [*dict.fromkeys(asked.team_ids)] or list(header.team_ids)
        self._readers = {name: _reader(name, names) for name, names in header.columns.items()}
        no_team = {NO_TEAM} if header.has_credentials else set[str]()
        self._known = {*header.team_ids} | no_team
        self._taken = {*self._team_ids} | (no_team if self._takes_credentials else set[str]())

    def run(self) -> Imported:
        """Begin or go on, and end."""
        move, resumed = self._mark()
        try:
            self._write(move)
            faults = self._place.faults()
            if faults:
                raise FaultyFileError(f"its rows do not agree with each other: {'; '.join(faults)}")
        except FaultyFileError as error:
            _undo(self._place, move)
            raise FaultyFileError(f"{error} (the store is as it was before)") from error
        with self._place.writing():
            unfinished.end(self._place)
        rows = reading.count(self._place, None if self._takes_credentials else self._team_ids)
        return Imported(team_ids=self._team_ids, rows=rows, resumed=resumed)

    def _mark(self) -> tuple[Unfinished, bool]:
        """Find how far an earlier attempt came, or begin where that is allowed."""
        place = self._place
        new = Unfinished(
            kind=unfinished.IMPORT,
            source=str(self._asked.file),
            checksum=self._checked.footer.sha256,
            team_ids=None if self._takes_credentials else self._team_ids,
            lines=1,
            position=self._checked.header_bytes,
        )
        move = unfinished.find(place)
        if move is None:
            self._refuse_taken()
            with place.writing():
                unfinished.begin(place, new)
            return new, False
        if (move.kind, move.checksum, move.team_ids) != (new.kind, new.checksum, new.team_ids):
            raise MoveRefusedError(
                f"{place.address} holds a part of something else."
                f" {unfinished_way(move.kind, move.source)}"
            )
        return move, True

    def _refuse_taken(self) -> None:
        """Refuse what would have to be merged with what is there."""
        place = self._place
        if reading.is_empty(place):
            return
        if self._takes_credentials:
            raise MoveRefusedError(
                f"{place.address} is not empty, and credentials of two stores cannot be merged:"
                " name an empty store, or the teams to take without credentials (--team)"
            )
        there = {team_id for (team_id,) in reading.keys(place, TEAMS)}
        taken = sorted(there.intersection(self._team_ids))
        if taken:
            raise MoveRefusedError(
                f"{place.address} has the team {taken[0]!r} already, and teams are not merged: name"
                " another store, or the teams to take (--team)"
            )
        faults = place.faults()
        if faults:
            raise MoveRefusedError(
                f"{place.address} does not agree with itself: {'; '.join(faults)}. See: dovetail"
                " doctor"
            )

    def _write(self, move: Unfinished) -> None:
        """Write the rows that are not written yet."""
        bite = _Bite()
        self._file.seek(move.position)
        number, position = move.lines, move.position
        while number < self._checked.lines - 1:
            line = _read_line(self._file, number + 1)
            number += 1
            position += len(line)
            self._take(bite, line, number)
            if not number % PROGRESS_LINES:
                self._asked.progress("importing", position, self._checked.bytes)
            if bite.is_full(position):
                bite.write(self._place, number, position)
                bite = _Bite(position)
        bite.write(self._place, number, position)

    def _take(self, bite: _Bite, line: bytes, number: int) -> None:
        """Add a line to a bite, if it is asked for."""
        name, content = parse(line, number)
        reader = self._readers.get(name)
        if reader is None:
            known = ", ".join(self._readers)
            raise FaultyFileError(f"line {number}: must be a row of {known}, is of {name!r}")
        try:
            row = reader.row(content)
        except ColumnError as error:
            raise FaultyFileError(f"line {number}: {error}") from None
        team_id = row[reader.team_at] if reader.table.is_of_teams else NO_TEAM
        if team_id not in self._known:
            raise FaultyFileError(
                f"line {number}: {name}.{TEAM_ID}: must be a team of the header, is {team_id!r}"
            )
        if team_id in self._taken:
            bite.add(reader, row, number)


class _Bite:
    """Rows that one transaction writes, by the sets in which they stand in the file."""

    def __init__(self, position: int = 0) -> None:
        self._sets: list[tuple[Reader, list[Row], list[int]]] = []
        self._begin = position
        self._rows = 0

    def add(self, reader: Reader, row: Row, number: int) -> None:
        """Add a row, with the number of its line."""
        if not self._sets or self._sets[-1][0] is not reader:
            self._sets.append((reader, [], []))
        self._sets[-1][1].append(row)
        self._sets[-1][2].append(number)
        self._rows += 1

    def is_full(self, position: int) -> bool:
        """Whether a transaction should have no more."""
        return self._rows >= BITE_ROWS or position - self._begin >= BITE_BYTES

    def write(self, place: Place, lines: int, position: int) -> None:
        """Write the rows, and how far the file is in. Raises FaultyFileError."""
        with place.writing():
            for reader, rows, numbers in self._sets:
                try:
                    insert(place, reader.table, reader.names, rows)
                except RowError as error:
                    line = numbers[error.number]
                    raise FaultyFileError(
                        f"line {line}: {reader.table.name}: the row is not taken: {error}"
                    ) from error
            unfinished.advance(place, lines, position)


def _undo(place: Place, move: Unfinished) -> None:
    remove_teams(place, move.team_ids)
    with place.writing():
        unfinished.end(place)


def _reader(name: str, names: Sequence[str]) -> Reader:
    table = BY_NAME.get(name)
    if table is None:
        raise FaultyFileError(f"line 1: header.columns: must name tables, has {name!r}")
    return Reader(table, names)


def _is_begun(url: str) -> bool:
    """Whether an import into the store was begun, so that no engine opens it."""
    try:
        with opened(url) as place:
            return unfinished.find(place) is not None
    except NotThereError:
        return False


def _check_teams(header: Header, team_ids: Sequence[str]) -> None:
    missing = sorted({*team_ids}.difference(header.team_ids))
    if missing:
        there = ", ".join(header.team_ids[:NAMED_MAX])
        more = " and more" if len(header.team_ids) > NAMED_MAX else ""
        raise NotThereError(f"there is no team {missing[0]!r} in it; it has {there}{more}")


@contextmanager
def _named(file: Path) -> Generator[None]:
    """Say in errors about a file which file it is."""
    try:
        yield
    except FaultyFileError as error:
        raise FaultyFileError(f"{file}: {error}") from error


def _open(file: Path) -> BinaryIO:
    if not file.exists():
        raise NotThereError(f"there is no file {file}")
    if not file.is_file():
        raise FaultyFileError("must be a file, which is read twice: write what a pipe gives to one")
    return file.open("rb", BUFFER_BYTES)


def _check(file: BinaryIO, progress: Progress) -> _Checked:
    """Read the whole file once, and compare its checksum."""
    total, number, position = os.fstat(file.fileno()).st_size, 1, 0
    digest = hashlib.sha256()
    first = last = _read_line(file, 1)
    header = read_header(first)
    versions.check_schema(header.schema)
    while line := _read_line(file, number + 1):
        digest.update(last)
        position += len(last)
        last = line
        number += 1
        if not number % PROGRESS_LINES:
            progress("checking", position, total)
    footer = read_footer(last, number)
    if footer.sha256 != digest.hexdigest():
        raise FaultyFileError(
            f"line {number}: footer.sha256: must be that of all bytes before it,"
            f" {digest.hexdigest()}: the file was changed after it was written"
        )
    if sum(footer.rows.values()) != number - 2:
        raise FaultyFileError(f"line {number}: footer.rows: must be {number - 2:,} in all")
    return _Checked(
        header=header, footer=footer, header_bytes=len(first), lines=number, bytes=total
    )


def _read_line(file: BinaryIO, number: int) -> bytes:
    """The next line; nothing at the end. Raises FaultyFileError for one that is too long."""
    line = file.readline(LINE_BYTES_MAX)
    if len(line) == LINE_BYTES_MAX:
        raise FaultyFileError(f"line {number}: must have less than {LINE_BYTES_MAX:,} bytes")
    return line
