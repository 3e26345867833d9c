"""Whether the creator of a task knows that its budget is spent."""

from __future__ import annotations

from typing import Any


def up(_: Any, db: Any) -> None:
    """Add the column. Plain SQL that both engines know, frozen as it was released."""
    db.execute_sql("ALTER TABLE tasks ADD COLUMN budget_told INTEGER NOT NULL DEFAULT 0")
