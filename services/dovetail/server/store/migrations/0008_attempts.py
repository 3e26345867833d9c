"""The attempts of tasks. Those that have ended are made of the history, as far as it tells."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE task_attempts (
        team_id {id} NOT NULL,
        task_id {id} NOT NULL,
        start_event BIGINT NOT NULL,
        attempt INTEGER NOT NULL,
        holder_id {id} NOT NULL,
        start_time BIGINT NOT NULL,
        end_event BIGINT NOT NULL,
        end_time BIGINT NOT NULL,
        ending INTEGER NOT NULL,
        reason TEXT NOT NULL,
        failure_text TEXT NOT NULL,
        failure_data TEXT,
        retryable INTEGER NOT NULL,
        progress_percent INTEGER,
        progress_note TEXT NOT NULL,
        token_hash TEXT NOT NULL,
        late_verb INTEGER NOT NULL,
        late_time BIGINT,
        late_text TEXT NOT NULL,
        late_data TEXT,
        late_retryable INTEGER NOT NULL,
        PRIMARY KEY (team_id, task_id, start_event),
        FOREIGN KEY (team_id, task_id) REFERENCES tasks (team_id, task_id)
    )""",
    "ALTER TABLE tasks ADD COLUMN start_event BIGINT NOT NULL DEFAULT 0",
    """
    UPDATE tasks SET start_event = COALESCE((
        SELECT MAX(number) FROM task_events
        WHERE task_events.team_id = tasks.team_id AND task_events.task_id = tasks.task_id
            AND verb IN ('CLAIM', 'START')
    ), 0)""",
    # Of the events that begin or end an attempt, the one after a beginning is its end. The states
    # 2 and 3 are those of a task that is held.
    """
    INSERT INTO task_attempts
    SELECT team_id, task_id, number, attempt, assignee_id, create_time,
        end_event, end_time,
        CASE end_verb WHEN 'COMPLETE' THEN 1 WHEN 'FAIL' THEN 2 WHEN 'EXPIRE_LEASE' THEN 3
            WHEN 'RELEASE' THEN 4 WHEN 'CANCEL' THEN 6 ELSE 5 END,
        '', '', NULL, 0, NULL, '', '', 0, NULL, '', NULL, 0
    FROM (
        SELECT team_id, task_id, number, verb, attempt, assignee_id, create_time,
            LEAD(number) OVER life AS end_event,
            LEAD(create_time) OVER life AS end_time,
            LEAD(verb) OVER life AS end_verb
        FROM task_events
        WHERE verb IN ('CLAIM', 'START') OR (from_state IN (2, 3) AND to_state NOT IN (2, 3))
        WINDOW life AS (PARTITION BY team_id, task_id ORDER BY number)
    ) AS ends
    WHERE verb IN ('CLAIM', 'START') AND end_event IS NOT NULL""",
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
