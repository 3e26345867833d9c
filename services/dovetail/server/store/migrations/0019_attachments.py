"""Attachments of messages, and of the inputs, results and late results of tasks."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE message_attachments (
        team_id {id} NOT NULL,
        message_number BIGINT NOT NULL,
        name {id} NOT NULL,
        media_type TEXT NOT NULL,
        size BIGINT NOT NULL,
        sha256 {blob} NOT NULL,
        url TEXT NOT NULL,
        data {blob},
        PRIMARY KEY (team_id, message_number, name),
        FOREIGN KEY (team_id, message_number) REFERENCES messages (team_id, number)
    )""",
    """
    CREATE TABLE task_attachments (
        team_id {id} NOT NULL,
        task_id {id} NOT NULL,
        start_event BIGINT NOT NULL,
        name {id} NOT NULL,
        media_type TEXT NOT NULL,
        size BIGINT NOT NULL,
        sha256 {blob} NOT NULL,
        url TEXT NOT NULL,
        data {blob},
        PRIMARY KEY (team_id, task_id, start_event, name),
        FOREIGN KEY (team_id, task_id) REFERENCES tasks (team_id, task_id)
    )""",
    "ALTER TABLE tasks ADD COLUMN input_attachments TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN outcome_attachments TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE task_attempts ADD COLUMN late_attachments TEXT NOT NULL DEFAULT ''",
)

# Ids and names compare by their bytes on both engines.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "blob": "BLOB"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "blob": "BYTEA"},
}


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
