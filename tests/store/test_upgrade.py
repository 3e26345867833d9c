"""A store of an earlier release: it is migrated, and all that is in it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from playhouse.migrations import Runner

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store.engines.base import MIGRATIONS
from dovetail.server.store.store import open_engine
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
