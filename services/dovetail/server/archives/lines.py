"""Rows as lines of JSON: an object for each, under the name of its table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dovetail.server.archives.columns import ColumnError, decode, kind_of, reader_of
from dovetail.server.archives.payloads import MESSAGE, write_payload
from dovetail.server.store.moving.errors import FaultyFileError
from dovetail.server.store.moving.tables import TEAM_ID, MovedTable, Row
from dovetail.server.store.wire import Json

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A line is read whole. The largest row is some megabytes, and six times that at worst in JSON."""

PAYLOAD, PAYLOAD_BYTES = "payload", "payload_bytes"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def line_of(name: str, content: Json) -> bytes:
    """A line."""
    return f"{_encode({name: content})}\n".encode()


class Writer:
    """Writes the rows of a table as lines."""

    def __init__(self, table: MovedTable) -> None:
        """Prepare what each column needs."""
        self._name = table.name
        self._columns = [
            (column.name, kind_of(table, column).write, column.name == PAYLOAD)
            for column in table.columns
        ]

    def line(self, row: Row) -> bytes:
        """A row. A column that is NULL is left out."""
        content: dict[str, Json] = {}
        for (name, write, is_payload), value in zip(self._columns, row, strict=True):
            if value is None:
                continue
            if is_payload:
                text, is_exact = write_payload(value)
                if text is not None:
                    content[PAYLOAD] = text
                if not is_exact:
                    content[PAYLOAD_BYTES] = write(value)
            else:
                content[name] = write(value)
        return line_of(self._name, content)


class Reader:
    """Reads lines as rows of a table with these columns."""

    def __init__(self, table: MovedTable, names: Sequence[str]) -> None:
        """Prepare what each column needs. Raises FaultyFileError for columns that are not known."""
        known = {column.name: column for column in table.columns}
        unknown = [name for name in names if name not in known]
        missing = [name for name in table.key if name not in names]
        if unknown or missing:
            raise FaultyFileError(
                f"line 1: header.columns.{table.name}: must name columns of the table, and its key;"
                f" {f'has {unknown[0]}' if unknown else f'has no {missing[0]}'}"
            )
        self.table = table
        self.names = tuple(names)
        self.team_at = self.names.index(TEAM_ID) if TEAM_ID in names else -1
        self._columns = [
            (
                name,
                reader_of(known[name], MESSAGE if name == PAYLOAD else kind_of(table, known[name])),
            )
            for name in names
        ]
        self._allowed = {*names, *([PAYLOAD_BYTES] if PAYLOAD in names else [])}

    def row(self, content: Json) -> Row:
        """The values of the columns. Raises ColumnError, whose text begins with the field."""
        if not isinstance(content, dict):
            raise ColumnError(f"{self.table.name}: must be an object")
        if not self._allowed.issuperset(content):
            strange = next(name for name in content if name not in self._allowed)
            raise ColumnError(f"{self.table.name}.{strange}: is no column of the header")
        if PAYLOAD_BYTES in content:
            content[PAYLOAD] = content.pop(PAYLOAD_BYTES)
        find = content.get
        try:
            values = [read(find(name)) for name, read in self._columns]
        except ColumnError:
            raise self._fault(content) from None
        return tuple(values)

    def _fault(self, content: Mapping[str, Json]) -> ColumnError:
        """The error of the first column that is wrong."""
        for name, read in self._columns:
            value = content.get(name)
            try:
                read(value)
            except ColumnError as error:
                given = "" if value is None else f", is {short(value)}"
                return ColumnError(f"{self.table.name}.{name}: {error}{given}")
        raise AssertionError("a row was wrong, and none of its columns")


def short(value: Json) -> str:
    """A value as errors show it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


def parse(line: bytes, number: int) -> tuple[str, Json]:
    """The name of a line, and what stands under it. Raises FaultyFileError."""
    try:
        found: Json = decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise FaultyFileError(f"line {number}: must be an object in JSON: {error}") from None
    if not isinstance(found, dict) or len(found) != 1:
        raise FaultyFileError(f"line {number}: must be an object with one name: that of a table")
    ((name, content),) = found.items()
    return name, content
