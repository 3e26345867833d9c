"""What led to a message, how much was said in a thread within an hour, and limits for both."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE messages ADD COLUMN cause_number BIGINT",
    "ALTER TABLE deliveries ADD COLUMN hop_count INTEGER",
    "ALTER TABLE deliveries ADD COLUMN depth INTEGER",
    "ALTER TABLE teams ADD COLUMN max_loop_hops INTEGER",
    "ALTER TABLE teams ADD COLUMN max_loop_thread_messages INTEGER",
    "ALTER TABLE teams ADD COLUMN max_loop_depth INTEGER",
    "ALTER TABLE teams ADD COLUMN max_away BIGINT",
    "ALTER TABLE tasks ADD COLUMN away_told INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE thread_hours (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        thread_id {id} NOT NULL,
        begin_time BIGINT NOT NULL,
        message_count INTEGER NOT NULL,
        told INTEGER NOT NULL,
        PRIMARY KEY (team_id, thread_id)
    ){options}""",
    # Finds the hours that have passed: they are removed.
    "CREATE INDEX thread_hours_begin ON thread_hours (team_id, begin_time)",
)

# Ids compare by their bytes on both engines. Rows are written again and again, and soon removed:
# PostgreSQL writes the new ones into the free half of their page.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": " WITH (fillfactor = 50)"},
}


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
