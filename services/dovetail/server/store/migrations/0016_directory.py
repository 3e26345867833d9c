"""Groups of agents, their presence, what they are, and their removal."""

from __future__ import annotations

from typing import Any

STATEMENTS = (
    "ALTER TABLE agents ADD COLUMN kind INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE agents ADD COLUMN version BIGINT NOT NULL DEFAULT 1",
    "ALTER TABLE agents ADD COLUMN remove_time BIGINT",
    "ALTER TABLE teams ADD COLUMN removal_count BIGINT NOT NULL DEFAULT 0",
    """
    CREATE TABLE agent_groups (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        group_id {id} NOT NULL,
        display_name TEXT NOT NULL,
        labels TEXT NOT NULL,
        creator_id {id} NOT NULL,
        create_time BIGINT NOT NULL,
        update_time BIGINT NOT NULL,
        version BIGINT NOT NULL,
        agent_count INTEGER NOT NULL,
        PRIMARY KEY (team_id, group_id)
    )""",
    """
    CREATE TABLE group_members (
        team_id {id} NOT NULL,
        group_id {id} NOT NULL,
        agent_id {id} NOT NULL,
        PRIMARY KEY (team_id, group_id, agent_id),
        FOREIGN KEY (team_id, group_id) REFERENCES agent_groups (team_id, group_id),
        FOREIGN KEY (team_id, agent_id) REFERENCES agents (team_id, agent_id)
    ){options}""",
    # Finds the groups of an agent.
    "CREATE INDEX group_members_agent ON group_members (team_id, agent_id, group_id)",
    """
    CREATE TABLE presence (
        team_id {id} NOT NULL,
        agent_id {id} NOT NULL,
        process_id {id} NOT NULL,
        open_streams INTEGER NOT NULL,
        waiting_calls INTEGER NOT NULL,
        PRIMARY KEY (team_id, agent_id, process_id),
        FOREIGN KEY (team_id, agent_id) REFERENCES agents (team_id, agent_id)
    ){options}""",
    """
    CREATE TABLE server_processes (
        team_id {id} NOT NULL,
        process_id {id} NOT NULL,
        beat_count BIGINT NOT NULL,
        PRIMARY KEY (team_id, process_id)
    ){options}""",
    # Finds the open questions that were put to an agent.
    "CREATE INDEX tasks_question ON tasks (team_id, asked_id) WHERE asked_id <> ''",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": ""},
}


def up(_: Any, db: Any) -> None:
    """Add to the tables. Plain SQL that both engines know, frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**types))
