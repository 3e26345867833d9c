"""What attempts and tasks used, and budgets, which keep the tasks of a tree from being ready."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE task_attempts ADD COLUMN usage TEXT",
    "ALTER TABLE tasks ADD COLUMN usage TEXT",
    "ALTER TABLE tasks ADD COLUMN attempt_usage TEXT",
    "ALTER TABLE tasks ADD COLUMN tree_usage TEXT",
    "ALTER TABLE tasks ADD COLUMN max_tokens BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE tasks ADD COLUMN max_cost TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN spent_budgets INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX tasks_ready",
    """
    CREATE INDEX tasks_ready ON tasks (
        team_id, assignee_id, priority DESC, (COALESCE(due_time, 9223372036854775807)), number
    ) WHERE state = 1 AND waiting_for_count = 0 AND spent_budgets = 0 AND delete_time IS NULL""",
    "DROP INDEX tasks_scheduled",
    """
    CREATE INDEX tasks_scheduled ON tasks (team_id, schedule_time)
    WHERE state = 1 AND waiting_for_count = 0 AND spent_budgets = 0 AND delete_time IS NULL
        AND schedule_time IS NOT NULL""",
)


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
