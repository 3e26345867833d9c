"""What is still to be told of a change on which very many tasks wait."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE task_follow_ups (
        team_id {id} NOT NULL,
        event_number BIGINT NOT NULL,
        task_id {id} NOT NULL,
        verb TEXT NOT NULL,
        actor_id {id} NOT NULL,
        notify INTEGER NOT NULL,
        after_number BIGINT NOT NULL,
        PRIMARY KEY (team_id, event_number),
        FOREIGN KEY (team_id, task_id) REFERENCES tasks (team_id, task_id)
    )""",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"id": "TEXT"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"'},
}


def up(_: Any, db: Any) -> None:
    """Add the table. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
