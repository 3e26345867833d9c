"""The names of the contract of v0.2.0; the last failure of a task apart from its outcome."""

from __future__ import annotations

from typing import Any

# The numbers that a notice's event had, and the verbs that it has now.
VERBS = {
    1: "ASSIGN",
    2: "UNASSIGN",
    3: "UPDATE",
    4: "COMPLETE",
    5: "FAIL",
    6: "CANCEL",
    7: "REOPEN",
    8: "DELETE",
    9: "RETRY",
    10: "EXPIRE_LEASE",
    11: "REQUEST_INPUT",
    12: "PROVIDE_INPUT",
    13: "BECOME_READY",
    14: "FAIL_DEPENDENCY",
    15: "BECOME_OVERDUE",
}
RENAMED_VERBS = {"LOSE_LEASE": "EXPIRE_LEASE", "LOSE_DEPENDENCY": "FAIL_DEPENDENCY"}

STATEMENTS = (
    "ALTER TABLE tasks RENAME COLUMN waiting_for TO waiting_for_count",
    "ALTER TABLE tasks RENAME COLUMN backoff TO initial_backoff",
    "ALTER TABLE tasks RENAME COLUMN lease_length TO lease_duration",
    "ALTER TABLE tasks ADD COLUMN last_failure_text TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN last_failure_data TEXT",
    # Of an open task the outcome was its last failure.
    """
    UPDATE tasks SET last_failure_text = outcome_text, last_failure_data = outcome_data,
        outcome_text = '', outcome_data = NULL
    WHERE end_time IS NULL AND outcome_text <> ''""",
    *(
        f"UPDATE {table} SET verb = UPPER(REPLACE(verb, '-', '_'))"
        for table in ("task_events", "task_follow_ups")
    ),
    *(
        f"UPDATE {table} SET verb = '{new}' WHERE verb = '{old}'"
        for table in ("task_events", "task_follow_ups")
        for old, new in RENAMED_VERBS.items()
    ),
    *(
        f"""
    UPDATE messages SET notice = REPLACE(notice, '"event": {number},', '"verb": "{verb}",')
    WHERE notice IS NOT NULL AND notice LIKE '{{"event": {number},%%'"""
        for number, verb in VERBS.items()
    ),
    # The receipts of some recipients are found without reading those of all.
    "DROP INDEX deliveries_message",
    "CREATE INDEX deliveries_message ON deliveries (team_id, message_number, agent_id)",
)


def up(_: Any, db: Any) -> None:
    """Change the tables. Plain SQL that both engines know, frozen as it was released."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
