"""Statements for sets of keys that are no rows: finding what hangs on them, removing it.

In the two shapes of `store/sets.py`. Each key begins with the team's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from peewee import Field

from dovetail.server.store.statements import RowStatement, column_type, names, quoted, records


def finding(select: str, keys: Sequence[Field]) -> RowStatement:
    """A SELECT with a question mark for each value of a key, in order."""
    marked = [f"r.k{at}" for at in range(len(keys))]
    types = ", ".join(f"k{at} {column_type(field)}" for at, field in enumerate(keys))
    marks = ", ".join(f"k{at}" for at in range(len(keys)))
    # LATERAL: for each key the index is used that fits (`store/sets.py`).
    many = (
        f"SELECT r.i, f.* FROM ROWS FROM (json_to_recordset(?::json) AS ({types}))"
        f" WITH ORDINALITY AS r({marks}, i)"
        f" CROSS JOIN LATERAL ({select.replace('?', '{}').format(*marked)}) AS f"
    )
    return RowStatement(select, many, [f"k{at}" for at in range(len(keys))], keys)


def removing(*keys: Field, unless: str = "") -> RowStatement:
    """Removes the rows `t` of a table that have these values, unless there is a row of a query."""
    begin, rest = f'DELETE FROM "{_table(keys)}" AS t', f" AND NOT EXISTS ({unless})" * bool(unless)
    one = " AND ".join(f"t.{quoted(key)} = ?" for key in keys)
    many = f"{begin} USING {records(keys)} WHERE {_same(keys)}{rest}"
    return RowStatement(f"{begin} WHERE {one}{rest}", many, names(keys), keys)


def clearing(column: Field, *keys: Field) -> RowStatement:
    """Sets a column to NULL in the rows that have these values."""
    table = _table(keys)
    one = " AND ".join(f"{quoted(key)} = ?" for key in keys)
    begin = f'UPDATE "{table}"'
    many = f"{begin} AS t SET {quoted(column)} = NULL FROM {records(keys)} WHERE {_same(keys)}"
    one = f"{begin} SET {quoted(column)} = NULL WHERE {one}"
    return RowStatement(one, many, names(keys), keys)


def counting(column: Field, *, key: Field) -> RowStatement:
    """Adds to a column of one row. Its rows: what is added, the key."""
    table = _table((key,))
    one = f'UPDATE "{table}" SET {quoted(column)} = {quoted(column)} + ? WHERE {quoted(key)} = ?'
    return RowStatement(one, "", (), ())


def raising(column: Field, *, key: Field) -> RowStatement:
    """Sets a column of one row to a value that is higher. Its rows: the value twice, the key."""
    table, name = _table((key,)), quoted(column)
    one = f'UPDATE "{table}" SET {name} = ? WHERE COALESCE({name}, 0) < ? AND {quoted(key)} = ?'
    return RowStatement(one, "", (), ())


def _table(keys: Sequence[Field]) -> str:
    return str(getattr(keys[0].model, "_meta").table_name)  # noqa: B009


def _same(keys: Sequence[Field]) -> str:
    return " AND ".join(f"t.{quoted(key)} = r.{quoted(key)}" for key in keys)
