"""Rows of a table in the order of its key, page by page.

A page is bounded in rows and in bytes: where rows may be large, the database is first asked for
their sizes, which it knows without reading them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dovetail.server.store.moving.places import Place
from dovetail.server.store.moving.tables import MOVED, Key, MovedTable, Row

PAGE_ROWS = 500
PAGE_BYTES = 2 * 1024 * 1024
"""A page has at most so many bytes, or one row. Both are chosen."""


def rows(place: Place, table: MovedTable, team_id: str | None = None) -> Iterator[Row]:
    """All rows of a table, or those of a team, in the order of its key."""
    for page in pages(place, table, table.column_names, team_id):
        yield from page


def keys(place: Place, table: MovedTable) -> Iterator[Key]:
    """The keys of all rows of a table, in order."""
    for page in pages(place, table, table.key):
        yield from page


def pages(
    place: Place, table: MovedTable, columns: Sequence[str], team_id: str | None = None
) -> Iterator[list[Row]]:
    """Pages of a table, or of a team in it: all of its columns, or those of its key."""
    named = ", ".join(f'"{each}"' for each in columns)
    is_sized = bool(table.sized) and len(columns) > len(table.key)
    key_of = _same if columns == table.key else table.key_of
    after: Key | None = None
    while True:
        until = _end_of_page(place, table, team_id, after) if is_sized else None
        if is_sized and until is None:
            return
        where, values = _within(table, team_id, after, until)
        limit = "" if is_sized else f" LIMIT {PAGE_ROWS}"
        found = place.rows(
            f'SELECT {named} FROM "{table.name}"{where} ORDER BY {_key(table)}{limit}', values
        )
        if not found:
            return
        yield found
        if not is_sized and len(found) < PAGE_ROWS:
            return
        after = key_of(found[-1])


def count(place: Place, team_ids: Iterable[str] | None = None) -> dict[str, int]:
    """How many rows each table has, or has of these teams."""
    if team_ids is None:
        return {
            table.name: place.rows(f'SELECT COUNT(*) FROM "{table.name}"')[0][0] for table in MOVED
        }
    found = dict.fromkeys((table.name for table in MOVED), 0)
    for team_id in team_ids:
        for table in MOVED:
            if table.is_of_teams:
                where, values = _within(table, team_id, None, None)
                query = f'SELECT COUNT(*) FROM "{table.name}"{where}'
                found[table.name] += place.rows(query, values)[0][0]
    return found


def is_empty(place: Place) -> bool:
    """Whether there is no row in any table."""
    return not any(place.rows(f'SELECT 1 FROM "{table.name}" LIMIT 1') for table in MOVED)


def _end_of_page(
    place: Place, table: MovedTable, team_id: str | None, after: Key | None
) -> Key | None:
    """The key of the last row of the page after a key; None: there is no row any more."""
    where, values = _within(table, team_id, after, None)
    size = " + ".join(f"COALESCE(OCTET_LENGTH({column}), 0)" for column in table.sized)
    found = place.rows(
        f'SELECT {size}, {_key(table)} FROM "{table.name}"{where}'
        f" ORDER BY {_key(table)} LIMIT {PAGE_ROWS}",
        values,
    )
    last: Key | None = None
    total = 0
    for row_size, *key in found:
        total += row_size
        if last is not None and total > PAGE_BYTES:
            break
        last = tuple(key)
    return last


def _same(key: Key) -> Key:
    return key


def _key(table: MovedTable) -> str:
    return ", ".join(f'"{each}"' for each in table.key)


def _within(
    table: MovedTable, team_id: str | None, after: Key | None, until: Key | None
) -> tuple[str, list[object]]:
    """A condition with its values: of a team, after a key, up to another."""
    marks = ", ".join("?" * len(table.key))
    tests: list[str] = []
    values: list[object] = []
    if team_id is not None:
        tests.append('"team_id" = ?')
        values.append(team_id)
    for operator, key in ((">", after), ("<=", until)):
        if key is not None:
            tests.append(f"({_key(table)}) {operator} ({marks})")
            values += key
    return (f" WHERE {' AND '.join(tests)}" if tests else ""), values
