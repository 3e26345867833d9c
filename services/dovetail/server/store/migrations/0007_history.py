"""The history of tasks: the place of an event in that of its task, its attempt, what changed."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE task_events ADD COLUMN generation BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE task_events ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE task_events ADD COLUMN changes TEXT",
    "ALTER TABLE tasks ADD COLUMN event_count BIGINT NOT NULL DEFAULT 0",
    # An attempt is counted from the creation, or from the last reopening.
    """
    WITH lives AS (
        SELECT team_id, number, task_id, verb,
            ROW_NUMBER() OVER life AS generation,
            SUM(CASE WHEN verb = 'REOPEN' THEN 1 ELSE 0 END) OVER life AS reopened
        FROM task_events WINDOW life AS (PARTITION BY team_id, task_id ORDER BY number)
    ), counted AS (
        SELECT team_id, number, generation,
            SUM(CASE WHEN verb IN ('CLAIM', 'START') THEN 1 ELSE 0 END) OVER (
                PARTITION BY team_id, task_id, reopened ORDER BY number
            ) AS attempt
        FROM lives
    )
    UPDATE task_events SET generation = counted.generation, attempt = counted.attempt
    FROM counted
    WHERE task_events.team_id = counted.team_id AND task_events.number = counted.number""",
    """
    UPDATE tasks SET event_count = (
        SELECT COUNT(*) FROM task_events
        WHERE task_events.team_id = tasks.team_id AND task_events.task_id = tasks.task_id
    )""",
)


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
