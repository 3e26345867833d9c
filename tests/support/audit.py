"""What must hold in every store, whatever happened to the servers: asked in plain SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import cysqlite
import psycopg

from dovetail.messaging.v1.messaging_pb2 import Message
from support.tables import NOTICES, PENDING, row_of

NOTICE = 2

# Each of these must answer no row.
FAULTS = {
    "the sequences of an inbox are not 1, 2, 3, …": """
        SELECT agent_id, MIN(sequence), MAX(sequence), COUNT(*) FROM deliveries
        GROUP BY team_id, agent_id HAVING MIN(sequence) <> 1 OR MAX(sequence) <> COUNT(*)""",
    "an inbox's counters are not those of its deliveries": """
        SELECT agent_id, last_sequence, unacknowledged_count, acknowledged_count, kept, ended, done
        FROM agents LEFT JOIN (
            SELECT team_id, agent_id, COUNT(*) AS kept, COUNT(acknowledge_time) AS ended,
                COUNT(acknowledge_time) - COUNT(ending) AS done,
                SUM(CASE WHEN ending IS NULL THEN acknowledge_time - create_time END) AS micros
            FROM deliveries GROUP BY team_id, agent_id
        ) AS found USING (team_id, agent_id)
        WHERE last_sequence <> COALESCE(kept, 0) OR acknowledged_count <> COALESCE(done, 0)
            OR unacknowledged_count <> COALESCE(kept - ended, 0)
            OR acknowledge_micros <> COALESCE(micros, 0)""",
    "a delivery without its message": """
        SELECT agent_id, sequence FROM deliveries AS d WHERE NOT EXISTS (
            SELECT 1 FROM messages AS m
            WHERE m.team_id = d.team_id AND m.number = d.message_number)""",
    "a notice without its event": f"""
        SELECT number, task_id FROM messages AS m
        WHERE kind = {NOTICE} AND m.notice IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM task_events AS e
            WHERE e.team_id = m.team_id AND e.message_number IN (m.number, m.number - 1)
                AND m.notice LIKE '%"event_number": ' || e.number || ',%')""",
    "the messages of a team are not numbered 1, 2, 3, …": """
        SELECT team_id, last_message, COUNT(number) FROM teams LEFT JOIN messages USING (team_id)
        GROUP BY team_id, last_message
        HAVING COUNT(number) <> last_message OR COALESCE(MAX(number), 0) <> last_message""",
    "the events of a team are not numbered 1, 2, 3, …": """
        SELECT team_id, last_event, COUNT(number) FROM teams LEFT JOIN task_events USING (team_id)
        WHERE team_id <> ''
        GROUP BY team_id, last_event
        HAVING COUNT(number) <> last_event OR COALESCE(MAX(number), 0) <> last_event""",
    "the tasks of a team are not numbered 1, 2, 3, …": """
        SELECT team_id, last_task, COUNT(number) FROM teams LEFT JOIN tasks USING (team_id)
        GROUP BY team_id, last_task
        HAVING COUNT(number) <> last_task OR COALESCE(MAX(number), 0) <> last_task""",
    "a task's version is not the number of its events but progress": """
        SELECT task_id, version, COUNT(e.number)
        FROM tasks AS t LEFT JOIN task_events AS e USING (team_id, task_id)
        WHERE e.verb NOT IN ('HEARTBEAT', 'KEEP_LATE_RESULT', 'SPEND_BUDGET')
        GROUP BY team_id, task_id, version HAVING COUNT(e.number) <> version""",
    "an attempt is not as the events say that begin and end it": """
        SELECT a.task_id, a.attempt, a.start_event, a.end_event
        FROM task_attempts AS a
            LEFT JOIN task_events AS s ON s.team_id = a.team_id AND s.number = a.start_event
                AND s.task_id = a.task_id AND s.attempt = a.attempt AND s.to_state = 2
                AND s.assignee_id = a.holder_id AND s.create_time = a.start_time
            LEFT JOIN task_events AS e ON e.team_id = a.team_id AND e.number = a.end_event
                AND e.task_id = a.task_id AND e.attempt = a.attempt AND e.from_state IN (2, 3)
                AND e.to_state NOT IN (2, 3) AND e.create_time = a.end_time
        WHERE s.number IS NULL OR e.number IS NULL""",
    "a task has not an attempt for each start, but for the one that lasts": """
        SELECT t.task_id, t.state,
            (SELECT COUNT(*) FROM task_events AS e WHERE e.team_id = t.team_id
                AND e.task_id = t.task_id AND e.verb IN ('CLAIM', 'START')) AS starts,
            (SELECT COUNT(*) FROM task_attempts AS a WHERE a.team_id = t.team_id
                AND a.task_id = t.task_id) + CASE WHEN t.state IN (2, 3) THEN 1 ELSE 0 END AS known
        FROM tasks AS t WHERE (SELECT COUNT(*) FROM task_events AS e WHERE e.team_id = t.team_id
                AND e.task_id = t.task_id AND e.verb IN ('CLAIM', 'START'))
            <> (SELECT COUNT(*) FROM task_attempts AS a WHERE a.team_id = t.team_id
                AND a.task_id = t.task_id) + CASE WHEN t.state IN (2, 3) THEN 1 ELSE 0 END""",
    "the events of a task are not numbered 1, 2, 3, …": """
        SELECT task_id, event_count, COUNT(e.number), MAX(generation)
        FROM tasks AS t LEFT JOIN task_events AS e USING (team_id, task_id)
        GROUP BY team_id, task_id, event_count
        HAVING COUNT(e.number) <> event_count OR COALESCE(MAX(generation), 0) <> event_count""",
    "a task is not as its last event left it": """
        SELECT task_id, t.state, e.to_state, t.assignee_id, e.assignee_id
        FROM tasks AS t JOIN task_events AS e USING (team_id, task_id)
        WHERE (e.to_state <> t.state OR e.assignee_id <> t.assignee_id) AND e.number = (
            SELECT MAX(number) FROM task_events AS last
            WHERE last.team_id = t.team_id AND last.task_id = t.task_id)""",
    "an event does not begin where the one before it ended": """
        SELECT task_id, number, from_state, before FROM (
            SELECT task_id, number, from_state, LAG(to_state, 1, 0) OVER (
                PARTITION BY team_id, task_id ORDER BY number) AS before
            FROM task_events) AS steps
        WHERE from_state <> before""",
    "two messages of one request": """
        SELECT sender_id, request_id FROM messages WHERE request_id IS NOT NULL
        GROUP BY team_id, sender_id, request_id HAVING COUNT(*) > 1""",
    "two changes of one request": """
        SELECT actor_id, request_id FROM task_events WHERE request_id IS NOT NULL
        GROUP BY team_id, actor_id, request_id HAVING COUNT(*) > 1""",
}

MESSAGES = """
    SELECT m.team_id, m.number, m.recipients, d.agent_id
    FROM messages AS m LEFT JOIN deliveries AS d
        ON d.team_id = m.team_id AND d.message_number = m.number"""
EVENTS = """
    SELECT e.team_id, e.number, e.verb, e.to_state, e.actor_id, e.assignee_id,
        e.former_assignee_id, t.creator_id, d.agent_id
    FROM task_events AS e JOIN tasks AS t USING (team_id, task_id)
    LEFT JOIN messages AS m ON m.team_id = e.team_id
        AND m.number IN (e.message_number, e.message_number + 1)
        AND m.notice LIKE '%"event_number": ' || e.number || ',%'
    LEFT JOIN deliveries AS d ON d.team_id = m.team_id AND d.message_number = m.number"""


Recipients = dict[tuple[str, int], set[str]]


def rows(store_url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, read beside the servers."""
    if store_url.startswith("sqlite:///"):
        connection: Any = cast(Any, cysqlite).Connection(store_url.removeprefix("sqlite:///"))
    else:
        connection = psycopg.connect(store_url)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def bodies(store_url: str) -> set[str]:
    """The bodies of all messages."""
    found = rows(store_url, "SELECT payload FROM messages")
    return {Message.FromString(payload).body for (payload,) in found}


def faults(store_url: str, all_notify: bool = True) -> list[str]:
    """All that is wrong with a store, with examples; empty when nothing is.

    Where not all callers had others notified, what they were told is not looked at.
    """
    found: dict[str, Sequence[object]] = {
        fault: rows(store_url, sql) for fault, sql in FAULTS.items()
    }
    found["a message without all its deliveries"] = _incomplete_messages(store_url)
    if all_notify:
        found["an event without its notices, or with too many"] = _untold_events(store_url)
    return [f"{fault}: {wrong[:5]}" for fault, wrong in found.items() if wrong]


def _incomplete_messages(store_url: str) -> list[object]:
    wanted: Recipients = {}
    delivered: Recipients = {}
    for team_id, number, recipients, agent_id in rows(store_url, MESSAGES):
        wanted[team_id, number] = set(json.loads(recipients))
        delivered.setdefault((team_id, number), set()).add(agent_id)
    return _differing(wanted, delivered)


def _untold_events(store_url: str) -> list[object]:
    wanted: Recipients = {}
    told: Recipients = {}
    for team_id, number, verb, state, actor, *agents, agent_id in rows(store_url, EVENTS):
        told.setdefault((team_id, number), set()).update({agent_id or ""} - {""})
        if verb != "REQUEST_INPUT":  # No event says who was asked.
            again = "~" if verb == "FAIL" and state == PENDING else ""
            wanted[team_id, number] = _concerned(row_of(verb) + again, *agents) - {actor, ""}
    return _differing(wanted, told)


def _concerned(change: str, assignee: str, former: str, creator: str) -> set[str]:
    """Whom a change concerns."""
    parts = {"assignee": assignee, "former": former, "creator": creator}
    return {parts[part] for _, audience in NOTICES[change] for part in audience}


def _differing(wanted: Recipients, found: Recipients) -> list[object]:
    return [(key, ids, found[key]) for key, ids in wanted.items() if ids != found[key]]
