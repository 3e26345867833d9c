"""Rows with something in every column, whatever columns there are: for what must carry all of them.

They mean nothing. What refers to other rows finds them, as all rows of a number agree in their ids.
"""

from __future__ import annotations

from typing import Any

from dovetail.server.store.moving.places import Place
from dovetail.server.store.moving.tables import BY_NAME, MOVED, Column, MovedTable

ROWS = 3
PLAIN, SPARSE, EXTREME = range(1, ROWS + 1)
"""The first row of each table has something everywhere, the second NULL, the third extremes."""

LARGEST = {"bigint": 2**63 - 1, "integer": 2**31 - 1}


def write_synthetic_rows(place: Place, foreign_keys: set[tuple[str, str]]) -> None:
    """Fill the tables of an empty store. The columns of foreign keys, on both sides, are named."""
    with place.writing():
        for table in MOVED:
            rows = [
                tuple(_value(table, column, number, foreign_keys) for column in table.columns)
                for number in range(1, ROWS + 1)
            ]
            place.insert(table, table.column_names, rows)


def foreign_keys(database: Any) -> set[tuple[str, str]]:
    """Tables and columns that refer to others, or are referred to."""
    found: set[tuple[str, str]] = set()
    for name in BY_NAME:
        for each in database.get_foreign_keys(name):
            found |= {(name, each.column), (each.dest_table, each.dest_column)}
    return found


def _value(table: MovedTable, column: Column, number: int, fixed: set[tuple[str, str]]) -> Any:
    is_free = column.name not in table.key and (table.name, column.name) not in fixed
    if is_free and column.is_nullable and number == SPARSE:
        return None
    if column.type == "bytea":
        return f"{number}\0é".encode() + b"\xff"
    if column.type == "text":
        return f"é{number}"
    return LARGEST[column.type] - number if is_free and number == EXTREME else number
