"""What is kept and how much: rules of teams, counters for limits, what was removed, where to go on.

The sizes of acknowledged deliveries stay 0: they are taken off when a delivery is acknowledged.
"""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    *(
        f"ALTER TABLE teams ADD COLUMN {name} BIGINT NOT NULL DEFAULT 0"
        for name in (
            "message_count",
            "message_bytes",
            "notice_count",
            "notice_bytes",
            "removed_message_count",
            "removed_task_count",
            "removed_event",
        )
    ),
    *(
        f"ALTER TABLE teams ADD COLUMN {name} BIGINT"
        for name in (
            "max_inbox_messages",
            "max_inbox_bytes",
            "max_messages",
            "max_bytes",
            "tasks_complete_since",
        )
    ),
    "ALTER TABLE teams ADD COLUMN retention TEXT",
    *(
        f"ALTER TABLE agents ADD COLUMN {name} BIGINT NOT NULL DEFAULT 0"
        for name in (
            "mail_count",
            "mail_bytes",
            "removed_count",
            "removed_acknowledged_count",
            "removed_acknowledged",
            "removed_unacknowledged",
        )
    ),
    "ALTER TABLE deliveries ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE cleaning_positions (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        front INTEGER NOT NULL,
        number BIGINT NOT NULL,
        time BIGINT NOT NULL,
        PRIMARY KEY (team_id, front)
    ){options}""",
    """
    CREATE TABLE duties (
        team_id {id} NOT NULL,
        duty {id} NOT NULL,
        holder_id {id} NOT NULL,
        turn BIGINT NOT NULL,
        PRIMARY KEY (team_id, duty)
    ){options}""",
    "INSERT INTO duties (team_id, duty, holder_id, turn) VALUES ('', 'clean', '', 0)",
    """
    CREATE TABLE removed_assignee_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        assignee_id {id} NOT NULL,
        pending_tasks BIGINT NOT NULL,
        in_progress_tasks BIGINT NOT NULL,
        input_required_tasks BIGINT NOT NULL,
        completed_tasks BIGINT NOT NULL,
        failed_tasks BIGINT NOT NULL,
        cancelled_tasks BIGINT NOT NULL,
        task_seconds BIGINT NOT NULL,
        task_micros BIGINT NOT NULL,
        PRIMARY KEY (team_id, assignee_id)
    ){options}""",
    """
    CREATE TABLE removed_duration_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        kind INTEGER NOT NULL,
        page INTEGER NOT NULL,
        {buckets},
        seconds BIGINT NOT NULL,
        micros BIGINT NOT NULL,
        PRIMARY KEY (team_id, kind, page)
    ){options}""",
    """
    CREATE TABLE removed_usage_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        assignee_id {id} NOT NULL,
        measure {id} NOT NULL,
        billions BIGINT NOT NULL,
        units BIGINT NOT NULL,
        PRIMARY KEY (team_id, assignee_id, measure)
    ){options}""",
    # A message goes without a walk through all events, a task without one through all links.
    """
    CREATE INDEX task_events_message ON task_events (team_id, message_number)
    WHERE message_number IS NOT NULL""",
    "CREATE INDEX task_links_number ON task_links (team_id, number)",
    # Attempts in the order in which they ended.
    "CREATE INDEX task_attempts_end ON task_attempts (team_id, end_event)",
    """
    UPDATE teams SET
        message_count = (SELECT COUNT(*) FROM messages m
            WHERE m.team_id = teams.team_id AND m.kind = 1),
        message_bytes = (SELECT COALESCE(SUM(m.size), 0) FROM messages m
            WHERE m.team_id = teams.team_id AND m.kind = 1),
        notice_count = (SELECT COUNT(*) FROM messages m
            WHERE m.team_id = teams.team_id AND m.kind = 2),
        notice_bytes = (SELECT COALESCE(SUM(m.size), 0) FROM messages m
            WHERE m.team_id = teams.team_id AND m.kind = 2)""",
    """
    UPDATE deliveries SET size = (
        SELECT CASE WHEN m.kind = 1 THEN m.size ELSE 0 END FROM messages m
        WHERE m.team_id = deliveries.team_id AND m.number = deliveries.message_number
    ) WHERE acknowledge_time IS NULL""",
    """
    UPDATE agents SET
        mail_count = (SELECT COUNT(*) FROM deliveries d
            WHERE d.team_id = agents.team_id AND d.agent_id = agents.agent_id
                AND d.acknowledge_time IS NULL AND d.size > 0),
        mail_bytes = (SELECT COALESCE(SUM(d.size), 0) FROM deliveries d
            WHERE d.team_id = agents.team_id AND d.agent_id = agents.agent_id
                AND d.acknowledge_time IS NULL)""",
)
BUCKETS = ", ".join(f"bucket_{at} BIGINT NOT NULL" for at in range(16))

# Ids compare by their bytes on both engines, so that pages have one order. Each commit of a cleaner
# changes rows of these tables: PostgreSQL writes the new ones into the free half of their page.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": " WITH (fillfactor = 50)"},
}


def up(_: Any, db: Any) -> None:
    """Add tables, columns and indexes, and count what there is. Frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(buckets=BUCKETS, **types))
