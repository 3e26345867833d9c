"""Statements over rows: their SQL in two shapes, for one row and for many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peewee import BigIntegerField, BlobField, Field, IntegerField

from dovetail.server.store.database import TypedDatabase

Row = tuple[Any, ...]
"""The columns of a table, in its order, without `team_id`. With it in front: a row to write."""

Key = tuple[Any, ...]
"""What an index finds a row by: the team's id, then one value for each column of the index."""

_TYPES: dict[type[Field], str] = {
    BigIntegerField: "bigint",
    IntegerField: "integer",
    BlobField: "bytea",
}


class RowStatement:
    """A statement that takes one row, or on PostgreSQL many rows as one JSON parameter."""

    def __init__(
        self, for_one: str, for_many: str, names: Sequence[str], fields: Sequence[Field]
    ) -> None:
        """Both shapes, with a question mark for a parameter; the names and fields of a row."""
        self.for_one = for_one
        self.for_one_percent = for_one.replace("?", "%s")
        self.for_many_percent = for_many.replace("?", "%s")
        self._names = names
        self._blobs = [at for at, field in enumerate(fields) if isinstance(field, BlobField)]

    def text(self, database: TypedDatabase) -> str:
        """The statement for one row, as this kind of database writes parameters."""
        return self.for_one if database.param == "?" else self.for_one_percent

    def as_json(self, rows: Sequence[Row]) -> str:
        """The rows as the parameter of `for_many`."""
        return json.dumps([self._object(row) for row in rows], ensure_ascii=False)

    def _object(self, row: Row) -> dict[str, Any]:
        found = dict(zip(self._names, row, strict=True))
        for at in self._blobs:
            if row[at] is not None:
                found[self._names[at]] = f"\\x{row[at].hex()}"
        return found


Change = tuple[RowStatement, Sequence[Row]]


def quoted(field: Field) -> str:
    """The column of a field, as SQL names it."""
    return f'"{field.column_name}"'


def names(fields: Sequence[Field]) -> list[str]:
    """The columns of fields."""
    return [str(field.column_name) for field in fields]


def column_type(field: Field) -> str:
    """The type of a column on PostgreSQL."""
    return _TYPES.get(type(field), "text")


def records(fields: Sequence[Field]) -> str:
    """The rows of a JSON parameter, named "r", for PostgreSQL."""
    types = ", ".join(f"{quoted(field)} {column_type(field)}" for field in fields)
    return f"json_to_recordset(?::json) AS r({types})"
