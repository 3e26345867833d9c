"""The first schema: teams, agents, messages, deliveries, tasks and their events."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE teams (
        team_id {id} NOT NULL PRIMARY KEY,
        last_message BIGINT NOT NULL,
        last_task BIGINT NOT NULL,
        last_event BIGINT NOT NULL,
        last_time BIGINT NOT NULL
    )""",
    """
    CREATE TABLE agents (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        agent_id {id} NOT NULL,
        display_name TEXT NOT NULL,
        labels TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        last_seen_time BIGINT NOT NULL,
        last_sequence BIGINT NOT NULL,
        unacknowledged_count BIGINT NOT NULL CHECK (unacknowledged_count >= 0),
        acknowledged_count BIGINT NOT NULL,
        acknowledge_micros BIGINT NOT NULL,
        PRIMARY KEY (team_id, agent_id)
    )""",
    """
    CREATE TABLE messages (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        number BIGINT NOT NULL,
        sender_id {id} NOT NULL,
        recipients TEXT NOT NULL,
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        data TEXT,
        importance INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        thread_id {id} NOT NULL,
        in_reply_to {id} NOT NULL,
        task_id {id} NOT NULL,
        labels TEXT NOT NULL,
        notice TEXT,
        create_time BIGINT NOT NULL,
        size INTEGER NOT NULL,
        request_id {id},
        request_hash {blob},
        PRIMARY KEY (team_id, number)
    )""",
    """
    CREATE UNIQUE INDEX messages_request ON messages (team_id, sender_id, request_id)
    WHERE request_id IS NOT NULL""",
    "CREATE INDEX messages_thread ON messages (team_id, thread_id, number)",
    "CREATE INDEX messages_task ON messages (team_id, task_id, number) WHERE task_id <> ''",
    """
    CREATE TABLE deliveries (
        team_id {id} NOT NULL,
        agent_id {id} NOT NULL,
        sequence BIGINT NOT NULL,
        message_number BIGINT NOT NULL,
        create_time BIGINT NOT NULL,
        acknowledge_time BIGINT,
        PRIMARY KEY (team_id, agent_id, sequence),
        FOREIGN KEY (team_id, agent_id) REFERENCES agents (team_id, agent_id),
        FOREIGN KEY (team_id, message_number) REFERENCES messages (team_id, number)
    )""",
    "CREATE INDEX deliveries_message ON deliveries (team_id, message_number)",
    """
    CREATE INDEX deliveries_unacknowledged ON deliveries (team_id, agent_id, sequence)
    WHERE acknowledge_time IS NULL""",
    """
    CREATE TABLE tasks (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        task_id {id} NOT NULL,
        number BIGINT NOT NULL,
        version BIGINT NOT NULL,
        title TEXT NOT NULL,
        description TEXT NOT NULL,
        state INTEGER NOT NULL,
        assignee_id {id} NOT NULL,
        creator_id {id} NOT NULL,
        priority INTEGER NOT NULL,
        labels TEXT NOT NULL,
        thread_id {id} NOT NULL,
        input TEXT,
        outcome_text TEXT NOT NULL,
        outcome_data TEXT,
        attempt INTEGER NOT NULL,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL,
        assign_time BIGINT,
        start_time BIGINT,
        end_time BIGINT,
        due_time BIGINT,
        delete_time BIGINT,
        PRIMARY KEY (team_id, task_id),
        UNIQUE (team_id, number)
    )""",
    "CREATE INDEX tasks_assignee ON tasks (team_id, assignee_id, state)",
    "CREATE INDEX tasks_assignee_order ON tasks (team_id, assignee_id, number)",
    "CREATE INDEX tasks_state ON tasks (team_id, state, number)",
    """
    CREATE TABLE task_events (
        team_id {id} NOT NULL,
        number BIGINT NOT NULL,
        task_id {id} NOT NULL,
        verb TEXT NOT NULL,
        actor_id {id} NOT NULL,
        from_state INTEGER NOT NULL,
        to_state INTEGER NOT NULL,
        assignee_id {id} NOT NULL,
        former_assignee_id {id} NOT NULL,
        reason TEXT NOT NULL,
        create_time BIGINT NOT NULL,
        message_number BIGINT,
        request_id {id},
        request_hash {blob},
        PRIMARY KEY (team_id, number),
        FOREIGN KEY (team_id, task_id) REFERENCES tasks (team_id, task_id),
        FOREIGN KEY (team_id, message_number) REFERENCES messages (team_id, number)
    )""",
    "CREATE INDEX task_events_task ON task_events (team_id, task_id, number)",
    """
    CREATE UNIQUE INDEX task_events_request ON task_events (team_id, actor_id, request_id)
    WHERE request_id IS NOT NULL""",
)


# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"blob": "BLOB", "id": "TEXT"},
    "PostgresqlDatabase": {"blob": "BYTEA", "id": 'TEXT COLLATE "C"'},
}


def up(_: Any, db: Any) -> None:
    """Make the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
