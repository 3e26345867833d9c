"""Messages as the bytes in which they are delivered. Older rows keep their content in columns."""

from __future__ import annotations

from typing import Any

TYPES = {"SqliteDatabase": "BLOB", "PostgresqlDatabase": "BYTEA"}


def up(_: Any, db: Any) -> None:
    """Add the column. Plain SQL that both engines know, frozen as it was released."""
    blob = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    db.execute_sql(f"ALTER TABLE messages ADD COLUMN payload {blob}")
