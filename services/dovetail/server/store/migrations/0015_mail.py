"""How a delivery ended that was not acknowledged; when messages expire; deadlines of senders."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE deliveries ADD COLUMN ending INTEGER",
    "ALTER TABLE deliveries ADD COLUMN reason TEXT",
    "ALTER TABLE deliveries ADD COLUMN expire_time BIGINT",
    """
    CREATE INDEX deliveries_expiring ON deliveries (team_id, expire_time)
    WHERE expire_time IS NOT NULL AND acknowledge_time IS NULL""",
    # Without a reference to the message: a deadline without one has nobody to name.
    """
    CREATE TABLE message_deadlines (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        deadline_time BIGINT NOT NULL,
        message_number BIGINT NOT NULL,
        PRIMARY KEY (team_id, deadline_time, message_number)
    ){options}""",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": ""},
}


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
