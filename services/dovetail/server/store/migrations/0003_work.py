"""Leases, retries, dependencies, sub-tasks, questions and progress."""

from __future__ import annotations

from typing import Any

COLUMNS = (
    "depends_on TEXT NOT NULL DEFAULT '[]'",
    "parent_task_id {id} NOT NULL DEFAULT ''",
    "waiting_for INTEGER NOT NULL DEFAULT 0",
    "pooled INTEGER NOT NULL DEFAULT 0",
    "schedule_time BIGINT",
    "max_attempts INTEGER NOT NULL DEFAULT 5",
    "failed_attempts INTEGER NOT NULL DEFAULT 0",
    "backoff BIGINT NOT NULL DEFAULT 1000000",
    "lease_token {id} NOT NULL DEFAULT ''",
    "lease_length BIGINT NOT NULL DEFAULT 0",
    "lease_count BIGINT NOT NULL DEFAULT 0",
    "lease_expire_time BIGINT",
    "lease_event BIGINT NOT NULL DEFAULT 0",
    "progress_percent INTEGER",
    "progress_note TEXT NOT NULL DEFAULT ''",
    "asked_id {id} NOT NULL DEFAULT ''",
    "question_agent_id {id} NOT NULL DEFAULT ''",
    "question_text TEXT NOT NULL DEFAULT ''",
    "question_data TEXT",
    "ask_time BIGINT",
    "answered INTEGER NOT NULL DEFAULT 0",
    "answer_text TEXT NOT NULL DEFAULT ''",
    "answer_data TEXT",
    "input_wait BIGINT NOT NULL DEFAULT 0",
    "overdue_told INTEGER NOT NULL DEFAULT 0",
)
STATEMENTS = (
    *(f"ALTER TABLE tasks ADD COLUMN {column}" for column in COLUMNS),
    """
    CREATE TABLE task_dependencies (
        team_id {id} NOT NULL,
        task_id {id} NOT NULL,
        depends_on_id {id} NOT NULL,
        PRIMARY KEY (team_id, task_id, depends_on_id),
        FOREIGN KEY (team_id, task_id) REFERENCES tasks (team_id, task_id),
        FOREIGN KEY (team_id, depends_on_id) REFERENCES tasks (team_id, task_id)
    )""",
    """
    CREATE INDEX task_dependencies_on ON task_dependencies (team_id, depends_on_id, task_id)""",
    """
    CREATE INDEX tasks_ready ON tasks (
        team_id, assignee_id, priority DESC, (COALESCE(due_time, 9223372036854775807)), number
    ) WHERE state = 1 AND waiting_for = 0 AND delete_time IS NULL""",
    """
    CREATE INDEX tasks_scheduled ON tasks (team_id, schedule_time)
    WHERE state = 1 AND waiting_for = 0 AND delete_time IS NULL AND schedule_time IS NOT NULL""",
    "CREATE INDEX tasks_leased ON tasks (team_id, task_id) WHERE lease_token <> ''",
    """
    CREATE INDEX tasks_due ON tasks (due_time)
    WHERE due_time IS NOT NULL AND overdue_told = 0 AND end_time IS NULL AND delete_time IS NULL""",
    """
    CREATE INDEX tasks_parent ON tasks (team_id, parent_task_id, number)
    WHERE parent_task_id <> ''""",
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
