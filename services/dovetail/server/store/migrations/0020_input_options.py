"""Questions with options, and with a default at a deadline."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE tasks ADD COLUMN question_options TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN question_deadline_time BIGINT",
    "ALTER TABLE tasks ADD COLUMN default_answer TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN answer_option TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN answer_is_default INTEGER NOT NULL DEFAULT 0",
    # Finds the open questions whose deadline has passed, of all teams at once.
    """
    CREATE INDEX tasks_question_deadline ON tasks (question_deadline_time)
    WHERE question_deadline_time IS NOT NULL AND state = 3""",
)


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
