"""Links between tasks; tasks by the time of their last change."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE tasks ADD COLUMN links TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE task_links (
        team_id {id} NOT NULL,
        linked_task_id {id} NOT NULL,
        number BIGINT NOT NULL,
        PRIMARY KEY (team_id, linked_task_id, number),
        FOREIGN KEY (team_id, linked_task_id) REFERENCES tasks (team_id, task_id),
        FOREIGN KEY (team_id, number) REFERENCES tasks (team_id, number)
    )""",
    "CREATE INDEX tasks_update ON tasks (team_id, update_time, number)",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"id": "TEXT"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"'},
}


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
