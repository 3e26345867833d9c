"""Credentials, and when a team was made."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE teams ADD COLUMN create_time BIGINT",
    """
    CREATE TABLE credentials (
        credential_id {id} NOT NULL PRIMARY KEY,
        number BIGINT NOT NULL UNIQUE,
        change_number BIGINT NOT NULL,
        team_id {id} NOT NULL,
        agent_id {id} NOT NULL,
        role INTEGER NOT NULL,
        token_hash {blob} NOT NULL UNIQUE,
        description TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        lifetime BIGINT,
        expire_time BIGINT,
        revoke_time BIGINT,
        creator_id {id} NOT NULL,
        revoker_id {id} NOT NULL,
        rotated_id {id} NOT NULL
    )""",
    "CREATE INDEX credentials_change ON credentials (change_number)",
    "CREATE INDEX credentials_team ON credentials (team_id, number)",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"blob": "BLOB", "id": "TEXT"},
    "PostgresqlDatabase": {"blob": "BYTEA", "id": 'TEXT COLLATE "C"'},
}


def up(_: Any, db: Any) -> None:
    """Make the table. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
