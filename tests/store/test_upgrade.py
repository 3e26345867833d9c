"""A store of an earlier release: it is migrated, and all that is in it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from playhouse.migrations import Runner

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store.engines.base import MIGRATIONS
from dovetail.server.store.engines.opening import open_engine
from dovetail.tasks.v1 import tasks_pb2 as t
from support.guarded import guarded_pair

# What the first release wrote when alice sent bob a message and created a task for him.
FIRST = (
    "INSERT INTO teams VALUES ('red', 2, 1, 1, 5000000)",
    "INSERT INTO agents VALUES ('red', 'alice', 'Alice', '', 1000000, 1000000, 0, 0, 0, 0)",
    "INSERT INTO agents VALUES ('red', 'bob', '', '', 2000000, 2000000, 2, 2, 0, 0)",
    """INSERT INTO messages VALUES ('red', 1, 'alice', '["bob"]', 'Hi', 'hello', NULL, 2, 1, 'm1',
        '', '', '', NULL, 3000000, 200, NULL, NULL)""",
    """INSERT INTO messages VALUES ('red', 2, 'alice', '["bob"]', 'T', '', NULL, 2, 2, 't1', '',
        't1', '', '{"event": 1, "task_id": "t1", "event_number": 1, "actor_id": "alice",
        "assignee_id": "bob", "former_assignee_id": ""}', 5000000, 200, NULL, NULL)""",
    "INSERT INTO deliveries VALUES ('red', 'bob', 1, 1, 3000000, NULL)",
    "INSERT INTO deliveries VALUES ('red', 'bob', 2, 2, 5000000, NULL)",
    """INSERT INTO tasks VALUES ('red', 't1', 1, 1, 'Build', '', 1, 'bob', 'alice', 0, '', 't1',
        NULL, '', NULL, 0, 5000000, 5000000, 5000000, NULL, NULL, NULL, NULL)""",
    """INSERT INTO task_events VALUES ('red', 1, 't1', 'create', 'alice', 0, 1, 'bob', '', '',
        5000000, 2, NULL, NULL)""",
)


def make_first(store_url: str) -> None:
    """A store as the first release left it."""
    engine = open_engine(store_url)
    cast(Any, Runner(engine.database, str(MIGRATIONS))).up("0001_first")
    with engine.database.atomic():
        for statement in FIRST:
            engine.database.execute_sql(statement)
    engine.close_connection()
    engine.close()


async def test_a_store_of_the_first_release_goes_on_with_credentials(
    store_url: str, tmp_path: Path
) -> None:
    make_first(store_url)
    async with guarded_pair(store_url, tmp_path) as guarded:
        pair = guarded.pair
        (red,) = (await pair.admin.ListTeams(a.ListTeamsRequest(), metadata=guarded.admin)).teams
        assert (red.team_id, red.HasField("create_time")) == ("red", False)
        alice, bob = await guarded.agent("alice"), await guarded.agent("bob")
        waiting = await pair.messaging.ReceiveMessages(m.ReceiveMessagesRequest(), metadata=bob)
        assert [(each.receipt.sequence, each.message.subject) for each in waiting.deliveries] == [
            (1, "Hi"),
            (2, "T"),
        ]
        answer = m.SendMessageRequest(recipient_ids=["alice", "bob"], in_reply_to="m1")
        sent = await pair.messaging.SendMessage(answer, metadata=bob)
        assert (sent.message_id, [each.sequence for each in sent.receipts]) == ("m3", [1, 3])
        history = t.ListTaskEventsRequest(filter=t.TaskEventFilter(task_id="t1"))
        started = await pair.tasks.StartTask(t.StartTaskRequest(task_id="t1"), metadata=bob)
        assert started.task.state == t.TASK_STATE_IN_PROGRESS
        cancelled = await pair.tasks.CancelTask(t.CancelTaskRequest(task_id="t1"), metadata=alice)
        assert [each.sequence for each in cancelled.notices] == [4]
        found = (await pair.tasks.ListTaskEvents(history, metadata=bob)).events
        assert [(each.generation, each.attempt, each.actor_id) for each in found] == [
            (1, 0, "alice"),
            (2, 1, "bob"),
            (3, 1, "alice"),
        ]
        made = await pair.tasks.CreateTask(t.CreateTaskRequest(title="T"), metadata=alice)
        assert made.task.task_id == "t2"
        agent = await pair.messaging.GetAgent(m.GetAgentRequest(), metadata=alice)
        assert agent.agent.display_name == "Alice"


# The history of a task as the releases before 8 kept it: number, verb, from and to state, assignee.
HISTORY = (
    (2, "CLAIM", 1, 2, "bob"),
    (3, "FAIL", 2, 1, ""),
    (4, "CLAIM", 1, 2, "bob"),
    (5, "HEARTBEAT", 2, 2, "bob"),
    (6, "REQUEST_INPUT", 2, 3, "bob"),
    (7, "PROVIDE_INPUT", 3, 2, "bob"),
    (8, "EXPIRE_LEASE", 2, 1, ""),
    (9, "START", 1, 2, "alice"),
    (10, "ASSIGN", 2, 1, "bob"),
    (11, "START", 1, 2, "bob"),
    (12, "CANCEL", 2, 6, "bob"),
    (13, "REOPEN", 6, 1, "bob"),
    (14, "FAIL", 1, 5, "bob"),
    (15, "REOPEN", 5, 1, "bob"),
    (16, "START", 1, 2, "bob"),
)
ATTEMPTS = {2: 1, 4: 2, 9: 3, 11: 4, 16: 1}
"""The attempts that events begin."""


async def test_attempts_of_before_are_made_of_the_history(store_url: str, tmp_path: Path) -> None:
    make_first(store_url)
    engine = open_engine(store_url)
    cast(Any, Runner(engine.database, str(MIGRATIONS))).up("0007_history")
    with engine.database.atomic():
        for number, verb, before, after, assignee_id in HISTORY:
            attempt = ATTEMPTS.get(number, 0)
            engine.database.execute_sql(
                "INSERT INTO task_events (team_id, number, task_id, verb, actor_id, from_state,"
                " to_state, assignee_id, former_assignee_id, reason, create_time, attempt)"
                f" VALUES ('red', {number}, 't1', '{verb}', '', {before}, {after},"
                f" '{assignee_id}', '', '', {number * 1_000_000}, {attempt})"
            )
        engine.database.execute_sql(
            "UPDATE tasks SET state = 2, attempt = 1, start_time = 16000000, lease_token = 'token',"
            " lease_duration = 3600000000"
        )
        engine.database.execute_sql("UPDATE teams SET last_event = 16, last_time = 16000000")
    engine.close_connection()
    engine.close()
    async with guarded_pair(store_url, tmp_path) as guarded:
        bob = await guarded.agent("bob")
        done = t.CompleteTaskRequest(task_id="t1", lease_token="token")
        await guarded.pair.tasks.CompleteTask(done, metadata=bob)
        asked = t.ListTaskAttemptsRequest(task_id="t1")
        found = (await guarded.pair.tasks.ListTaskAttempts(asked, metadata=bob)).attempts
    assert [
        (each.attempt, each.holder_id, each.start_event_number, each.end_event_number, each.end)
        for each in found
    ] == [
        (1, "bob", 2, 3, t.ATTEMPT_END_FAILED),
        (2, "bob", 4, 8, t.ATTEMPT_END_LEASE_LOST),
        (3, "alice", 9, 10, t.ATTEMPT_END_TAKEN_AWAY),
        (4, "bob", 11, 12, t.ATTEMPT_END_CANCELLED),
        (1, "bob", 16, 17, t.ATTEMPT_END_COMPLETED),
    ]
    assert [(each.start_time.seconds, each.end_time.seconds) for each in found[:2]] == [
        (2, 3),
        (4, 8),
    ]
    assert not any(each.HasField("failure") for each in found)
