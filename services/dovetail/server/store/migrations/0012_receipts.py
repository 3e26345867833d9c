"""What was handed out, in spans of an inbox; when a delivery was seen."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE deliveries ADD COLUMN see_time BIGINT",
    """
    CREATE TABLE handouts (
        team_id {id} NOT NULL,
        agent_id {id} NOT NULL,
        last_sequence BIGINT NOT NULL,
        first_sequence BIGINT NOT NULL,
        send_time BIGINT NOT NULL,
        PRIMARY KEY (team_id, agent_id, last_sequence),
        FOREIGN KEY (team_id, agent_id) REFERENCES agents (team_id, agent_id)
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
